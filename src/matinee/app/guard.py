"""Run a program that knows nothing of lifelines, with somebody beside it who watches the lifeline in its stead.

The program takes this process's place and keeps its number; the watcher stays in its process group, is swept with it
when it ends, and ends the group when the supervisor dies. It imports next to nothing, so it costs next to nothing.
"""

import contextlib
import os
import signal
import socket
import sys

LIFELINE = "MATINEE_LIFELINE"


def main(command: list[str]) -> None:
    """Become the command. Without a lifeline in the environment nobody watches."""
    number = os.environ.pop(LIFELINE, "")
    if number:
        lifeline = socket.socket(fileno=int(number))
        if os.fork() == 0:
            _watch(lifeline)
        lifeline.close()
    os.execvp(command[0], command)  # noqa: S606  # this process is to become that program


def _watch(lifeline: socket.socket) -> None:
    with contextlib.suppress(OSError):
        lifeline.recv(1)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1:])
