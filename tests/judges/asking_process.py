"""A process that asks a server some questions, to be killed while it does.

    python asking_process.py URL REPLIES COUNT BUDGET

It prints the texts of the replies as JSON, or the error.
"""

import json
import sys
from pathlib import Path

from kit.errors import KitError
from kit.judges.pacing import Clock
from kit.judges.server import ask
from tests.judges.conftest import GREEDY, requests, settings


def main(url: str, replies: str, count: str, budget: str) -> None:
    texts = [f"q{number}" for number in range(int(count))]
    server = settings(url, in_flight=3, budget_tokens=int(budget), partial=True)
    try:
        found = ask(requests(*texts), GREEDY, server, Path(replies), lambda *_: None, clock=Clock(speed=1000.0))
        print(json.dumps([reply.text for reply in found]))
    except KitError as error:
        print(json.dumps(str(error)))


if __name__ == "__main__":
    main(*sys.argv[1:])
