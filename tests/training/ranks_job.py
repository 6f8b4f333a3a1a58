"""SFT jobs, one after the other, on as many ranks as it is launched on: ``ranks_job.py jobs.json pairs base out``.

``jobs.json`` has name -> parameters; each job writes into a folder of its name in ``out``, as a worker's jobs follow
each other in one process.
"""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from kit.files.parts import Parts
from kit.stages import sft


def run_jobs(jobs: Path, pairs: Path, base: Path, out: Path) -> Iterator[str]:
    """Run the jobs of a file on this rank, and yield the name of each when it is done."""
    context: Any = SimpleNamespace(
        rank=int(os.environ["RANK"]),
        world=int(os.environ["WORLD_SIZE"]),
        parts=Parts(None, ""),
        progress=lambda *_numbers: None,
    )
    for name, params in json.loads(jobs.read_text()).items():
        sft.run(params, {"pairs": pairs, "base": base}, out / name, context)
        yield name


if __name__ == "__main__":
    for _ in run_jobs(*map(Path, sys.argv[1:])):
        pass
