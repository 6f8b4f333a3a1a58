"""Finds the judge of a benchmark's answers, or of a metric's instructions, where a judge decides about them."""

from collections.abc import Callable, Container

from kit import registry
from kit.benchmarks import Judged
from kit.catalogue.points import Point
from kit.catalogue.scales import BenchmarkRows, MetricRows
from kit.errors import RequestError, shown
from kit.metrics import JudgedMetric


def find_judge(
    benchmark: str, rows: BenchmarkRows, where: str, player: Callable[[str], str], served: Container[str]
) -> str | None:
    """Return the model that judges a benchmark's answers; None for a benchmark that decides about them itself.

    Args:
        benchmark: name of the benchmark.
        rows: its entry in the scale.
        where: the manifest, for messages.
        player: finds the model that plays one of the paper's.
        served: names of the models that a server answers for.

    Raises:
        RequestError: a judge is missing, has nothing to do, is played by no model, or can't be asked in this way.
    """
    key = f"{where}: benchmarks.{benchmark}.judge"
    if isinstance(registry.load("benchmarks", benchmark), Judged):
        if rows.judge is None:
            raise RequestError(
                f"{key}: missing, and a judge decides about this benchmark's answers; wanted the name of a model, or "
                "of one of the paper's that the cast has a player for"
            )
        found = player(rows.judge)
        _check_way(found, rows.judge_by, f"{where}: benchmarks.{benchmark}", served)
        return found
    if rows.judge is not None:
        raise RequestError(
            f"{key}: found {shown(rows.judge)}, and no judge decides about this benchmark's answers; leave it out"
        )
    return None


def find_metric_judge(
    point: Point, rows: MetricRows, where: str, player: Callable[[str], str], served: Container[str]
) -> str | None:
    """Return the model that judges the instructions of a point, whose metric it is asked for; None for other metrics.

    Args:
        point: the point, whose setting names the judge.
        rows: the metric's entry in the scale.
        where: the manifest, for messages.
        player: finds the model that plays one of the paper's.
        served: names of the models that a server answers for.

    Raises:
        RequestError: a judge is missing, is played by no model, or can't be asked in this way.
    """
    metric = point.benchmark
    if not isinstance(registry.load("metrics", metric), JudgedMetric):
        return None
    if not point.setting.judge:
        raise RequestError(
            f"{point.name}: judge: missing, and a judge gives the scores of {metric}; wanted the name of a model, or "
            "of one of the paper's that the cast has a player for"
        )
    found = player(point.setting.judge)
    _check_way(found, rows.judge_by, f"{where}: metrics.{metric}", served)
    return found


def _check_way(judge: str, by: str, where: str, served: Container[str]) -> None:
    """Check that a judge can be asked in a way.

    Raises:
        RequestError: a server is to score labels.
    """
    if by == "labels" and judge in served:
        raise RequestError(
            f"{where}.judge_by: found 'labels', and {judge} is asked at a server, which gives no likelihoods of "
            "labels; wanted 'text'"
        )
