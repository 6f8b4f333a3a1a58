"""A real run, killed at every stage's first commit and at random: it gives the rows of an undisturbed run.

By default the two rows of data/tiny.toml; with KIT_FULL=1 the whole of Table 2 at scale smoke, for which
KIT_REFERENCE_STORE may name the store of an undisturbed run.
"""

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kit.store import Store

pytestmark = [pytest.mark.slow, pytest.mark.real, pytest.mark.timeout(5400)]
FULL = os.environ.get("KIT_FULL") == "1"
TINY = Path(__file__).resolve().parent / "data" / "tiny.toml"
WORDS = ["reproduce", "2", "--scale", "smoke"] if FULL else ["run", str(TINY)]
STAGES = ("fetch", "convert", "evolve", "respond", "sft", "answer", "grade")
CALL = "from kit.cli import main; main()"


def kit(store: Path) -> subprocess.Popen[str]:
    """Start a run in a session of its own, as a terminal does."""
    return subprocess.Popen(
        [sys.executable, "-u", "-c", CALL, *WORDS, "--store", str(store)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finished(store: Path) -> str:
    with kit(store) as process:
        output, _ = process.communicate()
    assert process.returncode == 0, output
    return output


def settled(output: str) -> dict[str, set[str]]:
    """Return the ids of the jobs that are done or cached."""
    found: dict[str, set[str]] = {"done": set(), "cached": set()}
    for state, id in re.findall(r"^(done|cached) +[0-9a-f]{10} +(\S+)", output, re.MULTILINE):
        found[state].add(id)
    return found


def rows(store: Path) -> dict[str, dict[str, str]]:
    """Return key -> file -> sha256, after a check of every artifact."""
    opened = Store(store)
    found = {}
    for artifact in opened.artifacts():
        assert opened.check(artifact.key) == []
        found[artifact.key] = {name: str(file["sha256"]) for name, file in artifact.files.items()}
    return found


def table(output: str) -> str:
    """Return the lines printed below the jobs, without the seconds of the last line."""
    if "\n\n" in output:
        return output.rpartition("\n\n")[2]
    return re.sub(r"^(done|cached).*\n", "", output, flags=re.MULTILINE)


def test_a_run_killed_at_every_stage_and_at_random_gives_the_same_rows(tmp_path: Path):
    given = os.environ.get("KIT_REFERENCE_STORE")
    reference = Path(given) if given else tmp_path / "reference"
    undisturbed = finished(reference)
    store = tmp_path / "store"
    done: list[str] = []
    for stage in STAGES:  # killed at the moment in which the stage's first job is done
        with kit(store) as process:
            assert process.stdout is not None
            for line in process.stdout:
                done += settled(line)["done"]
                if line.startswith("done") and f"  {stage}/" in line:
                    os.kill(process.pid, signal.SIGKILL)
                    break
            process.kill()
    dice = random.Random(3)
    for _ in range(3):
        with kit(store) as process:
            time.sleep(dice.uniform(1, 20))
            process.kill()
            output, _ = process.communicate()
            done += settled(output)["done"]
    done += settled(finished(store))["done"]
    assert len(done) == len(set(done)), "a job was done twice"
    found, wanted = rows(store), rows(reference)
    assert {key: wanted[key] for key in found} == found
    again = finished(store)
    assert settled(again)["done"] == set()
    assert settled(again)["cached"] == {artifact.job.id for artifact in Store(store).artifacts()}
    assert re.sub(r"in [\d.,]+ s", "", table(again)) == re.sub(r"in [\d.,]+ s", "", table(finished(reference)))
    assert "reproduced" not in undisturbed
