"""What the errors of MariaDB, MySQL and SQLite mean."""

from __future__ import annotations

import msgspec
from sqlalchemy import exc

from matinee.drivers.engine import EngineReadOnly, EngineUnavailable, StoreFull
from matinee.kit.problem import Problem

# MariaDB's and MySQL's numbers. Chosen to end a deadlock, or waited too long for a lock, or the row has changed since
# the snapshot was taken (Galera says a conflict of two nodes as a deadlock, too): the transaction is undone as a whole.
UNDONE = {1213, 1205, 1020}
# The connection is gone: killed, shut down, not to be reached, or out of step.
LOST = {1053, 1077, 1158, 1159, 1160, 1161, 1184, 1927, 2003, 2006, 2013, 2014, 2045, 2055, 4031}
# There, and not to be used now: too many connections, resources, not yet in its cluster, a statement cut off.
BUSY = {1037, 1040, 1041, 1047, 1203, 1226, 1317, 1637, 1969, 3024}
# There, and not for us: whoever set it up must look.
REFUSED = {1044, 1045, 1049, 1130, 1698, 4151}
READ_ONLY = {1290, 1792, 1836}
FULL = {3, 28, 1021, 1026, 1114}


class Fault(msgspec.Struct, frozen=True):
    """One error: its number, whether the connection is lost or the transaction undone, and what callers are told.

    `problem` is None for what is the adapter's own to know: a row that is there already, a bug.
    """

    code: int
    problem: Problem | None = None
    lost: bool = False
    undone: bool = False


def fault_of(error: exc.DBAPIError, engine: str) -> Fault:
    """What an error of MariaDB or MySQL means."""
    code, text = _code(error), _text(error)
    said = f"{engine}: {text.rstrip('.')}"
    if is_lost(error):
        return Fault(code, EngineUnavailable(engine=engine, detail=f"{said}. Nothing was changed."), lost=True)
    if code in UNDONE:
        return Fault(code, EngineUnavailable(engine=engine, detail=f"{said}. Nothing was changed."), undone=True)
    if code in FULL or "errno: 28" in text or "No space left" in text:
        return Fault(code, StoreFull(detail=f"The disk of {engine} is full: free some room, then try again."))
    if code in READ_ONLY:
        return Fault(code, EngineReadOnly(engine=engine, detail=f"{said}."))
    if code in BUSY | REFUSED:
        return Fault(code, EngineUnavailable(engine=engine, detail=f"{said}."))
    return Fault(code)


def is_lost(error: BaseException) -> bool:
    """Whether the connection is gone with this error."""
    return isinstance(error, exc.DBAPIError) and (error.connection_invalidated or _code(error) in LOST)


def sqlite_problem(error: exc.OperationalError, engine: str) -> Problem | None:
    """What an error of SQLite means to a caller; None for what is a bug."""
    text = str(error.orig)
    if "disk is full" in text or "disk I/O" in text:
        return StoreFull(detail="The disk is full: free some room, then try again.")
    if "readonly database" in text:
        return EngineReadOnly(engine=engine, detail=f"{engine}: {text}.")
    if "locked" in text or "unable to open" in text:
        return EngineUnavailable(engine=engine, detail=f"{engine}: {text}. Nothing was changed.")
    return None


def _code(error: exc.DBAPIError) -> int:
    arguments = getattr(error.orig, "args", ())
    return arguments[0] if arguments and isinstance(arguments[0], int) else 0


def _text(error: exc.DBAPIError) -> str:
    """What the engine said, without its number."""
    arguments = getattr(error.orig, "args", ())
    return str(arguments[-1]) if arguments else str(error.orig)
