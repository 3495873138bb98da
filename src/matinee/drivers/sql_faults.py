"""The errors of MariaDB, MySQL and SQLite as problems."""

from __future__ import annotations

import msgspec
from sqlalchemy import exc

from matinee.drivers.engine import EngineReadOnly, EngineUnavailable, StoreFull
from matinee.kit.problem import Problem

# Error numbers of MariaDB and MySQL. The transaction was rolled back: a deadlock (which includes a conflict of two
# Galera nodes), a lock wait timeout, a row changed since the snapshot.
UNDONE = {1213, 1205, 1020}
# The connection is lost: killed, shut down, unreachable or out of step.
LOST = {1053, 1077, 1158, 1159, 1160, 1161, 1184, 1927, 2003, 2006, 2013, 2014, 2045, 2055, 4031}
# Temporarily not usable: too many connections, out of resources, not yet in its cluster, an interrupted statement.
BUSY = {1037, 1040, 1041, 1047, 1203, 1226, 1317, 1637, 1969, 3024}
# Access denied, by the server's configuration.
REFUSED = {1044, 1045, 1049, 1130, 1698, 4151}
READ_ONLY = {1290, 1792, 1836}
FULL = {3, 28, 1021, 1026, 1114}


class Fault(msgspec.Struct, frozen=True):
    """An error: its number, the problem for callers, and whether the connection is lost or the transaction rolled back.

    `problem` is None for an error that the adapter handles itself, such as a duplicate key, and for a bug.
    """

    code: int
    problem: Problem | None = None
    lost: bool = False
    undone: bool = False


def to_fault(error: exc.DBAPIError, engine: str) -> Fault:
    """Classify an error of MariaDB or MySQL."""
    arguments = getattr(error.orig, "args", ())
    code = arguments[0] if arguments and isinstance(arguments[0], int) else 0
    text = str(arguments[-1]) if arguments else str(error.orig)
    detail = f"{engine}: {text.rstrip('.')}."
    lost, undone = error.connection_invalidated or code in LOST, code in UNDONE
    if lost or undone:
        problem = EngineUnavailable(engine=engine, detail=f"{detail} Nothing was changed.")
        return Fault(code, problem, lost=lost, undone=undone and not lost)
    if code in FULL or "errno: 28" in text or "No space left" in text:
        return Fault(code, StoreFull(detail=f"The disk of {engine} is full: free some space, then try again."))
    if code in READ_ONLY:
        return Fault(code, EngineReadOnly(engine=engine, detail=detail))
    if code in BUSY | REFUSED:
        return Fault(code, EngineUnavailable(engine=engine, detail=detail))
    return Fault(code)


def to_sqlite_problem(error: exc.OperationalError, engine: str) -> Problem | None:
    """Return the problem behind an error of SQLite; None for a bug."""
    text = str(error.orig)
    if "disk is full" in text or "disk I/O" in text:
        return StoreFull(detail="The disk is full: free some space, then try again.")
    if "readonly database" in text:
        return EngineReadOnly(engine=engine, detail=f"{engine}: {text}.")
    if "locked" in text or "unable to open" in text:
        return EngineUnavailable(engine=engine, detail=f"{engine}: {text}. Nothing was changed.")
    return None
