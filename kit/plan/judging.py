"""Finds the judge of a benchmark whose answers a judge decides about."""

from collections.abc import Callable

from kit import registry
from kit.benchmarks import Judged
from kit.catalogue.scales import BenchmarkRows
from kit.errors import RequestError, shown


def find_judge(benchmark: str, rows: BenchmarkRows, where: str, player: Callable[[str], str]) -> str | None:
    """Return the model that judges a benchmark's answers; None for a benchmark that decides about them itself.

    Args:
        benchmark: name of the benchmark.
        rows: its entry in the scale.
        where: the manifest, for messages.
        player: finds the model that plays one of the paper's.

    Raises:
        RequestError: a judge is missing, has nothing to do, or is played by no model.
    """
    key = f"{where}: benchmarks.{benchmark}.judge"
    if isinstance(registry.load("benchmarks", benchmark), Judged):
        if rows.judge is None:
            raise RequestError(
                f"{key}: missing, and a judge decides about this benchmark's answers; wanted the name of a model, or "
                "of one of the paper's that the cast has a player for"
            )
        return player(rows.judge)
    if rows.judge is not None:
        raise RequestError(
            f"{key}: found {shown(rows.judge)}, and no judge decides about this benchmark's answers; leave it out"
        )
    return None
