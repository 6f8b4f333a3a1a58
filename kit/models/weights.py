"""A folder's weights compared with what its architecture wants: names, shapes and types, before anything is loaded.

transformers itself does the comparing: the model that config.json describes is built on torch's meta device, without
memory, and given meta tensors of the stored names and shapes. So names that it translates (old ones, a missing
``model.`` in front, experts one by one) and buffers that it ignores (``rotary_emb.inv_freq``) are those of the very
loader that reads the weights later.
"""

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from kit.errors import KitError, RequestError, did_you_mean
from kit.models.differences import SHOWN, Differences, difference_message, likely_cure, order
from kit.models.files import read_json, shown
from kit.models.headers import FLOATS, Stored, same_bytes, stored_tensors
from kit.models.opening import one_line, opening
from kit.models.settings import check_bounds
from kit.models.vocabulary import EMBEDDINGS

Head: TypeAlias = Literal["text", "reward"]
"""Part of a model behind its body: one that gives each token's likelihood, or one that gives a single number."""

MOST_MODULES = 1_000_000
"""Most modules of one model; those with the most have some hundred thousand, an expert or a projection each."""
MODULES_A_TENSOR = 20
"""Modules a stored tensor: containers, norms without weights, several that were fused into one."""
SPARE_MODULES = 20_000
"""Modules of a model of few tensors."""

FUSED = re.compile(r"^(\S+) +\| CONVERSION ", re.MULTILINE)
"""A line of transformers' report on a tensor that is made up of several stored ones, a layer's experts for instance."""


def head_of(settings: Mapping[str, Any]) -> Head:
    """Return the head of the model that config.json names: ``reward`` for a sequence classifier, else ``text``."""
    named = settings.get("architectures")
    names = named if isinstance(named, list) else []
    return "reward" if any(str(name).endswith("ForSequenceClassification") for name in names) else "text"


def check_weights(model: Path, *, engine: str = "transformers", head: Head = "text") -> None:
    """Refuse a model folder whose weights are not what its config.json describes; no weight is loaded.

    Args:
        model: a folder that ``check_model_folder`` lets pass.
        engine: ``vllm`` or ``transformers``: who is to read the folder. vLLM alone takes quantised weights, whose names
            and types are their packer's own, so that no more is checked than that every module has some. And it alone
            wants the names as the architecture has them, where transformers puts ``model.`` in front.
        head: the head that the model has to have.

    Raises:
        RequestError: the architecture is unknown, or tensors are missing, unexpected, or of another shape or type.
    """
    check_tensors(model, read_json(model / "config.json"), stored_tensors(model), engine=engine, head=head)


def check_tensors(
    where: Path,
    settings: Mapping[str, Any],
    stored: Mapping[str, Stored],
    *,
    engine: str = "transformers",
    head: Head = "text",
) -> None:
    """Refuse tensors that are not those of the model that config.json's settings describe; see :func:`check_weights`.

    Args:
        where: the folder, for messages.
        settings: config.json.
        stored: the tensors by name.
        engine: as for :func:`check_weights`.
        head: the head that the model has to have.
    """
    packing = settings.get("quantization_config")
    if packing and engine != "vllm":
        method = packing.get("quant_method", "a way it doesn't name") if isinstance(packing, dict) else packing
        named = method if isinstance(method, str) and method.isprintable() else shown(method)
        raise RequestError(
            f"{where}: its weights are quantised ({named[:80]}), wanted 16- or 32-bit floats; take the model's version "
            "that is not quantised"
        )
    kind, config = architecture(where, settings, head)
    plain = not packing
    found = _differences(where, kind, config, stored) if plain else _missing_modules(where, kind, config, stored)
    if found:
        raise RequestError(difference_message(where, kind.__name__, found, likely_cure(settings, stored, found)))
    if engine == "vllm" and plain and config.tie_word_embeddings and not any(map(_is_embedding, stored)):
        raise RequestError(
            f"{where}: the head's tensor is stored and the embedding's is missing; {kind.__name__} ties the two, and "
            "vLLM reads the embedding's alone; load the folder with transformers and save it again, or use engine "
            "'transformers'"
        )
    prefix = f"{kind.base_model_prefix}."
    if engine == "vllm" and plain and not any(name.startswith(prefix) for name in stored):
        raise RequestError(
            f"{where}: no tensor's name starts with {prefix!r}, as {kind.__name__}'s do, and vLLM reads none without "
            "it; load the folder with transformers and save it again, or use engine 'transformers'"
        )


def _is_embedding(name: str) -> bool:
    return name.endswith(EMBEDDINGS)


def described(tensors: Mapping[str, Any]) -> dict[str, Stored]:
    """Return torch tensors, of a pickle or on the meta device, as a safetensors header would describe them."""
    return {name: Stored(dtype=_dtype(tensor), shape=tuple(tensor.shape)) for name, tensor in tensors.items()}


def _dtype(tensor: Any) -> str:
    """Return safetensors' name of a tensor's type, or torch's where it is no float of 16, 32 or 64 bits."""
    name = str(tensor.dtype).removeprefix("torch.")
    return {"bfloat16": "BF16", "float16": "F16", "float32": "F32", "float64": "F64"}.get(name, name)


def load_causal_lm(model: Path, **options: Any) -> Any:
    """Load a causal language model with transformers, and refuse one of which a weight was drawn at random.

    The second line behind :func:`check_weights`: what transformers' own report calls missing is an error here, where
    transformers writes a line into the log and trains on.

    Args:
        model: the folder.
        options: as for ``from_pretrained``.

    Raises:
        RequestError: a weight is missing, unexpected or of another shape.
        KitError: transformers can't load the folder, for whatever reason.
    """
    return _load("AutoModelForCausalLM", model, **options)


def load_reward_model(model: Path, **options: Any) -> Any:
    """Load a sequence classifier with transformers, and refuse one of which a weight was drawn at random.

    Args:
        model: the folder.
        options: as for ``from_pretrained``.

    Raises:
        RequestError: as :func:`load_causal_lm`, and KitError.
    """
    return _load("AutoModelForSequenceClassification", model, **options)


def _load(loader: str, model: Path, **options: Any) -> Any:
    """Load a folder by one of transformers' loaders."""
    where = model / options["gguf_file"] if "gguf_file" in options else model
    with opening(f"{where}: transformers can't load it", request=False), limited_building(str(where)):
        import transformers

        loaded, report = getattr(transformers, loader).from_pretrained(
            model, output_loading_info=True, trust_remote_code=False, local_files_only=True, **options
        )
    check_report(where, type(loaded).__name__, report)
    return loaded


def check_report(where: Path, kind: str, report: Mapping[str, Any]) -> None:
    """Refuse what transformers' report of a loading says if a weight is not the file's.

    Raises:
        RequestError: a weight is missing, unexpected or of another shape.
    """
    if found := _reported(report):
        raise RequestError(difference_message(where, kind, found, likely_cure({}, {}, found)))


def architecture(where: Path, settings: Mapping[str, Any], head: Head = "text") -> tuple[Any, Any]:
    """Return transformers' class and configuration of the model that config.json describes.

    Raises:
        RequestError: transformers knows no such model, or refuses its settings.
    """
    from transformers import CONFIG_MAPPING, MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING

    check_bounds(settings, str(where / "config.json"))
    name = settings.get("model_type")
    if not isinstance(name, str | None):
        raise RequestError(f"{where / 'config.json'}: model_type: found {shown(name)}, wanted the architecture's name")
    if name not in CONFIG_MAPPING:
        raise RequestError(f"{where / 'config.json'}: {_unknown(name, settings, CONFIG_MAPPING.keys())}")
    without_packing = {key: value for key, value in settings.items() if key != "quantization_config"}
    with opening(f"{where / 'config.json'}: transformers refuses it as a {name!r} model"), reports():
        config = CONFIG_MAPPING[name].from_dict(without_packing)
    known = MODEL_FOR_CAUSAL_LM_MAPPING if head == "text" else MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING
    if type(config) not in known:
        found, wanted = (
            ("causal language model", "text generator") if head == "text" else ("sequence classifier", "reward model")
        )
        raise RequestError(
            f"{where / 'config.json'}: model_type {name!r} is no {found} in transformers; wanted a {wanted}"
        )
    kind = known[type(config)]
    if isinstance(kind, list | tuple):
        kind = next((one for one in kind if one.__name__ in (config.architectures or ())), kind[0])
    text = config.sub_configs.get("text_config")  # as AutoModelForCausalLM does with a model of texts and images
    return kind, config.get_text_config() if text is not None and kind.config_class == text else config


def _unknown(name: Any, settings: Mapping[str, Any], known: Iterable[str]) -> str:
    """Say that transformers has no such architecture, and what may help."""
    import transformers

    if name is None:
        return "no 'model_type', wanted the architecture's name; is it the model's own config.json?"
    cure = "; rewrite it with kit.models.internlm2_to_llama" if name == "internlm2" else ""
    if not cure and settings.get("auto_map"):
        cure = "; it comes with code of its own, which is not run: take a version that transformers knows"
    hint = did_you_mean(str(name), known)
    if not cure and hint.startswith("; did you mean"):
        cure = hint
    return f"model_type {shown(name)} is unknown to transformers {transformers.__version__}{cure}"


def _differences(where: Path, kind: Any, config: Any, stored: Mapping[str, Stored]) -> Differences:
    """Compare the stored names and shapes by transformers' loader; find also what it would cast or tie in silence."""
    import torch

    written: list[str] = []
    options = {"device_map": {"": "meta"}, "dtype": torch.float32, "ignore_mismatched_sizes": True}
    try:
        tensors = {name: torch.empty(one.shape, dtype=torch.float32, device="meta") for name, one in stored.items()}
        with reports() as written, limited_building(str(where), len(stored)):
            model, report = kind.from_pretrained(
                None, config=config, state_dict=tensors, output_loading_info=True, trust_remote_code=False, **options
            )
    except KitError:
        raise
    except Exception as error:  # of a configuration that describes no possible model, or of a fusion of tensors
        if apart := sorted(set(FUSED.findall("\n".join(written))), key=order):
            raise RequestError(
                f"{where}: the weights are not those of its {kind.__name__}: the tensors that make up "
                f"{', '.join(apart[:SHOWN])} don't fit together; is one missing?"
            ) from error
        raise RequestError(
            f"{where}: transformers can't fit the weights into the {kind.__name__} that config.json describes: "
            f"{one_line(error)}"
        ) from error
    found = _reported(report)
    floats = {name for name, tensor in model.state_dict().items() if tensor.is_floating_point()}
    types = {
        name: one.dtype
        for name, one in stored.items()
        if one.dtype not in FLOATS and floats & set(_spellings(name, model.base_model_prefix))
    }
    return replace(found, types=types, untied=_untied(model, stored))


def _untied(model: Any, stored: Mapping[str, Stored]) -> list[tuple[str, str]]:
    """Pairs that the model ties and the folder stores twice, with different values.

    transformers would leave such a pair untied, with a line in the log, and vLLM drop the head's tensor.
    """
    pairs = []
    for tied in model.all_tied_weights_keys.items():
        one, other = (
            next((name for name in _spellings(side, model.base_model_prefix) if name in stored), "") for side in tied
        )
        if one and other and stored[one].file and not same_bytes(stored[one], stored[other]):
            pairs.append((one, other))
    return pairs


def _reported(report: Mapping[str, Any]) -> Differences:
    """Return transformers' report of a loading as differences."""
    return Differences(
        missing=sorted(report["missing_keys"], key=order),
        unexpected=sorted(report["unexpected_keys"], key=order),
        shapes={
            name: (tuple(found), tuple(wanted))
            for name, found, wanted in sorted(report["mismatched_keys"], key=lambda item: order(item[0]))
        },
    )


def _missing_modules(where: Path, kind: Any, config: Any, stored: Mapping[str, Stored]) -> Differences:
    """Return the weights of a quantised model of whose module nothing is stored."""
    import torch

    failure = f"{where}: transformers can't build the {kind.__name__} that config.json describes"
    with opening(failure), torch.device("meta"), reports(), limited_building(str(where), len(stored)):
        model = kind(config)
    there = {name.rpartition(".")[0] for name in stored}
    there |= {module.rpartition(".")[0] for module in there}  # as in `q_proj.weight.absmax`
    tied = set(model.all_tied_weights_keys)
    wanted = [name for name in model.state_dict() if name not in tied]
    lacking = [name for name in wanted if not there & set(_spellings(name.rpartition(".")[0], model.base_model_prefix))]
    return Differences(missing=sorted(lacking, key=order))


def _spellings(name: str, prefix: str) -> tuple[str, ...]:
    """Return a tensor's name with and without the base model's prefix."""
    return name, f"{prefix}.{name}", name.removeprefix(f"{prefix}.")


@contextmanager
def reports() -> Iterator[list[str]]:
    """Give what transformers writes into its log, and keep it and the progress bars off the terminal."""
    from transformers.utils import logging as transformers_logging

    written: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            written.append(record.getMessage())

    logger, bars = transformers_logging.get_logger("transformers"), transformers_logging.is_progress_bar_enabled()
    kept, level = logger.handlers, logger.level
    logger.handlers = [Collector()]
    logger.setLevel(logging.WARNING)
    transformers_logging.disable_progress_bar()
    try:
        yield written
    finally:
        logger.handlers = kept
        logger.setLevel(level)
        if bars:
            transformers_logging.enable_progress_bar()


@contextmanager
def limited_building(where: str, stored: int | None = None) -> Iterator[None]:
    """End the building of a model that has far more modules than a folder has tensors, whatever setting asks for them.

    Args:
        where: the folder, for the message.
        stored: tensors of the folder; None where nobody has counted them.

    Raises:
        RequestError: it has too many.
    """
    from torch.nn.modules.module import register_module_module_registration_hook

    most = MOST_MODULES if stored is None else min(MOST_MODULES, SPARE_MODULES + MODULES_A_TENSOR * stored)
    built = 0

    def count(*_: Any) -> None:
        nonlocal built
        built += 1
        if built > most:
            tensors = "" if stored is None else f", and {stored:,} tensors are stored"
            raise RequestError(
                f"{where}: config.json describes a model of more than {most:,} modules{tensors}; do the two belong "
                "together?"
            )

    hook = register_module_module_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()
