"""Runs on a real Slurm: what is asked for, what is killed in the middle, and that nothing is submitted twice.

Minutes, so they run where they are asked for (``-m slow``), and are skipped aloud without Slurm or Snakemake.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kit.cluster.program import OWN_ENVIRONMENT
from kit.cluster.queue import slurm_queue
from kit.store import Job, Store
from tests.cluster.slurm import Slurm, missing
from tests.cluster.stand_in import make_job
from tests.test_ranks import run as ranks_of

ROOT = Path(__file__).resolve().parents[2]
SNAKEMAKE = ROOT / OWN_ENVIRONMENT / "bin" / "snakemake"
PATIENCE_S = 400.0
"""Seconds that anything may take, on a busy machine."""
LAB = """\
slurm-no-account: true
slurm-init-seconds-before-status-checks: 5
latency-wait: 20
retries: 1
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    """Start a Slurm of two nodes, and stop it afterwards."""
    if reason := missing():
        pytest.skip(f"SKIPPED, not passed: {reason}")
    if not SNAKEMAKE.exists():
        pytest.skip("SKIPPED, not passed: no Snakemake; sh requirements/cluster.sh")
    cluster = Slurm(tmp_path_factory.mktemp("slurm"))
    cluster.start()
    yield cluster
    cluster.stop()


class Head:
    """A process that hands jobs to the cluster, as ``kit reproduce --cluster slurm`` does."""

    def __init__(self, slurm: Slurm, folder: Path, jobs: list[Job]) -> None:
        self.slurm, self.folder, self.jobs = slurm, folder, jobs
        self.store = Store.open(folder / "store")
        (folder / "lab").mkdir()
        (folder / "lab" / "config.yaml").write_text(LAB, encoding="utf-8")
        (folder / "jobs.json").write_text(json.dumps([job.to_json() for job in jobs]), encoding="utf-8")

    def start(self) -> "subprocess.Popen[str]":
        """Start the process, with the kit's Snakemake and the lab's profile."""
        script = str(ROOT / "tests" / "cluster" / "stand_in.py")
        words = [str(self.store.root), "slurm", str(self.folder / "lab"), str(self.folder / "jobs.json")]
        variables = {**self.slurm.variables(), "KIT_SNAKEMAKE": str(SNAKEMAKE), "PYTHONPATH": str(ROOT)}
        return subprocess.Popen(
            [sys.executable, script, "head", *words], stdout=subprocess.PIPE, text=True, env=variables
        )

    def starts(self, job: Job) -> list[str]:
        """Return the numbers of the Slurm jobs in which a job was started, in their order."""
        found = (self.folder / "starts").glob(f"{job.key}.*") if (self.folder / "starts").exists() else ()
        return sorted((path.name.split(".")[1] for path in found), key=int)

    def submitted(self) -> list[tuple[str, str]]:
        """Return state and comment of every Slurm job of this store, also of those that have ended."""
        found = self.slurm.run("squeue", "--all", "--states=all", "--noheader", "--format=%T|%k|%Z").splitlines()
        rows = [line.split("|") for line in found]
        return [(state, comment) for state, comment, where in rows if where.startswith(str(self.store.root))]


def wait_until(happened: Callable[[], Any]) -> None:
    """Wait for something to become true; fail where it does not in a long time."""
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.5)


def ended(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """Wait until a head has ended, and return what it printed."""
    printed, _ = process.communicate(timeout=PATIENCE_S)
    found: dict[str, Any] = json.loads(printed)
    return found


def test_gpus_are_asked_for_as_gres_and_one_model_is_one_job(slurm: Slurm, tmp_path: Path):
    model = make_job("model")
    tuned = make_job("tuned", "sft", {"base": model.key}, world=2)
    answers = [make_job(f"answer-{number}", "answer", {"model": tuned.key}, world=2) for number in range(3)]
    grade = make_job("grade", "grade", {"completions": answers[0].key})
    head = Head(slurm, tmp_path, [model, tuned, *answers, grade])
    assert ended(head.start()) == {"done": 6, "failed": {}, "blocked": {}}
    assert len(head.submitted()) == 4
    assert len({number for answer in answers for number in head.starts(answer)}) == 1
    asked = slurm.run("squeue", "--all", "--states=all", "--noheader", "--format=%i|%b|%D").splitlines()
    gres = {line.split("|")[0]: line.split("|")[1:] for line in asked}
    assert gres[head.starts(tuned)[0]] == gres[head.starts(answers[0])[0]] == ["gres:gpu:2", "1"]
    assert gres[head.starts(grade)[0]] == ["N/A", "1"]
    seen = [path.read_text() for path in (tmp_path / "starts").glob(f"{tuned.key}.*")]
    assert seen == ["0,1"]
    assert [head.store.check(job.key) for job in head.jobs] == [[]] * 6


def test_a_job_that_is_killed_or_cancelled_is_started_again(slurm: Slurm, tmp_path: Path):
    killed, cancelled = make_job("killed", gate="go"), make_job("cancelled", gate="go")
    head = Head(slurm, tmp_path, [killed, cancelled])
    process = head.start()
    wait_until(lambda: head.starts(killed) and head.starts(cancelled))
    slurm.run("scancel", head.starts(cancelled)[0])
    slurm.run("scancel", "--signal=KILL", "--full", head.starts(killed)[0])
    wait_until(lambda: len(head.starts(killed)) == len(head.starts(cancelled)) == 2)
    (tmp_path / "go").touch()
    assert ended(process) == {"done": 2, "failed": {}, "blocked": {}}
    assert [head.store.check(job.key) for job in head.jobs] == [[], []]


def test_a_controller_that_is_started_again_changes_nothing(slurm: Slurm, tmp_path: Path):
    first = make_job("first", gate="go")
    second = make_job("second", inputs={"x": first.key})
    head = Head(slurm, tmp_path, [first, second])
    process = head.start()
    wait_until(lambda: head.starts(first))
    slurm.stop_controller()
    time.sleep(10)
    slurm.start_controller()
    (tmp_path / "go").touch()
    assert ended(process) == {"done": 2, "failed": {}, "blocked": {}}
    assert (len(head.starts(first)), len(head.starts(second))) == (1, 1)


def test_a_head_that_was_killed_goes_on_and_submits_nothing_twice(slurm: Slurm, tmp_path: Path):
    running, waiting = make_job("running", gate="go"), make_job("waiting")
    after = make_job("after", inputs={"a": running.key, "b": waiting.key})
    head = Head(slurm, tmp_path, [running, waiting, after])
    slurm.run("scontrol", "update", "nodename=kit1,kit2", "state=drain", "reason=test")
    try:
        process = head.start()
        wait_until(lambda: len(slurm_queue_of(head)) == 2)
        (held,) = (queued.number for queued in slurm_queue_of(head) if queued.keys() == [waiting.key])
        slurm.run("scontrol", "hold", held)
    finally:
        slurm.run("scontrol", "update", "nodename=kit1,kit2", "state=resume")
    wait_until(lambda: head.starts(running))  # one is at work, the other waits in the queue
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    again = head.start()
    time.sleep(20)
    assert len(head.submitted()) == 2
    slurm.run("scontrol", "release", held)
    (tmp_path / "go").touch()
    assert ended(again) == {"done": 3, "failed": {}, "blocked": {}}
    assert [len(head.starts(job)) for job in head.jobs] == [1, 1, 1]
    assert len(head.submitted()) == 3


def slurm_queue_of(head: Head) -> list[Any]:
    """Return the jobs of a head's store that are in the queue now."""
    before = os.environ["PATH"]
    os.environ["PATH"] = head.slurm.variables()["PATH"]
    try:
        return slurm_queue(head.store.root)
    finally:
        os.environ["PATH"] = before


def test_a_failure_comes_back_with_its_reason(slurm: Slurm, tmp_path: Path):
    bad, good = make_job("bad", failures=9), make_job("good")
    after = make_job("after", inputs={"x": bad.key})
    head = Head(slurm, tmp_path, [bad, good, after])
    found = ended(head.start())
    assert found == {
        "done": 1,
        "failed": {bad.key: "convert/bad fails as it was told to"},
        "blocked": {after.key: bad.key},
    }
    assert len(head.starts(bad)) == 2  # it was tried twice


def test_two_ranks_on_two_nodes_give_the_rows_of_one(slurm: Slurm, tmp_path: Path):
    command = f"srun --ntasks=1 --nodes=1 {sys.executable} {ROOT}/tests/cluster/over_nodes.py {tmp_path}"
    options = ["--nodes=2", "--ntasks-per-node=1", "--cpus-per-task=1", "--mem=4000", "--gres=gpu:1"]
    variables = {**slurm.variables(), "PYTHONPATH": str(ROOT)}
    submit = ["sbatch", "--wait", *options, f"--output={tmp_path}/log.txt", "--export=ALL", f"--wrap={command}"]
    done = subprocess.run(submit, capture_output=True, text=True, env=variables, timeout=PATIENCE_S, check=False)
    log = (tmp_path / "log.txt").read_text(encoding="utf-8")
    assert done.returncode == 0, log
    assert "names=('kit1', 'kit2'), head='127.0.0.1', cores=1, gpus=1)" in log
    (tmp_path / "one").mkdir()
    store, work, _ = ranks_of(tmp_path / "one", 1)
    alone = (store.get(work.key).folder / "pairs.jsonl").read_bytes()
    assert (tmp_path / "pairs.jsonl").read_bytes() == alone
