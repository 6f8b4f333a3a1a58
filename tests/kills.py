"""Kill runs at random moments, whole process trees and single processes; show that nothing is lost, and what it costs.

    python -m tests.kills --kills 140                                 a plan of small jobs (faults_driver.py)
    python -m tests.kills --kills 60 --table 2 --reference STORE      Table 2 at smoke, with its real models

Kills of a table are spread over its jobs: the second half comes when half of them are done, however slow the machine.
Each kill is a line: what was killed, after how many seconds, how many artifacts are committed. After each, every
artifact that was there is there still, and all are whole by their sizes; a run that is done has the bytes of the
undisturbed run, each hashed again, and nothing else is left. Runs are begun on new stores until all kills are spent.
Seconds lost per kill: what the killed runs took beyond the undisturbed one, by the number of kills. Exit code 1 where
anything differs. STORE is that of one undisturbed run of that table; without it one is made first.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from kit.store import Store

DRIVER = Path(__file__).resolve().parent / "faults_driver.py"
CALL = "from kit.cli import main; main()"
MOST_ENDS = 50
"""Ends of runs in a row that were not killed and are not done, after which it is given up."""


@dataclass(slots=True, kw_only=True)
class Campaign:
    """Kills that are spent on runs of one plan."""

    command: list[str]
    """Command line of a run, but for its store."""
    folder: Path
    longest_s: float
    """Longest time from a start, or from the kill before, to a kill."""
    dice: random.Random
    reference: dict[str, dict[str, str]]
    """Key -> file -> sha256 of an undisturbed run."""
    spread: bool = False
    """Whether kills are spread over the jobs of one run: on a busy machine all would hit the first ones."""
    environment: dict[str, str] = field(default_factory=dict)
    spent_s: float = 0.0
    """Seconds that all killed runs took together."""
    runs: int = 0
    """Stores that were finished."""

    def start(self, store: Path) -> "subprocess.Popen[bytes]":
        """Start a run in a session of its own."""
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [*self.command, str(store)],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env={**os.environ, **self.environment},
            )

    def spend(self, kills: int) -> None:
        """Kill runs, on one store after the other, and let the last one end."""
        number = 0
        while number < kills or not self.runs:
            number += self.finish(self.folder / f"store-{self.runs}", number, kills)

    def finish(self, store: Path, before: int, kills: int) -> int:
        """Run a plan on a new store until it is done, killed as often as kills are left; return how often it was."""
        begun, killed, there, ends = time.monotonic(), 0, set[str](), 0
        run = self.start(store)
        while True:
            more = before + killed < kills
            wait_s = self.dice.uniform(0, self.longest_s)
            with suppress(subprocess.TimeoutExpired):
                if run.wait(wait_s if more else None) == 0:
                    break
                ends += 1
                if ends > MOST_ENDS:
                    raise SystemExit(f"the run ends badly each time; its output: {self.folder / 'log'}")
                run = self.start(store)
                continue
            if self.spread and len(checked(store)) * (kills - before) < killed * len(self.reference):
                continue
            what = self.kill(run.pid)
            killed, ends = killed + 1, 0
            committed = checked(store)
            if lost := there - committed:
                raise SystemExit(f"lost: {', '.join(sorted(lost))}")
            there = committed
            print(f"kill {before + killed:3}  {what:40}  after {wait_s:5.1f} s  {len(there)} committed", flush=True)
        self.spent_s += time.monotonic() - begun
        self.runs += 1
        self.compare(store)
        shutil.rmtree(store)
        return killed

    def kill(self, pid: int) -> str:
        """Kill a run's whole tree of processes, or one of them; return what was killed."""
        tree = [pid, *descendants(pid)]
        if self.dice.random() < 0.5:
            for one in tree:
                with suppress(ProcessLookupError):
                    os.kill(one, signal.SIGKILL)
            return f"the whole tree of {len(tree)}"
        place = self.dice.randrange(len(tree))
        with suppress(ProcessLookupError):
            os.kill(tree[place], signal.SIGKILL)
        return f"process {place + 1} of {len(tree)}"

    def compare(self, store: Path) -> None:
        """Check the store of a run that is done against the undisturbed one.

        Raises:
            SystemExit: bytes differ, or something is left over.
        """
        found = hashes(store)
        if names := sorted(key[:10] for key, files in found.items() if self.reference.get(key) != files):
            raise SystemExit(f"{store}: other bytes than the undisturbed run: {', '.join(names)}")
        for name in ("tmp", "failed", "parts"):
            if left := sorted(path.name for path in (store / name).iterdir()):
                raise SystemExit(f"{store}: left in {name}: {', '.join(left)}")


def descendants(pid: int) -> list[int]:
    """Return the processes that a process started, and those that these did."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").iterdir():
        with suppress(OSError, ValueError, IndexError):
            children.setdefault(int((path / "stat").read_text().rpartition(")")[2].split()[1]), []).append(
                int(path.name)
            )
    found, waiting = [], [pid]
    while waiting:
        for child in children.get(waiting.pop(), []):
            found.append(child)
            waiting.append(child)
    return found


def checked(store: Path) -> set[str]:
    """Return the keys of a store's artifacts, whose files are all there with their sizes.

    Raises:
        SystemExit: one is half.
    """
    if not (store / "artifacts").exists():
        return set()
    opened = Store(store)
    keys = set(opened.committed())
    if faults := [fault for key in keys for fault in opened.check(key, hashes=False)]:
        raise SystemExit("\n".join(faults))
    return keys


def hashes(store: Path) -> dict[str, dict[str, str]]:
    """Return key -> file -> sha256, each hashed again."""
    opened, found = Store(store), {}
    for artifact in opened.artifacts():
        if faults := opened.check(artifact.key):
            raise SystemExit("\n".join(faults))
        found[artifact.key] = {name: str(file["sha256"]) for name, file in artifact.files.items()}
    return found


def seconds_of(store: Path) -> float:
    """Return the seconds from the start of the first job of a store to the end of the last one."""
    begins, ends = [], []
    for artifact in Store(store).artifacts():
        begin = datetime.fromisoformat(str(artifact.provenance["started_at"])).timestamp()
        begins.append(begin)
        ends.append(begin + float(artifact.provenance["wall_s"]))
    return max(ends) - min(begins)


def main(words: list[str]) -> int:
    """Spend kills, and print what they cost."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=140)
    parser.add_argument("--seed", type=int, default=14)
    parser.add_argument("--table", default="", help="a table of the paper; small jobs that only write files without it")
    parser.add_argument("--reference", type=Path, help="store of an undisturbed run")
    parser.add_argument("--longest", type=float, default=0.0, help="longest seconds to a kill: 40 with a table, else 2")
    parser.add_argument("--folder", type=Path, help="where stores are made; a temporary folder by default")
    options = parser.parse_args(words)
    kit = [sys.executable, "-u", "-c", CALL, "reproduce", options.table, "--scale", "smoke", "--store"]
    driver = [sys.executable, "-u", str(DRIVER), "run"]
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        campaign = Campaign(
            command=kit if options.table else driver,
            folder=Path(name),
            spread=bool(options.table),
            longest_s=options.longest or (40.0 if options.table else 2.0),
            dice=random.Random(options.seed),
            reference={},
            environment={} if options.table else {"FAULTS_PAUSE_S": "0.02"},
        )
        reference = options.reference or Path(name) / "reference"
        if not options.reference and campaign.start(reference).wait() != 0:
            raise SystemExit((Path(name) / "log").read_text(encoding="utf-8", errors="replace")[-3000:])
        undisturbed_s = seconds_of(reference) if options.table else 0.0
        campaign.reference = hashes(reference)
        campaign.spend(options.kills)
    print(
        f"{options.kills} kills over {campaign.runs} runs of {len(campaign.reference)} jobs: 0 lost or half artifacts,"
    )
    print("the bytes of an undisturbed run in the end")
    if options.table:
        lost_s = campaign.spent_s - campaign.runs * undisturbed_s
        cost = f"{lost_s / options.kills:.1f} s lost a kill"
        print(f"undisturbed {undisturbed_s:,.0f} s; killed {campaign.spent_s:,.0f} s, {cost}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
