"""Jobs of ``kit grade``: stored, logged, and not repeated, whatever the name of the completions file."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.cli import main
from kit.records import Grade, read_rows
from kit.run import processes
from kit.run.launch import Shape
from kit.store import Artifact, Store

Kit = Callable[[str], tuple[int, str, str]]
PROBLEMS = [{"question": f"{n} + 1?", "answer": f"#### {n + 1}"} for n in range(3)]
TEXTS = [{"id": 0, "output": "1"}, {"id": 2, "output": "7 \ud83d"}, {"id": 1, "output": "It is 2."}]
CODE = {"task_id": 7, "text": "Double it.", "code": "", "test_setup_code": "", "test_list": ["assert double(2) == 4"]}


@pytest.fixture
def kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Kit:
    """Run the command line in a folder with problems and completions: exit code, output, errors."""
    monkeypatch.chdir(tmp_path)
    for name, rows in (("problems", PROBLEMS), ("c", TEXTS), ("code", [CODE])):
        Path(f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    def call(words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["kit", *words.split()])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), *capsys.readouterr()

    return call


def graded() -> list[Artifact]:
    return [artifact for artifact in Store(Path("store")).artifacts() if artifact.job.stage == "grade"]


def test_a_grading_is_stored_and_not_repeated(kit: Kit, monkeypatch: pytest.MonkeyPatch):
    code, printed, _ = kit("grade gsm8k --completions c.jsonl --data problems.jsonl --out g.jsonl")
    assert (code, printed.split()[:5]) == (0, ["gsm8k", "2", "of", "3", "items"])
    (artifact,) = graded()
    assert artifact.job.params == {"benchmark": "gsm8k", "protocol": "default", "rows": None}
    assert (artifact.job.id, artifact.rows, artifact.job.worker) == ("grade/gsm8k", 3, "sandbox")
    assert Store(Path("store")).log_path(artifact.key).read_text(encoding="utf-8").startswith("[start] ")
    assert Path("g.jsonl").read_bytes() == (artifact.folder / "grades.jsonl").read_bytes()
    assert [grade.id for grade in read_rows(Path("g.jsonl"), Grade)] == ["0", "1", "2"]
    shutil.move("c.jsonl", "moved.jsonl")
    monkeypatch.setattr(processes, "command", lambda *_, **__: pytest.fail("a worker was started"))
    code, again, errors = kit("grade gsm8k --completions moved.jsonl --data problems.jsonl")
    assert (code, again) == (0, printed)
    assert [line.split()[0] for line in errors.splitlines()] == ["cached"] * 3


def test_another_protocol_or_fewer_rows_are_other_jobs(kit: Kit):
    for options in ("", "--protocol paper", "--rows 1"):
        assert kit(f"grade gsm8k --completions c.jsonl --data problems.jsonl {options}")[0] == 0
    assert sorted((one.job.params["protocol"], one.job.params["rows"] or 0, one.rows) for one in graded()) == [
        ("default", 0, 3),
        ("default", 1, 1),
        ("paper", 0, 3),
    ]


def test_code_is_run_in_the_workers_sandbox(kit: Kit):
    text = "def double(x):\n    return 2 * x"
    Path("c.jsonl").write_text(json.dumps({"task_id": 7, "completion": text}) + "\n", encoding="utf-8")
    code, printed, errors = kit("grade mbpp --completions c.jsonl --data code.jsonl --json")
    document = json.loads(printed)
    (artifact,) = graded()
    assert (code, errors) == (0, "")
    assert (document["results"][0]["value"], document["sandbox"]) == (1.0, artifact.facts["sandbox"])


def test_an_interrupted_grading_is_continued(kit: Kit, monkeypatch: pytest.MonkeyPatch):
    """By then the data and the completions are stored; the same command does the rest."""
    real = processes.command

    def until_graded(shape: Shape, *args: object, **fields: object) -> list[str]:
        if shape.kind.untrusted:
            raise KeyboardInterrupt
        return real(shape, *args, **fields)  # type: ignore[arg-type]

    monkeypatch.setattr(processes, "command", until_graded)
    words = "grade gsm8k --completions c.jsonl --data problems.jsonl"
    assert kit(words)[0] == 130
    monkeypatch.setattr(processes, "command", real)
    code, printed, errors = kit(words)
    assert (code, printed.split()[:5]) == (0, ["gsm8k", "2", "of", "3", "items"])
    assert [line.split()[0] for line in errors.splitlines()] == ["cached", "cached", "done"]
