"""Seconds and memory that the nearest neighbour of every row takes, here and by exact searches of other libraries.

    python perf/neighbours.py [--rows 52000] [--size 768] [--repeats 1] [--threads 2]

Rows of length 1 lie in groups, as embeddings of instructions do. Each side runs in a process of its own, in turn; the
peers are scikit-learn's brute force, and faiss' flat index where it is installed. Memory is the most that the process
held, less what it held with the rows alone. The distances of 2,000 rows are compared with those of a loop in float64,
and those of all rows with the peer's.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)  # this script's folder is no place to import from

from perf import speed  # noqa: E402

PEERS = {"scikit-learn": "sklearn", "faiss": "faiss"}
"""Name -> package."""
ROWS = "rows.npy"
"""Name of the file that hands the rows to each side."""
CHECKED = 2_000
CLOSE = 1e-4
"""Largest difference of a squared distance between a library that computes in float32 and the kit."""


def drawn(rows: int, size: int) -> Any:
    """Return rows of length 1 in groups of some twenty, and a copy of every hundredth."""
    import numpy as np

    draw = np.random.default_rng(0)
    middles = draw.standard_normal((max(1, rows // 20), size), dtype=np.float32)
    vectors = middles[draw.integers(len(middles), size=rows)]
    vectors += draw.standard_normal((rows, size), dtype=np.float32) * draw.uniform(0.2, 1, (rows, 1)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[1::100] = vectors[::100][: len(vectors[1::100])]
    return vectors


def distances(side: str, vectors: Any, threads: int) -> Any:
    """Return the squared distance of each row to its nearest other row, as one side computes it."""
    import numpy as np

    if side == "kit":
        import torch

        from kit.neighbours import nearest

        torch.set_num_threads(threads)
        return nearest(vectors).distance
    if side == "faiss":
        import faiss

        faiss.omp_set_num_threads(threads)
        index = faiss.IndexFlatL2(vectors.shape[1])
        index.add(vectors)
        return index.search(vectors, 2)[0][:, 1]
    from sklearn.neighbors import NearestNeighbors
    from threadpoolctl import threadpool_limits

    with threadpool_limits(threads):
        found = NearestNeighbors(n_neighbors=1, algorithm="brute", metric="sqeuclidean").fit(vectors)
        return np.asarray(found.kneighbors()[0][:, 0])


def peak_bytes() -> int:
    """Return the most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def run_side(side: str, options: argparse.Namespace, out: Path) -> None:
    """Measure one side in this process, and print a JSON line; the distances go into a file."""
    import numpy as np

    vectors = np.load(out.with_name(ROWS))  # drawing them takes more memory than they do
    distances(side, drawn(64, options.size), options.threads)  # imports, threads
    before, started = peak_bytes(), time.perf_counter()
    found = distances(side, vectors, options.threads)
    wall_s = time.perf_counter() - started
    np.save(out, found)
    print(json.dumps({"wall_s": wall_s, "peak_bytes": peak_bytes() - before}))


def measured(side: str, options: argparse.Namespace, out: Path) -> dict[str, float]:
    """Return seconds and bytes of one side, measured in a process of its own.

    Raises:
        SystemExit: the process failed.
    """
    command = [sys.executable, __file__, "--side", side, "--out", str(out)]
    for name in ("rows", "size", "threads"):
        command += [f"--{name}", str(getattr(options, name))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{side}: the run failed\n{done.stderr}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(f"{side}: {found['wall_s']:.1f} s, {found['peak_bytes'] / 2**20:.0f} MiB beside the rows", flush=True)
    return found


def check_exact(size: int) -> None:
    """Compare the distances of some rows with those of a loop over all pairs in float64.

    Raises:
        SystemExit: one differs.
    """
    import numpy as np

    vectors = drawn(CHECKED, size)
    found, rows = distances("kit", vectors, 2), vectors.astype(np.float64)
    for row in range(CHECKED):
        wanted = np.square(rows - rows[row]).sum(axis=1)
        wanted[row] = np.inf
        if wanted.min() != found[row]:
            sys.exit(f"row {row}: found {found[row]!r}, wanted {wanted.min()!r}")
    print(f"{CHECKED:,} rows of {size}: every distance is that of a loop in float64, to the last bit", flush=True)


def main() -> None:
    """Print seconds, memory and ratios; end with 1 where distances differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=52_000)
    parser.add_argument("--size", type=int, default=768)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    speed.need_packages("numpy", "torch")
    if options.side:
        run_side(options.side, options, options.out)
        return
    import numpy as np

    check_exact(options.size)
    peers = [name for name, package in PEERS.items() if find_spec(package)]
    seconds: dict[str, list[float]] = {side: [] for side in ("kit", *peers)}
    memory: dict[str, list[float]] = {side: [] for side in seconds}
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / ROWS, drawn(options.rows, options.size))
        for _ in range(options.repeats):
            for side, times in seconds.items():
                found = measured(side, options, Path(folder) / f"{side}.npy")
                times.append(found["wall_s"])
                memory[side].append(found["peak_bytes"] / 2**20)
        ours = np.load(Path(folder) / "kit.npy")
        for peer in peers:
            worst = float(np.abs(np.load(Path(folder) / f"{peer}.npy") - ours).max())
            print(f"{peer}: largest difference of a squared distance {worst:.1e}")
            if worst > CLOSE:
                sys.exit(f"{peer}: wanted {CLOSE} at most")
    what = (
        f"nearest neighbour of {options.rows:,} rows of {options.size}, {options.threads} threads, `perf/neighbours.py`"
    )
    here = f"{speed.spread(seconds['kit'])} s, {speed.spread(memory['kit'])} MiB"
    for peer in peers or [""]:
        there = f"{peer} {speed.spread(seconds[peer])} s, {speed.spread(memory[peer])} MiB" if peer else ""
        ratio = f"{speed.ratio(seconds[peer], seconds['kit']):.1f}" if peer else ""
        speed.add_row(speed.Row(what=what, here=here, peer=there, ratio=ratio))


if __name__ == "__main__":
    speed.run(main)
