"""Writes that race for the same new row."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError, OperationalError

from matinee.drivers.sql import Database

T = TypeVar("T")
TRIES = 8
# MySQL and MariaDB: this transaction was chosen to end a deadlock, and is undone as a whole.
_DEADLOCK = 1213


async def contested(database: Database, transaction: Callable[[Connection], T]) -> T:
    """Write; again where somebody else's row came first or a deadlock undid it. The transaction looks before it adds.

    Raises what stopped the last of eight tries.
    """
    for _ in range(TRIES - 1):
        try:
            return await database.write(transaction)
        except (IntegrityError, OperationalError) as error:
            if isinstance(error, OperationalError) and not _is_deadlock(error):
                raise
    return await database.write(transaction)


def _is_deadlock(error: OperationalError) -> bool:
    return error.orig is not None and error.orig.args[:1] == (_DEADLOCK,)
