"""Checks of the user's own files that a plan's jobs would find at fault only after models have run."""

from kit.catalogue import Catalogue
from kit.catalogue.scales import Scale
from kit.errors import RequestError
from kit.files.seeds import read_instructions
from kit.plan import Plan
from kit.plan.sources import local_file
from kit.records import Instruction
from kit.scenarios import check_data


def check_seed_sets(plan: Plan, catalogue: Catalogue, scale: Scale) -> None:
    """Check the seed sets that steps of evolution read beside their rows, where each is a file that is here already.

    Args:
        plan: the plan.
        catalogue: all manifests, with the user's.
        scale: the scale of the plan.

    Raises:
        RequestError: a scenario can't use one, such as queries that are too few.
    """
    checked = list[tuple[object, object]]()
    for job in plan.jobs.values():
        names, wanted = job.params.get("data", {}), (job.params.get("scenario"), job.params.get("options"))
        if job.stage != "evolve" or not names or wanted in checked:
            continue
        checked.append(wanted)
        found = {name: read_set(name, catalogue, scale) for name in names}
        sets = {name: rows for name, rows in found.items() if rows is not None}
        if len(sets) == len(found):
            try:
                check_data(job.params["scenario"], sets, job.params.get("options", {}))
            except RequestError as error:
                raise RequestError(f"{catalogue.where}: seeds.{error}") from error


def read_set(name: str, catalogue: Catalogue, scale: Scale) -> list[Instruction] | None:
    """Return the rows of a seed set; None if its file is fetched later."""
    rows = scale.seeds[name]
    dataset = catalogue.dataset(rows.dataset, catalogue.where)
    if dataset.file is None and dataset.bundled is None:
        return None
    return read_instructions(local_file(dataset, catalogue.user_folder), dataset.format, name, rows.rows)
