"""The program of a worker process: calls functions as requests arrive, until its parent ends."""

from __future__ import annotations

import os
import pickle
import signal
import struct
import sys
import threading
import traceback
from queue import SimpleQueue
from typing import BinaryIO, Final, NamedTuple

from matinee.kit import context

HEADER: Final = struct.Struct("!Q")


class Failure(NamedTuple):
    """The reply for a function that raised: its exception, and the traceback as text."""

    error: BaseException
    trace: str


def pack(message: object) -> bytes:
    """Return a message as its size and its pickle."""
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return HEADER.pack(len(data)) + data


def run_worker(requests: BinaryIO, replies: BinaryIO) -> None:
    """Reply to requests, each in the context of its caller."""
    received: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_read_requests, args=(requests, received), daemon=True).start()
    path, initialise = pickle.loads(received.get())  # noqa: S301  # written by our parent
    sys.path[:] = path
    if initialise is not None:
        initialise()
    while True:
        replies.write(_answer(received.get()))
        replies.flush()


def _read_requests(requests: BinaryIO, received: SimpleQueue[bytes]) -> None:
    """Read requests; exit when the parent has ended, also in the middle of a function."""
    while len(header := requests.read(HEADER.size)) == HEADER.size:
        received.put(requests.read(HEADER.unpack(header)[0]))
    os._exit(0)


def _answer(request: bytes) -> bytes:
    try:
        caller, function, args = pickle.loads(request)  # noqa: S301  # written by our parent
        with context.activate(caller):
            return pack(function(*args))
    except Exception as error:
        return pack(_to_failure(error))


def _to_failure(error: Exception) -> Failure:
    """Return an exception as a failure; one that cannot be pickled becomes a RuntimeError."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301  # pickled here
    except Exception:
        error = RuntimeError(repr(error))
    return Failure(error, traceback.format_exc())


def main() -> None:
    """Run a worker on standard input and output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a function prints is no reply
    run_worker(sys.stdin.buffer, replies)
