"""The stages on a user's own files: the same jobs as a manifest's, with what a manifest would say as arguments."""

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kit import registry
from kit.catalogue import Catalogue, look_up, manifests_folder
from kit.catalogue.manifest import Dataset, Scale
from kit.engines import Sampling, adapter_room
from kit.errors import RequestError, one_line, shown
from kit.files.texts import HALF
from kit.models.adapters import adapter_rank, adapter_settings, is_adapter
from kit.models.folder import check_chat_template, has_tokenizer
from kit.plan import Plan
from kit.plan.planner import Planner
from kit.plan.planning import largest_scale, locks, this_machine
from kit.plan.sources import adapter_source, folder_source
from kit.reading.textfiles import decode, read_bytes
from kit.reading.values import LARGEST_SEED, MOST_BATCH, MOST_EPOCHS, MOST_RANK, MOST_ROUNDS, MOST_TOKENS
from kit.records import BYTE_ORDER_MARK

MAX_TEMPLATE_BYTES = 2**20
"""The longest chat templates have some 20 KB."""
COMPLETIONS = "completions.jsonl"
"""The file that ``answer`` writes and ``grade`` reads."""
BENCHMARK_NAMES = {"math": "hendrycks_math"}
"""Other names that a benchmark goes by."""


class Workbench:
    """Jobs on files; the scale gives the hardware's settings and the chat format, and nothing else."""

    def __init__(self, scale: str = "auto") -> None:
        self.catalogue = Catalogue(manifests_folder())
        name = largest_scale(self.catalogue, this_machine()) if scale == "auto" else scale
        self.scale: Scale = self.catalogue.scale(name)
        self.planner = Planner(self.catalogue, self.scale, name, locks())
        self.done: set[str] = set()
        """Keys of the plan's jobs that a command has run already."""

    @property
    def plan(self) -> Plan:
        """The jobs so far."""
        return self.planner.plan

    def file(self, path: Path, format: str, stored_as: str = "") -> str:
        """The job that takes a file into the store, under its own name or another."""
        from kit.plan.sources import check_file_name, data_source

        name = one_line(str(path))
        try:
            whole = path.resolve()
        except (OSError, RuntimeError) as error:
            raise RequestError(f"{name}: its links lead in a circle; name the file itself") from error
        for named in (path, whole):
            check_file_name(named)
        params, source = data_source(Dataset(format=format, file=str(whole), licence="the user's own"), None)
        params["name"] = stored_as or path.name
        return self.planner.add("fetch", f"fetch/{path.name}", params, {}, resources={"source": source})

    def model(self, name: str, *, chat: bool = False) -> str:
        """The job that gives a model: a name of ``models.toml``, or a folder.

        Raises:
            RequestError: neither; or a folder without what is needed, or whose weights are not what it describes.
        """
        if name in self.catalogue.models:
            return self.planner.model(name, chat=chat)
        folder = Path(name)
        if not os.path.isdir(name):  # noqa: PTH112  # a Path's raises on a name that is too long
            look_up(self.catalogue.models, name, f"{shown(name)} is no folder", "model")
        from kit.models import check_model_folder

        check_model_folder(folder, chat)
        params, source = folder_source(folder, engine=self.scale.engine.name if chat else "transformers")
        job_id = f"fetch/{folder.resolve().name}"
        return self.planner.add("fetch", job_id, params, {}, resources={"source": source})

    def evolve(self, seeds: Path, scenario: str, evolver: str, rounds: int, options: dict[str, Any]) -> list[str]:
        """One job a round."""
        module = registry.load("scenarios", scenario)
        keys: list[str] = []
        model = self.model(evolver, chat=True)  # once: a folder's files are hashed for it
        for round in range(1, rounds + 1):
            params = {
                "scenario": scenario,
                "round": round,
                "breadth": options["breadth"],
                **self.text_params(options, evolver, module.PROMPTS),
            }
            inputs = {"model": model, **self.planner.wording_inputs(options["prompts"])}
            if round == 1:
                params |= {"seeds": seeds.stem, "format": "alpaca", "rows": options["rows"]}
                inputs["seeds"] = self.file(seeds, "alpaca")
            else:
                inputs["instructions"] = keys[-1]
            plugins = {scenario: module.VERSION, **self.planner.engine_version()}
            keys.append(
                self.planner.add("evolve", f"evolve/{seeds.stem}/round-{round}", params, inputs, plugins=plugins)
            )
        return keys

    def respond(self, instructions: Path, responder: str, options: dict[str, Any]) -> str:
        """Instructions of a file -> pairs."""
        params = {"seeds": instructions.stem, "format": "alpaca", "rows": options["rows"]}
        params |= self.text_params(options, responder, registry.load("stages", "respond").PROMPTS)
        inputs = {"model": self.model(responder, chat=True), "seeds": self.file(instructions, "alpaca")}
        inputs |= self.planner.wording_inputs(options["prompts"])
        return self.planner.add(
            "respond", f"respond/{instructions.stem}", params, inputs, plugins=self.planner.engine_version()
        )

    def sft(
        self, pairs: Path, base: str, options: dict[str, Any], template: Path | None = None, end_of_turn: str = ""
    ) -> str:
        """Pairs of a file + base -> tuned model, in the scale's chat format or one's own."""
        params = {**options, **self.planner.training(), **chat_format(template, end_of_turn)}
        inputs = {"pairs": self.file(pairs, "alpaca", f"alpaca{pairs.suffix}"), "base": self.model(base)}
        return self.planner.add("sft", f"sft/{pairs.stem}", params, inputs)

    def check_end_of_turn(self, base: str, key: str) -> None:
        """Check a tuning job's end-of-turn token before anything is run, where its base is a folder on this machine.

        Raises:
            RequestError: it is no token of the base's, or one that the base has no embedding for.
        """
        if base in self.catalogue.models:
            return
        from kit.training.examples import chat_tokenizer

        params = self.plan.jobs[key].params
        chat_tokenizer(Path(base), params["chat_template"], params["end_of_turn"])

    def base_name(self, base: str) -> str:
        """What adapter_config.json calls a base, so that PEFT finds it: a repository, or else a folder or our name."""
        if base not in self.catalogue.models:
            return str(Path(base).resolve())
        hub = self.catalogue.models[base].hub
        return hub.repo if hub else base

    def base_of(self, adapter: Path) -> str:
        """Return the base that an adapter's folder names, as :meth:`model` takes it.

        Raises:
            RequestError: it names none, or one that is neither here nor in ``models.toml``.
        """
        named = adapter_settings(adapter).get("base_model_name_or_path")
        if isinstance(named, str) and named:
            repos = {model.hub.repo: name for name, model in self.catalogue.models.items() if model.hub}
            if (known := repos.get(named, named)) in self.catalogue.models:
                return known
            for folder in (named, os.path.join(adapter.resolve().parent, named)):  # noqa: PTH118  # as in model
                if os.path.isdir(folder):  # noqa: PTH112
                    return folder
        raise RequestError(
            f"{adapter}: an adapter, and its base {shown(named)} (adapter_config.json) is no folder here and no model "
            "of manifests/models.toml; name the base with --base"
        )

    def answering(self, model: str, base: str) -> tuple[dict[str, str], int | None]:
        """Return the inputs that answer, and an adapter's rank: a whole model, or a base and its adapter.

        Raises:
            RequestError: it is neither; or a base is named for a model that is whole.
        """
        adapter = Path(model)
        if model in self.catalogue.models or not os.path.isdir(model) or not is_adapter(adapter):  # noqa: PTH112
            if base:
                raise RequestError(f"--base {one_line(base)}: --model {one_line(model)} is no adapter's folder")
            return {"model": self.model(model, chat=True)}, None
        rank = adapter_room(adapter_rank(adapter), one_line(model))
        base = base or self.base_of(adapter)
        own_words = has_tokenizer(adapter)
        if own_words:
            check_chat_template(adapter)
        inputs = {"model": self.model(base, chat=not own_words)}
        known = base in self.catalogue.models
        params, source = adapter_source(adapter, None if known else Path(base))
        job_id = f"fetch/{adapter.resolve().name}"
        resources = {"source": source}
        inputs["adapter"] = self.planner.add("fetch", job_id, params, {}, resources=resources)
        return inputs, rank

    def answer(self, benchmark: str, model: str, data: Path | None, options: dict[str, Any], base: str = "") -> str:
        """Model, or base and adapter, + problems -> completions."""
        module = registry.load("benchmarks", benchmark)
        found, rank = self.answering(model, base)
        params = {"benchmark": benchmark, **self.text_params(options, model, module.PROMPTS, rank)}
        inputs = {**found, "data": self.data(benchmark, data)}
        plugins = {benchmark: module.ASKS, **self.planner.engine_version()}
        return self.planner.add(
            "answer", f"answer/{benchmark}", params | {"rows": options["rows"]}, inputs, plugins=plugins
        )

    def grade(self, benchmark: str, completions: Path, data: Path | None, protocol: str, rows: int | None) -> str:
        """Completions as the kit writes them, one a problem in order -> grades and results."""
        module = registry.load("benchmarks", benchmark)
        params = {"benchmark": benchmark, "protocol": protocol, "rows": rows}
        inputs = {
            "completions": self.file(completions, "completions", COMPLETIONS),
            "data": self.data(benchmark, data),
        }
        return self.planner.add("grade", f"grade/{benchmark}", params, inputs, plugins={benchmark: module.VERSION})

    def data(self, benchmark: str, path: Path | None) -> str:
        """A benchmark's file: the user's, or the pinned one."""
        if path is not None:
            return self.file(path, benchmark)
        return self.planner.data(registry.load("benchmarks", benchmark).DATASET)

    def text_params(
        self, options: dict[str, Any], model: str, templates: Sequence[str], lora_rank: int | None = None
    ) -> dict[str, Any]:
        """Seed, sampling, wording and engine of a job in which a model writes text."""
        sampling = Sampling(
            temperature=options["temperature"], top_p=options["top_p"], max_tokens=options["max_tokens"]
        )
        return {
            "seed": options["seed"],
            "sampling": asdict(sampling),
            **self.planner.wording(options["prompts"], templates),
            **self.planner.engine(model, lora_rank),
        }


def chat_format(template: Path | None, end_of_turn: str) -> dict[str, str | None]:
    """A chat format of the user's own; nothing if none is given.

    Raises:
        RequestError: the file can't be read, or an end of turn is given without a template.
    """
    if template is None:
        if end_of_turn:
            raise RequestError(
                "--end-of-turn goes with --chat-template: it is the token that this template ends turns with"
            )
        return {}
    if HALF.search(end_of_turn):
        raise RequestError(f"--end-of-turn {end_of_turn!a}: not UTF-8; wanted a token of the base's")
    name = one_line(str(template))
    try:
        data = read_bytes(template, max_bytes=MAX_TEMPLATE_BYTES)
        text = decode(data, name).lstrip(BYTE_ORDER_MARK)
    except RequestError as error:
        raise RequestError(f"--chat-template {error}; wanted a text file in Jinja") from error
    if not text.strip():
        raise RequestError(f"--chat-template {name}: empty; wanted a Jinja template")
    if "\0" in text:
        raise RequestError(f"--chat-template {name}: a zero byte in it; wanted a Jinja template")
    return {"chat_template": text, "end_of_turn": end_of_turn or None}


def benchmark_name(name: str) -> str:
    """The benchmark's module name.

    Raises:
        RequestError: there is none; did you mean ...
    """
    full = BENCHMARK_NAMES.get(name, name)
    registry.load("benchmarks", full)
    return full


def check_sampling(temperature: float, top_p: float, max_tokens: int, rounds: int = 1) -> None:
    """Options that can't be.

    Raises:
        RequestError: one is out of its range.
    """
    if not 0 <= temperature <= 2:
        raise RequestError(f"--temperature {temperature}: wanted 0 (greedy) to 2")
    if not 0 < top_p <= 1:
        raise RequestError(f"--top-p {top_p}: wanted above 0, up to 1")
    check_count("--max-tokens", max_tokens, MOST_TOKENS)
    check_count("--rounds", rounds, MOST_ROUNDS)


def check_tuning(
    learning_rate: float, warmup_ratio: float, lora_rank: int, *, epochs: int, global_batch_size: int, max_length: int
) -> None:
    """Options that can't be.

    Raises:
        RequestError: one is out of its range.
    """
    if not 0 < learning_rate <= 1:
        raise RequestError(f"--learning-rate {learning_rate}: wanted above 0, up to 1")
    check_count("--epochs", epochs, MOST_EPOCHS)
    check_count("--global-batch-size", global_batch_size, MOST_BATCH)
    check_count("--max-length", max_length, MOST_TOKENS)
    if not 0 <= warmup_ratio < 1:
        raise RequestError(f"--warmup-ratio {warmup_ratio}: wanted 0, or more and below 1")
    if not 0 <= lora_rank <= MOST_RANK:
        raise RequestError(f"--lora-rank {shown(lora_rank)}: wanted 0 (tunes every weight) to {MOST_RANK:,}")


def check_count(name: str, value: int, most: int) -> None:
    """Refuse a number that is no count, or that is beyond any use.

    Raises:
        RequestError: it is one.
    """
    if not 1 <= value <= most:
        raise RequestError(f"{name} {shown(value)}: wanted 1 to {most:,}")


def check_seed(seed: int) -> None:
    """Refuse a seed that the trainer's random numbers can't start from.

    Raises:
        RequestError: it is one.
    """
    if not 0 <= seed <= LARGEST_SEED:
        raise RequestError(f"--seed {shown(seed)}: wanted 0 to {LARGEST_SEED:,}, which is what numpy takes")
