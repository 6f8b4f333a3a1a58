"""Runs a job of two ranks in a Slurm job of two nodes, as `kit job` does on the first of them.

python tests/cluster/over_nodes.py FOLDER
"""

import json
import os
import sys
from pathlib import Path

from kit.run.execute import execute
from kit.run.launch import Options
from kit.run.nodes import find_nodes
from kit.store import Store
from tests.test_ranks import SEEDS, fetch, respond


def main(folder: Path) -> int:
    """Respond to five seeds with the fake engine on two ranks; return 1 where it fails."""
    nodes = find_nodes(os.environ)
    print(f"nodes: {nodes}", flush=True)
    (folder / "seeds.json").write_text(json.dumps(SEEDS), encoding="utf-8")
    (folder / "model.json").write_text("{}", encoding="utf-8")
    data, model = fetch(folder / "seeds.json"), fetch(folder / "model.json")
    work = respond(data, model, 2)
    store = Store.open(folder / "store-2")
    options = Options(store=store.root, nodes=nodes)
    outcome = execute({job.key: job for job in (data, model, work)}, store, options, lambda *_: None)
    print(f"failed: {outcome.failed}", store.log_path(work.key).read_text(encoding="utf-8")[-3000:], flush=True)
    (folder / "pairs.jsonl").write_bytes((store.get(work.key).folder / "pairs.jsonl").read_bytes())
    return int(bool(outcome.failed))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
