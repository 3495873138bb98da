"""Run a program that does not use the lifeline, with a child process that watches the lifeline for it.

The program replaces this process and keeps its pid. The child stays in the process group: it kills the group when the
supervisor dies, and is killed with the group when the program ends. It imports few modules, to need little memory.
"""

import contextlib
import os
import signal
import socket
import sys

LIFELINE = "MATINEE_LIFELINE"


def main(command: list[str]) -> None:
    """Replace this process by the command; first start the child, if there is a lifeline in the environment."""
    number = os.environ.pop(LIFELINE, "")
    if number:
        lifeline = socket.socket(fileno=int(number))
        if os.fork() == 0:
            _watch(lifeline)
        lifeline.close()
    os.execvp(command[0], command)  # noqa: S606  # the command is the supervisor's own


def _watch(lifeline: socket.socket) -> None:
    with contextlib.suppress(OSError):
        lifeline.recv(1)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1:])
