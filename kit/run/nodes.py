"""Workers that span the nodes of one Slurm job: an ``accelerate launch`` on each, with its rank from Slurm's variables.

    python -m kit.run.nodes --machines N --head HOST --port P -- ARGUMENTS OF ACCELERATE

``kit job`` runs on the first node, in a step of its own that knows one node. It asks Slurm for the others, forgets what
the step set and starts a step over all of them; in that, ``SLURM_NODEID`` is the machine's rank.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from kit.errors import KitError

LAUNCH = "accelerate.commands.launch"
FIRST_PORT, PORTS = 20000, 10000
"""Ports of which a job takes the one that its number gives: two jobs on one node rarely agree."""
QUERY_S = 60.0
ATTEMPTS, PAUSE_S = 10, 15.0
"""Tries to reach Slurm, and seconds between them: its controller may be starting again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nodes:
    """The nodes that Slurm gave to a job of several."""

    job: str
    """Number of the Slurm job."""
    names: tuple[str, ...]
    """Slurm's names of the nodes, in the order of their numbers."""
    head: str
    """Address of the first node, to which every rank connects; a node's name need not be a host's."""
    cores: int
    """Cores on each."""
    gpus: int
    """GPUs on each; 0 where the job asked for none."""

    @property
    def port(self) -> int:
        """The port of the first node at which the ranks meet."""
        return FIRST_PORT + int(self.job) % PORTS

    def arguments(self, launch: Sequence[str]) -> list[str]:
        """Return Python's arguments for one node: this module, which adds the node's rank to accelerate's options.

        Args:
            launch: arguments of ``accelerate launch`` that are the same on every node.
        """
        where = ["--machines", str(len(self.names)), "--head", self.head, "--port", str(self.port)]
        return ["-u", "-m", "kit.run.nodes", *where, "--", *launch]

    def step(self, line: Sequence[str], *, container: bool = False) -> list[str]:
        """Return the command line that runs another once on every node; all end when one ends badly.

        Args:
            line: the other command line.
            container: whether it starts a container by apptainer, which is given the node's number by its own variable.
        """
        count = len(self.names)
        options = ["srun", f"--jobid={self.job}", "--overlap", f"--nodes={count}", f"--ntasks={count}"]
        options += ["--ntasks-per-node=1", f"--cpus-per-task={self.cores}", "--kill-on-bad-exit=1"]
        options += [f"--gres=gpu:{self.gpus}"] if self.gpus else []
        pass_on = ["sh", "-c", 'APPTAINERENV_SLURM_NODEID=$SLURM_NODEID exec "$@"', "sh"] if container else []
        return [*options, *pass_on, *line]


def without_slurm(environment: Mapping[str, str]) -> dict[str, str]:
    """Return a process's variables without those of the step it runs in, by which ``srun`` would hold to one node."""
    return {name: value for name, value in environment.items() if not name.startswith(("SLURM_", "SRUN_"))}


def find_nodes(environment: Mapping[str, str], sleep: Callable[[float], None] = time.sleep) -> Nodes | None:
    """Return the nodes of the Slurm job that this process is part of; None outside Slurm, and for a job on one node.

    Raises:
        KitError: Slurm does not say which they are.
    """
    job = environment.get("SLURM_JOB_ID", "")
    if not job.isdigit():
        return None
    found = ask(["squeue", "--noheader", f"--jobs={job}", "--format=%D|%C|%b|%N"], sleep).strip()
    count, cores, gres, nodes = (found.split("|", 3) + [""] * 4)[:4]
    if not (count.isdigit() and cores.isdigit()):
        raise KitError(f"squeue --jobs={job}: found {found[:200]!r}, wanted the job's nodes and cores")
    if int(count) < 2:
        return None
    names = tuple(ask(["scontrol", "show", "hostnames", nodes], sleep).split())
    if len(names) != int(count):
        raise KitError(f"scontrol show hostnames {nodes[:200]}: found {len(names)} names, wanted {count}")
    gpus = re.search(r"gpu(?::[^:,]+)?:(\d+)", gres)
    address = re.search(r"\bNodeAddr=(\S+)", ask(["scontrol", "--oneliner", "show", "node", names[0]], sleep))
    head = address[1] if address else names[0]
    return Nodes(
        job=job, names=names, head=head, cores=max(1, int(cores) // len(names)), gpus=int(gpus[1]) if gpus else 0
    )


def ask(command: Sequence[str], sleep: Callable[[float], None] = time.sleep) -> str:
    """Return what one of Slurm's programs prints; one that fails is asked again for some minutes.

    Args:
        command: the program and its arguments.
        sleep: waits for some seconds.

    Raises:
        KitError: it is not there, does not answer, or fails each time.
    """
    fault = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            sleep(PAUSE_S)
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=QUERY_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            fault = str(error)
            if isinstance(error, FileNotFoundError):
                break
            continue
        if done.returncode == 0:
            return done.stdout
        fault = done.stderr.strip()[:300] or f"exit code {done.returncode}"
    raise KitError(f"{command[0]}: {fault}")


def main(arguments: list[str] | None = None) -> None:
    """Become the ``accelerate launch`` of this node."""
    parser = argparse.ArgumentParser(prog="kit.run.nodes")
    parser.add_argument("--machines", type=int, required=True)
    parser.add_argument("--head", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("launch", nargs="+")
    options = parser.parse_args(arguments)
    rank = os.environ.get("SLURM_NODEID", "")
    if not (rank.isdigit() and int(rank) < options.machines):
        sys.exit(f"SLURM_NODEID: found {rank!r}, wanted the number of this node, below {options.machines}")
    line = [sys.executable, "-u", "-m", LAUNCH, "--num_machines", str(options.machines), "--machine_rank", rank]
    line += ["--main_process_ip", options.head, "--main_process_port", str(options.port), *options.launch]
    os.execv(sys.executable, line)


if __name__ == "__main__":
    main()
