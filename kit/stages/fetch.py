"""Stage ``fetch``: copies pinned files and models into the store and checks them; the only stage with a network."""

import http.client
import shutil
import urllib.error
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kit.errors import KitError, one_line, shown
from kit.files import network
from kit.files.checksums import difference
from kit.files.network import UnreachableError
from kit.reading.places import inner_path_fault
from kit.reading.textfiles import open_regular
from kit.stages import Context, Summary
from kit.store import sha256_file

VERSION = 1
WORKER = "fetch"
MODELS = {"hub": "published", "package": "published", "folder": "own"}
"""Kind of a job -> whose model it copies (:mod:`kit.stages._keeping`); those of other kinds copy data."""
BLOCK_BYTES = 16 << 20
TIMEOUT_S = 60


def model(params: Mapping[str, Any]) -> str:
    """Return whose model a job with these parameters copies; empty where it copies data."""
    return MODELS.get(params.get("kind", ""), "")


def run(params: Mapping[str, Any], inputs: Mapping[str, Path], out: Path, context: Context) -> Summary:
    """Write the file, the files or the model folder that the parameters name, and check it by its pinned hash."""
    kinds = {"file": _file, "package": _package, "hub": _hub, "folder": _folder, "files": _files, "prompts": _prompts}
    facts = kinds[params["kind"]](params, out, context)
    files = [path for path in out.rglob("*") if path.is_file()]
    context.progress(len(files), len(files))
    return Summary(rows=len(files), facts=facts)


def _file(params: Mapping[str, Any], out: Path, context: Context) -> dict[str, Any]:
    """Fetch one file from this disk, a mirror folder or an address, and return the facts."""
    target = inside(out, params["name"])
    source, git_blob = context.source, params.get("git_blob")
    if "path" in source and params["sha256"] is None:
        raise KitError(f"{target.name}: a file of this disk is taken by its sha256 alone, and the job has none")
    if not (params["sha256"] or git_blob) and source.get("url") != params.get("url"):
        raise KitError(f"{target.name}: no hash is pinned, and its place is another address than its job names")
    if "path" in source:
        came_from = _copy(Path(source["path"]), target)
    else:
        came_from = _from_mirror_or_network(source.get("mirror"), source["url"], target, context)
    found = check(target, params["sha256"], came_from, git_blob=git_blob)
    facts = {"from": came_from, "sha256": found, "sha256_was_pinned": params["sha256"] is not None}
    return facts | ({"git_blob": git_blob} if git_blob else {})


def inside(folder: Path, name: str) -> Path:
    """Return the path of a file in a folder; its name is checked, since a job's parameters may come from outside.

    Raises:
        KitError: the name leads out of the folder.
    """
    if fault := inner_path_fault(name):
        raise KitError(f"{shown(name)}: {fault}")
    return folder / name


def _files(params: Mapping[str, Any], out: Path, context: Context) -> dict[str, Any]:
    """Fetch the files of a data set from a folder of this disk, a mirror folder or an address, and return the facts."""
    return (_folder if "path" in context.source else _prompts)(params, out, context)


def _prompts(params: Mapping[str, Any], out: Path, context: Context) -> dict[str, Any]:
    """Fetch the files of a prompt pack or a data set, and return the facts.

    Raises:
        KitError: no hash of a file is pinned, and its place is another address than its job names.
    """
    address, folder = context.source["url"], context.source["mirror"]
    if None in params["files"].values() and address != params.get("url"):
        raise KitError(f"{shown(address)}: no hash is pinned, and its place is another address than its job names")
    places = [f"{folder}/{name}" if folder else None for name in params["files"]]
    for place, (name, sha256) in zip(places, params["files"].items(), strict=True):
        target = inside(out, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        url = address.replace("{file}", name)
        paths = [path for path in places if path]
        check(target, sha256, _from_mirror_or_network(place, url, target, context, mirror_paths=paths))
    return {"from": address}


def _package(params: Mapping[str, Any], out: Path, context: Context) -> dict[str, Any]:
    """Copy a file out of an installed package, and return the facts."""
    from kit.models import distribution_file

    path = distribution_file(params["name"], params["file"], params["sha256"])
    _copy(path, out / path.name)
    return {"from": f"{params['name']}=={params['version']}"}


def _folder(params: Mapping[str, Any], out: Path, context: Context) -> dict[str, Any]:
    """Copy the files of a folder on this disk, a model's or a data set's, and return the facts."""
    folder = Path(context.source["path"])
    for name, sha256 in params["files"].items():
        target = inside(out, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        check(target, sha256, _copy(folder / name, target))
    return {"from": str(folder)}


def _hub(params: Mapping[str, Any], out: Path, context: Context) -> dict[str, Any]:
    """Download a model repository of the hub at its pinned revision, and return the facts."""
    repo, revision = params["repo"], params["revision"]
    if revision is None:
        raise KitError(f"{repo}: no revision is pinned; `kit pin` on a networked machine finds one")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError

    try:
        _check_hub(context)
        snapshot_download(repo, revision=revision, allow_patterns=params["files"], local_dir=out)
    except GatedRepoError as error:
        raise KitError(
            f"{repo}: the hub asks for an account; accept its licence there, then set HF_TOKEN or run `hf auth login`"
        ) from error
    except UnreachableError as error:
        raise KitError(
            f"{repo}@{revision[:12]}: could not be fetched: {error}; no mirror folder holds models of the hub: run "
            "`kit fetch` with --store on a machine with a network, and bring that store here"
        ) from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise KitError(f"{repo}@{revision[:12]}: could not be fetched: {str(error).splitlines()[0]}") from error
    shutil.rmtree(out / ".cache", ignore_errors=True)
    return {"from": f"{repo}@{revision}"}


def _check_hub(context: Context) -> None:
    """Check with one small request that the hub can be reached: its client would try six times, for 23 seconds.

    Raises:
        UnreachableError: it can't be reached.
    """
    from huggingface_hub import get_session
    from huggingface_hub.constants import ENDPOINT

    context.unreachable.check(ENDPOINT)
    try:
        get_session().head(ENDPOINT, timeout=TIMEOUT_S)
    except Exception as error:  # of the client's own types; the download itself reports any other error
        context.unreachable.note(ENDPOINT, error)


def _from_mirror_or_network(
    mirror_path: str | None, url: str, target: Path, context: Context, *, mirror_paths: Sequence[str] = ()
) -> str:
    """Copy a file from the mirror folder if it is there, else download it, and return its source.

    Args:
        mirror_path: path of the file in a mirror folder.
        url: address of the file.
        target: path of the copy.
        context: the mirror folder, and the hosts that can't be reached.
        mirror_paths: paths of all files of the job in a mirror folder; the error names all that are missing.

    Raises:
        KitError: neither has the file; the message has its path in a mirror folder.
    """
    if context.mirror is not None and mirror_path is not None:
        candidate = inside(context.mirror, mirror_path)
        if candidate.exists():  # if it is no plain file, the copy fails and names it
            _copy(candidate, target)
            return f"mirror:{mirror_path}"
    try:
        _download(url, target, context)
    except (UnreachableError, urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        reason = error if isinstance(error, UnreachableError | urllib.error.HTTPError) else _reason(error)
        paths = mirror_paths or ([mirror_path] if mirror_path else [])
        raise KitError(f"{url}: could not be fetched: {reason}; {_cure(paths, context.mirror)}") from error
    return url


def _download(url: str, target: Path, context: Context) -> None:
    """Download an address into a file.

    Raises:
        UnreachableError: the host can't be reached, or could not be reached earlier in this run.
        OSError: the host answered with something else than the file.
    """
    context.unreachable.check(url)
    try:
        with network.open_address(url, timeout=TIMEOUT_S) as answer, target.open("wb") as file:
            network.copy_answer(answer, file)
    except urllib.error.HTTPError as error:
        error.close()  # the host was reached and refused
        raise
    except urllib.error.URLError as error:
        context.unreachable.note(url, error)
        raise


def _reason(error: Exception) -> str:
    """Return the message of an error, or the name of its type if the message is empty."""
    reason = getattr(error, "reason", error)
    return str(reason) or type(reason).__name__


def _cure(mirror_paths: Sequence[str], mirror: Path | None) -> str:
    """Return the part of an error message that says where in a mirror folder the missing files belong."""
    missing = [path for path in mirror_paths if mirror is None or not (mirror / path).is_file()]
    if not missing:
        return "its data set names no place in a mirror folder; give its entry one (mirror), or name a copy (file)"
    pronoun, paths = "it" if len(missing) == 1 else "them", ", ".join(missing)
    if mirror is None:
        return f"put {pronoun} at {paths} in a folder, and name that folder with --mirror (make: MIRROR=)"
    return f"the mirror folder (--mirror; make: MIRROR=) lacks {pronoun}; put {pronoun} there at {paths}"


def check(path: Path, sha256: str | None, came_from: str, *, git_blob: str | None = None) -> str:
    """Return the sha256 of a file, after a check of its bytes against the pinned hash.

    Raises:
        KitError: the hashes differ.
    """
    if wrong := difference(path, sha256=sha256, git_blob=git_blob):
        raise KitError(
            f"{path.name} from {came_from}: {wrong.name} is {wrong.found}, the manifest pins {wrong.pinned}; "
            "the file is damaged or is not the pinned revision"
        )
    return sha256_file(path)


def _copy(source: Path, target: Path) -> str:
    """Copy a plain file and return its path; a pipe or a device is refused, since reading it may never end.

    Raises:
        KitError: it can't be read, or is no plain file.
    """
    with open_regular(source) as file:
        try:
            with target.open("wb") as copy:
                shutil.copyfileobj(file, copy, BLOCK_BYTES)
        except OSError as error:
            raise KitError(f"{one_line(str(source))}: {error.strerror}") from error
    return str(source)
