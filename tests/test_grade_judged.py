"""Gradings of ``kit grade`` that a judge decides: a served one in a worker of its own, or verdicts that are there."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.catalogue import Catalogue
from kit.catalogue.served import Served
from kit.cli import main
from kit.run import processes
from kit.store import Store
from tests.judges.serving import Handler, Server, answer, with_message

Kit = Callable[[str], tuple[int, str, str]]
PROBLEMS = [{"instruction": f"Name river {n}.", "output": f"No {n}."} for n in range(4)]
TEXTS = [{"instruction": f"Name river {n}.", "output": text} for n, text in enumerate(["Rhine", "Po", "Don", "Ob"])]
ANNOTATIONS = [{"instruction": f"Name river {n}.", "preference": said} for n, said in enumerate([2, 0, 2, None])]
GSM8K = [{"question": "1 + 1?", "answer": "#### 2"}]
SERVERS = {
    "empty": "",
    "wrong": '[served.mine]\nmodel = "m"\n',
    "both": '[served."llama-3.2-3b"]\nmodel = "m"\nbase_url = "http://127.0.0.1:1/v1"\n',
}
GRADE = "grade alpacafarm --completions texts.json --data problems.json --store store"


@pytest.fixture
def kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Kit:
    """Run the command line in a folder with problems and completions: exit code, output, errors."""
    monkeypatch.chdir(tmp_path)
    files = {"problems": PROBLEMS, "texts": TEXTS, "annotations": ANNOTATIONS, "gsm8k": GSM8K}
    for name, rows in files.items():
        Path(f"{name}.json").write_text(json.dumps(rows), encoding="utf-8")
    for name, text in SERVERS.items():
        Path(f"{name}.toml").write_text(f"schema = 1\n{text}", encoding="utf-8")

    def call(words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["kit", *words.split()])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), *capsys.readouterr()

    return call


def values(printed: str) -> dict[str, float]:
    return {result["metric"]: result["value"] for result in json.loads(printed)["results"]}


def test_verdicts_that_are_there(kit: Kit):
    code, printed, errors = kit(f"{GRADE} --verdicts annotations.json --json")
    assert (code, errors) == (0, "")
    assert values(printed) == {
        "alpacafarm_win": 2.0,
        "alpacafarm_tie": 2.0,
        "alpacafarm_lose": 0.0,
        "alpacafarm_win_rate": 0.75,
    }
    failures = json.loads(printed)["results"][0]["failures"]
    assert failures == {"neither is better": 1, "no verdict could be read": 1}


def judge_of_rivers(handler: Handler, question: str) -> None:
    """Prefer the Rhine wherever it stands, think about it aloud, and say nothing that can be read of the Ob."""
    first, second = (part.split("\n\n")[1] for part in question.split("Reply ")[1:3])
    said = "Reply 1 is better" if first == "Rhine" else "Reply 1 is worse" if second == "Rhine" else "They are equal."
    if "Ob" not in (first, second) and said == "They are equal.":
        said = "'Both replies are equal'"
    answer(handler, question, **with_message(content=f"<think>Reply 1 is worse?</think>Well.\n{said}"))


def test_a_server_judges_and_its_replies_are_kept(kit: Kit, monkeypatch: pytest.MonkeyPatch):
    with Server(always=judge_of_rivers) as server:
        entry = Served(model="m", base_url=server.url, price_in=1000.0, price_out=2000.0, budget_money=1e6)
        monkeypatch.setattr(Catalogue, "served", {"mine": entry})
        code, printed, errors = kit(f"{GRADE} --judge mine --judge-max-tokens 50")
        asked = sum(server.record.asked.values())
        again = kit(f"{GRADE} --judge mine --judge-max-tokens 50 --json")
        assert (asked, sum(server.record.asked.values())) == (8, 8)
    assert code == again[0] == 0
    lines = printed.splitlines()
    assert [line.split()[:2] for line in lines[:3]] == [
        ["alpacafarm_win", "over"],
        ["alpacafarm_tie", "over"],
        ["alpacafarm_lose", "over"],
    ]
    assert values(again[1])["alpacafarm_win_rate"] == 0.625
    (judge,) = json.loads(again[1])["judges"]  # the document told nothing of the judge
    assert (judge["judge"], judge["models"], judge["unreadable"]) == ("mine", {"served-2024": 8}, 2)
    line = (
        "alpacafarm: judged by mine (the server reports served-2024): 8 questions, 2 without a verdict that could be "
        "read, 8 thoughts taken off, 120 tokens, 0.16 of money."
    )
    assert line in errors.splitlines() and line in again[2].splitlines()
    (artifact,) = [one for one in Store(Path("store")).artifacts() if one.job.stage == "judge"]
    assert (artifact.job.worker, artifact.job.params["served"]) == ("ask", {"model": "m"})


@pytest.mark.parametrize("whole", [False, True], ids=["servers alone", "a whole manifest"])
def test_a_server_of_ones_own_file_judges(whole: bool, kit: Kit):
    # servers of models.toml alone were found: a file of the kit had to be changed to name another
    if whole:
        assert kit("new own.toml --scale smoke")[0] == 0
    rest = Path("own.toml").read_text(encoding="utf-8") if whole else "schema = 1\n"
    with Server(always=judge_of_rivers) as server:
        entry = f'[served.mine]\nmodel = "m"\nbase_url = "{server.url}"\n'
        Path("own.toml").write_text(rest + entry, encoding="utf-8")
        code, _, errors = kit(f"{GRADE} --servers own.toml --judge mine --judge-max-tokens 50")
        assert (code, sum(server.record.asked.values())) == (0, 8)
    # nobody was told of the estimate but by kit plan
    assert "to be asked: about 8 questions to judges, 7,600 tokens at servers" in errors.splitlines()


def test_a_manifest_without_servers_is_refused(kit: Kit):
    assert kit("new own.toml --scale smoke")[0] == 0
    assert kit(f"{GRADE} --servers own.toml --judge mine")[::2] == (
        2,
        "error: own.toml: served: missing; wanted [served.NAME] tables (docs/judging.md)\n",
    )


REFUSED = {
    "no judge": (
        GRADE,
        "alpacafarm: a judge decides about its answers; name one with --judge (a model of manifests/models.toml, with "
        "weights or served; a server of --servers FILE; or a model folder)",
    ),
    "a judge and verdicts": (
        f"{GRADE} --judge gpt-4 --verdicts annotations.json",
        "--judge gpt-4: --verdicts holds what a judge has said already; give one of the two",
    ),
    "a judge of what a rule decides": (
        "grade gsm8k --completions texts.json --data gsm8k.json --judge gpt-4",
        "--judge gpt-4: gsm8k decides about its answers by rule; leave it out",
    ),
    "verdicts on what a rule decides": (
        "grade gsm8k --completions texts.json --data gsm8k.json --verdicts annotations.json",
        "--verdicts annotations.json: gsm8k decides about its answers by rule; leave it out",
    ),
    "another way": (f"{GRADE} --judge gpt-4 --judge-by label", "--judge-by label: known: text, labels"),
    "another pack": (
        f"{GRADE} --judge gpt-4 --prompts papers",
        "--prompts papers: known: kit, opencompass, paper, followbench",
    ),
    "no token for a reply": (
        f"{GRADE} --judge gpt-4 --judge-max-tokens 0",
        "--judge-max-tokens 0: wanted 1 to 100,000,000",
    ),
    "no such judge": (
        f"{GRADE} --judge gpt-5 --scale smoke",
        "--judge: no model or folder named 'gpt-5'; did you mean 'gpt-4'?",
    ),
    "labels of a server": (
        f"{GRADE} --judge gpt-4 --judge-by labels --scale smoke",
        "--judge-by labels: gpt-4 is asked at a server, which gives no likelihoods of labels; wanted text",
    ),
    "an address": (
        f"{GRADE} --judge http://localhost:8000/v1 --scale smoke",
        "--judge: found an address, wanted a name: write [served.NAME] with base_url into a file, and give --servers "
        "FILE --judge NAME (docs/judging.md)",
    ),
    "servers without a judge": (
        f"{GRADE} --servers mine.toml --verdicts annotations.json",
        "--servers mine.toml: no --judge of it is named; name one",
    ),
    "no file of servers": (f"{GRADE} --servers none.toml --judge mine", f"none.toml: {os.strerror(2)}"),
    "a file without servers": (
        f"{GRADE} --servers empty.toml --judge mine",
        "empty.toml: served: missing; it has no default",
    ),
    "a server with a fault": (
        f"{GRADE} --servers wrong.toml --judge mine",
        "wrong.toml: served.mine: wanted one of base_url, base_url_from; found none",
    ),
    "a server with a model's name": (
        f"{GRADE} --servers both.toml --judge llama-3.2-3b --scale smoke",
        "both.toml: served.llama-3.2-3b: a model of that name has weights of its own; give one of the two another name",
    ),
    "a base model": (
        f"{GRADE} --judge llama-3.2-3b --scale smoke",
        "llama-3.2-3b is a base model, without a chat template of its own; what evolves, responds or answers needs "
        "one; did you mean 'llama-3.1-8b-instruct'?",
    ),
    "verdicts of another set": (
        f"{GRADE} --verdicts gsm8k.json",
        "gsm8k.json[0]: wanted the fields 'instruction' and 'preference', as alpaca_eval writes them",
    ),
}


@pytest.mark.parametrize(("words", "message"), REFUSED.values(), ids=list(REFUSED))
def test_a_judging_that_is_refused(words: str, message: str, kit: Kit, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(processes, "command", lambda *_, **__: pytest.fail("a worker was started"))
    assert kit(words) == (2, "", f"error: {message}\n")


def test_a_served_judge_without_its_key_is_refused_before_anything_runs(kit: Kit, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr(processes, "command", lambda *_, **__: pytest.fail("a worker was started"))
    assert kit(f"{GRADE} --judge gpt-4 --scale smoke")[::2] == (
        2,
        "to be asked: about 8 questions to judges, 10,000 tokens at servers\n"
        "error: served.gpt-4: key_from: the environment has no OPENAI_API_KEY; set it to the server's key, or leave "
        "key_from out where the server wants none\n",
    )


MINI_FOLLOWBENCH = Path(__file__).resolve().parents[1] / "kit/bundled/mini-followbench"


def grade_followbench(data: Path) -> str:
    """Write an answer to each instruction of FollowBench's folder or file; return the words of the command."""
    paths = sorted(data.iterdir()) if data.is_dir() else [data]
    rows = [row for path in paths for row in json.loads(path.read_text(encoding="utf-8"))]
    asked = [{"prompt": row["instruction"], "response": "No."} for row in rows if row["level"]]
    Path("answers.json").write_text(json.dumps(asked), encoding="utf-8")
    return f"grade followbench --completions answers.json --data {data} --store store"


def test_rows_that_cut_an_item_are_refused_before_anything_is_judged(kit: Kit):
    # the judge's job failed on them, after the model's answers, and at a scale after its training
    grade = f"{grade_followbench(MINI_FOLLOWBENCH)} --rows 7"
    assert kit(f"{grade} --judge smollm2-135m-instruct") == (
        2,
        "",
        "error: followbench: rows: found 7, wanted a multiple of 5, so that the last item is whole\n",
    )
    assert not list(Path("store").rglob("artifact.json"))


@pytest.mark.parametrize("protocol", ["paper", "default"])
def test_what_rules_decide_alone_needs_no_judge(protocol: str, kit: Kit):
    # a judge had to be named, with weights to fetch or a server's key, and was asked nothing
    grade = f"{grade_followbench(MINI_FOLLOWBENCH / 'example_constraints.json')} --protocol {protocol}"
    answers = json.loads(Path("answers.json").read_text(encoding="utf-8"))
    answers[0]["response"] = "The capital of Spain is Madrid."
    Path("answers.json").write_text(json.dumps(answers), encoding="utf-8")
    code, printed, errors = kit(f"{grade} --json")
    assert (code, errors) == (0, "")
    assert values(printed)["followbench_hsr_l1"] == 0.5
    assert values(printed)["followbench_hsr_l2"] == 0.0
    assert "judges" not in json.loads(printed)
    assert {one.job.stage for one in Store(Path("store")).artifacts()} == {"fetch", "grade"}
    # a part of the file that rules decide will do, but no part of an item
    assert kit(f"{grade} --rows 5 --json")[0] == 0
    assert kit(f"{grade} --rows 7") == (
        2,
        "",
        "error: followbench: rows: found 7, wanted a multiple of 5, so that the last item is whole\n",
    )


ALL_JUDGED = "content 5 of 10, style 10 of 10, format 10 of 10, situation 5 of 10, mixed 5 of 10"


@pytest.mark.parametrize(
    ("rows", "judged"),
    [
        pytest.param("", f"35 of these 60 answers ({ALL_JUDGED})", id="all"),
        pytest.param(" --rows 10", "5 of these 10 answers (content 5 of 5)", id="first ten"),
    ],
)
def test_how_many_need_a_judge_is_said(rows: str, judged: str, kit: Kit, monkeypatch: pytest.MonkeyPatch):
    # "a judge decides about its answers", whatever they were
    monkeypatch.setattr(processes, "command", lambda *_, **__: pytest.fail("a worker was started"))
    assert kit(f"{grade_followbench(MINI_FOLLOWBENCH)}{rows}") == (
        2,
        "",
        f"error: followbench: a judge decides about {judged}; name one with --judge (a model of manifests/models.toml, "
        "with weights or served; a server of --servers FILE; or a model folder)\n",
    )
