"""Checks of the paper's tables of settings and counts against ``manifests/`` at scale ``paper``; no job runs.

The verdict on a printed value is ``match`` or ``off``. A difference that ``manifests/deviations.toml`` lists, with both
values, is off and passes with its reason; any other fails, and names the file, the key, the value found and the value
wanted.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from kit.catalogue import Catalogue, look_up, manifests_folder, paper
from kit.catalogue.experiments import ExperimentsFile, Sft
from kit.catalogue.paper import PaperRow, PaperTable, Value
from kit.catalogue.points import product_of
from kit.errors import listed
from kit.reading.documents import Strict, read
from kit.report.escapes import plain
from kit.training.params import LoraParams

if TYPE_CHECKING:
    from rich.console import Console

SCALE = "paper"
"""The scale whose settings are compared."""
SIZE_SERIES = "table-11"
"""The printed table whose base models have settings of their own, in the table with scopes."""
BATCH = ("devices", "per_device_batch_size", "gradient_accumulation_steps")
"""Printed factors of the rows in one optimiser step; the manifests hold their product."""
SFT_KEYS = {
    "learning_rate": "learning_rate",
    "epochs": "epochs",
    "lr_scheduler": "lr_scheduler",
    "warmup_ratio": "warmup_ratio",
    "max_sequence_length": "max_length_tokens",
    "per_device_batch_size": "global_batch_size",
    "gradient_accumulation_steps": "global_batch_size",
    "lora_rank": "lora.rank",
    "lora_alpha": "lora.alpha",
    "lora_dropout": "lora.dropout",
}
"""Printed parameter -> its key within an experiment's ``sft``."""
LIMITS = {
    "epochs": "epochs",
    "global_batch_size": "global_batch_size",
    "max_length_tokens": "sft_max_length_tokens",
}
"""Key of ``sft`` -> the scale's limit that cuts it."""
TARGETS = {"all_modules": "all-linear"}
"""LLaMA-Factory's name for the layers that get an adapter -> peft's name: every linear layer but the output head."""
MOST_PLACES = 3
"""Most places in the manifests that a failed check names."""


class Deviation(Strict):
    """A setting that is known to differ from the printed one."""

    table: str
    setting: str
    paper: Value
    ours: Value
    reason: str
    section: str
    """The row of ``docs/deviations.md`` that explains it, by its first cell."""


class DeviationsFile(Strict):
    """File of the known differences from the paper, ``manifests/deviations.toml``."""

    schema_: int = Field(alias="schema")
    deviation: list[Deviation]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundValue:
    """One value of the manifests, with the value that it has to have."""

    where: str
    """File and key, for messages."""
    value: Value
    wanted: Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """The settings that one experiment trains one base model with."""

    where: str
    """File, experiment and base model."""
    experiment: str
    scenario: str
    base: str
    sft: Sft


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One printed value beside ours; a finding of ``kit verify``."""

    check: str = "setting"
    what: str
    """Name of table and setting, joined by a comma."""
    passed: bool
    """Whether the values match, or differ as ``deviations.toml`` says."""
    detail: str
    """Both values and the reason of a known difference; or each place with the values found and wanted."""
    verdict: str
    """``match`` or ``off``."""
    ours: tuple[Value, ...]
    """The distinct values that the manifests hold; empty if no experiment has the setting."""
    paper: Value


class Manifests:
    """Settings of training and seed data in a folder of manifests, at the paper's scale."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.catalogue = Catalogue(folder)
        self.scale = self.catalogue.scale(SCALE)

    @cached_property
    def deviations(self) -> Mapping[tuple[str, str], Deviation]:
        """Known differences by table and setting."""
        found = read(DeviationsFile, self.folder / "deviations.toml").deviation
        return {(one.table, one.setting): one for one in found}

    @cached_property
    def trainings(self) -> list[Training]:
        """Training settings of every base model of every experiment."""
        found = dict.fromkeys(
            (path.name, experiment.id, setting.base, setting.scenario, setting.sft.model_dump_json())
            for path in sorted((self.folder / "experiments").glob("*.toml"))
            for experiment in read(ExperimentsFile, path).experiment
            for setting in map(
                experiment.setting, product_of({axis: experiment.values(axis) for axis in experiment.axes()})
            )
        )
        return [
            Training(
                where=f"experiments/{name}: experiment {experiment!r}, base {base!r}",
                experiment=experiment,
                scenario=scenario,
                base=base,
                sft=Sft.model_validate_json(sft),
            )
            for name, experiment, base, scenario, sft in found
        ]

    @cached_property
    def series(self) -> PaperTable:
        """Table of the size series, as the paper prints it."""
        return self.printed(SIZE_SERIES)

    @cached_property
    def tuning_in_series(self) -> Mapping[str, str]:
        """Base model of the size series -> its printed tuning, ``full`` or ``lora``."""
        return {str(row.model): str(row.finetune) for row in self.series.row}

    def printed(self, name: str) -> PaperTable:
        """Return a table as the paper prints it."""
        return paper.table(name, self.folder / "paper")

    def in_series(self, training: Training) -> bool:
        """Return whether a training belongs to the size series: it has its scenario and one of its base models."""
        return training.scenario == self.series.evolution and training.base in self.tuning_in_series

    def bases_of(self, scope: str | None) -> list[str] | None:
        """Return the base models that a printed scope names; ``None`` for a table without scopes: all other models."""
        if scope is None:
            return None
        if scope == "all":
            return list(self.tuning_in_series)
        if scope == "lora":
            return [base for base, tuning in self.tuning_in_series.items() if tuning == "lora"]
        return scope.split(",")

    def trainings_of(self, scope: str | None) -> list[Training]:
        """Return the trainings that a printed scope is about."""
        bases = self.bases_of(scope)
        if bases is None:
            return [training for training in self.trainings if not self.in_series(training)]
        return [training for training in self.trainings if self.in_series(training) and training.base in bases]

    def sft_value(self, training: Training, key: str, wanted: Value) -> FoundValue:
        """Return one setting of a training, lowered to the scale's limit as in a plan."""
        value: Any = training.sft
        for part in key.split("."):
            value = "none" if value is None else getattr(value, part)
        limit_key = LIMITS.get(key, "")
        limit = getattr(self.scale.limits, limit_key) if limit_key else None
        if limit is not None and limit < value:
            return FoundValue(where=f"scales/{SCALE}.toml: limits.{limit_key}", value=limit, wanted=wanted)
        return FoundValue(where=f"{training.where}: sft.{key}", value=value, wanted=wanted)


def split(names: Iterable[str]) -> tuple[list[str], list[str]]:
    """Split table names: those that print settings (full names, each once), and all others (as they were given)."""
    settings: dict[str, None] = {}
    others = []
    known = paper.names()
    for name in names:
        full = f"table-{name}" if name.isdigit() else name
        if full in known and paper.table(full).prints_settings:
            settings[full] = None
        else:
            others.append(name)
    return list(settings), others


def check(names: Sequence[str], folder: Path | None = None) -> list[Setting]:
    """Compare every value that these tables print with the value in the manifests.

    Args:
        names: full names of tables that print settings.
        folder: the folder of the manifests; by default the kit's own.

    Raises:
        RequestError: a manifest can't be read, or lacks a printed name.
    """
    manifests = Manifests(folder or manifests_folder()) if names else None
    return [found for name in names if manifests for found in check_table(name, manifests)]


def check_table(name: str, manifests: Manifests) -> Iterator[Setting]:
    """Compare the values of one table, in printed order."""
    printed = manifests.printed(name)
    scoped = any(row.scope is not None for row in printed.row)
    if scoped:
        yield check_tuning(name, manifests)
    for row in printed.row:
        yield check_rows(name, row, manifests) if row.dataset else check_parameter(name, row, printed, manifests)


def check_tuning(name: str, manifests: Manifests) -> Setting:
    """Compare for each model of the size series whether it is tuned in full or by LoRA."""
    wanted = manifests.tuning_in_series
    trainings = manifests.trainings_of("all")
    values = [manifests.sft_value(training, "tuning", wanted[training.base]) for training in trainings]
    printed = " / ".join(dict.fromkeys(wanted.values()))
    missing = untrained(manifests.bases_of("all"), trainings)
    return compare(f"{name}, tuning", printed, values, manifests, missing=missing)


def check_rows(name: str, row: PaperRow, manifests: Manifests) -> Setting:
    """Compare the number of rows that the scale takes of a seed set."""
    (wanted,) = row.values.values()
    place = f"scales/{SCALE}.toml: seeds"
    used = look_up(manifests.scale.seeds, str(row.dataset), place, "seed set")
    file = manifests.catalogue.dataset(used.dataset, f"{place}.{row.dataset}")
    where = f"{place}.{row.dataset}.rows" if used.rows else f"datasets.toml: datasets.{used.dataset}.rows"
    value = used.rows or file.rows or "not counted"
    return compare(f"{name}, {row.dataset}", wanted, [FoundValue(where=where, value=value, wanted=wanted)], manifests)


def check_parameter(name: str, row: PaperRow, printed: PaperTable, manifests: Manifests) -> Setting:
    """Compare one printed parameter with that of every training that its row is about."""
    (wanted,) = row.values.values()
    parameter = str(row.parameter)
    trainings = manifests.trainings_of(row.scope)
    what = f"{name}, {parameter}"
    if row.scope and "," in row.scope:
        what += f" of {', '.join(row.scope.split(','))}"
    note = ""
    if parameter == "devices":
        where = f"scales/{SCALE}.toml: hardware.gpus"
        values = [FoundValue(where=where, value=manifests.scale.hardware.gpus, wanted=wanted)]
    elif parameter == "lora_target":
        target = LoraParams.model_fields["targets"].default
        name_in_peft = TARGETS.get(str(wanted), wanted)
        values = [FoundValue(where="LoraParams.targets", value=target, wanted=name_in_peft)] if trainings else []
        note = f"{target} is peft's word for it"
    else:
        key = look_up(SFT_KEYS, parameter, f"paper/{name}.toml: row.parameter", "setting")
        rows_a_step, formula = batch(printed)
        in_batch = parameter in BATCH
        values = [manifests.sft_value(one, key, rows_a_step if in_batch else wanted) for one in trainings]
        note = f"global_batch_size holds the product, {formula}" if in_batch else counted(trainings)
    missing = untrained(manifests.bases_of(row.scope), trainings)
    return compare(what, wanted, values, manifests, missing=missing, note=note)


def batch(printed: PaperTable) -> tuple[Value, str]:
    """Return the number of rows in one optimiser step, which a table prints as factors, and the product as text."""
    factors = [row.values["value"] for row in printed.row if row.parameter in BATCH]
    product = 1.0
    for factor in factors:
        product *= float(factor)
    return product, " x ".join(map(written, factors))


def untrained(bases: Sequence[str] | None, trainings: Sequence[Training]) -> str:
    """Return a sentence that names the base models that no experiment trains; empty if there are none."""
    if bases is None:
        return "" if trainings else "experiments/: no experiment trains a base model"
    missing = [base for base in bases if base not in {training.base for training in trainings}]
    return f"experiments/: no experiment trains {listed(missing)}" if missing else ""


def counted(trainings: Sequence[Training]) -> str:
    """Return a phrase that counts the experiments, with their scenarios, that a setting was read from."""
    count = len({training.experiment for training in trainings})
    scenarios = sorted({training.scenario for training in trainings} - {""})
    return f"in {count} experiment{'s' if count != 1 else ''} of {listed(scenarios)}"


def compare(
    what: str, printed: Value, values: Sequence[FoundValue], manifests: Manifests, *, missing: str = "", note: str = ""
) -> Setting:
    """Return the finding on one printed value.

    Args:
        what: table and setting, joined by ``", "``.
        printed: the value that the paper prints.
        values: the value at every place of the manifests that has it.
        manifests: the manifests, with the known differences.
        missing: a sentence on what the manifests lack; if there is one, the check fails.
        note: a sentence that explains a match.
    """
    ours = tuple(dict.fromkeys(one.value for one in values))
    table, _, setting = what.partition(", ")
    wrong = [one for one in values if one.value != one.wanted]
    known = manifests.deviations.get((table, setting))
    both = " / ".join(map(written, ours)) + f", the paper prints {written(printed)}"
    if missing or (wrong and not (known and (ours, printed) == ((known.ours,), known.paper))):
        places = [f"{one.where}: found {written(one.value)}, wanted {written(one.wanted)}" for one in wrong]
        more = [f"and {len(places) - MOST_PLACES} more"] if len(places) > MOST_PLACES else []
        detail = "; ".join([*([missing] if missing else []), *places[:MOST_PLACES], *more])
        return Setting(what=what, passed=False, detail=detail, verdict="off", ours=ours, paper=printed)
    if wrong and known:
        detail = f"{both}; known: {known.reason} (docs/deviations.md: {known.section})"
        return Setting(what=what, passed=True, detail=detail, verdict="off", ours=ours, paper=printed)
    detail = f"{both}; {note}" if note else both
    return Setting(what=what, passed=True, detail=detail, verdict="match", ours=ours, paper=printed)


def written(value: Value) -> str:
    """Return a value as text: ``2e-05``, ``51,983``, ``cosine``."""
    if isinstance(value, str):
        return value
    return f"{int(value):,}" if value == int(value) else f"{value:g}"


def show(console: "Console", settings: Sequence[Setting]) -> None:
    """Print a line for each setting, and a last one with their counts; nothing where there are no settings."""
    from rich.text import Text

    if not settings:
        return
    for setting in settings:
        mark = ("FAIL ", "bold red") if not setting.passed else (f"{setting.verdict:5}", "green")
        mark = ("off  ", "yellow") if setting.passed and setting.verdict == "off" else mark
        console.print(Text.assemble(mark, f" {plain(setting.what)}: {plain(setting.detail)}"), soft_wrap=True)
    failed = sum(not setting.passed for setting in settings)
    known = sum(setting.passed and setting.verdict == "off" for setting in settings)
    counts = f"{len(settings) - failed - known} match, {known} off and known, {failed} off"
    line = f"{len(settings)} printed settings against manifests/ at scale {SCALE}: {counts}."
    console.print(Text(line, style="bold"), soft_wrap=True)
