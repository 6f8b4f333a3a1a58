"""Requests, servers and a fast clock for the tests of judges on servers."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from kit.catalogue.served import Served
from kit.engines import Request, Sampling
from kit.judges.pacing import Clock
from kit.judges.server import Reply, ServerSettings, ask
from kit.records import Turn
from tests.judges.serving import Server

KEY = "sk-test-0123456789abcdef"
GREEDY = Sampling(max_tokens=20)
TEXTS = ("one", "two", "three")
Asking = Callable[..., list[Reply]]
"""Type of the fixture ``asking``."""


def requests(*texts: str) -> list[Request]:
    return [
        Request(id=f"r{place}", turns=(Turn(role="user", content=text),), seed=place)
        for place, text in enumerate(texts)
    ]


def settings(url: str, **fields: Any) -> ServerSettings:
    return ServerSettings(name="mine", entry=Served(**{"model": "m", "base_url": url, "timeout_s": 20.0} | fields))


@pytest.fixture
def replies(tmp_path: Path) -> Path:
    return tmp_path / "replies"


@pytest.fixture
def asking(replies: Path) -> Asking:
    """Ask a server some texts, with a clock on which waits take a thousandth of their time."""

    def run(server: Server, texts: Sequence[str], **fields: Any) -> list[Reply]:
        environment = {"TEST_KEY": KEY}
        return ask(
            requests(*texts),
            GREEDY,
            settings(server.url, **fields),
            replies,
            lambda *_: None,
            clock=Clock(speed=1000.0),
            environment=environment,
        )

    return run
