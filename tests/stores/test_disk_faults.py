"""Errors of disks: one ends a job as the store's only where it names a place that jobs write into."""

import errno
import os
from pathlib import Path

import pytest

from kit.run.handover import Handover
from kit.store import Store
from kit.store.faults import job_disk_fault


def error_at(path: Path | None, number: int = errno.EROFS) -> OSError:
    return OSError(number, os.strerror(number), *([str(path)] if path else []))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store")


def test_an_error_below_the_store_is_of_its_disk(store: Store, tmp_path: Path):
    (tmp_path / "link").symlink_to(store.root)
    for path in (None, store.root / "tmp" / "a" / "rows.jsonl", tmp_path / "link" / "tmp" / "a"):
        assert job_disk_fault(error_at(path), store.job_folder) is not None


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE])
def test_an_error_elsewhere_is_not(number: int, store: Store, tmp_path: Path):
    for path in (Path("/opt/kit/escaped"), tmp_path / "store2" / "a", store.root / ".." / "b"):
        assert job_disk_fault(error_at(path, number), store.job_folder) is None


def test_in_a_container_only_the_folder_of_the_output_is_written(store: Store, tmp_path: Path):
    inside = Handover(store.root, tmp_path / "out", tmp_path / "refusals", lambda *_, **__: None)
    assert job_disk_fault(error_at(store.root / "jobs" / "made-up.json"), inside.job_folder) is None
    assert job_disk_fault(error_at(tmp_path / "out" / "key" / "rows.jsonl"), inside.job_folder) is not None


def test_a_wrapped_error_keeps_its_path(store: Store):
    def wrapped(path: Path) -> Exception:
        try:
            try:
                raise error_at(path, errno.ENOSPC)
            except OSError as error:
                raise RuntimeError("can't save") from error
        except RuntimeError as error:
            return error

    assert job_disk_fault(wrapped(store.root / "tmp" / "x"), store.job_folder) is not None
    assert job_disk_fault(wrapped(Path("/elsewhere/x")), store.job_folder) is None
    said = RuntimeError("SafetensorError: I/O error: No space left on device (os error 28)")
    assert job_disk_fault(said, store.job_folder) is not None
    assert job_disk_fault(ValueError("no number"), store.job_folder) is None
