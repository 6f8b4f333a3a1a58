"""A run as an RO-Crate 1.1 of the profile Process Run Crate 0.5: what each job read, ran and made.

    FOLDER/ro-crate-metadata.json               the description of all below
    FOLDER/tables.csv                           the tables' numbers, each with the keys of its jobs
    FOLDER/artifacts/<key>/artifact.json        each job's head: parameters, inputs, hashes, provenance
    FOLDER/artifacts/<key>/results.jsonl ...    results, grades and curves; with ``data`` all rows

https://www.researchobject.org/ro-crate/specification/1.1/ and https://w3id.org/ro/wfrun/process/0.5
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import kit
from kit.catalogue import Catalogue, manifests_folder
from kit.exports import UNKNOWN_TIME, Written, check_done, commit_of, ended, numbers, started, write_text
from kit.exports.copies import Copy, copy_artifact, described
from kit.exports.texts import dump
from kit.plan import Plan
from kit.report import make_grid
from kit.report.formats import as_csv
from kit.store import Artifact, Job, Store

METADATA, TABLES = "ro-crate-metadata.json", "tables.csv"
CONTEXT = (
    "https://w3id.org/ro/crate/1.1/context",
    {"sha256": "https://w3id.org/ro/terms/workflow-run#sha256"},
)
CRATE, PROFILE = "https://w3id.org/ro/crate/1.1", "https://w3id.org/ro/wfrun/process/0.5"
PAPER = "https://arxiv.org/abs/2412.11231"
PAPER_TITLE = "Smaller Language Models Are Better Instruction Evolvers"
KIT_LICENCE = "https://spdx.org/licenses/Apache-2.0"
LICENCES = "#licences"

Entity = dict[str, Any]
"""One JSON object of the description."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The jobs behind some tables, as far as a store has them."""

    plan: Plan
    measuring: Sequence[str]
    """Keys of the jobs that the numbers come from."""
    keys: Sequence[str]
    """Keys of these jobs and of all that they need, inputs first."""
    heads: Mapping[str, Artifact]
    """Key -> head, of those that the store has."""
    copies: Mapping[str, Sequence[Copy]]
    """Key -> files of it that are in the crate."""


@dataclass(slots=True, kw_only=True)
class Crate:
    """The description of a crate while entities are added to it."""

    entities: dict[str, Entity] = field(default_factory=dict)
    """Id -> entity, in the order of the file."""
    licences: dict[str, str] = field(default_factory=dict)
    """Name of a data set or model -> its licence."""

    def add(self, id: str, types: str, **values: Any) -> dict[str, str]:
        """Add an entity, without what is empty, and return a reference to it; one that is there stays."""
        kept = {name: _single(value) for name, value in values.items() if value not in ("", None, [], {})}
        self.entities.setdefault(id, {"@id": id, "@type": types, **kept})
        return {"@id": id}


def _single(value: Any) -> Any:
    """Return the one value of a list that has no other, as RO-Crate recommends; anything else as it is."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def write(plan: Plan, store: Store, out: Path, command: str, *, data: bool = False) -> Written:
    """Write the jobs behind the tables of a plan, and the tables, into a folder.

    Args:
        plan: the tables, with their jobs.
        store: has the artifacts.
        out: the folder, made if it is not there.
        command: runs the jobs of the plan.
        data: whether the rows are copied too: instructions, pairs, completions, verdicts, scores.

    Raises:
        KitError: a measuring job is not done, or a file of an artifact is missing or was changed.
    """
    measuring = list(numbers(plan))
    check_done(plan, store, measuring, command)
    needed = plan.needs(measuring)
    keys = [key for key in plan.jobs if key in needed]  # inputs first
    heads = {key: store.get(key) for key in keys if store.has(key)}
    write_text(out, TABLES, as_csv([make_grid(name, plan, store) for name in plan.tables]))
    copies = {key: copy_artifact(store, head, out, data=data) for key, head in heads.items()}
    run = Run(plan=plan, measuring=measuring, keys=keys, heads=heads, copies=copies)
    document = _document(run, described(out / TABLES, TABLES))
    write_text(out, METADATA, dump({"@context": list(CONTEXT), "@graph": document}, indent=1) + "\n")
    return Written(files=2 + sum(map(len, copies.values())), lines=tuple(_lines(run, data=data)))


def _lines(run: Run, *, data: bool) -> Iterator[str]:
    """Yield sentences on what the crate holds and what it does not."""
    heads, keys = run.heads, run.keys
    size = sum(copy.size_bytes for found in run.copies.values() for copy in found)
    yield f"{len(heads):,} jobs, {size / 2**20:,.1f} MiB of heads and rows"
    if gone := sum(key not in heads for key in keys):
        yield f"{gone:,} jobs are in the plan and not in the store: named without their files"
    if data and (released := sum(head.released is not None for head in heads.values())):
        yield f"{released:,} jobs have given their files back (--keep): their heads are there alone"


def _document(run: Run, tables: Copy) -> list[Entity]:
    """Return the entities of the description: the file itself, the root, data, actions, and what they refer to."""
    crate, plan = Crate(), run.plan
    based_on = [{"@id": f"artifacts/{key}/"} for key in run.measuring]
    parts = [crate.add(TABLES, "File", **_file(tables), name="Numbers of the tables", isBasedOn=based_on)]
    licences = _licences(plan)
    for key in run.keys:
        if key in run.heads:
            parts.append(_dataset(crate, plan.jobs[key], run.heads[key], run.copies[key], licences))
        else:
            crate.add(f"#{key}", "Dataset", name=plan.jobs[key].id, description="An artifact that is not kept.")
    actions = [_action(crate, plan.jobs[key], run) for key in run.heads]
    crate.add(PAPER, "ScholarlyArticle", name=PAPER_TITLE, identifier="arXiv:2412.11231", url=PAPER)
    crate.add(PROFILE, "CreativeWork", name="Process Run Crate", version="0.5")
    crate.add(LICENCES, "CreativeWork", **_licence_text(crate))
    about = {"@id": METADATA, "@type": "CreativeWork", "about": {"@id": "./"}, "conformsTo": {"@id": CRATE}}
    return [about, _root(run, parts, actions), *crate.entities.values()]


def _root(run: Run, parts: Sequence[Mapping[str, str]], actions: Sequence[Mapping[str, str]]) -> Entity:
    """Return the root: title, date, licence, the data and the actions."""
    latest = max(map(ended, run.heads.values()), default=UNKNOWN_TIME)
    return {
        "@id": "./",
        "@type": "Dataset",
        "name": f"Instruction evolution, {', '.join(run.plan.tables)} at scale {run.plan.scale}",
        "description": "A run of the experiments of arXiv 2412.11231: its jobs, what each read and made, and the "
        "tables of their results.",
        "datePublished": latest.isoformat(timespec="seconds"),
        "license": {"@id": LICENCES},
        "conformsTo": {"@id": PROFILE},
        "citation": {"@id": PAPER},
        "mainEntity": {"@id": TABLES},
        "hasPart": parts,
        "mentions": actions,
    }


def _file(copy: Copy) -> Entity:
    """Return the fields of a file that is in the crate."""
    return {"contentSize": str(copy.size_bytes), "sha256": copy.sha256, "encodingFormat": copy.format}


def _dataset(
    crate: Crate, job: Job, head: Artifact, copies: Sequence[Copy], licences: Mapping[str, str]
) -> dict[str, str]:
    """Add what a job made, with those of its files that are in the crate."""
    parts = [crate.add(quote(copy.name), "File", **_file(copy), name=Path(copy.name).name) for copy in copies]
    inside = {Path(copy.name).name for copy in copies}
    absent = [name for name in head.files if name not in inside]
    licence = licences.get(job.id.partition("/")[2], "") if job.stage == "fetch" else ""
    if licence:
        crate.licences[job.id.partition("/")[2]] = licence
    return crate.add(
        f"artifacts/{job.key}/",
        "Dataset",
        name=job.id,
        description=f"What the job {job.id} made" + (f"; not copied here: {', '.join(absent)}." if absent else "."),
        identifier=job.key,
        license=licence,
        hasPart=parts,
    )


def _action(crate: Crate, job: Job, run: Run) -> dict[str, str]:
    """Add a job as an action: what it read, what it made, when, by which commit of the kit."""
    head = run.heads[job.key]
    known = started(head) != UNKNOWN_TIME
    read = [
        {"@id": f"artifacts/{key}/" if key in run.heads else f"#{key}"} for key in dict.fromkeys(job.inputs.values())
    ]
    return crate.add(
        f"#job-{job.key}",
        "CreateAction",
        name=job.id,
        description=_words(job, head),
        instrument=_software(crate, head),
        object=read,
        result={"@id": f"artifacts/{job.key}/"},
        startTime=started(head).isoformat(timespec="seconds") if known else "",
        endTime=ended(head).isoformat(timespec="seconds") if known else "",
        actionStatus="http://schema.org/CompletedActionStatus",
    )


def _words(job: Job, head: Artifact) -> str:
    """Return stage, versions and environment of a job as a sentence; all parameters are in its head."""
    parts = [f"Stage {job.stage}, version {job.version}, environment {job.environment}"]
    parts += [f"lock {job.lock[:12]}"] if job.lock else []
    parts += [f"image {image}"] if (image := head.provenance.get("image")) else []
    return ", ".join(parts) + "."


def _software(crate: Crate, head: Artifact) -> dict[str, str]:
    """Add the kit at the commit that ran a job."""
    packages, commit = head.provenance.get("packages"), commit_of(head)
    version = str(packages.get("evolkit", kit.__version__)) if isinstance(packages, dict) else kit.__version__
    dirty = bool(head.provenance.get("dirty"))
    id = f"#evolkit-{version}-{commit or 'unknown'}" + "-changed" * dirty
    return crate.add(
        id,
        "SoftwareApplication",
        name="evolkit",
        description="A reproducible benchmark of instruction evolution"
        + (", with changes that are in no commit." if dirty else "."),
        softwareVersion=version,
        identifier=commit,
        license=crate.add(KIT_LICENCE, "CreativeWork", name="Apache License 2.0"),
        citation={"@id": PAPER},
    )


def _licences(plan: Plan) -> dict[str, str]:
    """Return the licence of each data set and model that a plan may fetch, by name."""
    sets = Catalogue(manifests_folder()).datasets
    found = {name: one.licence for name, one in sets.items()}
    return found | {name: one.licence for name, one in plan.models.items()}


def _licence_text(crate: Crate) -> Entity:
    """Return the licences behind a crate's files: those of the data sets and models that they come from."""
    named = "; ".join(f"{name}: {licence}" for name, licence in sorted(crate.licences.items()))
    return {
        "name": "Licences of the sources",
        "description": "Texts here were written by models or come from data sets, whose licences bind: "
        f"{named or 'none is known'}. The kit is under Apache-2.0.",
    }
