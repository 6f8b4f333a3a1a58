"""Manifest -> jobs, in an order in which each finds its inputs done. Pure: no store, no clock, no network."""

import dataclasses
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from kit import registry
from kit.catalogue import Catalogue, look_up
from kit.catalogue.axes import Coordinates
from kit.catalogue.manifest import BenchmarkRows, Dataset, Scale, View
from kit.catalogue.points import Point, product_of
from kit.catalogue.views import CellFinder, Column, Table, blank_note
from kit.errors import RequestError, did_you_mean
from kit.files.seeds import FIELDS
from kit.plan import CellAddress, Plan, costs
from kit.plan.sources import Source, data_source, model_source, paper_prompts_source
from kit.stages import Origin, Stage
from kit.store import Job
from kit.workers import kind_for


@dataclass(slots=True, kw_only=True)
class Given:
    """Artifacts that a plan starts from, in the place of jobs that it would make: files and models of one's own."""

    stages: dict[str, str] = field(default_factory=dict)
    """stage -> key of what stands in for its output, at every point."""
    models: dict[str, str] = field(default_factory=dict)
    """name -> key; such a model plays itself."""
    data: dict[str, str] = field(default_factory=dict)
    """data set -> key."""


class Planner:
    """Adds jobs to a plan; a job that two experiments share is there once. Stages plan themselves with it."""

    def __init__(
        self,
        catalogue: Catalogue,
        scale: Scale,
        scale_name: str,
        locks: Mapping[str, str],
        given: Given | None = None,
    ) -> None:
        self.catalogue = catalogue
        self.scale = scale
        self.where = catalogue.where or f"{scale_name}.toml"
        self.locks = locks
        self.plan = Plan(scale=scale_name, hardware=scale.hardware)
        self.hashes: dict[tuple[str, ...], str | None] = {}
        self.sources: dict[tuple[str, str], Source] = {}
        self.ids: Counter[str] = Counter()
        self.given = given or Given()
        self.needed: dict[tuple[Any, ...], str] = {}
        """(stage, experiment, setting, benchmark) -> key, of what was planned already."""

    # tables and experiments

    def add_table(self, name: str, view: View) -> None:
        """Every cell of a view that this scale has players for."""
        where = f"{self.where}: table {name}" if self.catalogue.user else f"{name}.toml"
        finder = CellFinder(view, self.catalogue.experiments, where)
        columns, rows = finder.columns(), self.played_rows(name, finder)
        self.plan.tables[name] = Table(
            title=view.title,
            paper=view.paper,
            series=view.series,
            axes=tuple(view.rows),
            rows=tuple(rows),
            columns=tuple(columns),
            claims=tuple(view.claim),
            draw=view.draw,
        )
        cells = [self.cell(finder, row, column) for row in rows for column in columns]
        if blank := [(cell, column) for cell, column in zip(cells, columns * len(rows), strict=True) if not cell.keys]:
            self.note(blank_note(name, [(cell.at, column) for cell, column in blank], finder.experiments))
        if len(blank) == len(cells):
            raise RequestError(f"{finder.where}: no experiment gives a cell of it: {self.plan.notes[-1]}")
        self.plan.cells[name] = cells

    def played_rows(self, name: str, finder: CellFinder) -> list[dict[str, Any]]:
        """The view's rows, but for those of base models that nobody plays at this scale."""
        bases = finder.rows.get("base", [])
        left_out = [base for base in bases if not self.find_player(base)]
        if bases and len(left_out) == len(bases):
            raise RequestError(f"{self.where}: cast: nobody plays a base model of {name} ({', '.join(bases)})")
        if left_out:
            self.note(
                f"{name}: no player at scale {self.plan.scale} for {', '.join(left_out)}; these rows are left out"
            )
        return [row for row in product_of(finder.rows) if row.get("base") not in left_out]

    def cell(self, finder: CellFinder, row: Coordinates, column: Column) -> CellAddress:
        """Return a cell's coordinates, and the jobs that hold its number."""
        points = finder.points(row, column)
        keys = tuple(self.need("grade", point.with_benchmark(column.benchmark)) for point in points)
        return CellAddress(at=finder.coordinates(row, column), column=column.id, keys=keys)

    # what the stages ask for: see kit.stages.Planning

    def need(self, stage: str, at: Point) -> str:
        """Return the key of what a stage makes at a point: an artifact that was given, or a job that is planned now."""
        if stage in self.given.stages:
            return self.given.stages[stage]
        place = (stage, at.experiment.id if at.experiment else "", at.setting, at.benchmark)
        if place not in self.needed:
            self.needed[place] = cast(Stage, registry.load("stages", stage)).plan(at, self)
        return self.needed[place]

    def job(
        self,
        stage: str,
        name: str,
        params: Mapping[str, Any],
        inputs: Mapping[str, str],
        *,
        plugins: Mapping[str, int] | None = None,
        resources: Mapping[str, Any] | None = None,
        rows: int = 0,
    ) -> str:
        """Put a job into the plan, if it is not there yet, and return its key; two of one name are told apart."""
        kind = kind_for(stage, params)
        environment = kind.environment or self.scale.environment
        versions = [f"{stage}-{registry.load('stages', stage).VERSION}"]
        versions += [f"{plugin}-{number}" for plugin, number in sorted((plugins or {}).items())]
        job = Job(
            id=f"{stage}/{name}",
            stage=stage,
            version=".".join(versions),
            environment=environment,
            lock="" if kind.fetches else self.locks[environment],
            params=json.loads(json.dumps(params)),
            inputs=dict(inputs),
            resources={"processes": params.get("world", 1), **(resources or {}), **({"rows": rows} if rows else {})},
            worker=kind.name,
        )
        if job.key not in self.plan.jobs:
            self.ids[job.id] += 1  # two experiments that differ in a temperature have jobs of one name
            number = self.ids[job.id]
            self.plan.jobs[job.key] = dataclasses.replace(job, id=f"{job.id}~{number}") if number > 1 else job
        return job.key

    def rows(self, key: str) -> int:
        """Return how many rows a job of the plan is expected to write; 0 where nobody knows."""
        return int(self.plan.jobs[key].resources.get("rows", 0))

    def name(self, at: Point, *fields: str) -> str:
        """Return a point's values in some fields, as the ids of its jobs have them; round 0 has no evolver."""
        found = {"benchmark": at.benchmark, "seeds": at.setting.seeds, "round": f"round-{at.setting.round}"}
        if at.setting.round == 0:
            fields = tuple(field for field in fields if field != "evolver")
        return "/".join(found[field] if field in found else self.player(getattr(at.setting, field)) for field in fields)

    def model(self, name: str, *, chat: bool = False) -> str:
        """Return the key of a plain model folder: fetched, then converted where it must be.

        Raises:
            RequestError: ``chat`` is asked for and the model comes without a chat template.
        """
        if name in self.given.models:
            return self.given.models[name]
        model = self.plan.models[name] = self.catalogue.model(name, f"{self.where}: cast")
        if chat and model.hub and not model.chat and self.catalogue.user and name in self.catalogue.user.models:
            raise RequestError(
                f"{self.where}: models.{name}: it evolves, responds or answers, which takes a chat template; "
                "set chat = true if its folder brings one"
            )
        if chat and model.hub and not model.chat:
            able = [known for known, other in self.catalogue.models.items() if other.chat]
            raise RequestError(
                f"{name} is a base model, without a chat template of its own; what evolves, responds or answers needs "
                f"one{did_you_mean(name, able)}"
            )
        if model.hub and model.hub.revision is None:
            self.note(
                f"{name}: no revision of {model.hub.repo} is known; it can't be fetched until `kit pin` finds one"
            )
        cost = costs.storing(model, self.scale)
        if model.stack:
            self.catalogue.check_stack(name, self.where)
            inputs = {"model": self.model(model.stack.model)}
            params: dict[str, Any] = {"how": "stack", "layers": model.stack.indices()}
            return self.job("convert", name, params, inputs, resources=cost)
        params, source = self.source("models", name, lambda: model_source(model, self.catalogue.user_folder))
        fetched = self.job("fetch", name, params, {}, resources=cost | {"source": source})
        how = "gguf" if model.package else model.hub.convert if model.hub else None
        if how is None:
            return fetched
        return self.job("convert", name, {"how": how}, {"model": fetched}, resources=cost)

    def source(self, kind: str, name: str, find: Callable[[], Source]) -> Source:
        """Where a model's or a data set's bytes come from, found once: files are read and hashed for it.

        Args:
            kind: ``models`` or ``datasets``, the table that names it.
            name: its name there.
            find: what looks for it.

        Raises:
            RequestError: they can't be read; of a user's own the message has the key that names them.
        """
        if (kind, name) not in self.sources:
            user = self.catalogue.user
            own = user is not None and name in (user.models if kind == "models" else user.datasets)
            try:
                self.sources[kind, name] = find()
            except RequestError as error:
                raise RequestError(f"{self.where}: {kind}.{name}: {error}" if own else str(error)) from error
        return self.sources[kind, name]

    def data(self, name: str) -> str:
        """Return the key of a data set's file: one that was given, or one that is fetched as it is pinned."""
        if name in self.given.data:
            return self.given.data[name]
        dataset = self.catalogue.dataset(name, f"{self.where}: seeds or benchmarks")
        if dataset.url and dataset.sha256 is None:
            self.note(f"{name}: the sha256 of {dataset.url} is not known; {how_checked(dataset)}")
        params, source = self.source("datasets", name, lambda: data_source(dataset, self.catalogue.user_folder))
        return self.job("fetch", name, params, {}, resources={"source": source})

    def engine(self, model: str, lora_rank: int | None = None) -> dict[str, Any]:
        """Return what the engine is opened with, and how many copies of it share the rows.

        Args:
            model: its name.
            lora_rank: room for the adapter that it answers with; None where it has none.
        """
        spec, gpus = self.scale.engine, self.scale.hardware.gpus
        tensor_parallel = self.scale.tensor_parallel.get(model, 1)
        settings = {**spec.model_dump(), "tensor_parallel": tensor_parallel}
        if lora_rank is not None:
            settings["lora_rank"] = lora_rank
        return {"engine": settings, "world": max(1, gpus // tensor_parallel)}

    def training(self) -> dict[str, Any]:
        """Return what the scale says of training: its hardware's settings and the chat format."""
        spec, chat = self.scale.training, self.scale.chat
        return {
            **spec.model_dump(),
            "packing": True,
            "chat_template": chat.template,
            "end_of_turn": chat.end_of_turn,
            "world": max(1, self.scale.hardware.gpus),
        }

    def engine_version(self) -> dict[str, int]:
        """Return the engine's name and own version, for the key."""
        return {self.scale.engine.name: registry.load("engines", self.scale.engine.name).VERSION}

    def wording(self, pack: str, ids: Sequence[str]) -> tuple[dict[str, Any], dict[str, str]]:
        """Return a pack's name with the hash of some of its templates, and the job that fetches its source, if any."""
        from kit import prompts

        if (pack, *ids) not in self.hashes:
            self.hashes[pack, *ids] = prompts.fingerprint(pack, ids)
        params = {"prompts": pack, "prompts_hash": self.hashes[pack, *ids]}
        if pack != "paper":
            return params, {}
        found, source = paper_prompts_source()
        return params, {"prompts": self.job("fetch", "paper-prompts", found, {}, resources={"source": source})}

    def player(self, role: str) -> str:
        """Return the model that plays a model of the paper here.

        Raises:
            RequestError: none does.
        """
        found = self.find_player(role)
        if found is None:
            return look_up(self.scale.cast, role, f"{self.where}: cast", "player for the model")
        self.plan.cast[role] = found
        return found

    def find_player(self, role: str) -> str | None:
        """Return who plays a model of the paper, or None; in a user's manifest a model may play itself."""
        if role in self.given.models:
            return role
        if role in self.scale.cast:
            return self.scale.cast[role]
        return role if self.catalogue.user is not None and role in self.catalogue.models else None

    def instructions(self, at: Point) -> Origin:
        """Return what evolution has made after the point's round; after round 0 that is the seed file."""
        if at.setting.round:
            key = self.need("evolve", at)
            return Origin(key=key, params={}, rows=self.rows(key))
        return self.seeds(at.setting.seeds)

    def seeds(self, name: str) -> Origin:
        """Return the instructions of a seed set."""
        rows = look_up(self.scale.seeds, name, f"{self.where}: seeds", "seed set")
        dataset = self.catalogue.dataset(rows.dataset, f"{self.where}: seeds.{name}")
        look_up(dict.fromkeys(FIELDS), dataset.format, f"{self.where}: datasets.{rows.dataset}.format", "seed format")
        params = {"seeds": name, "format": dataset.format, "rows": rows.rows}
        return Origin(key=self.data(rows.dataset), params=params, rows=self.count(rows.dataset, rows.rows))

    def problems(self, at: Point) -> BenchmarkRows:
        """Return which problems play the point's benchmark, and how they are asked and graded."""
        return look_up(self.scale.benchmarks, at.benchmark, f"{self.where}: benchmarks", "benchmark")

    def count(self, dataset: str, rows: int | None) -> int:
        """Return how many rows are used; as many as asked for where the file's own count is not known."""
        known = self.catalogue.dataset(dataset, self.where).rows
        return min(rows or known or 0, known or rows or 0)

    def writing(self, model: str, rows: int, max_tokens: int) -> dict[str, Any]:
        """Return what it costs that a model writes a text a row; nothing is known of a model without sizes."""
        if model not in self.catalogue.models:
            return {}
        return costs.writing(self.catalogue, self.scale, model, rows, max_tokens)

    def tuning(self, model: str, rows: int, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return what it costs to tune a base model on some rows; nothing is known of a model without sizes."""
        if model not in self.catalogue.models:
            return {}
        return costs.tuning(self.catalogue, self.scale, model, rows, params)

    def capped(self, field: str, value: int, limit: int | None) -> int:
        """What was asked for, or the scale's limit if that is less; a user's own number is not cut in silence."""
        if limit is None or value <= limit:
            return value
        if self.catalogue.user is not None:
            self.note(f"{field}: {value:,} asked for, scale {self.plan.scale} takes {limit:,} at most")
        return limit

    def note(self, text: str) -> None:
        """Say something once."""
        if text not in self.plan.notes:
            self.plan.notes.append(text)


def how_checked(dataset: Dataset) -> str:
    """Say how a file without a known sha256 is checked when it is fetched."""
    if dataset.git_blob is None:
        return "the address is pinned, the bytes are not checked"
    return f"the bytes are checked by their git blob id {dataset.git_blob}, the sha256 is noted when they are fetched"


def make_plan(
    catalogue: Catalogue, views: Mapping[str, View], scale: Scale, scale_name: str, locks: Mapping[str, str]
) -> Plan:
    """The jobs of these tables at this scale.

    Raises:
        RequestError: a name that no manifest knows, or a view that leaves a point open; nothing has run.
    """
    planner = Planner(catalogue, scale, scale_name, locks)
    for key, names in (("cast", scale.cast.values()), ("tensor_parallel", scale.tensor_parallel)):
        for name in names:
            look_up(catalogue.models, name, f"{planner.where}: {key}", "model")
    for name, view in views.items():
        planner.add_table(name, view)
    return planner.plan
