"""Pinned files and models -> checked copies in the store; the only stage with a network."""

import shutil
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kit.errors import KitError
from kit.stages import Context, Summary
from kit.store import sha256_file

VERSION = 1
BLOCK = 1 << 20


def run(params: Mapping[str, Any], inputs: Mapping[str, Path], out: Path, context: Context) -> Summary:
    """Write the file, the files or the model folder that the parameters name; sha256 checked where it is known."""
    kinds = {"file": _file, "package": _package, "hub": _hub, "folder": _folder, "prompts": _prompts}
    facts = kinds[params["kind"]](params, out, context)
    files = [path for path in out.rglob("*") if path.is_file()]
    context.progress(len(files), len(files))
    return Summary(rows=len(files), facts=facts)


def _file(params: Mapping[str, Any], out: Path, context: Context) -> dict[str, Any]:
    target = out / params["name"]
    source = context.source
    if "path" in source:
        came_from = _copy(Path(source["path"]), target)
    else:
        came_from = _from_mirror_or_network(source.get("mirror"), source["url"], target, context)
    found = check(target, params["sha256"], came_from)
    return {"from": came_from, "sha256": found, "sha256_was_pinned": params["sha256"] is not None}


def _prompts(params: Mapping[str, Any], out: Path, context: Context) -> dict[str, Any]:
    for name, sha256 in params["files"].items():
        target = out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        url = context.source["url"].replace("{file}", name)
        check(target, sha256, _from_mirror_or_network(f"{context.source['mirror']}/{name}", url, target, context))
    return {"from": context.source["url"]}


def _package(params: Mapping[str, Any], out: Path, context: Context) -> dict[str, Any]:
    from kit.models import distribution_file

    path = distribution_file(params["name"], params["file"], params["sha256"])
    _copy(path, out / path.name)
    return {"from": f"{params['name']}=={params['version']}"}


def _folder(params: Mapping[str, Any], out: Path, context: Context) -> dict[str, Any]:
    folder = Path(context.source["path"])
    for name, sha256 in params["files"].items():
        check(out / name, sha256, _copy(folder / name, out / name))
    return {"from": str(folder)}


def _hub(params: Mapping[str, Any], out: Path, context: Context) -> dict[str, Any]:
    repo, revision = params["repo"], params["revision"]
    if revision is None:
        raise KitError(f"{repo}: no revision is pinned; `kit pin` on a networked machine finds one")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError

    try:
        snapshot_download(repo, revision=revision, allow_patterns=params["files"], local_dir=out)
    except GatedRepoError as error:
        raise KitError(
            f"{repo}: the hub asks for an account; accept its licence there, then set HF_TOKEN or run `hf auth login`"
        ) from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise KitError(f"{repo}@{revision[:12]}: could not be fetched: {str(error).splitlines()[0]}") from error
    shutil.rmtree(out / ".cache", ignore_errors=True)
    return {"from": f"{repo}@{revision}"}


def _from_mirror_or_network(mirror_path: str | None, url: str, target: Path, context: Context) -> str:
    """Copy from the mirror folder if it has the file, else download; returns where it came from."""
    if context.mirror is not None and mirror_path is not None:
        candidate = context.mirror / mirror_path
        if candidate.is_file():
            _copy(candidate, target)
            return f"mirror:{mirror_path}"
    try:
        with urllib.request.urlopen(url, timeout=60) as response, target.open("wb") as file:
            shutil.copyfileobj(response, file, BLOCK)
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        where = f"; {context.mirror} has no {mirror_path}" if context.mirror else ""
        raise KitError(
            f"{url}: could not be fetched ({reason}){where}; give a folder that holds it with --mirror (make: MIRROR=)"
        ) from error
    return url


def check(path: Path, sha256: str | None, came_from: str) -> str:
    """The file's hash, compared with the pinned one.

    Raises:
        KitError: they differ.
    """
    found = sha256_file(path)
    if sha256 is not None and found != sha256:
        raise KitError(
            f"{path.name} from {came_from}: sha256 is {found}, the manifest pins {sha256}; "
            "the file is damaged or is not the pinned revision"
        )
    return found


def _copy(source: Path, target: Path) -> str:
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        raise KitError(f"{source}: {error.strerror}") from error
    return str(source)
