"""One SFT job on as many ranks as it is launched on: ``ranks_job.py params.json pairs base out``."""

import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

from kit.stages import sft

if __name__ == "__main__":
    params, pairs, base, out = map(Path, sys.argv[1:])
    context = SimpleNamespace(
        rank=int(os.environ["RANK"]), world=int(os.environ["WORLD_SIZE"]), progress=lambda *_numbers: None
    )
    sft.run(json.loads(params.read_text()), {"pairs": pairs, "base": base}, out, context)  # type: ignore[arg-type]
