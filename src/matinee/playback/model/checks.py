"""Validation of what devices send."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from matinee.kit.ids import EdgeId
from matinee.kit.problem import Fault, Invalid
from matinee.playback.api import Capabilities, Heartbeat

_DAY_MS = 86_400_000
_NUMBER_LIMIT = 10**12
_LENGTH_LIMIT = 100
_COUNT_LIMIT = 32


def check_heartbeat(heartbeat: Heartbeat) -> None:
    """Raise Invalid for impossible values."""
    _raise(_list_heartbeat_faults(heartbeat))


def check_capabilities(capabilities: Capabilities) -> None:
    """Raise Invalid for too many or too long codec names."""
    _raise([*_check_names("video", capabilities.video), *_check_names("audio", capabilities.audio)])


def check_failed(failed: tuple[EdgeId, ...]) -> None:
    """Raise Invalid for too many or too long edge ids."""
    _raise(_check_names("failed", failed))


def _raise(faults: Iterable[Fault]) -> None:
    if found := list(faults):
        raise Invalid(faults=found)


def _list_heartbeat_faults(heartbeat: Heartbeat) -> Iterator[Fault]:
    for field in ("at", "sent_at"):
        if (time := getattr(heartbeat, field)) is not None and time.tzinfo is None:
            yield Fault(field, "a time needs a time zone: end it in `Z`")
    for field in ("playing_ms", "rebuffering_ms", "join_time_ms"):
        if not 0 <= (getattr(heartbeat, field) or 0) <= _DAY_MS:
            yield Fault(field, "this must be from 0 to a day")
    for field in ("position_ms", "rebuffer_count", "dropped_frames", "bandwidth_bps"):
        if not 0 <= (getattr(heartbeat, field) or 0) <= _NUMBER_LIMIT:
            yield Fault(field, "this is negative or too large")
    for field in ("rendition", "edge_id", "error_code"):
        if len(getattr(heartbeat, field) or "") > _LENGTH_LIMIT:
            yield Fault(field, f"this is longer than {_LENGTH_LIMIT} letters")


def _check_names(field: str, names: tuple[str, ...]) -> Iterator[Fault]:
    if len(names) > _COUNT_LIMIT or any(len(name) > _LENGTH_LIMIT for name in names):
        yield Fault(field, f"at most {_COUNT_LIMIT} of at most {_LENGTH_LIMIT} letters each")
