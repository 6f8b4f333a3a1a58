"""Parameters, cost and tools of the jobs in which an evolver writes, for the stages that have such jobs."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from kit.catalogue.points import Point
from kit.engines import TOO_LONG, Engine, EngineSettings, Request, Sampling
from kit.errors import KitError
from kit.files.texts import broken
from kit.prompts import Pack
from kit.records import Completion
from kit.sandbox import Sandbox
from kit.scenarios import Step
from kit.stages import Context, Planning, given_sampling
from kit.stages._options import evolve_limit, evolve_sampling


def generation(point: Point, planner: Planning, step: Step) -> tuple[dict[str, Any], dict[str, str], dict[str, int]]:
    """Return the parameters, inputs and plug-ins of a step in which the evolver generates text."""
    evolver, sampling = planner.player(point.setting.evolver), given_sampling(point.setting.evolve)
    max_tokens = planner.capped("evolve.max_tokens", sampling.max_tokens, evolve_limit(point, planner))
    model = planner.model(evolver, chat=True)
    prompt_params, prompt_inputs = planner.prompts(planner.scale.prompts, step.prompts)
    params = {
        "breadth": point.setting.breadth,
        "sampling": {**evolve_sampling(point, planner), "max_tokens": max_tokens},
        **prompt_params,
        **planner.engine_params(evolver),
    }
    return params, {"model": model, **prompt_inputs}, planner.engine_version()


def cost(point: Point, planner: Planning, texts: int, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the estimated cost of a step, by the number of its texts; empty if no model writes in it."""
    if "sampling" not in params:
        return {}
    return planner.generation_cost(planner.player(point.setting.evolver), texts, params["sampling"]["max_tokens"])


class StepTools:
    """Tools of one step, see :class:`kit.scenarios.Tools`; each kind of worker has some of them."""

    def __init__(
        self, name: str, step: Step, params: Mapping[str, Any], inputs: Mapping[str, Path], context: Context
    ) -> None:
        self._name, self._step, self._params, self._inputs, self.context = name, step, params, inputs, context
        self._engine = (
            context.engine(inputs["model"], EngineSettings(**params["engine"])) if "engine" in params else None
        )
        self._counts = Counter[str]()
        """Counts of all texts that the evolver wrote."""

    @cached_property
    def pack(self) -> Pack:
        """Return the prompt templates that the step names; raises KitError if the job has none."""
        if "prompts" not in self._params:
            raise KitError(self._missing("prompt"))
        return self.context.pack(self._params["prompts"], self._step.prompts, self._inputs.get("prompts"))

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Return the evolver's completions with the job's sampling, one for each request, in their order."""
        if self._engine is None:
            raise KitError(self._missing("model"))
        completions = self.complete(requests, self._engine, Sampling(**self._params["sampling"]))
        for text in completions:
            self._counts["tokens"] += text.tokens
            self._counts["cut_at_limit"] += text.finish_reason == "length"
            self._counts["too_long"] += text.finish_reason == TOO_LONG
            self._counts["broken_characters"] += broken(text.text)
        return completions

    def complete(self, requests: Sequence[Request], engine: Engine, sampling: Sampling) -> list[Completion]:
        """Return an engine's completions; a stage that keeps more of them than their texts has tools of its own."""
        return self.context.generate(requests, engine, sampling)

    def sandbox(self) -> Sandbox:
        """Return the sandbox, which only a worker of the kind ``sandbox`` has."""
        return self.context.sandbox()

    def progress(self, done: int, total: int) -> None:
        """Report how far the step is."""
        self.context.progress(done, total)

    def facts(self) -> dict[str, Any]:
        """Return counts of the texts that the evolver wrote in this step; empty for a step without an evolver."""
        if self._engine is None:
            return {}
        names = ("tokens", "cut_at_limit", "too_long", "broken_characters")
        return {name: self._counts[name] for name in names} | {"engine": self._engine.fingerprint}

    def _missing(self, what: str) -> str:
        """Return the error message for a step that uses a tool which its kind of worker does not have."""
        return f"step {self._name}: a worker of the kind {self._step.worker!r} has no {what}; wanted one that has"
