"""``kit score`` by what an evolver writes about the rows: fields that rows get, and bad requests by their message."""

from pathlib import Path

import pytest

from kit.catalogue import Catalogue
from kit.engines import fake
from kit.engines.fake import FakeEngine
from kit.records import Completion
from tests.commands.conftest import Shell

ROWS = [{"instruction": f"Name {n} rivers.", "input": "", "output": "Elbe", "mine": n} for n in range(4)]


@pytest.fixture(autouse=True)
def fake_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the engine that needs no model compute the jobs of every scale."""
    real = Catalogue.scale

    def scale(self: Catalogue, name: str) -> object:
        found = real(self, name)
        return found.model_copy(update={"engine": found.engine.model_copy(update={"name": "fake"})})

    monkeypatch.setattr(Catalogue, "scale", scale)


def test_rows_get_the_probability_of_what_an_evolver_writes_about_them(shell: Shell, tiny: Path) -> None:
    broken = {"instruction": "", "output": "x"}
    shell.write("rows.json", [*ROWS[:2], broken, *ROWS[2:]])
    code, out, error = shell.call(
        "score", "token_prob", "--data", "rows.json", "--model", str(tiny), "--out", "scored.json", "--scale", "smoke"
    )
    assert (code, error) == (0, ""), out
    rows = shell.read("scored.json")
    assert [{k: v for k, v in row.items() if not k.startswith("token_prob")} for row in rows] == [
        *ROWS[:2], broken, *ROWS[2:]
    ]  # fmt: skip
    assert [0 < row["token_prob"] <= 1 for row in rows if "token_prob" in row] == [True] * 4
    assert "token_prob_skipped" in rows[2]


def test_only_the_first_positions_count_where_that_is_asked_for(shell: Shell, tiny: Path) -> None:
    shell.write("rows.json", ROWS)
    asked = ("score", "token_prob", "--data", "rows.json", "--model", str(tiny), "--scale", "smoke")
    assert shell.call(*asked, "--out", "all.json")[0] == 0
    assert shell.call(*asked, "--out", "five.json", "--set", "positions=first-5")[0] == 0
    assert shell.call(*asked, "--out", "short.json", "--max-length", "5")[0] == 0
    values = {name: [row["token_prob"] for row in shell.read(f"{name}.json")] for name in ("all", "five", "short")}
    assert values["all"] != values["five"]
    assert values["short"] == values["five"]


def test_rows_get_the_ways_that_no_row_before_lists(shell: Shell, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = FakeEngine._completion

    def completion(self: FakeEngine, request: object, sampling: object) -> Completion:
        found = real(self, request, sampling)  # type: ignore[arg-type]
        said = "a limit\ntwo reasons\n### Plan\nBoth." if sampling.temperature else "More reasons"  # type: ignore[attr-defined]
        return Completion(id=found.id, text=said, tokens=5, finish_reason="stop")

    monkeypatch.setattr(fake.FakeEngine, "_completion", completion)
    shell.write("rows.json", ROWS)
    code, out, error = shell.call(
        "score", "trajectory", "--data", "rows.json", "--model", str(tiny), "--judge", str(tiny), "--out", "out.json",
        "--scale", "smoke",
    )  # fmt: skip
    assert (code, error) == (0, ""), out
    assert [row["trajectory_keywords"] for row in shell.read("out.json")] == [1.0, 0.0, 0.0, 0.0]


REFUSED = {
    "no evolver": (
        ("token_prob",),
        "token_prob: an evolver's own texts are scored; name it with --model (a model of manifests/models.toml, or a "
        "model folder)",
    ),
    "a judge": (
        ("token_prob", "--model", "smollm2-135m-instruct", "--judge", "smollm2-135m-instruct"),
        "--judge smollm2-135m-instruct: no judge is asked for token_prob; leave it out",
    ),
    "no judge": (
        ("trajectory", "--model", "smollm2-135m-instruct"),
        "trajectory: a judge scores; name it with --judge (a model of manifests/models.toml, with weights or served; a "
        "server of --servers FILE; or a model folder)",
    ),
    "another option": (
        ("token_prob", "--model", "smollm2-135m-instruct", "--set", "position=all"),
        "--set: token_prob takes no option 'position'; did you mean 'positions'?",
    ),
}


@pytest.mark.parametrize(("words", "message"), REFUSED.values(), ids=list(REFUSED))
def test_bad_requests(shell: Shell, words: tuple[str, ...], message: str) -> None:
    shell.write("rows.json", ROWS)
    assert shell.call("score", *words, "--data", "rows.json", "--out", "out.json", "--scale", "smoke") == (
        2, "", message
    )  # fmt: skip
