"""Strict types of the paper's claims, as ``manifests/claims.toml`` has them, with the check that decides each one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from kit.catalogue import look_up, manifests_folder, paper
from kit.catalogue.axes import NamedByAxis, Value
from kit.catalogue.experiments import AxisName
from kit.errors import RequestError
from kit.reading.documents import Strict, read
from kit.reading.values import LONGEST_NAME, MOST_NAMES, Names

Id = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=LONGEST_NAME)]
"""Id of a claim, a family or a table."""
At = Annotated[dict[AxisName, Value], NamedByAxis]
"""axis -> value, for some axes."""
Text = Annotated[str, Field(min_length=1, max_length=600)]
"""A sentence for readers."""
Source = Literal["abstract", "text", "figure", "table", "summary"]
"""Places that a claim is known from: the paper's abstract; a number that its running text quotes; the sentence that
goes with a figure, or what it draws; the comparison that a table is laid out for; a public summary of the paper."""


class Side(Strict):
    """Cells of a table in pairs: those at one point, and those at another that agree in everything else."""

    table: Id
    """Name of the table, ``table-2``, or of a view that the paper has no numbers for."""
    better: At = Field(min_length=1)
    """Coordinates of the cells that are claimed to be higher."""
    worse: At = Field(default_factory=dict)
    """Coordinates of the others; axes that it does not name are those of the higher cells, but for ``better``'s own."""
    against: Annotated[str, Field(max_length=LONGEST_NAME)] = ""
    """Name of the table with the other cells; empty where it is the same."""
    at: At = Field(default_factory=dict)
    """Coordinates that the higher cells must have too."""

    @model_validator(mode="after")
    def _check_two_sides(self) -> Self:
        if not self.worse and not self.against:
            raise ValueError("wanted 'worse', 'against' or both: else every cell is compared with itself")
        return self

    def tables(self) -> Iterator[str]:
        """Yield the tables whose cells it takes."""
        yield self.table
        if self.against:
            yield self.against


class Average(Strict):
    """Some cells are above others on average; chance is judged by the spread between replicates, or of the items."""

    of: list[Side] = Field(min_length=1, max_length=MOST_NAMES)
    columns: Names | None = None
    """Ids of the printed columns; all of them where this is left out."""
    over: list[AxisName] = Field(default_factory=list, max_length=3)
    """Axes of the replicates: differences at one value of these are averaged first. Empty: every pair for itself."""
    replicates: Literal["sample", "whole"] = "sample"
    """``sample``: others could have been taken (bases), so their spread says how sure the mean is. ``whole``: these are
    all there are, or there is one, and only the choice of test items leaves something to chance."""

    @model_validator(mode="after")
    def _check_replicates(self) -> Self:
        if self.replicates == "sample" and not self.over:
            raise ValueError("replicates = 'sample' needs 'over', the axes that tell them apart; or say 'whole'")
        return self


class Everywhere(Strict):
    """Some cells are above others, each of them, or each mean over the cells at one value of some axes."""

    of: list[Side] = Field(min_length=1, max_length=MOST_NAMES)
    columns: Names | None = None
    over: list[AxisName] = Field(default_factory=list, max_length=3)
    """Axes whose values have a mean each; empty: every pair of cells counts."""


class Outcomes(Strict):
    """One model wins more prompts than it loses, in each row of a figure of outcomes."""

    table: Id
    win: str
    lose: str
    at: At = Field(default_factory=dict)


class Rises(Strict):
    """The cells of a table rise from each value of an axis to the next, on every line and in every column."""

    table: Id
    along: AxisName
    values: list[Value] = Field(min_length=2, max_length=MOST_NAMES)
    """The axis's values, from the lowest cells to the highest."""
    by: Annotated[dict[AxisName, list[Value]], NamedByAxis] = Field(default_factory=dict)
    """axis -> values: there is a line for each combination."""
    columns: Names | None = None


class SameOrder(Strict):
    """Two columns put the rows of a table into the same order, or into opposite ones."""

    table: Id
    score: str
    outcome: str
    order: Literal["same", "opposite"] = "same"


class Share(Strict):
    """One printed count as a share of a whole, percent."""

    table: Id
    at: At
    part: str
    whole: Names


class Gap(Strict):
    """The difference of each pair of cells of one column, in the column's unit or as percent of the lower cell."""

    of: list[Side] = Field(min_length=1, max_length=MOST_NAMES)
    column: str
    relative: bool = False


class Setting(Strict):
    """A size that a table of the paper states: of a seed set, or of a benchmark."""

    table: Id
    field: str
    """``n_items.alpaca``, the size of a seed set; ``n.gsm8k``, the units behind a column."""


class Quoted(Strict):
    """A number that the running text quotes, computed again from what else the paper prints."""

    scalar: str = ""
    """Its id in ``paper/scalars.toml``; empty where it stands in ``value``."""
    value: float | None = None
    unit: str = ""
    """The unit of ``value``."""
    qualifier: Literal["", "nearly", "rounded", "at most"] = ""
    """A word that limits the number, where ``scalars.toml`` has none: ``nearly`` it, it when ``rounded`` as it is, or
    ``at most`` the other number."""
    share: Share | None = None
    gap: Gap | None = None
    product: list[str | float] = Field(default_factory=list, max_length=5)
    """Factors: numbers, or ids of ``scalars.toml``."""
    setting: Setting | None = None

    @model_validator(mode="after")
    def _check_one_of_each(self) -> Self:
        if bool(self.scalar) == (self.value is not None):
            raise ValueError("wanted one of scalar and value")
        ways = [self.share, self.gap, self.product or None, self.setting]
        if sum(way is not None for way in ways) != 1:
            raise ValueError("wanted one of share, gap, product and setting")
        return self


class Counts(Strict):
    """One count of the running text is above another, beyond what chance would do to a fair coin."""

    more: str
    """Id in ``paper/scalars.toml``."""
    fewer: str
    of: Side | None = None
    """Cells of a table whose data are made of what was counted; None where the kit has no such table."""
    step: str = ""
    """Step of evolution that keeps what is counted."""

    @model_validator(mode="after")
    def _check_step(self) -> Self:
        if bool(self.step) != (self.of is not None):
            raise ValueError("'of' and 'step' belong together")
        return self


class NotPrinted(Strict):
    """The paper prints no number that could decide it, and the kit measures none either."""

    reason: Text
    scalar: str = ""
    """Id in ``paper/scalars.toml`` of the number that the text quotes, where it quotes one."""


KINDS = ("average", "everywhere", "outcomes", "rises", "same_order", "quoted", "counts", "all_of", "not_printed")
"""Keys of a claim that hold its check; a claim has one of them."""


class Claim(Strict):
    """A finding of the paper in our own words, where it stands, and the check that decides it."""

    id: Id
    says: Text
    where: Annotated[str, Field(min_length=1, max_length=100)]
    """Section, table or figure: ``3.1, table 1``."""
    known_from: Source
    family: Id
    """Claims that are tested together (:attr:`ClaimsFile.families`)."""
    note: Annotated[str, Field(max_length=600)] = ""
    """A sentence that the reader of its verdict should know."""
    average: Average | None = None
    everywhere: Everywhere | None = None
    outcomes: Outcomes | None = None
    rises: Rises | None = None
    same_order: SameOrder | None = None
    quoted: Quoted | None = None
    counts: Counts | None = None
    all_of: Annotated[list[Id], Field(min_length=2, max_length=MOST_NAMES)] | None = None
    """Ids of claims that must all hold."""
    not_printed: NotPrinted | None = None

    @property
    def kind(self) -> str:
        """The key that holds the claim's check."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    def sides(self) -> list[Side]:
        """Return the pairs of sides that it compares; none for checks of other kinds."""
        compared = self.average or self.everywhere
        if compared:
            return compared.of
        if self.counts and self.counts.of:
            return [self.counts.of]
        return self.quoted.gap.of if self.quoted and self.quoted.gap else []

    def columns(self) -> list[str] | None:
        """Return the ids of the columns that it reads; None for all of its tables' columns."""
        found: list[str] | None = None
        if check := self.average or self.everywhere or self.rises:
            found = check.columns
        elif self.outcomes:
            found = [self.outcomes.win, self.outcomes.lose]
        elif self.same_order:
            found = [self.same_order.score, self.same_order.outcome]
        elif self.quoted and self.quoted.share:
            found = self.quoted.share.whole
        elif self.quoted and self.quoted.gap:
            found = [self.quoted.gap.column]
        return found

    def tables(self) -> list[str]:
        """Return the names of the tables whose numbers decide it, each once."""
        found = [table for side in self.sides() for table in side.tables()]
        found += [one.table for one in (self.outcomes, self.rises, self.same_order) if one]
        if self.quoted:
            found += [one.table for one in (self.quoted.share, self.quoted.setting) if one]
        return list(dict.fromkeys(found))

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        given = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(f"wanted one of {', '.join(KINDS)}; found {' and '.join(given) or 'none'}")
        return self


class ClaimsFile(Strict):
    """The file ``manifests/claims.toml``: the paper's claims, and the families in which they are tested."""

    schema_: int = Field(alias="schema")
    families: dict[Id, Text] = Field(min_length=1)
    """Family -> the question that its claims answer; p values are corrected for their number within each (Holm)."""
    claim: list[Claim] = Field(min_length=1, max_length=1000)


def read_claims(path: Path | None = None) -> ClaimsFile:
    """Return the claims of a file, ``manifests/claims.toml`` by default.

    Raises:
        RequestError: it can't be read, or names a claim, a family, a table or a number that is not there.
    """
    path = path or manifests_folder() / "claims.toml"
    file = read(ClaimsFile, path)
    claims: dict[str, Claim] = {}
    for number, claim in enumerate(file.claim):
        where = f"{path.name}: claim[{number}]"
        if claim.id in claims:
            raise RequestError(f"{where}.id: {claim.id!r} stands twice; ids must differ")
        claims[claim.id] = claim
        look_up(file.families, claim.family, f"{where}.family", "family")
        _check_names(claim, where)
    for number, claim in enumerate(file.claim):
        for id in claim.all_of or ():
            part = look_up(claims, id, f"{path.name}: claim[{number}].all_of", "claim")
            if part.all_of:
                raise RequestError(f"{path.name}: claim[{number}].all_of: {id!r} is made of claims itself; name those")
    return file


def _check_names(claim: Claim, where: str) -> None:
    """Check that a claim names tables of the paper or of the kit, and numbers of ``scalars.toml``, that are there.

    Raises:
        RequestError: one is not there; the message has the most similar name.
    """
    folder = manifests_folder()
    tables = dict.fromkeys([*paper.names(), *sorted(one.stem for one in (folder / "tables").glob("*.toml"))])
    for table in claim.tables():
        look_up(tables, table, f"{where}: {claim.id}", "table")
    for id in scalars_of(claim):
        look_up(paper.scalars(), id, f"{where}: {claim.id}", "number of scalars.toml")


def scalars_of(claim: Claim) -> list[str]:
    """Return the ids in ``scalars.toml`` of the numbers that a claim reads."""
    found = [claim.counts.more, claim.counts.fewer] if claim.counts else []
    if claim.not_printed and claim.not_printed.scalar:
        found.append(claim.not_printed.scalar)
    if claim.quoted:
        found += [claim.quoted.scalar] if claim.quoted.scalar else []
        found += [factor for factor in claim.quoted.product if isinstance(factor, str)]
    return found
