"""Conditional requests, RFC 9110 §13: what the client has already."""

from __future__ import annotations

from email.utils import formatdate, parsedate_to_datetime


def http_date(epoch_s: int) -> str:
    """An instant as HTTP writes it: `Sun, 06 Nov 1994 08:49:37 GMT`."""
    return formatdate(epoch_s, usegmt=True)


def is_current(if_none_match: str | None, if_modified_since: str | None, *, etag: str, modified_s: int) -> bool:
    """Whether the client's copy is good (304). The entity tag decides wherever one was sent.

    `etag` has its quotes; `modified_s` is 0 where it is not known.
    """
    if if_none_match is not None:
        tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
        return etag in tags or tags == ["*"]
    since_s = _seconds(if_modified_since)
    return since_s is not None and 0 < modified_s <= since_s


def is_range_good(if_range: str | None, *, etag: str, modified_s: int) -> bool:
    """Whether a range may be answered: the client's other parts are of this very file (strong comparison)."""
    if if_range is None or if_range == etag:
        return True
    if if_range.startswith(('"', "W/")):
        return False
    return _seconds(if_range) == modified_s


def _seconds(date: str | None) -> int | None:
    if not date:
        return None
    try:
        return int(parsedate_to_datetime(date).timestamp())
    except (ValueError, OverflowError, TypeError):
        return None
