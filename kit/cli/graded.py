"""The output of `kit grade`: a line for each metric and one on the grading, or one JSON document."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kit.files.completions import Completions
    from kit.measures import Measure
    from kit.records import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Graded:
    """The results of one completions file, with the facts of their grading."""

    benchmark: str
    """Name of the benchmark's module."""
    version: int
    """Version of the benchmark's grader."""
    protocol: str
    completions: "Completions"
    """The texts that were graded, and how they were found in the file."""
    tier: str | None
    """The sandbox's kind of isolation; None where no code ran."""
    results: "list[Result]"
    """One result for each metric, in the benchmark's order."""
    measures: "Mapping[str, Measure]"
    """metric -> its unit and digits."""

    def to_json(self) -> dict[str, Any]:
        """Return the JSON document that ``--json`` prints."""
        return {
            "schema": 1,
            "benchmark": self.benchmark,
            "protocol": self.protocol,
            "version": self.version,
            "field": self.completions.field,
            "layout": self.completions.layout,
            "matched_by": self.completions.matched_by,
            "matched_loosely": self.completions.loosely,
            "left_out": self.completions.left_out,
            "sandbox": self.tier,
            "results": [result.to_json() for result in self.results],
        }

    def lines(self) -> Iterator[str]:
        """Yield the printed lines: each number in its unit with its standard error, then one on the grading."""
        for result in self.results:
            measure = self.measures[result.metric]
            units = f"{round(result.value * result.n):>6,} of {result.n:,}"
            if measure.kind != "share":
                units = f"{'over':>6} {result.n:,}"
            value, error = (measure.text(measure.in_unit(number)) for number in (result.value, result.stderr))
            yield f"{result.metric:28} {units} {result.unit:13} {value:>6} {measure.symbol} ±{error}"
        how = f"protocol {self.protocol}, {self.benchmark} v{self.version}" + (
            f", sandbox {self.tier}" * bool(self.tier)
        )
        yield f"{how}, {self.completions.summary()}"
