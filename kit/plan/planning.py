"""Makes a plan of what a user names: tables and a scale, or a manifest file."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kit import registry
from kit.catalogue import Catalogue, lock_hash, look_up, manifests_folder
from kit.catalogue.experiments import NO_SELECTION, RANDOM_SELECTION, Experiment
from kit.catalogue.manifest import UserManifest, View, ViewFields
from kit.catalogue.options import ScaleOptions, ScenarioOptions
from kit.catalogue.scales import Scale
from kit.catalogue.views import default_view, each_cell_has_one_experiment
from kit.errors import RequestError, did_you_mean, one_line, shown
from kit.metrics import selecting_numbers
from kit.plan import Plan
from kit.plan.planner import make_plan
from kit.plan.seed_sets import check_seed_sets
from kit.reading.documents import read
from kit.reading.places import LONGEST_NAME

LOCKS = ("cpu", "cuda", "grade")
"""Environments that have a lock under ``requirements/``."""
ALL = "all"
"""Word that stands for all tables that the kit can compute."""
MOST_CELLS = 5000
"""Most cells in the tables of one manifest; the paper's largest table has 96, and each of them takes GPU-hours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Hardware of a machine, by which the largest scale is chosen that fits it."""

    gpus: int
    gpu_memory_gib: int
    memory_gib: int


def this_machine() -> Machine:
    """Return the hardware of this machine, as ``nvidia-smi`` and the kernel report it."""
    import os
    import shutil
    import subprocess

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    if shutil.which("nvidia-smi") is None:
        return Machine(gpus=0, gpu_memory_gib=0, memory_gib=memory)
    query = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    found = subprocess.run(query, text=True, capture_output=True, check=False)
    sizes = [int(line) for line in found.stdout.split() if line.isdigit()] if found.returncode == 0 else []
    smallest = min(sizes, default=0) * 2**20 / 1e9  # cards are sold by the billion bytes: an "80 GB" one has 79.6 GiB
    return Machine(gpus=len(sizes), gpu_memory_gib=round(smallest), memory_gib=memory)


def largest_scale(catalogue: Catalogue, machine: Machine) -> str:
    """Return the name of the largest scale that fits a machine; without a GPU that is ``smoke``."""
    best, best_size = "smoke", (-1, -1)
    for name in catalogue.names("scales"):
        hardware = catalogue.scale(name).hardware
        size = (hardware.gpus, hardware.gpu_memory_gib)
        fits = hardware.gpus <= machine.gpus and hardware.gpu_memory_gib <= machine.gpu_memory_gib
        if fits and hardware.gpus > 0 and size > best_size:
            best, best_size = name, size
    return best


def check_machine(plan: Plan, machine: Machine) -> None:
    """Check that a machine has the GPUs that the plan's scale needs.

    Raises:
        RequestError: it has fewer GPUs, or smaller ones.
    """
    wanted = plan.hardware
    if wanted.gpus > machine.gpus or (wanted.gpus and wanted.gpu_memory_gib > machine.gpu_memory_gib):
        noun = "GPU" if wanted.gpus == 1 else "GPUs"
        found = f"{machine.gpus} of {machine.gpu_memory_gib} GB" if machine.gpus else "none that nvidia-smi names"
        raise RequestError(
            f"scale {plan.scale} wants {wanted.gpus} {noun} of {wanted.gpu_memory_gib} GB, this machine has {found}; "
            "take a smaller --scale (make: SCALE=), or run it where they are; --dry-run lists the jobs anywhere"
        )


def plan_tables(names: list[str], scale: str, repeats: int = 1) -> Plan:
    """Return the plan of some tables at one scale, or of the user's own manifest.

    Args:
        names: tables (``2``, ``table-2``, ``all``), or one path that ends in ``.toml``.
        scale: name of a scale; ``auto`` is the largest that fits this machine, or the scale that a manifest names.
        repeats: number of training seeds of each experiment of the kit.

    Raises:
        RequestError: there is no such table or scale, or the kit can't compute the table.
    """
    if paths := [name for name in names if name.endswith(".toml")]:
        where = one_line(paths[0])
        if len(names) > 1:
            raise RequestError(f"{where}: a manifest is planned by itself; it was named together with others")
        if scale != "auto":
            raise RequestError(f"{where}: a manifest names its scale itself; leave --scale {scale} out, or edit it")
        return plan_manifest(Path(paths[0]))
    catalogue = Catalogue(manifests_folder(), repeats=repeats)
    if scale == "auto":
        scale = largest_scale(catalogue, this_machine())
    tables = [table_name(catalogue, name) for name in names if name != ALL]
    if ALL in names:
        tables = sorted(catalogue.names("tables"), key=table_order)
    views = {name: catalogue.table(name) for name in tables}
    return make_plan(catalogue, views, catalogue.scale(scale), scale, locks())


def table_order(name: str) -> tuple[bool, str, int]:
    """Return a sort key that puts tables in the order of their numbers, and figures after all tables."""
    kind, _, number = name.rpartition("-")
    return (kind != "table", kind, int(number)) if number.isdigit() else (True, name, 0)


def table_name(catalogue: Catalogue, name: str) -> str:
    """Return the file name of a table that is named by its number or its file: ``2`` and ``table-2`` -> ``table-2``.

    Raises:
        RequestError: there is no such table, or the kit can't compute it.
    """
    from kit.catalogue import paper

    full = f"table-{name}" if name.isdigit() else name
    known = catalogue.names("tables")
    if full in known:
        return full
    if full in paper.names():
        if paper.table(full).prints_settings:
            cure = f"`kit verify {name}` compares it with manifests/"
            raise RequestError(f"{full} has no job: it prints settings and counts, which nothing computes; {cure}")
        raise RequestError(
            f"{full}: the paper's numbers are here, the kit can't compute it yet; it computes {', '.join(known)}"
        )
    hint = f"; known: {', '.join([ALL, *known])}" if name.isdigit() else did_you_mean(full, [ALL, *known])
    blanks = "; several tables are named one by one, with blanks between" if "," in name else ""
    raise RequestError(f"no table named {shown(name)}{hint}{blanks}")


def plan_manifest(path: Path) -> Plan:
    """Return the plan of the user's own manifest."""
    where = one_line(str(path))
    if Path(os.path.realpath(path)).parent == manifests_folder() / "tables":  # Path.resolve fails on a circle of links
        raise RequestError(f"{where}: a table of the kit, no manifest of your own; name it without folder: {path.stem}")
    user = read(UserManifest, path, where)
    catalogue = Catalogue(manifests_folder(), user, path.resolve().parent, where)
    catalogue.note(path)
    check_own_name(catalogue, path, user)
    base = find_scale(catalogue, user.scale) if isinstance(user.scale, str) else user.scale
    scale_name = user.scale if isinstance(user.scale, str) else path.stem
    update = {"cast": {**base.cast, **user.cast}, "seeds": {**base.seeds, **user.seeds}}
    scale: Scale = base.model_copy(update=update)
    check_names(catalogue, scale, user)
    plan = make_plan(catalogue, views_of(user, path.stem), scale, scale_name, locks())
    check_seed_sets(plan, catalogue, scale)
    plan.notes += replaced_options(user, scale, scale_name)
    for role, player in sorted(plan.cast.items()):
        if role != player:
            plan.notes.append(f"{role} is played by {player}, as scale {scale_name} casts it")
    return plan


def replaced_options(user: UserManifest, scale: Scale, scale_name: str) -> list[str]:
    """Return a sentence for each value of the user's experiments in whose place the scale has an option of its own."""
    found = list[str]()
    for index, experiment in enumerate(user.experiment):
        for scenario in experiment.all_values("scenario"):
            own = scale.scenarios.get(scenario, ScaleOptions())
            options = {name: own.given()[name] for name in ScenarioOptions.model_fields if name in own.given()}
            fields = {name: (f"options.{name}", value) for name, value in options.items()}
            if own.evolve_temperature is not None:
                fields["temperature"] = "evolve.temperature", own.evolve_temperature
            for axis, (field, value) in fields.items():
                replaced = [asked for asked in experiment.all_values(axis) if asked not in (None, value)]
                if replaced:
                    found.append(
                        f"experiment[{index}].{field}: {', '.join(map(str, replaced))} asked for, scale {scale_name} "
                        f"takes {value} for {scenario}"
                    )
    return found


def find_scale(catalogue: Catalogue, name: str) -> Scale:
    """Return the scale that the user's manifest names.

    Raises:
        RequestError: there is no such scale.
    """
    look_up(dict.fromkeys(catalogue.names("scales")), name, f"{catalogue.where}: scale", "scale")
    return catalogue.scale(name)


def check_own_name(catalogue: Catalogue, path: Path, user: UserManifest) -> None:
    """Check that a manifest's file name gives neither its table nor its scale a name that the kit uses itself.

    `kit verify` records and compares numbers by these names.

    Raises:
        RequestError: the kit has a table or scale of this name, or the name is too long or can't be printed.
    """
    from kit.catalogue import paper

    tables = {*catalogue.names("tables"), *paper.names()}
    taken = "table" if path.stem in tables else "scale" if path.stem in catalogue.names("scales") else ""
    if taken == "table" or (taken == "scale" and isinstance(user.scale, Scale)):
        raise RequestError(f"{catalogue.where}: its {taken} would be {path.stem!r}, as the kit's own; rename the file")
    if len(path.stem) > LONGEST_NAME or not path.stem.isprintable():
        raise RequestError(
            f"{catalogue.where}: its table is named as the file is; wanted {LONGEST_NAME} characters at most, and none "
            "that can't be seen"
        )


def check_names(catalogue: Catalogue, scale: Scale, user: UserManifest) -> None:
    """Check that every name exists that the experiments of the user's manifest mention.

    Raises:
        RequestError: a name does not exist; the message has the key that mentions it.
    """
    models = dict.fromkeys([*catalogue.models, *scale.cast])
    picks = dict.fromkeys([NO_SELECTION, RANDOM_SELECTION, *selecting_numbers()])
    known: dict[str, tuple[Mapping[str, object], str]] = {
        "scenario": (dict.fromkeys(registry.names("scenarios")), "scenario"),
        "seeds": (scale.seeds, "seed set"),
        **dict.fromkeys(("responder", "evolver", "base"), (models, "model")),
        "benchmarks": (dict.fromkeys(registry.names("benchmarks")), "benchmark"),
        **dict.fromkeys(("selection", "against"), (picks, "selection")),
        **dict.fromkeys(("scorer", "embedder", "rewarder"), (models, "model")),
        "judge": ({**models, **catalogue.served}, "model"),
    }
    optional = ("against", "scorer", "embedder", "rewarder", "judge")
    for index, experiment in enumerate(user.experiment):
        where = f"{catalogue.where}: experiment[{index}]"
        for field, (names, noun) in known.items():
            found = getattr(experiment, field)
            for position, name in enumerate(found if isinstance(found, list) else [found]):
                place = f"{where}.{field}[{position}]" if isinstance(found, list) else f"{where}.{field}"
                if name or (experiment.values("round") != [0] and field not in optional):
                    look_up(names, name, place, noun)
        for axis, changes in experiment.by.items():
            for value, fields in changes.items():
                for field in known.keys() & fields.model_fields_set:
                    if field in optional and not getattr(fields, field):
                        continue
                    place = f"{where}.by.{axis}.{one_line(value, LONGEST_NAME)}.{field}"
                    look_up(known[field][0], getattr(fields, field), place, known[field][1])


def views_of(user: UserManifest, name: str) -> dict[str, View]:
    """Return the views of the user's manifest by the names of their tables; default views if it has none.

    All experiments have one default view together, if each of its cells has exactly one experiment. If not, each
    experiment has its own: two may differ in a temperature alone.

    Raises:
        RequestError: there are more than :data:`MOST_CELLS` cells, nothing is measured, or two views have one name.
    """
    if user.view:
        return listed_views(user, name)
    for index, one in enumerate(user.experiment):
        if not one.benchmarks:
            raise RequestError(
                f"{name}.toml: experiment[{index}].benchmarks: missing; without a view they are the table's columns"
            )
    combinations = "combinations of axes and benchmarks"
    cells = sum(point_count(one) * len(one.benchmarks) for one in user.experiment)
    check_cells(cells, name, "experiment", combinations)
    whole = default_view(user.title, user.experiment)
    measures = whole.columns[0].measures
    few = math.prod(map(len, whole.rows.values())) * len(measures) <= MOST_CELLS
    if few and each_cell_has_one_experiment(whole, user.experiment):
        return {name: whole}
    return {f"{name}.{one.id}": default_view(f"{user.title}: {one.id}", [one]) for one in user.experiment}


def listed_views(user: UserManifest, name: str) -> dict[str, View]:
    """Return the views that stand in the user's manifest; a view that names no experiment has all of them."""
    found: dict[str, View] = {}
    ids = [experiment.id for experiment in user.experiment]
    for index, view in enumerate(user.view):
        full = name if len(user.view) == 1 else f"{name}.{view.id or index + 1}"
        if full in found:
            raise RequestError(
                f"{name}.toml: view[{index}].id: {shown(view.id or str(index + 1))} stands twice; ids must differ"
            )
        rows = math.prod(map(len, view.rows.values()))
        measures = sum(len(group.measures) for group in view.columns)
        check_cells(rows * measures, name, f"view[{index}]", "combinations of rows and measures")
        seeds = max(len(experiment.values("seed")) for experiment in user.experiment)
        check_cells(rows * measures * seeds, name, f"view[{index}]", "combinations of rows, measures and seeds")
        fields = {name: getattr(view, name) for name in ViewFields.model_fields}
        fields |= {"experiment": view.experiment or ids, "title": view.title or user.title}
        found[full] = View.model_construct(**fields)
    return found


def point_count(experiment: Experiment) -> int:
    """Return the number of points of an experiment."""
    return math.prod(len(experiment.values(axis)) for axis in experiment.axes())


def check_cells(cells: int, name: str, key: str, what: str) -> None:
    """Check that a manifest does not ask for more cells than anybody could read or pay for.

    Args:
        cells: number of cells.
        name: the manifest's file name without its ending.
        key: the key that asks for them.
        what: what the number counts, for the message.

    Raises:
        RequestError: there are more than :data:`MOST_CELLS` cells.
    """
    if cells > MOST_CELLS:
        raise RequestError(
            f"{name}.toml: {key}: {cells:,} {what}; {MOST_CELLS:,} are the most, split it into several manifests"
        )


def locks() -> dict[str, str]:
    """Return the hash of each environment's lock."""
    return {name: lock_hash(name) for name in LOCKS}
