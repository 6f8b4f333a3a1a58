"""Share of items that turned when a model answered them again in another batch order: the floor under a difference.

Two runs of one model over N items differ by chance alone, as the sums of a batch are added in another order than those
of the next, and where two tokens are almost as likely the last bit decides. If a share d of the items turns, each to
either side alike, the difference of the two numbers has the standard error ``sqrt(d / N)``.
"""

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kit.comparing.distributions import wilson
from kit.comparing.intervals import smallest_difference
from kit.comparing.shapes import Interval
from kit.errors import KitError
from kit.measures import Measure
from kit.records import Turned, read_rows
from kit.stages.compare import TEXTS, TURNED
from kit.store import Artifact, Job, Store

CONFIDENCE = 0.95
NOT_SETTINGS = ("rows", "order", "seed")
"""Parameters of answers that leave d as it is: which items, in which order, and a seed that greedy texts don't use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rerun:
    """One self-test that the store has: both runs' jobs, and what turned between them."""

    key: str
    """Key of the comparison."""
    answers: Job
    """Answers in the problems' own order."""
    grades: Job
    """Their grading."""
    order: int
    """Seed of the other order."""
    turned: Mapping[str, Turned]
    """Metric -> counts; :data:`~kit.stages.compare.TEXTS` -> those of the texts."""

    @property
    def benchmark(self) -> str:
        """Return the name of the benchmark."""
        return str(self.answers.params.get("benchmark"))

    def matches(self, answers: Job, protocol: str) -> bool:
        """Return whether other answers were asked for with the same settings, and are graded by this protocol.

        Engine, batch size, prompts and limits count; the model does not, nor do the items.
        """
        fits = self.answers.version == answers.version and self.grades.params.get("protocol") == protocol
        return fits and _settings(self.answers) == _settings(answers)

    def same_model(self, answers: Job) -> bool:
        """Return whether other answers are the same model's."""
        return all(self.answers.inputs.get(role) == answers.inputs.get(role) for role in ("model", "adapter"))


def _settings(answers: Job) -> dict[str, Any]:
    """Return the parameters of answers on which the share of turned items depends."""
    return {name: value for name, value in answers.params.items() if name not in NOT_SETTINGS}


def rerun_of(artifact: Artifact, store: Store) -> Rerun:
    """Return the self-test that a comparison's artifact holds.

    Raises:
        KitError: its file was changed, or its inputs are no longer in the store.
    """
    os.close(store.open_file(artifact, TURNED, checked=True))
    path, found = artifact.folder / TURNED, dict[str, Turned]()
    for number, row in enumerate(read_rows(path, Turned), 1):
        if not row.is_sound():
            raise KitError(f"{path}:{number}: no counts of a comparison; remove {artifact.folder} and run again")
        found[row.metric] = row
    answers, again, grades = (
        store.get(artifact.job.inputs[role]).job for role in ("completions", "completions_again", "grades")
    )
    order = again.params.get("order")
    if TEXTS not in found or type(order) is not int:
        raise KitError(f"{path}: no counts of a self-test; remove {artifact.folder} and run again")
    return Rerun(key=artifact.key, answers=answers, grades=grades, order=order, turned=found)


def reruns(store: Store, benchmark: str) -> list[Rerun]:
    """Return every self-test of a benchmark that the store has, by key; those that can't be read are left out.

    Heads are read alone, and of comparisons the rows.
    """
    found = []
    for key in store.committed():
        try:
            artifact = store.get(key)
            if artifact.job.stage == "compare" and artifact.job.params.get("benchmark") == benchmark:
                found.append(rerun_of(artifact, store))
        except (KitError, KeyError):
            continue
    return found


def turned_share(found: Iterable[Rerun], metric: str, answers: Job, protocol: str) -> Turned | None:
    """Return the counts of turned items that hold for some answers, pooled over self-tests; None where none was made.

    Those of the same model count alone where there are some, else those of any model with the same settings: batch
    order acts through the engine's sums, but a model that is surer of its tokens turns less often.

    Args:
        found: self-tests of the benchmark, see :func:`reruns`.
        metric: the metric of the number.
        answers: job of the answers that the number comes from.
        protocol: protocol by which they are graded.
    """
    fitting = [one for one in found if metric in one.turned and one.matches(answers, protocol)]
    same = [one for one in fitting if one.same_model(answers)]
    return pooled([one.turned[metric] for one in same or fitting])


def pooled(counts: Sequence[Turned]) -> Turned | None:
    """Return counts of one metric as those of one self-test over all their items; None where there are none.

    Self-tests of one model in several orders share their first run and their items: their share is as good as the
    number says, and an interval around it is narrower than it should be.
    """
    if not counts:
        return None
    n = sum(one.n for one in counts)
    return Turned(
        metric=counts[0].metric,
        n=n,
        turned=sum(one.turned for one in counts),
        gained=sum(one.gained for one in counts),
        lost=sum(one.lost for one in counts),
        rms=math.sqrt(math.fsum(one.n * one.rms**2 for one in counts) / n),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """Difference between two runs of one model that the order of the batches makes, as stored: a share is 0 to 1."""

    items: int
    """Items that each run answers."""
    stderr: float
    """Standard error of the difference: ``sqrt(d / items)`` where an item is right or wrong."""
    highest: float
    """The standard error at the upper end of the interval of d."""
    smallest: float
    """Smallest difference that two single runs tell from that, 4 times in 5, by a test at 5 %."""


def share_interval(turned: Turned) -> Interval:
    """Return the interval of the share of items that turn, by Wilson's score."""
    return wilson(turned.turned, turned.n, CONFIDENCE)


def floor_of(turned: Turned, items: int, kind: str = "share") -> Floor:
    """Return the floor under a number over so many items.

    Args:
        turned: counts of the number's metric.
        items: items that the number is made from.
        kind: kind of the metric's measure; a count grows with the items, a share or a mean does not.
    """
    upper = share_interval(turned).high
    # how far one turned item moves the number, on average; of none that turned, it is taken for a whole item
    size = turned.rms * math.sqrt(turned.n / turned.turned) if turned.turned else 1.0
    scale = items if kind == "count" else 1
    stderr = scale * turned.rms / math.sqrt(items)
    highest = scale * size * math.sqrt(upper / items)
    return Floor(items=items, stderr=stderr, highest=highest, smallest=smallest_difference(stderr))


def texts_line(turned: Turned) -> str:
    """Return the line on the texts that differ."""
    return f"{'texts that differ':28} {_counts(turned)}"


def metric_lines(turned: Turned, measure: Measure, floor: Floor) -> Iterator[str]:
    """Yield the lines on one metric: the items that turned, and the floor under a difference."""
    sides = f", {turned.gained:,} up and {turned.lost:,} down" if turned.turned else ""
    yield f"{turned.metric:28} {_counts(turned)}{sides}"
    numbers = (floor.stderr, floor.highest, floor.smallest)
    error, highest, smallest = (measure.text(measure.in_unit(number)) for number in numbers)
    unit = measure.difference_unit
    meaning = f"a difference of less than {smallest} {unit} may be batch order alone"
    if not turned.turned:
        meaning = "none turned, so that the upper end alone tells something"
    yield f"  two runs over {floor.items:,} items differ by SE {error} {unit} ({highest} at most): {meaning}"


def _counts(turned: Turned) -> str:
    """Return a count of turned items with its share and interval: ``6 of 200  3.0 % (95 %: 1.4 to 6.4)``."""
    interval = share_interval(turned)
    share = 100 * turned.turned / turned.n
    return (
        f"{turned.turned:>5,} of {turned.n:,} {share:>5.1f} % ({CONFIDENCE:.0%} interval {100 * interval.low:.1f} to "
        f"{100 * interval.high:.1f})"
    )


def turned_json(turned: Turned) -> dict[str, Any]:
    """Return the counts with their share and its interval as a JSON object."""
    interval = share_interval(turned)
    return {
        **turned.to_json(),
        "share": turned.turned / turned.n,
        "low": interval.low,
        "high": interval.high,
        "confidence": CONFIDENCE,
    }


def floor_json(floor: Floor, measure: Measure) -> dict[str, Any]:
    """Return a floor as a JSON object, in the unit in which a difference of the metric is shown."""
    names = ("stderr", "highest", "smallest")
    return {
        "items": floor.items,
        "unit": measure.difference_unit,
        **{name: measure.in_unit(getattr(floor, name)) for name in names},
    }
