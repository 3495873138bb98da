"""Conditional requests, RFC 9110 §13."""

from __future__ import annotations

from email.utils import formatdate, parsedate_to_datetime


def http_date(epoch_s: int) -> str:
    """Format a time for HTTP: `Sun, 06 Nov 1994 08:49:37 GMT`."""
    return formatdate(epoch_s, usegmt=True)


def is_current(if_none_match: str | None, if_modified_since: str | None, *, etag: str, modified_s: int) -> bool:
    """Return whether the client's copy is current (304). If-None-Match takes precedence.

    `etag` includes its quotes; `modified_s` is 0 if unknown.
    """
    if if_none_match is not None:
        tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
        return etag in tags or tags == ["*"]
    since_s = _parse_date(if_modified_since)
    return since_s is not None and 0 < modified_s <= since_s


def allows_range(if_range: str | None, *, etag: str, modified_s: int) -> bool:
    """Return whether If-Range permits a partial response, by strong comparison."""
    if if_range is None or if_range == etag:
        return True
    if if_range.startswith(('"', "W/")):
        return False
    return _parse_date(if_range) == modified_s


def _parse_date(date: str | None) -> int | None:
    if not date:
        return None
    try:
        return int(parsedate_to_datetime(date).timestamp())
    except (ValueError, OverflowError, TypeError):
        return None
