"""Facts that bound a benchmark's numbers, from ``manifests/counts.toml``: sizes, groups, instructions a prompt."""

from pathlib import Path

from pydantic import Field

from kit.catalogue import manifests_folder
from kit.reading.documents import Strict, read


class Prompts(Strict):
    """Numbers of IFEval's prompts by how many instructions they have."""

    prompts_with: list[int]
    """Prompts with one instruction, with two, and so on."""
    source: str

    @property
    def prompts(self) -> int:
        """Return the number of all prompts of the benchmark."""
        return sum(self.prompts_with)

    @property
    def instructions(self) -> int:
        """Return the number of all instructions of the benchmark."""
        return sum(size * count for size, count in enumerate(self.prompts_with, 1))

    def fewest_instructions(self, prompts: int) -> int:
        """Return the fewest instructions that so many prompts have: the prompts with one instruction come first."""
        left, total = prompts, 0
        for size, count in enumerate(self.prompts_with, 1):
            taken = min(left, count)
            left, total = left - taken, total + size * taken
        return total


class BenchmarkSizes(Strict):
    """Sizes in which a benchmark is known, with their source."""

    id: str
    sizes: dict[str, int]
    """Name of a part or version -> its number of items."""
    groups: list[int] = Field(default_factory=list)
    """Items of each group, where a number is the mean over groups."""
    source: str


class CountsFile(Strict):
    """The file ``manifests/counts.toml``: sizes of benchmarks."""

    schema_: int = Field(alias="schema")
    ifeval: Prompts
    benchmark: list[BenchmarkSizes]

    def of(self, benchmark: str | None) -> BenchmarkSizes | None:
        """Return the sizes of a benchmark, or None where the file has none."""
        return next((one for one in self.benchmark if one.id == benchmark), None)


def facts(folder: Path | None = None) -> CountsFile:
    """Return the facts of ``counts.toml``, by default of the kit's own manifests."""
    return read(CountsFile, (folder or manifests_folder()) / "counts.toml")
