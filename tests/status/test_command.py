"""``kit status``: once, again and again, as JSON; bad options, hostile records, stores that are none."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.cli import status
from kit.machine.identity import own_identity
from kit.store import Store
from kit.store.runs import Work, end_run
from tests.status.making import NOW, begin, fail, make_job, put, record

Kit = Callable[..., tuple[int, str, str]]
DATA, MORE = make_job("fetch", "data"), make_job("fetch", "more")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store.open(tmp_path / "store")
    for job in (DATA, MORE):
        made.plan(job)
    return made


REFUSED = {
    "no store": (
        ["--store", "nowhere"],
        "error: store {here}/nowhere: no store there; name the folder that a run wrote with --store\n",
    ),
    "every alone": (["--every", "5"], "error: --every 5: goes with --watch; without it the status is shown once\n"),
    "every moment": (
        ["--watch", "--every", "0"],
        "error: --every 0: wanted 0.2 to 3,600 seconds; leave it out for 2\n",
    ),
    "no number": (
        ["--watch", "--every", "nan"],
        "error: --every nan: wanted 0.2 to 3,600 seconds; leave it out for 2\n",
    ),
}


@pytest.mark.parametrize("words, message", REFUSED.values(), ids=list(REFUSED))
def test_requests_that_are_refused(words: list[str], message: str, store: Store, kit: Kit, tmp_path: Path):
    assert kit("status", *words) == (2, "", message.format(here=tmp_path))


def test_once(store: Store, kit: Kit):
    put(store, DATA, wall_s=3.0)
    fail(store, MORE, "no network", NOW)
    code, output, messages = kit("status")
    assert (code, messages) == (0, "")
    assert output.splitlines()[:2] == [
        f"store {store.root}: all 2 jobs that were ever planned in it",
        "1 done, 1 failed",
    ]


def test_what_others_wrote_is_shown_as_plain_text(store: Store, kit: Kit):
    request = {"tables": ["\x1b[2Jtable"], "scale": "\x07"}
    work = Work(key=DATA.key, phase="\x1b]0;title\x07", phase_s=1.0)
    fail(store, MORE, "\x1b[31mred\u202e", NOW)
    begin(store, record(1, DATA, MORE, request=request, host="\x1b[H"), 1e9, work)
    for words in (["status"], ["status", "--json"]):
        code, output, _ = kit(*words)
        assert (code, "\x1b" in output, "\x07" in output, "\u202e" in output) == (0, False, False, False)
        assert "2Jtable" in output


def test_what_others_wrote_makes_no_lines_of_its_own(store: Store, kit: Kit):
    request = {"tables": ["t\n9 done"], "scale": "s\n9 done"}
    work = Work(key=DATA.key, phase="p\n9 done", phase_s=1.0)
    fail(store, MORE, "r\n9 done", NOW)
    begin(store, record(1, DATA, MORE, request=request, host="h\n9 done", batch_id="b\n9 done"), 1e9, work)
    _, output, _ = kit("status")
    assert (
        output.count("\\n9 done") == 7
    )  # table, scale, reason; host and batch system for the run and for its lost job
    assert "9 done" not in output.splitlines()


def test_json(store: Store, kit: Kit):
    put(store, DATA)
    code, output, _ = kit("status", "--json", "--all")
    found = json.loads(output)
    assert (code, found["schema"], found["jobs"]["done"], found["jobs"]["waiting"]) == (0, 1, 1, 1)


def test_watching_ends_when_all_is_done(store: Store, kit: Kit, monkeypatch: pytest.MonkeyPatch):
    slept = []

    def work(seconds: float) -> None:
        slept.append(seconds)
        put(store, [DATA, MORE][len(slept) - 1])

    monkeypatch.setattr(status.time, "sleep", work)
    code, output, _ = kit("status", "--watch", "--every", "7", "--json")
    assert (code, slept) == (0, [7.0, 7.0])
    assert [json.loads(line)["jobs"]["done"] for line in output.splitlines()] == [0, 1, 2]


def test_watching_goes_on_while_a_run_is_at_work(store: Store, kit: Kit, monkeypatch: pytest.MonkeyPatch):
    # it may still make again what gave its files back
    own = own_identity()
    run = record(1, DATA, MORE, host=own.host, place=own.place, pid=own.pid, born=own.born)
    for job in (DATA, MORE):
        put(store, job)
    begin(store, run, NOW)
    slept = []

    def end(seconds: float) -> None:
        slept.append(seconds)
        end_run(store, run)

    monkeypatch.setattr(status.time, "sleep", end)
    code, output, _ = kit("status", "--watch", "--json")
    assert (code, slept) == (0, [2.0])
    assert [json.loads(line)["runs"][0]["at_work"] for line in output.splitlines()] == [True, False]


def test_watching_shows_one_status_below_the_other_where_there_is_no_terminal(
    store: Store, kit: Kit, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(status.time, "sleep", lambda _: [put(store, job) for job in (DATA, MORE)])
    code, output, _ = kit("status", "--watch")
    assert code == 0
    assert [line for line in output.splitlines() if line.endswith(("waiting", "done"))][::2] == ["2 waiting", "2 done"]


def test_a_stopped_watch_stopped_nothing_else(store: Store, kit: Kit, monkeypatch: pytest.MonkeyPatch):
    def stop(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(status.time, "sleep", stop)
    code, output, messages = kit("status", "--watch")
    assert (code, messages, "2 waiting" in output) == (0, "", True)
