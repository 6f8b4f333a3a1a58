"""Building images, as far as it goes without building one: what is fetched, what is compared, what is written down."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from kit import images
from kit.errors import KitError, RequestError
from kit.images import bill, comparing, fetching

ROOT = Path(__file__).resolve().parents[2]


def image(folder: Path, files: dict[str, tuple[bytes, int]], **config: str) -> Path:
    """An image of one layer, laid out as `skopeo copy` lays it out: path -> (content, time)."""
    folder.mkdir()
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for name, (content, time) in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(content), time
            tar.addfile(member, io.BytesIO(content))
    names = {}
    for what, data in (("layer", layer.getvalue()), ("config", json.dumps(config).encode())):
        names[what] = hashlib.sha256(data).hexdigest()
        (folder / names[what]).write_bytes(data)
    manifest = {"config": {"digest": f"sha256:{names['config']}"}, "layers": [{"digest": f"sha256:{names['layer']}"}]}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


FILES = {"etc/passwd": (b"kit", 7), "opt/a.pyc": (b"1", 7)}


@pytest.mark.parametrize(
    ("files", "config", "found"),
    [
        (FILES, {}, []),
        (FILES | {"opt/a.pyc": (b"2", 7)}, {}, ["layer 0: opt/a.pyc"]),
        (FILES | {"etc/passwd": (b"kit", 8)}, {}, ["layer 0: etc/passwd"]),
        (FILES | {"opt/b": (b"", 7)}, {"created": "2001"}, ["configuration: created", "layer 0: opt/b"]),
        (dict(reversed(FILES.items())), {}, ["layer 0: order of files"]),
    ],
    ids=["nothing", "content", "time", "a file more, and the configuration", "order"],
)
def test_the_first_files_that_differ_are_named(
    files: dict[str, tuple[bytes, int]], config: dict[str, str], found: list[str], tmp_path: Path
) -> None:
    left = image(tmp_path / "left", FILES, created="2000")
    right = image(tmp_path / "right", files, **{"created": "2000", **config})
    assert comparing.compare(left, right) == found


def test_the_bill_is_cyclonedx_and_says_the_same_twice() -> None:
    wheels, debs = [["torch", "2.13.0+cpu"], ["Foo_Bar", "1"]], [["libc6", "2.36-9+deb12u14", "amd64"]]
    found = bill.bill("cpu", "sha256:1", wheels, debs)
    assert (found["bomFormat"], found["specVersion"], found["version"]) == ("CycloneDX", "1.6", 1)
    assert [component["purl"] for component in found["components"]] == [
        "pkg:pypi/torch@2.13.0%2Bcpu",
        "pkg:pypi/foo-bar@1",
        "pkg:deb/debian/libc6@2.36-9%2Bdeb12u14?arch=amd64",
    ]
    references = [component["bom-ref"] for component in found["components"]]
    assert len(set(references)) == len(references)
    assert found == bill.bill("cpu", "sha256:1", wheels, debs)


def test_a_lock_falls_into_its_blocks_and_nothing_is_lost() -> None:
    for name in ("cpu", "cuda", "grade"):
        text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
        body = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))
        assert "".join(fetching.lock_blocks(name).values()) == body


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no git checkout")
def test_only_what_is_committed_gets_into_an_image(tmp_path: Path) -> None:
    stray = ROOT / "kit" / "stray-file-of-a-test.py"
    stray.write_text("x = 1\n")
    try:
        with images.committed_files(images.last_commit()) as folder:
            assert (folder / "kit" / "worker.py").stat().st_mode & 0o777 == 0o644
            assert not (folder / "kit" / stray.name).exists()
            assert not (folder / ".git").exists()
    finally:
        stray.unlink()


def test_an_unknown_image_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert images.main(["tpu"]) == 2
    assert capsys.readouterr().err == "error: no image named 'tpu'; there are cpu, cuda, grade\n"


def test_a_machine_without_a_builder_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RequestError, match="nothing here builds images; install podman"):
        images.find_builder()


def test_a_changed_debian_package_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "CACHE", tmp_path)
    monkeypatch.setattr(fetching, "is_debian_12", lambda: True)
    monkeypatch.setattr(fetching, "run", lambda words, cwd: (cwd / "libseccomp2_0_amd64.deb").write_bytes(b"other"))
    with pytest.raises(KitError, match=r"^docker/debs.toml: grade: sha256 differs from the pinned one: libseccomp2 "):
        fetching.fetch_debs("buildah", "grade")
