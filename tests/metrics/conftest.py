"""The tiny model folder of the scoring tests, for metrics that open one."""

from pathlib import Path

import pytest

from tests.tiny_model import save


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a Llama of two layers with random weights and one token a byte."""
    folder = tmp_path_factory.mktemp("metrics") / "model"
    save(folder)
    return folder
