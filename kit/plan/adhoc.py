"""The stages on a user's own files: the same jobs as a manifest's, with what a manifest would say as arguments."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kit import registry
from kit.catalogue import Catalogue, look_up, manifests_folder
from kit.catalogue.manifest import (
    BenchmarkRows,
    ChatFormat,
    Dataset,
    Limits,
    Lora,
    Scale,
    SeedRows,
    Setting,
    Sft,
)
from kit.catalogue.points import Point
from kit.engines import adapter_room
from kit.errors import RequestError, one_line, shown
from kit.files.texts import HALF
from kit.models.adapters import adapter_rank, adapter_settings, is_adapter
from kit.models.folder import check_chat_template, has_tokenizer
from kit.plan import Plan
from kit.plan.planner import Given, Planner
from kit.plan.planning import largest_scale, locks, this_machine
from kit.plan.sources import adapter_source, check_file_name, data_source, folder_source
from kit.reading.jsonlines import BYTE_ORDER_MARK
from kit.reading.textfiles import decode, read_bytes
from kit.reading.values import LARGEST_SEED, MOST_BATCH, MOST_EPOCHS, MOST_RANK, MOST_ROUNDS, MOST_TOKENS

MAX_TEMPLATE_BYTES = 2**20
"""The longest chat templates have some 20 KB."""
COMPLETIONS = "completions.jsonl"
"""The file that ``answer`` writes and ``grade`` reads."""
BENCHMARK_NAMES = {"math": "hendrycks_math"}
"""Other names that a benchmark goes by."""


class Workbench:
    """Plans jobs on files, at a point that options decide; of the scale it takes hardware, engine and chat format."""

    def __init__(self, scale: str = "auto") -> None:
        self.catalogue = Catalogue(manifests_folder())
        name = largest_scale(self.catalogue, this_machine()) if scale == "auto" else scale
        own: dict[str, Any] = {"prompts": "kit", "cast": {}, "benchmarks": {}, "limits": Limits()}
        self.given = Given()
        self.planner = FilesPlanner(
            self.catalogue, self.catalogue.scale(name).model_copy(update=own), name, locks(), self.given
        )
        self.done: set[str] = set()
        """Keys of the plan's jobs that a command has run already."""

    @property
    def plan(self) -> Plan:
        """Return the jobs so far."""
        return self.planner.plan

    @property
    def scale(self) -> Scale:
        """Return the scale, without its cast, its limits and its benchmarks' rows."""
        return self.planner.scale

    def file(self, path: Path, format: str, stored_as: str = "", rows: int | None = None) -> str:
        """Plan the job that takes a file into the store, and return its key.

        Args:
            path: the file.
            format: how it is read.
            stored_as: its name there, where that is another.
            rows: how many there are in it, where somebody has counted.

        Raises:
            RequestError: it can't be read, or its name can't be a file's in the store.
        """
        name = one_line(str(path))
        try:
            whole = path.resolve()
        except (OSError, RuntimeError) as error:
            raise RequestError(f"{name}: its links lead in a circle; name the file itself") from error
        for named in (path, whole):
            check_file_name(named)
        params, source = data_source(Dataset(format=format, file=str(whole), licence="the user's own"), None)
        params["name"] = stored_as or path.name
        return self.planner.job("fetch", path.name, params, {}, resources={"source": source}, rows=rows or 0)

    def seeds(self, path: Path, rows: int | None, count: int | None) -> str:
        """Let a file be a seed set; return the name that it has in the setting."""
        self.given.data[str(path)] = self.file(path, "alpaca")
        self.catalogue.files[str(path)] = Dataset(
            format="alpaca", file=str(path), licence="the user's own", rows=count or None
        )
        rows_of = SeedRows.model_construct(dataset=str(path), rows=rows)
        self.planner.scale = self.scale.model_copy(update={"seeds": {**self.scale.seeds, path.stem: rows_of}})
        return path.stem

    def model(self, name: str, *, chat: bool = False) -> str:
        """Let a model play itself; return the key of its folder: a name of ``models.toml``, or a folder.

        Raises:
            RequestError: neither; or a folder without what is needed, or whose weights are not what it describes.
        """
        if name in self.catalogue.models:
            self.given.models.pop(name, None)  # else a model that has been a base would not be asked for a template
            key = self.planner.model(name, chat=chat)
        else:
            key = self._folder(name, chat=chat)
        self.given.models[name] = key
        return key

    def _folder(self, name: str, *, chat: bool) -> str:
        """Plan the job that takes a model folder into the store, after a check of its files."""
        folder = Path(name)
        if not os.path.isdir(name):  # noqa: PTH112  # a Path's raises on a name that is too long
            look_up(self.catalogue.models, name, f"{shown(name)} is no folder", "model")
        from kit.models import check_model_folder

        check_model_folder(folder, chat)
        params, source = folder_source(folder, engine=self.scale.engine.name if chat else "transformers")
        return self.planner.job("fetch", folder.resolve().name, params, {}, resources={"source": source})

    def evolve(
        self,
        seeds: Path,
        setting: Mapping[str, Any],
        rounds: int,
        *,
        rows: int | None = None,
        count: int | None = None,
    ) -> list[str]:
        """Plan some rounds of evolution of a seed file; return a key for each step of each round, in order.

        Args:
            seeds: the file.
            setting: scenario, evolver, breadth, seed, and how the evolver draws.
            rounds: how many.
            rows: the first so many of the file; all by default.
            count: how many these are.
        """
        self.model(setting["evolver"], chat=True)
        at = own_point(seeds=self.seeds(seeds, rows, count), **setting)
        self.planner.need("evolve", at.after_round(rounds))
        return [key for key, job in self.plan.jobs.items() if job.stage == "evolve"]

    def respond(
        self, instructions: Path, setting: Mapping[str, Any], *, rows: int | None = None, count: int | None = None
    ) -> str:
        """Plan the responses to a file's instructions; arguments as in :meth:`evolve`."""
        self.model(setting["responder"], chat=True)
        return self.planner.need("respond", own_point(seeds=self.seeds(instructions, rows, count), **setting))

    def sft(
        self,
        pairs: Path,
        setting: Mapping[str, Any],
        template: Path | None = None,
        end_of_turn: str = "",
        *,
        count: int | None = None,
    ) -> str:
        """Plan the tuning of a base on a file's pairs, in the scale's chat format or one's own.

        Args:
            pairs: the file.
            setting: base, seed, sft.
            template: a chat template in Jinja.
            end_of_turn: the token that it ends turns with; the base's own end of text by default.
            count: how many pairs there are.
        """
        if chat := chat_format(template, end_of_turn):
            own = ChatFormat.model_construct(template=chat["chat_template"], end_of_turn=chat["end_of_turn"])
            self.planner.scale = self.scale.model_copy(update={"chat": own})
        self.given.stages["respond"] = self.file(pairs, "alpaca", f"alpaca{pairs.suffix}", rows=count)
        self.model(setting["base"])
        return self.planner.need("sft", own_point(seeds=pairs.stem, round=1, **setting))

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

    def answering(self, model: str, base: str) -> dict[str, Any]:
        """Let a model, or an adapter and its base, stand in for the tuned model; return the fields of a setting.

        Raises:
            RequestError: it is neither; or a base is named for a model that is whole.
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
        own_words = has_tokenizer(adapter)
        if own_words:
            check_chat_template(adapter)
        self.model(base, chat=not own_words)
        params, source = adapter_source(adapter, None if base in self.catalogue.models else Path(base))
        name = adapter.resolve().name
        self.given.stages["sft"] = self.planner.job("fetch", name, params, {}, resources={"source": source})
        return {"base": base, "sft": TUNED.model_copy(update={"tuning": "lora", "lora": Lora(rank=rank, alpha=rank)})}

    def answer(self, benchmark: str, model: str, base: str, seed: int) -> str:
        """Plan the answers of a model, or of a base and its adapter, to a benchmark's :meth:`problems`."""
        at = own_point(seed=seed, **self.answering(model, base)).on(benchmark)
        return self.planner.need("answer", at)

    def grade(self, benchmark: str, completions: Path, count: int | None = None) -> str:
        """Plan the grades of completions as the kit writes them, one for each of the :meth:`problems` in order."""
        self.given.stages["answer"] = self.file(completions, "completions", COMPLETIONS, rows=count)
        return self.planner.need("grade", own_point().on(benchmark))

    def problems(self, benchmark: str, data: Path | None, count: int | None = None, **fields: Any) -> str:
        """Let a file be a benchmark's problems, or the pinned one where none is named; return its key.

        Args:
            benchmark: its name.
            data: the user's file.
            count: how many problems are in it.
            fields: how they are asked and graded, see :class:`~kit.catalogue.manifest.BenchmarkRows`.
        """
        dataset = str(data) if data else registry.load("benchmarks", benchmark).DATASET
        if data:
            self.given.data[dataset] = self.file(data, benchmark)
            self.catalogue.files[dataset] = Dataset(
                format=benchmark, file=str(data), licence="the user's own", rows=count or None
            )
        asked = {"rows": None, "protocol": "default", "prompts": "kit", "max_tokens": 0, **fields}
        problems = BenchmarkRows.model_construct(dataset=dataset, **asked)
        self.planner.scale = self.scale.model_copy(update={"benchmarks": {benchmark: problems}})
        return self.planner.data(dataset)


class FilesPlanner(Planner):
    """Plans jobs on files: their ids name the file or the benchmark, and no model, which may be a folder."""

    def name(self, at: Point, *fields: str) -> str:
        """Return the benchmark, or the seed set's name; of evolution the round as well."""
        parts = [at.benchmark or at.setting.seeds]
        if at.setting.round and "base" not in fields:  # what is tuned on a file has gone through no round
            parts.append(f"round-{at.setting.round}")
        return "/".join(parts)


TUNED = Sft(learning_rate=2e-5, epochs=3, global_batch_size=64, warmup_ratio=0.03, max_length_tokens=2048)
"""Training of a model that is tuned already: no job of such a point asks for more than whether it is an adapter."""
UNUSED: Mapping[str, Any] = {
    **dict.fromkeys(("scenario", "seeds", "evolver", "responder", "base"), ""),
    "round": 0,
    "breadth": False,
    "seed": 0,
    "evolve": None,
    "respond": None,
    "sft": TUNED,
}
"""Fields of a setting, for commands whose stages don't read them."""


def own_point(**fields: Any) -> Point:
    """Return the point that a command's options decide: fields that were checked, and :data:`UNUSED` for the others."""
    return Point(experiment=None, at={}, setting=Setting.model_construct(**{**UNUSED, **fields}))


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
