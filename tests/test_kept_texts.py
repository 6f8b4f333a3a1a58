"""Texts kept in parts: how long a part is, calls that are told apart, progress, and probabilities that come back."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from kit.engines import Progress, Request, Sampling, ScoredCompletion
from kit.errors import KitError
from kit.files.parts import Parts
from kit.records import Completion, Turn
from kit.run.texts import in_parts, part_rows

SIZES = {
    # seats of an engine, ranks -> rows of a part: eight batches on each rank, 256 at least
    "few seats": (8, 1, 256),
    "at smoke and mini": (64, 1, 512),
    "at one-gpu": (128, 1, 1024),
    "at paper, on eight ranks": (256, 8, 16_384),
}


@pytest.mark.parametrize("seats, ranks, rows", SIZES.values(), ids=list(SIZES))
def test_rows_of_a_part(seats: int, ranks: int, rows: int):
    assert part_rows(seats, ranks) == rows


def requests(count: int, *, seed: int = 1, text: str = "Say") -> list[Request]:
    return [Request(id=f"r{n}", turns=(Turn(role="user", content=f"{text} {n}"),), seed=seed) for n in range(count)]


class Writer:
    """Writes two tokens for each request, and notes how many it was asked for at a time."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.said: list[tuple[int, int, int]] = []

    def __call__(self, part: Sequence[Request], progress: Progress) -> list[Completion]:
        self.asked.append(len(part))
        progress(len(part), 2 * len(part))
        return [Completion(id=one.id, text=f"to {one.id} \ud83d", tokens=2, finish_reason="stop") for one in part]

    def run(self, parts: Parts, asked: Sequence[Request], sampling: Sampling | None = None) -> list[Completion]:
        def report(done: int, total: int, tokens: int) -> None:
            self.said.append((done, total, tokens))

        return in_parts(
            asked, sampling or Sampling(), Completion, parts, self, report=report, max_num_seqs=8, rank=0, world=1
        )


def test_what_was_kept_is_not_asked_again(tmp_path: Path):
    parts, first, second = Parts(tmp_path / "parts", "k1"), Writer(), Writer()
    texts = first.run(parts, requests(600))
    assert first.asked == [256, 256, 88]
    assert [one.id for one in texts] == [f"r{n}" for n in range(600)]
    max(parts.path.iterdir() if parts.path else [], key=lambda path: path.name).unlink()
    assert second.run(parts, requests(600)) == texts  # half a character comes back as it was
    assert second.asked == [88]
    assert second.said == [(512, 600, 1024), (600, 600, 1200)]  # tokens of the kept parts count


OTHERS = {
    "other words": (requests(3, text="Tell"), Sampling()),
    "another seed": (requests(3, seed=2), Sampling()),
    "fewer": (requests(2), Sampling()),
    "another order": (requests(3)[::-1], Sampling()),
    "drawn otherwise": (requests(3), Sampling(temperature=0.7)),
    "cut earlier": (requests(3), Sampling(max_tokens=8)),
}


@pytest.mark.parametrize("asked, sampling", OTHERS.values(), ids=list(OTHERS))
def test_a_part_answers_only_what_it_was_asked(asked: list[Request], sampling: Sampling, tmp_path: Path):
    # a step of a scenario may ask its model several times in one job
    parts, writer = Parts(tmp_path, "k1"), Writer()
    writer.run(parts, requests(3))
    writer.run(parts, asked, sampling)
    assert writer.asked == [3, len(asked)]
    writer.run(parts, requests(3))
    writer.run(parts, asked, sampling)
    assert writer.asked == [3, len(asked)]


def test_a_text_that_answers_another_request_is_refused_and_not_kept(tmp_path: Path):
    # halves of two parts were joined without a word
    class Swapped(Writer):
        def __call__(self, part: Sequence[Request], progress: Progress) -> list[Completion]:
            return super().__call__([part[0], *part[1:][::-1]], progress)

    with pytest.raises(KitError) as caught:
        Swapped().run(Parts(tmp_path, "k1"), requests(4))
    assert str(caught.value) == (
        "text 1: found an answer to 'r3', wanted one to 'r1'; nothing of this part was kept: run again, and report it "
        "if it comes back"
    )
    assert list(tmp_path.iterdir()) == []


def test_without_a_folder_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    writer = Writer()
    assert writer.run(Parts(None, ""), requests(2)) == writer.run(Parts(None, ""), requests(2))
    assert (writer.asked, list(tmp_path.iterdir())) == ([2, 2], [])


def test_probabilities_come_back_as_they_were():
    row = ScoredCompletion(completion=Completion(id="a", text="b", tokens=2), probabilities=(0.1, 1 / 3))
    assert ScoredCompletion.from_json(row.to_json()) == row
    assert ScoredCompletion.from_json({"completion": {"id": "a", "text": "b"}}) == replace(
        row, completion=Completion(id="a", text="b"), probabilities=()
    )
