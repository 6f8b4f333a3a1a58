"""Parts of a long job's rows: what is whole is taken, in order; what is not is computed again."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from kit.errors import KitError
from kit.files.parts import Parts, in_parts
from kit.machine.ranks import smallest
from kit.records import Score
from kit.store import Artifact, Job, kept

ROWS = [f"r{n}" for n in range(10)]
SIZE = 4


def scores_of(rows: Sequence[str]) -> list[Score]:
    return [Score(id=row, values={"n": len(row) / 3}) for row in rows]


class Computer:
    """Computes scores and notes the parts that it was asked for; fails at one of them."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.asked: list[int] = []
        self.fails_at = fails_at

    def __call__(self, first: int, rows: Sequence[str]) -> list[Score]:
        if first == self.fails_at:
            raise RuntimeError("killed")
        self.asked.append(first)
        return scores_of(rows)


def run(parts: Parts, computer: Computer, *, writes: bool = True) -> list[Score]:
    return in_parts(ROWS, Score, parts, computer, writes=writes, size=SIZE)


def test_it_goes_on_from_the_last_part(tmp_path: Path):
    parts = Parts(tmp_path / "parts", "k1")
    first = Computer(fails_at=8)
    with pytest.raises(RuntimeError):
        run(parts, first)
    second, third = Computer(), Computer()
    assert run(parts, second) == run(parts, third) == scores_of(ROWS)
    assert (first.asked, second.asked, third.asked) == ([0, 4], [8], [])
    assert len(list(parts.path.iterdir())) == 3


def test_one_rank_writes_and_all_read(tmp_path: Path):
    parts, other = Parts(tmp_path, "k1"), Computer()
    assert run(parts, other, writes=False) == scores_of(ROWS)
    assert not list(tmp_path.iterdir())
    run(parts, Computer())
    assert run(parts, later := Computer(), writes=False) == scores_of(ROWS)
    assert later.asked == []


# parts of four rows that another rank sees -> parts that all compute
SEEN: dict[str, tuple[int, list[int]]] = {"as many": (10, []), "one": (4, [4, 8]), "none yet": (0, [0, 4, 8])}


@pytest.mark.parametrize("rows, computed", SEEN.values(), ids=list(SEEN))
def test_ranks_go_on_from_the_same_part(rows: int, computed: list[int], tmp_path: Path, monkeypatch: Any):
    # NFS shows a folder late: two ranks computed other parts, and halves of both were joined
    run(Parts(tmp_path, "k1"), Computer())
    monkeypatch.setattr("accelerate.utils.gather_object", lambda own: [*own, rows])
    went_on: list[bool] = []
    parts = Parts(tmp_path, "k1", smallest=lambda own: smallest(own, 2), went_on=lambda: went_on.append(True))
    computer = Computer()
    assert run(parts, computer) == scores_of(ROWS)
    assert (computer.asked, went_on) == (computed, [True] * (rows > 0))


def head_of(files: dict[str, str]) -> Artifact:
    job = Job(id="a", stage="fetch", version="1", environment="grade", lock="", params={}, inputs={})
    entries = {name: {"sha256": sha256, "size_bytes": 1} for name, sha256 in files.items()}
    return Artifact(key=job.key, folder=Path(), job=job, files=entries, rows=1, facts={}, provenance={"wall_s": 1})


INPUTS: dict[str, dict[str, Artifact]] = {
    "one": {"pairs": head_of({"a": "1", "b": "2"})},
    "other bytes": {"pairs": head_of({"a": "1", "b": "3"})},
    "another name": {"pairs": head_of({"a": "1", "c": "2"})},
    "another role": {"seeds": head_of({"a": "1", "b": "2"})},
    "one more": {"pairs": head_of({"a": "1", "b": "2"}), "base": head_of({})},
    "none": {},
}


def test_inputs_are_told_apart_by_their_bytes():
    found = {kept.inputs_hash(inputs) for inputs in INPUTS.values()}
    assert len(found) == len(INPUTS)
    assert {len(one) for one in found} == {16}
    assert kept.inputs_hash({"pairs": head_of({"b": "2", "a": "1"})}) == kept.inputs_hash(INPUTS["one"])


def test_an_index_of_other_inputs_makes_no_checkpoint_whole():
    key, sha = "a" * 64, "0" * 64
    of_other = f"{key}-{'1' * 16}-checkpoint-00000003-{sha}.json"
    tensors = f"{key}-{'2' * 16}-checkpoint-00000003-0000-{sha}.safetensors"
    assert kept.half_written([of_other, tensors]) == [tensors]
    assert {kept.key_of(name) for name in (of_other, tensors, f".{tensors}")} == {key}


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def one_digit(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"0.66", b"0.67", 1))


def a_link(path: Path) -> None:
    moved = path.rename(path.parent.parent / "elsewhere")
    path.symlink_to(moved)


def another_name(path: Path) -> None:
    path.rename(path.with_name(path.name.replace("k1-", "k2-")))


DAMAGE = {
    "cut short": cut_short, "another digit": one_digit, "a link": a_link, "gone": Path.unlink,
    "another job's": another_name,
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=list(DAMAGE))
def test_a_part_that_is_not_whole_is_computed_again_with_all_after_it(damage, tmp_path: Path):
    parts = Parts(tmp_path / "parts", "k1")
    run(parts, Computer())
    damage(next(path for path in parts.path.iterdir() if "-000004-" in path.name))
    again = Computer()
    assert run(parts, again) == scores_of(ROWS)
    assert again.asked == [4, 8]
    assert run(parts, Computer(fails_at=0)) == scores_of(ROWS)  # what was damaged is whole again


def test_parts_of_another_size_are_not_taken(tmp_path: Path):
    # rows that were computed in other company may differ in a last digit
    parts = Parts(tmp_path, "k1")
    run(parts, Computer())
    assert parts.read(Score, len(ROWS), SIZE + 1) == []
    assert parts.read(Score, len(ROWS), SIZE) == scores_of(ROWS)


def test_a_row_that_is_no_json_or_is_missing_is_refused(tmp_path: Path):
    with pytest.raises(KitError) as caught:
        in_parts(["a"], Score, Parts(tmp_path, "k1"), lambda *_: [Score(id="a", values={"n": float("inf")})],
                 writes=True)  # fmt: skip
    assert str(caught.value).startswith("rows 0 to 1: Out of range float values are not JSON compliant")
    assert str(caught.value).endswith("; wanted finite numbers")
    with pytest.raises(KitError) as caught:
        in_parts(["a"], Score, Parts(tmp_path, "k1"), lambda *_: [], writes=True)
    assert str(caught.value) == "rows 0 to 1: 0 came back of 1"


def test_a_folder_that_may_not_be_written(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(KitError) as caught:
        Parts(tmp_path / "file", "k1").keep(0, scores_of(["a"]))
    assert str(caught.value) == (
        f"{tmp_path / 'file'}: rows 0 to 1 can't be kept: File exists; what is kept stays, and the same command goes "
        "on from there"
    )
