"""Options of a scenario's step: an experiment's, a scale's in their place, and the step's defaults for the others."""

from typing import Any

from kit.catalogue.options import ScaleOptions, ScenarioOptions
from kit.catalogue.points import Point
from kit.errors import RequestError, did_you_mean
from kit.scenarios import Step, options_of
from kit.stages import Planning, given_sampling


def step_options(point: Point, planner: Planning, step: Step) -> dict[str, Any]:
    """Return the value of each option that a step takes.

    Raises:
        RequestError: the experiment or the scale sets an option that no step of the scenario takes, or the scale has
            options for a scenario that is not there.
    """
    setting = point.setting
    for name in planner.scale.scenarios:
        options_of(name)  # which finds that there is none of this name
    given = setting.options.given() if setting.options else {}
    at_scale = scale_options(point, planner).given()
    at_scale = {name: value for name, value in at_scale.items() if name in ScenarioOptions.model_fields}
    known = options_of(setting.scenario)
    for where, names in ((point.name, given), (f"scenarios.{setting.scenario} of the scale", at_scale)):
        if unknown := [name for name in names if name not in known]:
            takes = f"{did_you_mean(unknown[0], known)}" if known else "; it takes none"
            raise RequestError(f"{where}: options: {setting.scenario} takes no option {unknown[0]!r}{takes}")
    return {name: (given | at_scale).get(name, default) for name, default in step.options.items()}


def evolve_limit(point: Point, planner: Planning) -> int | None:
    """Return the upper limit on the length of an evolver's text: the scale's for the scenario, or its general one."""
    own = scale_options(point, planner).evolve_max_tokens
    return planner.scale.limits.evolve_max_tokens if own is None else own


def evolve_sampling(point: Point, planner: Planning) -> dict[str, Any]:
    """Return the evolver's sampling as parameters of a job, but for its greatest length."""
    own, sampling = scale_options(point, planner).evolve_temperature, given_sampling(point.setting.evolve).model_dump()
    return sampling if own is None else sampling | {"temperature": own}


def scale_options(point: Point, planner: Planning) -> ScaleOptions:
    """Return the options that the scale sets for the point's scenario."""
    return planner.scale.scenarios.get(point.setting.scenario, ScaleOptions())
