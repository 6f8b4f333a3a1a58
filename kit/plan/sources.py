"""Where bytes come from: a pinned address, a wheel, a file of the kit's or the user's. The key holds what they are."""

from pathlib import Path
from typing import Any

from kit.catalogue import ROOT
from kit.catalogue.manifest import Dataset, Model
from kit.errors import RequestError, one_line
from kit.files.checksums import difference
from kit.files.seeds import has_chats
from kit.files.texts import HALF
from kit.reading.places import file_name_fault
from kit.reading.textfiles import open_regular
from kit.store import HEAD, sha256_file

BUNDLED = ROOT / "kit" / "bundled"
Source = tuple[dict[str, Any], dict[str, Any]]
"""(parameters, which are in the key; places to look, which are not)."""


def data_source(dataset: Dataset, user_folder: Path | None) -> Source:
    """Return how to get a data file; its sha256 is in the key, or its git blob id, or else its pinned address.

    Raises:
        RequestError: a local file can't be read, or has not the hash that its manifest pins.
    """
    if dataset.url is None:
        return _local_source(dataset, local_file(dataset, user_folder))
    name = dataset.url.rpartition("/")[2]
    params = {"kind": "file", "name": name, "sha256": dataset.sha256}
    if dataset.sha256 is None and dataset.git_blob is not None:
        params["git_blob"] = dataset.git_blob
    elif dataset.sha256 is None:
        params["url"] = dataset.url
    return params, {"url": dataset.url, "mirror": dataset.mirror}


def _local_source(dataset: Dataset, path: Path) -> Source:
    """Return how to get a file on this disk, after its bytes were compared with what its manifest pins."""
    if dataset.bundled and dataset.sha256 and not path.exists():
        # An image has the manifests and no data: there jobs are planned by their pins.
        return {"kind": "file", "name": path.name, "sha256": dataset.sha256}, {"path": str(path.resolve())}
    check_file_name(path)
    try:
        open_regular(path).close()  # a pipe would be waited for, and a device never ends
    except RequestError as error:
        raise RequestError(f"data file {error}") from error
    try:
        sha256 = sha256_file(path)
        wrong = difference(path, sha256=dataset.sha256, git_blob=dataset.git_blob)
    except OSError as error:
        raise RequestError(f"data file {one_line(str(path))}: {error.strerror}") from error
    if wrong:
        found = f"{wrong.name} is {wrong.found}, the manifest says {wrong.pinned}"
        raise RequestError(f"{one_line(str(path))}: {found}; another file?")
    # Earlier kits dropped system prompts and histories: what they made of the same file is another artifact.
    chats = {"chats": True} if dataset.file and dataset.format == "alpaca" and has_chats(path) else {}
    return {"kind": "file", "name": path.name, "sha256": sha256, **chats}, {"path": str(path.resolve())}


def check_file_name(path: Path) -> None:
    """Refuse a file whose name can't be a file's in the store, or whose path no job's file can hold.

    Raises:
        RequestError: it is one; the message says what is wrong.
    """
    fault = file_name_fault(path.name)
    if not fault and HALF.search(str(path)):
        fault = "a folder's name on its way is not UTF-8; rename the folder"
    if fault:
        raise RequestError(f"{one_line(str(path))}: {fault}")


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
    return folder_source(folder, engine="vllm" if model.chat else "transformers")


def folder_source(folder: Path, *, engine: str = "transformers") -> Source:
    """A model folder on disk; its key is the hash of each of its files, so a changed file is another model.

    Args:
        folder: config.json, safetensors, tokenizer.
        engine: who is to read the weights; see :func:`kit.models.check_weights`.

    Raises:
        RequestError: it is not a folder with a config.json, or its weights are not what that describes.
    """
    name = f"model folder {one_line(str(folder))}"
    try:
        if not (folder / "config.json").exists():
            raise RequestError(f"{name}: no config.json there; name a folder that save_pretrained wrote")
    except OSError as error:  # a name that is too long
        raise RequestError(f"{name}: {error.strerror}") from error
    _check_path(folder, name)
    _check_weights(folder, engine)
    return _hashed(folder)


def adapter_source(adapter: Path, base: Path | None) -> Source:
    """An adapter's folder on disk, after a check of all that is known of it before its base is loaded.

    Args:
        adapter: adapter_config.json, adapter_model.safetensors, tokenizer.
        base: the folder of its base, where that is on this disk; a worker compares the two in any case.

    Raises:
        RequestError: it is none, brings code, or was made for another base.
    """
    from importlib.util import find_spec

    from kit.models import check_adapter
    from kit.models.adapters import check_plain
    from kit.models.foreign_code import check_no_code

    _check_path(adapter, f"adapter {one_line(str(adapter))}")
    check_no_code(adapter)
    check_plain(adapter)
    if base is not None and find_spec("torch") and find_spec("peft"):
        check_adapter(adapter, base)
    return _hashed(adapter)


def _check_path(folder: Path, name: str) -> None:
    """Refuse a folder whose path no job's file can hold."""
    if HALF.search(str(folder.resolve())):
        raise RequestError(f"{name}: its name, or that of a folder on its way, is not UTF-8; rename it")


def _hashed(folder: Path) -> Source:
    """Every file that a model or an adapter is read from, by the hash of its bytes."""
    names = sorted(
        p.name
        for p in folder.iterdir()
        if p.is_file() and p.name != HEAD and p.suffix in (".json", ".safetensors", ".model", ".jinja", ".txt")
    )
    for file in names:
        check_file_name(folder / file)
    files = {file: sha256_file(folder / file) for file in names}
    return {"kind": "folder", "files": files}, {"path": str(folder.resolve())}


def _check_weights(folder: Path, engine: str) -> None:
    """Check a folder's weights before its files are hashed; their names only where torch is installed.

    Planning takes no torch. Where it is missing the files alone are checked here; the worker checks the names.
    """
    from importlib.util import find_spec

    from kit.models import check_model_folder, check_weights

    check_model_folder(folder)
    if find_spec("torch") and find_spec("transformers"):
        check_weights(folder, engine=engine)


def paper_prompts_source() -> Source:
    """The authors' files that hold the paper's wording, at their pinned commit."""
    from kit.prompts import pins

    found = pins.read("paper")
    url = found.url.replace("{revision}", found.revision)
    return {"kind": "prompts", "files": found.files}, {"url": url, "mirror": found.source}
