"""A real Slurm on this machine alone: two nodes of fake CPUs and GPUs, started and stopped by this script.

    python tests/cluster/slurm.py start FOLDER     prints the PATH by which Slurm's commands reach it
    python tests/cluster/slurm.py stop FOLDER

Needs root and Debian's packages slurm-wlm and munge. All that it writes is in FOLDER, but for /dev/kitgpu0 to 7, which
stand for GPUs. It uses no accounting, no cgroups and no systemd, and other ports than Slurm's own. FOLDER/bin has each
command once more, told where slurm.conf is: Snakemake's plugin takes every variable of Slurm's away from its jobs.
"""

import argparse
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

COMMANDS = ("slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel", "sinfo", "sacct", "sacctmgr")
SEARCH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
NODES = ("kit1", "kit2")
GPUS = 4
"""Fake GPUs of a node."""
SETTINGS = """\
ClusterName=kit
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmctldPort={port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
ReturnToService=2
MpiDefault=none
MinJobAge=3600
SlurmdTimeout=30
InactiveLimit=0
SchedulerParameters=batch_sched_delay=1,sched_interval=2
GresTypes=gpu
SlurmdParameters=config_overrides
{nodes}
PartitionName=kit Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str:
    """Return why no Slurm can be started here; empty if one can."""
    if os.geteuid() != 0:
        return "it takes root to start a Slurm"
    lacking = [name for name in ("munged", *COMMANDS) if not shutil.which(name, path=SEARCH)]
    return f"no {', '.join(lacking)}; apt-get install --no-install-recommends slurm-wlm munge" if lacking else ""


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens at."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


@dataclass(frozen=True, slots=True)
class Slurm:
    """A Slurm whose files are all in one folder."""

    folder: Path

    def variables(self) -> dict[str, str]:
        """Return this process's variables with those that Slurm's programs need."""
        return {**os.environ, "PATH": f"{self.folder}/bin:{os.environ.get('PATH', '')}"}

    def run(self, *command: str, check: bool = True) -> str:
        """Return what one of Slurm's commands prints."""
        done = subprocess.run(command, capture_output=True, text=True, env=self.variables(), timeout=120, check=False)
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
        return done.stdout

    def start(self) -> None:
        """Write the configuration and start munge, the controller and both nodes; return once both are idle."""
        for name in ("state", *(f"spool-{node}" for node in NODES)):
            (self.folder / name).mkdir(parents=True)
        self.folder.chmod(0o755)
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        self.configure()
        self.wrap_commands()
        options = [f"--socket={self.folder}/munge.socket", f"--key-file={key}", f"--pid-file={self.folder}/munge.pid"]
        options += [f"--log-file={self.folder}/munge.log", f"--seed-file={self.folder}/munge.seed", "--force"]
        self.run(str(shutil.which("munged", path=SEARCH)), *options)
        self.start_controller()
        for node in NODES:
            self.run("slurmd", "-N", node)
        self.wait_for_nodes()

    def configure(self) -> None:
        """Write slurm.conf and gres.conf, and make the devices that stand for GPUs."""
        host, (port, *node_ports) = socket.gethostname(), free_ports(1 + len(NODES))
        lines, gres = [], ["AutoDetect=off"]
        for number, (node, node_port) in enumerate(zip(NODES, node_ports, strict=True)):
            lines.append(
                f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={node_port} CPUs=16 CoresPerSocket=16 "
                f"RealMemory=40000 Gres=gpu:{GPUS} State=UNKNOWN"
            )
            first = number * GPUS
            gres.append(f"NodeName={node} Name=gpu File=/dev/kitgpu[{first}-{first + GPUS - 1}]")
        for number in range(len(NODES) * GPUS):
            if not Path(f"/dev/kitgpu{number}").exists():
                subprocess.run(["mknod", "-m", "666", f"/dev/kitgpu{number}", "c", "1", "3"], check=True)
        text = SETTINGS.format(host=host, port=port, folder=self.folder, nodes="\n".join(lines))
        (self.folder / "slurm.conf").write_text(text, encoding="ascii")
        (self.folder / "gres.conf").write_text("\n".join(gres) + "\n", encoding="ascii")

    def wrap_commands(self) -> None:
        """Write FOLDER/bin: each command of Slurm's, with the path of its configuration."""
        (self.folder / "bin").mkdir()
        for name in COMMANDS:
            program = shutil.which(name, path=SEARCH)
            path = self.folder / "bin" / name
            path.write_text(f'#!/bin/sh\nSLURM_CONF={self.folder}/slurm.conf exec {program} "$@"\n', encoding="ascii")
            path.chmod(0o755)

    def start_controller(self) -> None:
        """Start the controller, which goes on from what its last run saved."""
        self.run("slurmctld")

    def stop_controller(self) -> None:
        """End the controller and leave the nodes and their jobs running."""
        self.end("slurmctld")

    def wait_for_nodes(self) -> None:
        """Return once both nodes are idle.

        Raises:
            RuntimeError: they are not within a minute.
        """
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            states = self.run("sinfo", "--noheader", "--Node", "--format=%T", check=False).split()
            if states == ["idle"] * len(NODES):
                return
            time.sleep(0.5)
        raise RuntimeError(f"the nodes are not idle after a minute: {states}; see the logs in {self.folder}")

    def end(self, name: str) -> None:
        """End a daemon by the number in its file, and wait until it is gone."""
        path = self.folder / f"{name}.pid"
        with contextlib.suppress(FileNotFoundError, ValueError, ProcessLookupError):
            process = int(path.read_text(encoding="ascii"))
            os.kill(process, signal.SIGTERM)
            for _ in range(100):
                os.kill(process, 0)
                time.sleep(0.1)
            os.kill(process, signal.SIGKILL)
        path.unlink(missing_ok=True)

    def stop(self) -> None:
        """Cancel all jobs, end every daemon, and remove the devices that stood for GPUs."""
        self.run("scancel", "--user=root", check=False)
        time.sleep(1)
        for name in ("slurmctld", *(f"slurmd-{node}" for node in NODES), "munge"):
            self.end(name)
        for number in range(len(NODES) * GPUS):
            Path(f"/dev/kitgpu{number}").unlink(missing_ok=True)


def main() -> None:
    """Start or stop a Slurm whose files are in a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=("start", "stop"))
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    slurm = Slurm(options.folder.absolute())
    if options.action == "stop":
        slurm.stop()
        return
    if reason := missing():
        parser.error(reason)
    slurm.start()
    print(f"export PATH={slurm.folder}/bin:$PATH")


if __name__ == "__main__":
    main()
