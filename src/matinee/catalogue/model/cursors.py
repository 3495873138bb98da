"""Opaque cursors: a position in a list ordered by time and id, newest first."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime

import msgspec

from matinee.kit.clock import from_ms, to_ms
from matinee.kit.ids import TitleId
from matinee.kit.problem import Fault, Invalid

_POSITION = msgspec.json.Decoder(tuple[int, str])
_LATEST_MS = 253_402_300_799_999  # the last millisecond of the year 9999


def make_cursor(at: datetime, title_id: TitleId) -> str:
    """Make the cursor that continues a list after a title."""
    return urlsafe_b64encode(msgspec.json.encode((to_ms(at), title_id))).rstrip(b"=").decode()


def parse_cursor(cursor: str | None) -> tuple[datetime, TitleId] | None:
    """Parse a cursor. Raises Invalid for anything that `make_cursor` does not return."""
    if cursor is None:
        return None
    try:
        if len(cursor) > 200:
            raise ValueError
        at_ms, title_id = _POSITION.decode(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if not 0 <= at_ms <= _LATEST_MS:
            raise ValueError
    except ValueError as error:
        raise Invalid(
            faults=[Fault("cursor", "this is not a cursor of this list: start again without a cursor")]
        ) from error
    return from_ms(at_ms), TitleId(title_id)
