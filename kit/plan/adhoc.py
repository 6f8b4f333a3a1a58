"""Plans of the commands on the user's own files: the same jobs as a manifest's, decided by the commands' options."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from kit import registry
from kit.catalogue import Catalogue, look_up, manifests_folder
from kit.catalogue.entries import Dataset
from kit.catalogue.experiments import Lora
from kit.catalogue.manifest import read_servers
from kit.catalogue.points import Point
from kit.catalogue.scales import BenchmarkRows, ChatFormat, Limits, Scale, SeedRows
from kit.catalogue.views import measuring_stage
from kit.engines import adapter_room
from kit.errors import RequestError, one_line, shown
from kit.models.adapters import adapter_rank, adapter_settings, brings_tokenizer, is_adapter
from kit.models.folder import check_chat_template
from kit.plan import Plan
from kit.plan.given import GivenArtifacts
from kit.plan.options import UNUSED_SFT, chat_format, point_of_options
from kit.plan.planner import Planner
from kit.plan.planning import largest_scale, locks, this_machine
from kit.plan.sources import adapter_source, check_file_name, data_source, folder_source
from kit.scenarios import data_of
from kit.stages import VERDICTS, Origin

COMPLETIONS = "completions.jsonl"
"""Name of the file that ``answer`` writes and ``grade`` reads."""


class Workbench:
    """Plans jobs on the user's own files, with the hardware, the engine and the chat format of a scale.

    Args:
        scale: name of the scale; ``auto`` fits this machine.
        servers: file that names servers of the user's, beside those of ``models.toml``.
    """

    def __init__(self, scale: str = "auto", servers: Path | None = None) -> None:
        own_servers = read_servers(servers) if servers else {}
        self.catalogue = Catalogue(manifests_folder(), where=one_line(str(servers or "")), servers=own_servers)
        if servers:
            self.catalogue.note(servers)
        name = largest_scale(self.catalogue, this_machine()) if scale == "auto" else scale
        own: dict[str, Any] = {"prompts": "kit", "cast": {}, "benchmarks": {}, "limits": Limits(), "scenarios": {}}
        self.given = GivenArtifacts()
        self.planner = FilesPlanner(
            self.catalogue, self.catalogue.scale(name).model_copy(update=own), name, locks(), self.given
        )
        self.done: set[str] = set()
        """Keys of the plan's jobs that have run already."""

    @property
    def plan(self) -> Plan:
        """Return the plan with all jobs that were added so far."""
        return self.planner.plan

    @property
    def scale(self) -> Scale:
        """Return the scale, without its cast, its limits and its benchmarks."""
        return self.planner.scale

    # files and models of the user's

    def file(self, path: Path, format: str, stored_as: str = "", rows: int | None = None) -> str:
        """Plan the job that copies a file into the store, and return its key.

        Args:
            path: the file.
            format: name of the file's format.
            stored_as: name of the copy; the file's own name by default.
            rows: number of rows in the file, if it is known.

        Raises:
            RequestError: the file can't be read, or its name is not allowed in the store.
        """
        name = one_line(str(path))
        try:
            resolved = path.resolve()
        except (OSError, RuntimeError) as error:
            raise RequestError(f"{name}: its links lead in a circle; name the file itself") from error
        for checked in (path, resolved):
            check_file_name(checked)
        params, source = data_source(Dataset(format=format, file=str(resolved), licence="the user's own"), None)
        if "name" in params:  # of several files each has its own
            params["name"] = stored_as or path.name
        return self.planner.job("fetch", path.name, params, {}, resources={"source": source}, rows=rows or 0)

    def seeds(self, path: Path, rows: int | None, count: int | None, *, format: str = "alpaca", name: str = "") -> str:
        """Plan a file as a seed set, and return the seed set's name for a setting.

        Args:
            path: the file.
            rows: number of rows to use, counted from the first; all by default.
            count: number of these rows, if it is known.
            format: name of the file's format.
            name: name of the seed set; the file's name without its ending by default.
        """
        self.given.data[str(path)] = self.file(path, format)
        self.catalogue.files[str(path)] = Dataset(
            format=format, file=str(path), licence="the user's own", rows=count or None
        )
        rows_of, name = SeedRows.model_construct(dataset=str(path), rows=rows), name or path.stem
        self.planner.scale = self.scale.model_copy(update={"seeds": {**self.scale.seeds, name: rows_of}})
        return name

    def problems(self, benchmark: str, data: Path | None, count: int | None = None, **fields: Any) -> str:
        """Plan the file of a benchmark's problems, and return its key.

        Args:
            benchmark: name of the benchmark.
            data: the user's own file; the pinned file by default.
            count: number of problems in the user's file, if it is known.
            fields: dataset, prompts, protocol and limits, see :class:`~kit.catalogue.scales.BenchmarkRows`.
        """
        pinned = fields.pop("dataset", "") or registry.load("benchmarks", benchmark).DATASET
        dataset = str(data) if data else pinned
        if data:
            self.given.data[dataset] = self.file(data, benchmark)
            self.catalogue.files[dataset] = Dataset(
                format=benchmark, file=str(data), licence="the user's own", rows=count or None
            )
        with_defaults = {"rows": None, "protocol": "default", "prompts": "kit", "max_tokens": 0, **fields}
        problems = BenchmarkRows.model_construct(dataset=dataset, **with_defaults)
        self.planner.scale = self.scale.model_copy(update={"benchmarks": {benchmark: problems}})
        return self.planner.data(dataset)

    def model(self, name: str, *, chat: bool = False) -> str:
        """Plan a model, and return the key of its folder; in this plan the model plays itself.

        Args:
            name: a name of ``models.toml``, or the path of a folder.
            chat: whether the model needs a chat template.

        Raises:
            RequestError: there is no such model or folder, a file is missing in it, or its weights do not match its
                config.json.
        """
        if name in self.catalogue.models:
            self.given.models.pop(name, None)  # else a model that has been a base would not be checked for a template
            key = self.planner.model(name, chat=chat)
        else:
            key = self._folder(name, chat=chat)
        self.given.models[name] = key
        return key

    def _folder(self, name: str, *, chat: bool) -> str:
        """Plan the job that copies a model folder into the store, after a check of its files."""
        folder = Path(name)
        if not os.path.isdir(name):  # noqa: PTH112  # a Path's raises on a name that is too long
            if os.sep in name:
                raise RequestError(
                    f"{shown(name)}: no such folder; wanted a model's, or a name of manifests/models.toml"
                )
            look_up(self.catalogue.models, name, f"{shown(name)} is no folder", "model")
        from kit.models import check_model_folder

        check_model_folder(folder, chat)
        params, source = folder_source(folder, engine=self.scale.engine.name if chat else "transformers")
        return self.planner.job("fetch", folder.resolve().name, params, {}, resources={"source": source})

    # the stages, in the order of the pipeline

    def evolve(
        self,
        seeds: Path,
        setting: Mapping[str, Any],
        rounds: int,
        *,
        rows: int | None = None,
        count: int | None = None,
        format: str = "alpaca",
    ) -> list[str]:
        """Plan some rounds of evolution of a seed file; return a key for each step of each round, in order.

        Args:
            seeds: the file.
            setting: scenario, evolver, breadth, seed, and the evolver's sampling.
            rounds: number of rounds.
            rows: number of rows to use, counted from the first; all by default.
            count: number of these rows, if it is known.
            format: name of the file's format.
        """
        (keys,) = self.evolve_together(
            seeds, setting, [setting["evolver"]], rounds, rows=rows, count=count, format=format
        )
        return keys

    def evolve_together(
        self,
        seeds: Path,
        setting: Mapping[str, Any],
        evolvers: Sequence[str],
        rounds: int,
        *,
        rows: int | None = None,
        count: int | None = None,
        format: str = "alpaca",
    ) -> list[list[str]]:
        """Plan evolution by several evolvers; return for each a key for each step of each round. See :meth:`evolve`."""
        for evolver in evolvers:
            self.model(evolver, chat=True)
        taken = data_of(setting["scenario"])
        seed_set = self.seeds(seeds, rows, count, format=format, name=seeds.name if seeds.stem in taken else "")
        point = point_of_options(**{**setting, "seeds": seed_set, "evolver": evolvers[0]}).with_round(rounds)
        points = replace(point, evolvers=tuple(evolvers)).along("evolver") if len(evolvers) > 1 else [point]
        return [self.steps_to(self.planner.need("evolve", one)) for one in points]

    def steps_to(self, key: str) -> list[str]:
        """Return the keys of an evolver's own steps, of all rounds, that lead to one of its steps, in order."""
        keys = list[str]()
        while key in self.plan.jobs and self.plan.jobs[key].stage == "evolve":
            keys.append(key)
            job = self.plan.jobs[key]
            key = job.inputs.get(f"side-{job.params.get('side', 0)}", job.inputs.get("instructions", ""))
        return keys[::-1]

    def respond(
        self,
        instructions: Path,
        setting: Mapping[str, Any],
        *,
        rows: int | None = None,
        count: int | None = None,
        format: str = "alpaca",
    ) -> str:
        """Plan the responses to a file's instructions, and return their key; arguments as in :meth:`evolve`."""
        self.model(setting["responder"], chat=True)
        seeds = self.seeds(instructions, rows, count, format=format)
        return self.planner.need("respond", point_of_options(seeds=seeds, **setting))

    def sft(
        self,
        pairs: Path,
        setting: Mapping[str, Any],
        template: Path | None = None,
        end_of_turn: str = "",
        *,
        count: int | None = None,
        format: str = "alpaca",
    ) -> str:
        """Plan the tuning of a base model on a file's pairs, and return its key.

        Args:
            pairs: the file.
            setting: base, seed, sft.
            template: file with a chat template in Jinja; the scale's chat format by default.
            end_of_turn: token that ends a turn in the template; the base's end-of-text token by default.
            count: number of pairs, if it is known.
            format: format of the file.
        """
        if chat := chat_format(template, end_of_turn):
            own = ChatFormat.model_construct(template=chat["chat_template"], end_of_turn=chat["end_of_turn"])
            self.planner.scale = self.scale.model_copy(update={"chat": own})
        ending = pairs.suffix if format == "alpaca" else "".join(pairs.suffixes[-2:])
        self.given.stages["respond"] = self.file(pairs, format, f"{format}{ending}", rows=count)
        self.model(setting["base"])
        return self.planner.need("sft", point_of_options(seeds=pairs.stem, round=1, **setting))

    def answer(self, benchmark: str, model: str, base: str, seed: int) -> str:
        """Plan a model's answers to a benchmark's :meth:`problems`; model and base as in :meth:`use_as_tuned`."""
        point = point_of_options(seed=seed, **self.use_as_tuned(model, base)).with_benchmark(benchmark)
        return self.planner.need("answer", point)

    def grade(self, benchmark: str, completions: Path, count: int | None = None) -> str:
        """Plan the grades of a completions file, which has a line for each of the :meth:`problems` in their order."""
        self.given.stages["answer"] = self.file(completions, "completions", COMPLETIONS, rows=count)
        return self.planner.need("grade", point_of_options().with_benchmark(benchmark))

    def judge(self, name: str, by: str = "text") -> None:
        """Plan a judge of the :meth:`problems`: a model that a server answers for, or one as :meth:`model` takes it.

        Args:
            name: of a server or a model, or the path of a folder.
            by: ``text`` or ``labels``.

        Raises:
            RequestError: there is no such model or folder, it has no chat template, or a server is to score labels.
        """
        if name in self.catalogue.served:
            if by == "labels":
                raise RequestError(
                    f"--judge-by labels: {name} is asked at a server, which gives no likelihoods of labels; wanted text"
                )
            self.planner.scale = self.scale.model_copy(update={"cast": {name: name}})
            return
        if "://" in name:
            raise RequestError(
                "--judge: found an address, wanted a name: write [served.NAME] with base_url into a file, and give "
                "--servers FILE --judge NAME (docs/judging.md)"
            )
        if name not in self.catalogue.models and not os.path.isdir(name):  # noqa: PTH112  # as in _folder
            look_up({**self.catalogue.models, **self.catalogue.served}, name, "--judge", "model or folder")
        self.model(name, chat=True)

    def verdicts(self, path: Path, count: int) -> None:
        """Plan a file of verdicts in the place of a judge's.

        Args:
            path: the file, as the stage ``judge`` writes it.
            count: number of its verdicts.
        """
        self.given.stages["judge"] = self.file(path, "verdicts", VERDICTS, rows=count)

    # bases and adapters

    def use_as_tuned(self, model: str, base: str) -> dict[str, Any]:
        """Plan a model, or an adapter and its base, in the place of the tuned model; return the setting's fields.

        Args:
            model: a name of ``models.toml``, or the path of a folder of a model or an adapter.
            base: name or path of an adapter's base; empty for the base that the adapter names.

        Raises:
            RequestError: it is neither model nor adapter, or a base is given for a model that is no adapter.
        """
        adapter = Path(model)
        if model in self.catalogue.models or not os.path.isdir(model) or not is_adapter(adapter):  # noqa: PTH112
            if base:
                raise RequestError(f"--base {one_line(base)}: --model {one_line(model)} is no adapter's folder")
            self.given.stages["sft"] = self.model(model, chat=True)
            return {"base": model}
        rank = adapter_rank(adapter)
        adapter_room(rank, one_line(model))
        base = base or self.base_of(adapter)
        own_words = brings_tokenizer(adapter)
        if own_words:
            check_chat_template(adapter)
        self.model(base, chat=not own_words)
        params, source = adapter_source(adapter, None if base in self.catalogue.models else Path(base))
        name = adapter.resolve().name
        self.given.stages["sft"] = self.planner.job("fetch", name, params, {}, resources={"source": source})
        sft = UNUSED_SFT.model_copy(update={"tuning": "lora", "lora": Lora(rank=rank, alpha=rank)})
        return {"base": base, "sft": sft}

    def base_of(self, adapter: Path) -> str:
        """Return the base that an adapter's folder names: a name or path for :meth:`model`.

        Raises:
            RequestError: the adapter names no base, or a base that is no folder and is not in ``models.toml``.
        """
        base = adapter_settings(adapter).get("base_model_name_or_path")
        if isinstance(base, str) and base:
            repos = {model.hub.repo: name for name, model in self.catalogue.models.items() if model.hub}
            if (known := repos.get(base, base)) in self.catalogue.models:
                return known
            for folder in (base, os.path.join(adapter.resolve().parent, base)):  # noqa: PTH118  # as in model
                if os.path.isdir(folder):  # noqa: PTH112
                    return folder
        raise RequestError(
            f"{adapter}: an adapter, and its base {shown(base)} (adapter_config.json) is no folder here and no model "
            "of manifests/models.toml; name the base with --base"
        )

    def base_name(self, base: str) -> str:
        """Return the name of a base for adapter_config.json, by which PEFT finds it.

        It is the model's repository on the hub, or the path of its folder, or else its name in ``models.toml``.
        """
        if base not in self.catalogue.models:
            return str(Path(base).resolve())
        hub = self.catalogue.models[base].hub
        return hub.repo if hub else base

    def check_end_of_turn(self, base: str, key: str) -> None:
        """Check the end-of-turn token of a tuning job before anything runs, if its base is a folder on this machine.

        Raises:
            RequestError: the base's tokenizer has no such token, or the base has no embedding for it.
        """
        if base in self.catalogue.models:
            return
        from kit.training.examples import chat_tokenizer

        params = self.plan.jobs[key].params
        chat_tokenizer(Path(base), params["chat_template"], params["end_of_turn"])


class FilesPlanner(Planner):
    """Plans jobs on files: ids of jobs name the file or the benchmark, and a model where several evolve one file."""

    def seeds(self, name: str) -> Origin:
        """Return the rows that stand in the place of every seed set, if there are some, or the set of this name."""
        if key := self.given.stages.get("seeds"):
            return Origin(key=key, params={}, rows=self.expected_rows(key))
        return super().seeds(name)

    def job_name(self, point: Point, *fields: str) -> str:
        """Return the name of the benchmark, or of the seed set where it is scored; for evolution with the round."""
        if measuring_stage(point.benchmark) == "score":
            return point.setting.seeds
        parts = [point.benchmark or point.setting.seeds]
        if point.evolvers and "evolver" in fields and point.setting.round:
            parts.append(Path(point.setting.evolver).name)
        if point.setting.round and "base" not in fields:  # a file that is trained on has gone through no round
            parts.append(f"round-{point.setting.round}")
        return "/".join(parts)
