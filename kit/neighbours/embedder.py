"""Embed texts with sentence-transformers' own modules, running no code that comes with a model.

A folder that sentence-transformers wrote names its modules (``modules.json``); of these the three that are known here
are taken, and the library is never left to import what a folder names: of a folder on disk it would run the code there
(https://github.com/huggingface/sentence-transformers, ``trust_remote_code``). The folder of a text generator has no
such file: its last hidden states are averaged over all tokens and brought to length 1.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.errors import RequestError, shown
from kit.models.files import read_json
from kit.models.folder import check_model_folder
from kit.models.headers import stored_tensors
from kit.models.opening import opening
from kit.models.settings import read_config
from kit.models.tokenizer import load_tokenizer
from kit.reading.jsonfiles import load_json
from kit.reading.textfiles import read_text

if TYPE_CHECKING:
    from kit.neighbours.search import Vectors

MODULES = ("Transformer", "Pooling", "Normalize")
"""sentence-transformers' modules that a folder may name, in this order; the last may be missing."""
LIST = "modules.json"
"""The file that names a folder's modules."""
SETTINGS = "sentence_bert_config.json"
"""The file with the longest text, tokens, that a folder's model embeds."""
LAYER_UNUSED = "pooler."
"""Start of the names of a layer behind the last hidden states, which no module here reads."""
AS_TEXT = {"text": {"method": "forward", "method_output_name": "last_hidden_state"}}
"""sentence-transformers' word for a text that is read as it is, and for what is taken of the model."""
TEXTS_AT_ONCE = 512
"""Texts that are embedded between two reports of progress."""
BATCH = 32
"""Texts in one pass of the model."""

Progress = Callable[[int], None]
"""Called with the number of texts that are embedded so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Embeddings:
    """Vectors of some texts, and the texts' lengths."""

    vectors: "Vectors"
    """One row a text, shape (n, d), float32; equal texts have equal rows."""
    tokens: tuple[int, ...]
    """Length of each text, tokens, before it was cut at :attr:`Embedder.max_tokens`."""


def open_embedder(folder: Path, *, dtype: str = "float32", max_tokens: int | None = None) -> "Embedder":
    """Load a model that embeds texts.

    Args:
        folder: a folder that sentence-transformers wrote, or that of a text generator.
        dtype: torch's name of the type in which the model computes.
        max_tokens: a longer text is cut there; by default, and at most, where the folder says.

    Raises:
        RequestError: sentence-transformers is not installed, or the folder is no such model, comes with code, names a
            module that is not known here, or lacks weights.
    """
    if find_spec("sentence_transformers") is None:
        raise RequestError("no package sentence-transformers here, which embeds texts; set up with: make setup")
    check_model_folder(folder)
    names = module_folders(folder)
    longest = _longest(folder, max_tokens)
    import torch
    from sentence_transformers import SentenceTransformer, __version__
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    plain = {"local_files_only": True, "trust_remote_code": False}
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with opening(f"{folder}: sentence-transformers can't load it", request=False):
        first = Transformer(
            str(folder),
            model_kwargs={**plain, "dtype": getattr(torch, dtype)},
            processor_kwargs=dict(plain),
            config_kwargs=dict(plain),
            modality_config=AS_TEXT,  # left alone, it writes a text into the chat template of a folder that has one
            module_output_name="token_embeddings",
        )
    _check_weights(folder, first.model)
    tokenizer = load_tokenizer(folder)
    if first.tokenizer.pad_token is None:  # the mask hides it
        first.tokenizer.pad_token = first.tokenizer.eos_token or first.tokenizer.unk_token
    first.max_seq_length = longest
    with opening(f"{folder}: sentence-transformers can't read its pooling"):
        path = names.get("Pooling")
        pooling = (
            Pooling(first.get_embedding_dimension(), "mean")
            if path is None
            else Pooling.load(str(folder), subfolder=path, local_files_only=True)
        )
    modules = [first, pooling, *([Normalize()] if "Normalize" in names else [])]
    return Embedder(
        model=SentenceTransformer(modules=modules, device=device),
        tokenizer=tokenizer,
        max_tokens=longest,
        fingerprint={
            "sentence-transformers": __version__,
            "torch": torch.__version__,
            "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
            "dtype": dtype,
            "modules": [type(module).__name__ for module in modules],
            "pooling": pooling.pooling_mode,
            "max_tokens": longest,
        },
    )


class Embedder:
    """A loaded model that turns texts into vectors."""

    def __init__(self, *, model: Any, tokenizer: Any, max_tokens: int, fingerprint: Mapping[str, Any]) -> None:
        self.fingerprint = fingerprint
        """Packages, device, dtype and modules that compute."""
        self.max_tokens = max_tokens
        """A longer text is cut there, as sentence-transformers does it."""
        self._model = model
        self._tokenizer = tokenizer

    def embed(self, texts: Sequence[str], progress: Progress | None = None) -> Embeddings:
        """Return the embedding of each text; a text that stands there several times is embedded once."""
        import numpy as np

        distinct = list(dict.fromkeys(texts))
        counts = dict(zip(distinct, self._token_counts(distinct), strict=True))
        distinct.sort(key=lambda text: -counts[text])  # batches of one length; the largest shows at once what fits
        parts = []
        for first in range(0, len(distinct), TEXTS_AT_ONCE):
            part = distinct[first : first + TEXTS_AT_ONCE]
            vectors = self._model.encode(part, batch_size=BATCH, convert_to_numpy=True, show_progress_bar=False)
            parts.append(np.asarray(vectors, dtype=np.float32))
            if progress:
                progress(first + len(part))
        found = np.concatenate(parts) if parts else np.empty((0, 0), dtype=np.float32)
        places = {text: place for place, text in enumerate(distinct)}
        return Embeddings(
            vectors=found[[places[text] for text in texts]] if texts else found,
            tokens=tuple(counts[text] for text in texts),
        )

    def _token_counts(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text, special ones included."""
        if not texts:
            return []
        ids = self._tokenizer(list(texts), truncation=False, verbose=False)["input_ids"]
        return [len(one) for one in ids]


def module_folders(folder: Path) -> dict[str, str | None]:
    """Return the modules that embed with this folder, each with its subfolder; None for one without settings there.

    Raises:
        RequestError: ``modules.json`` is no list of modules, or names others than :data:`MODULES`, or another order.
    """
    path = folder / LIST
    if not path.is_file():
        return dict.fromkeys(MODULES)
    wanted = f"wanted {', '.join(MODULES)}, of sentence-transformers, in this order"
    try:
        entries = load_json(read_text(path))
        found = [(str(entry["type"]), str(entry["path"])) for entry in entries]
    except (ValueError, TypeError, KeyError) as error:
        raise RequestError(f"{path}: no list of modules with a type and a path; is it the model's own file?") from error
    names = []
    for kind, place in found:
        library, _, name = kind.rpartition(".")
        if name not in MODULES or library.partition(".")[0] != "sentence_transformers":
            raise RequestError(f"{path}: found the module {shown(kind)}, {wanted}; no code of a folder is run")
        if place and (set(place) & set("/\\") or place.startswith(".")):
            raise RequestError(f"{path}: found the path {shown(place)}, wanted a folder beside it")
        names.append(name)
    if tuple(names) not in (MODULES, MODULES[:2]):
        raise RequestError(f"{path}: found {', '.join(names) or 'no module'}, {wanted}")
    return {name: place or None for name, (_, place) in zip(names, found, strict=True)}


def _longest(folder: Path, max_tokens: int | None) -> int:
    """Return the number of tokens at which a text is cut."""
    limits: list[Any] = [max_tokens] if max_tokens else []
    config = read_config(folder)
    if (folder / SETTINGS).is_file():
        limits.append(read_json(folder / SETTINGS).get("max_seq_length"))
    limits.append(config.get("max_position_embeddings"))
    known = [limit for limit in limits if type(limit) is int and limit > 0]
    if not known:
        raise RequestError(
            f"{folder}: neither {SETTINGS} (max_seq_length) nor config.json (max_position_embeddings) says how long a "
            "text may be; is the download complete?"
        )
    return min(known)


def _check_weights(folder: Path, model: Any) -> None:
    """Refuse a folder that lacks weights of the model that was loaded: they would be random ones.

    Raises:
        RequestError: one is missing, or has another shape.
    """
    stored = stored_tensors(folder)
    prefix = getattr(model, "base_model_prefix", "")
    for name, tensor in model.state_dict().items():
        found = next((stored[one] for one in (name, f"{prefix}.{name}") if one in stored), None)
        if name.startswith(LAYER_UNUSED) or (found and found.shape == tuple(tensor.shape)):
            continue
        fault = f"has shape {found.shape}, wanted {tuple(tensor.shape)}" if found else "is missing"
        raise RequestError(
            f"{folder}: {name} {fault}, and the {type(model).__name__} that config.json describes needs it; do "
            "config.json and the weights belong together?"
        )
