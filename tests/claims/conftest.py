"""A store of Table 1 that several files of tests look into."""

import pytest

from kit.claims import Judgement
from kit.report import Grid
from kit.store import Store
from tests.claims.filling import answered, judged


@pytest.fixture(scope="module")
def ahead(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Judgement], list[Grid], Store]:
    """Table 1, in which the small evolver's models are far ahead on all six bases."""
    return judged(tmp_path_factory.mktemp("ahead"), ["1"], answered(0.7, 0.4))
