"""The limit of requests in progress: beyond it they are refused, so that those that are accepted are answered in time.

What a viewer waits for is refused last: without a licence there is no film, but a heartbeat is repeated by the player,
and the report of a search may be lost.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from matinee.drivers.asgi import Scope
from matinee.gateway.model.proxy import API
from matinee.kit.problem import Overloaded, Problem

_RETRY_AFTER_MS = 2_000
# What stands between a viewer and the picture: sessions, their links, manifests, licences, the tokens for all of these.
_PLAY = re.compile(rf"{API}/(playback(/[^/]+/(renew|manifest/.*))?|licences/.*|auth/refresh)")
_REPORT = re.compile(rf"{API}/(playback/[^/]+/(heartbeat|beacon/.*)|search/reports)")
# How many of the limit may be in progress when a request of a kind is accepted.
_PLAY_SHARE, _OTHER_SHARE, _REPORT_SHARE = 1.0, 0.75, 0.5


class LoadLimit:
    """Counts the requests in progress."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._in_progress = 0

    def find_refusal(self, scope: Scope) -> Problem | None:
        """Return the problem of a request for which there are too many in progress."""
        if self._in_progress < self._limit * _choose_share(scope["path"]):
            return None
        return Overloaded(retry_after_ms=_RETRY_AFTER_MS)

    @contextlib.contextmanager
    def count(self) -> Iterator[None]:
        """Count a request while the context is open."""
        self._in_progress += 1
        try:
            yield
        finally:
            self._in_progress -= 1


def _choose_share(path: str) -> float:
    if _PLAY.fullmatch(path):
        return _PLAY_SHARE
    return _REPORT_SHARE if _REPORT.fullmatch(path) else _OTHER_SHARE
