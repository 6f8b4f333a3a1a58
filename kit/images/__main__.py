"""Run the command line of ``python -m kit.images``."""

import os
import sys

from kit.images import main

if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main())
