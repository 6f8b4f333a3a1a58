"""Checkpoints that are taken or not, the message on one that will not do, and how often one is kept."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kit.errors import KitError, RequestError
from kit.files.parts import Parts
from kit.run import execute as run
from kit.run.launch import Options, Shape, settings
from kit.store import Store
from kit.store.opening import Folder
from kit.training.checkpoints import VARIABLE, Checkpoints, minutes_between
from kit.workers import KINDS

KEY = "a" * 64
MINUTES = {"unset": ("", 15.0), "none": ("0", 0.0), "half a minute": ("0.5", 0.5), "hours": ("240", 240.0)}


@pytest.mark.parametrize("text, minutes", MINUTES.values(), ids=list(MINUTES))
def test_minutes_between_two_checkpoints(text: str, minutes: float):
    assert minutes_between({VARIABLE: text}) == minutes


@pytest.mark.parametrize("text", ["often", "-1", "nan", "inf", "5m"])
def test_minutes_that_are_none_are_refused_before_a_run(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(VARIABLE, text)
    store = Store.open(tmp_path)
    with pytest.raises(RequestError) as caught:
        run.execute({}, store, Options(store=store.root), lambda *_: None)
    assert str(caught.value) == (
        f"KIT_CHECKPOINT_MINUTES: found {text!r}, wanted the minutes between two checkpoints of a training job, such "
        "as 15; 0 keeps none"
    )


def test_a_container_that_trains_gets_the_minutes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(VARIABLE, "7")
    found = {
        kind: settings(Shape(kind=KINDS[kind], environment="cpu", world=1), cpu=True).get(VARIABLE)
        for kind in ("train", "sandbox")
    }
    assert found == {"train": "7", "sandbox": None}


def training(width: int = 3) -> tuple[Any, Any, Any]:
    """Return a small model that took a step, its optimiser and its schedule."""
    import torch

    torch.manual_seed(5)
    model = torch.nn.Linear(width, 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
    step(model, optimizer, scheduler)
    return model, optimizer, scheduler


def step(model: Any, optimizer: Any, scheduler: Any) -> None:
    import torch

    optimizer.zero_grad()
    noise = torch.randn(4, model.in_features)
    (model(noise) ** 2).sum().backward()
    optimizer.step()
    scheduler.step()


def checkpoints(folder: Path) -> Checkpoints:
    return Checkpoints(Parts(folder, KEY), rank=0, world=1, sharded=False)


def lines(count: int) -> list[dict[str, Any]]:
    return [{"step": number, "loss": 1 / (number + 2)} for number in range(1, count + 1)]


def test_training_goes_on_as_if_it_had_not_stopped(tmp_path: Path):
    import torch

    kept, whole = checkpoints(tmp_path / "parts"), training()
    kept.keep(1, whole[1], lines(1), 2.5)
    step(*whole)
    found = kept.newest(3)
    assert found is not None
    assert (found.step, found.seconds, found.lines) == (1, 2.5, lines(1))
    other = training()
    step(*other)  # it is somewhere else, and other random numbers were drawn
    step(*other)
    kept.restore(found, other[1], other[2])
    assert other[1].param_groups[0]["lr"] == 0.05  # 0.1 / (1 + 1)
    kept.restore_random(found)
    step(*other)
    for mine, theirs in zip(whole[0].parameters(), other[0].parameters(), strict=True):
        assert torch.equal(mine, theirs)
    assert whole[1].param_groups[0]["lr"] == other[1].param_groups[0]["lr"]


def test_the_one_before_goes_when_the_next_is_whole(tmp_path: Path):
    kept, (_, optimizer, _) = checkpoints(tmp_path), training()
    (tmp_path / f".{KEY}-checkpoint-0000.12ab34cd").write_text("half")  # of a process that was killed
    (tmp_path / f"{'b' * 64}-checkpoint-00000001-{'0' * 64}.json").write_text("another job's")
    for number in (1, 2):
        kept.keep(number, optimizer, lines(number), 1.0)
    found = sorted(path.name.split("-")[0][:1] + path.name.split("-")[2] for path in tmp_path.iterdir())
    assert found == ["a00000002", "a00000002", "b00000001"]


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def one_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def a_link(path: Path) -> None:
    path.symlink_to(path.rename(path.parent.parent / path.suffix[1:]))


DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "tensors cut short": (cut_short, "safetensors"),
    "another byte of a tensor": (one_byte, "safetensors"),
    "tensors gone": (Path.unlink, "safetensors"),
    "a link to tensors": (a_link, "safetensors"),
    "index cut short": (cut_short, "json"),
    "another byte of the index": (one_byte, "json"),
    "index gone": (Path.unlink, "json"),
    "a link to an index": (a_link, "json"),
}


@pytest.mark.parametrize("damage, ending", DAMAGE.values(), ids=list(DAMAGE))
def test_what_is_not_whole_is_no_checkpoint(damage: Callable[[Path], None], ending: str, tmp_path: Path):
    kept, (_, optimizer, _) = checkpoints(tmp_path / "parts"), training()
    kept.keep(4, optimizer, lines(4), 1.0)
    found = kept.newest(9)
    assert found is not None
    assert found.step == 4
    damage(next((tmp_path / "parts").glob(f"*.{ending}")))
    assert kept.newest(9) is None


def test_a_checkpoint_of_the_last_step_or_of_a_longer_job_is_not_taken(tmp_path: Path):
    kept, (_, optimizer, _) = checkpoints(tmp_path), training()
    kept.keep(4, optimizer, lines(4), 1.0)
    assert [kept.newest(steps) is not None for steps in (3, 4, 5)] == [False, False, True]
    kept.keep(4, optimizer, lines(3), 1.0)  # a line is missing
    assert kept.newest(5) is None


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path):
    kept, (_, optimizer, _) = checkpoints(tmp_path), training()
    kept.keep(1, optimizer, lines(1), 1.0)
    found = kept.newest(5)
    assert found is not None
    _, other, schedule = training(width=4)
    with pytest.raises(KitError) as caught:
        kept.restore(found, other, schedule)
    assert str(caught.value) == (
        f"{tmp_path / found.files[0]}: no checkpoint of this job: 00000.weight is torch.float32 [2, 3], not "
        "torch.float32 [2, 4]; remove it and run again"
    )


def test_where_none_can_be_written_training_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "file").write_text("")
    kept, (_, optimizer, _) = checkpoints(tmp_path / "file"), training()
    kept.keep(3, optimizer, lines(3), 1.0)
    assert capsys.readouterr().err == "sft: no checkpoint of step 3: File exists; training goes on\n"
    assert kept.newest(9) is None


def test_a_full_disk_leaves_the_checkpoint_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    kept, (_, optimizer, _) = checkpoints(tmp_path), training()
    kept.keep(1, optimizer, lines(1), 1.0)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    kept.keep(2, optimizer, lines(2), 1.0)
    assert capsys.readouterr().err == "sft: no checkpoint of step 2: No space left on device; training goes on\n"
    found = kept.newest(9)
    assert found is not None
    assert (found.step, len(list(tmp_path.iterdir()))) == (1, 2)


def test_a_disk_that_is_full_at_the_index_leaves_no_tensors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    # up to 96 GB stayed until the job ended
    kept, (_, optimizer, _) = checkpoints(tmp_path), training()
    kept.keep(1, optimizer, lines(1), 1.0)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Folder, "write", full)
        kept.keep(2, optimizer, lines(2), 1.0)
    assert capsys.readouterr().err == "sft: no checkpoint of step 2: No space left on device; training goes on\n"
    found = kept.newest(9)
    assert found is not None
    assert (found.step, len(list(tmp_path.iterdir()))) == (1, 2)
    kept.keep(3, optimizer, lines(3), 1.0)
    found = kept.newest(9)
    assert found is not None
    assert (found.step, len(list(tmp_path.iterdir()))) == (3, 2)


def test_a_checkpoint_of_other_inputs_is_not_taken(tmp_path: Path):
    one, other = (Checkpoints(Parts(tmp_path, f"{KEY}-{digit * 16}"), rank=0, world=1, sharded=False) for digit in "12")
    one.keep(1, training()[1], lines(1), 1.0)
    assert other.newest(9) is None
    assert one.newest(9) is not None
