"""Turn the errors of transformers, tokenizers and vLLM over a folder into one sentence that names it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from kit.errors import KitError, RequestError
from kit.models.templates import plain

_logger = logging.getLogger(__name__)


@contextmanager
def opening(where: str, *, request: bool = True) -> Iterator[None]:
    """Turn whatever a library raises into an error of the kit's; its own trace goes into the log.

    Args:
        where: what could not be done, and on which folder: the start of the sentence.
        request: whether the folder must be at fault; else the machine may be (memory, a GPU).

    Raises:
        RequestError: the library raised something, or :class:`KitError` where the machine may be at fault.
    """
    try:
        yield
    except (KitError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # a panic of tokenizers' Rust is no Exception
        _logger.info("%s", where, exc_info=True)
        kind = RequestError if request else KitError
        raise kind(f"{where}: {one_line(error)}") from error


def one_line(error: BaseException) -> str:
    """Return an error's text in one line, with its kind where the text alone says little."""
    text = plain(str(error), 1_000)
    return text if len(text) > 20 else f"{type(error).__name__}: {text}"
