"""SmolLM2 as a model folder, made once from the wheel's GGUF and kept in `.cache/`."""

from pathlib import Path

import pytest

from kit.models import packaged_model


@pytest.fixture(scope="session")
def smollm2(request: pytest.FixtureRequest) -> Path:
    """Path of the folder; perf/ takes the same."""
    return packaged_model("smollm2-135m-instruct", request.config.rootpath / ".cache")
