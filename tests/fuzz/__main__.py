"""A long session, or one case again.

python -m tests.fuzz --minutes 10 --seed 7           all targets in turns
python -m tests.fuzz --target stores --cases 500     so many cases of one, whatever time they take
python -m tests.fuzz --replay FILE                   a failing case, as it was written down
"""

import argparse
import json
import sys
import time
from pathlib import Path
from random import SystemRandom

from tests.fuzz.session import Session
from tests.fuzz.watching import Worker
from tests.fuzz.worker import TARGETS


def main() -> int:
    """Run the session; 1 if a case showed a fault."""
    parser = argparse.ArgumentParser(prog="nox -s fuzz --", description="Hostile texts, stores, manifests and models")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, help="the same seed, the same cases in the same order")
    parser.add_argument("--target", choices=TARGETS, action="append", help="all, unless some are named")
    parser.add_argument("--cases", type=int, help="so many of each target, in place of minutes")
    parser.add_argument("--replay", type=Path, help="run this one case again")
    options = parser.parse_args()
    names = options.target or list(TARGETS)
    with Worker() as worker:
        session = Session(worker)
        if options.replay:
            kept = json.loads(options.replay.read_text(encoding="utf-8"))
            print(json.dumps(session.run(kept["target"], {"case": kept["case"]}), indent=1))
            return bool(session.failures)
        seed = SystemRandom().randrange(10**6) if options.seed is None else options.seed
        print(f"seed {seed}: nox -s fuzz -- --seed {seed}", flush=True)
        try:
            session.corpus(names)
            if options.cases:
                for name in names:
                    session.some(name, options.cases, seed)
            else:
                session.until(time.monotonic() + 60 * options.minutes, seed, names)
        except KeyboardInterrupt:
            print("stopped by Ctrl-C")
        for line in session.summary():
            print(line)
    return bool(session.failures)


if __name__ == "__main__":
    sys.exit(main())
