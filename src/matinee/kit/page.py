"""Pages of long lists, and the opaque cursors that continue them."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime
from typing import Generic, TypeVar

import msgspec

from matinee.kit.clock import from_ms, to_ms
from matinee.kit.problem import Fault, Invalid

T = TypeVar("T")
_POSITION = msgspec.json.Decoder(tuple[int, list[str]])
_LATEST_MS = 253_402_300_799_999  # the last millisecond of the year 9999


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One page of items; `next_cursor` is the opaque cursor of the next page, None on the last one."""

    items: list[T]
    next_cursor: str | None = None


def make_cursor(at: datetime, *ids: str) -> str:
    """Make the cursor that continues a list, which is ordered by time and ids, after a position."""
    return urlsafe_b64encode(msgspec.json.encode((to_ms(at), ids))).rstrip(b"=").decode()


def parse_cursor(cursor: str, id_count: int) -> tuple[datetime, list[str]]:
    """Return the time and the ids in a cursor. Raises Invalid for anything that `make_cursor` does not return."""
    try:
        if len(cursor) > 300:
            raise ValueError
        at_ms, ids = _POSITION.decode(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if not 0 <= at_ms <= _LATEST_MS or len(ids) != id_count:
            raise ValueError
    except ValueError as error:
        message = "this is not a cursor of this list: start again without a cursor"
        raise Invalid(faults=[Fault("cursor", message)]) from error
    return from_ms(at_ms), ids
