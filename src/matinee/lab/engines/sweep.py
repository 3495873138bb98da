"""End the engines of a folder, and drop it, when whoever started this process has ended, in whatever way.

It is started with a pipe as its standard input, which only that process holds open.
"""

import shutil
import signal
import sys
from pathlib import Path

from matinee.lab.engines.fleet import Fleet


def main(folder: Path) -> None:
    """Wait for the end of the input; then nothing of the folder is left."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one that holds the pipe
    sys.stdin.read()
    Fleet(folder).kill()
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
