"""A command of the kit that waits until it is interrupted; see test_cli."""

import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from kit import cli


@cli.app.command()
def wait() -> None:
    """Print that it has begun, and wait."""
    sys.stdout.write("begun\n")
    sys.stdout.flush()
    sys.stdin.read()  # until the test closes it, or is gone


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background is started deaf to it
    sys.argv = ["kit", "wait"]
    cli.main()
