"""Stops the engines of a folder, and removes it, when the process that started this one has ended in any way.

That process gives it a pipe as standard input, and is the only one that has the other end open.
"""

import shutil
import signal
import sys
from pathlib import Path

from matinee.lab.engines.fleet import Fleet


def main(folder: Path) -> None:
    """Wait for the end of the input, then stop the engines and remove the folder."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one
    sys.stdin.read()
    Fleet(folder).kill()
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
