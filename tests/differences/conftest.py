"""The command ``kit`` in an empty folder: exit code, standard output and error."""

import pytest

from tests.conftest import Kit


@pytest.fixture
def kit(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> Kit:
    """Run the command line on a terminal that breaks no line; of an error the message alone."""
    monkeypatch.setenv("COLUMNS", "1000")

    def call(*words: str) -> tuple[int, str, str]:
        code, out, err = kit(*words)
        return code, out, err.removeprefix("error: ").strip()

    return call
