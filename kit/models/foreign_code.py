"""Python code that comes with a model: named and refused, never run.

transformers and vLLM are told so by argument wherever they open a folder (``trust_remote_code=False``); what stands
here tells the user why before either is asked.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from kit.errors import RequestError
from kit.models.files import read_json, shown

SETTING = "auto_map"
"""The setting that names code to be run in place of transformers' own."""
FILES = (
    "config.json",
    "tokenizer_config.json",
    "generation_config.json",
    "processor_config.json",
    "preprocessor_config.json",
    "video_preprocessor_config.json",
    "adapter_config.json",
)
"""Files that may hold this setting."""
FOLDER = "custom_generate"
"""A folder whose ``generate.py`` is to take the place of transformers' own way to write a text."""


def check_no_code(model: Path) -> None:
    """Refuse a folder that asks for code of its own to be run.

    Files of code that nothing names (``*.py``) do no harm, and are not read.

    Raises:
        RequestError: a configuration has an ``auto_map``, or the folder has a ``custom_generate``.
    """
    for path in (model / name for name in FILES):
        settings = read_json(path) if path.is_file() else {}
        if SETTING in settings:
            raise RequestError(
                f"{path}: {SETTING} names code that comes with the model ({shown(settings[SETTING])}), and none is "
                f"run; {_cure(model)}"
            )
    if (model / FOLDER).exists():
        raise RequestError(
            f"{model / FOLDER}: code that comes with the model, and none is run; if the model writes texts without "
            "it, take it out of the folder"
        )


def _cure(model: Path) -> str:
    """Name the cure: nothing is lost where transformers has the architecture itself."""
    name = read_json(model / "config.json").get("model_type") if (model / "config.json").is_file() else None
    if name == "internlm2":
        return "rewrite the model with kit.models.internlm2_to_llama"
    known = _known(name)
    if known is None:
        return f"take {SETTING} out of the file if transformers has the architecture itself"
    if known:
        return f"take {SETTING} out of the file: transformers has the architecture {name!r} itself"
    return "take a version of the model that transformers knows"


def _known(name: Any) -> bool | None:
    """Return whether transformers has an architecture of this name; None where it is not installed."""
    if not find_spec("transformers"):
        return None
    from transformers import CONFIG_MAPPING

    return isinstance(name, str) and name in CONFIG_MAPPING
