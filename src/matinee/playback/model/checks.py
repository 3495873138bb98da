"""What a device may say, checked before anything is counted or kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from matinee.kit.ids import EdgeId
from matinee.kit.problem import Fault, Invalid
from matinee.playback.api import Capabilities, Heartbeat

_DAY_MS = 86_400_000
_FIGURE_LIMIT = 10**12
_WORD_LIMIT = 100
_LIST_LIMIT = 32


def check_heartbeat(heartbeat: Heartbeat) -> None:
    """Raises Invalid for figures that cannot be."""
    _raise(_heartbeat_faults(heartbeat))


def check_capabilities(capabilities: Capabilities) -> None:
    """Raises Invalid for what no device says of itself."""
    _raise([*_words("video", capabilities.video), *_words("audio", capabilities.audio)])


def check_failed(failed: tuple[EdgeId, ...]) -> None:
    """Raises Invalid for more edges than there can be in a manifest, or names that are none."""
    _raise(_words("failed", failed))


def _raise(faults: Iterable[Fault]) -> None:
    if found := list(faults):
        raise Invalid(faults=found)


def _heartbeat_faults(heartbeat: Heartbeat) -> Iterator[Fault]:
    if heartbeat.at.tzinfo is None:
        yield Fault("at", "a time says its zone: end it in `Z`")
    for field in ("playing_ms", "rebuffering_ms", "join_time_ms"):
        if not 0 <= (getattr(heartbeat, field) or 0) <= _DAY_MS:
            yield Fault(field, "this is from 0 to a day")
    for field in ("position_ms", "rebuffer_count", "dropped_frames", "bandwidth_bps"):
        if not 0 <= (getattr(heartbeat, field) or 0) <= _FIGURE_LIMIT:
            yield Fault(field, "this is below 0, or absurdly large")
    for field in ("rendition", "edge_id", "error_code"):
        if len(getattr(heartbeat, field) or "") > _WORD_LIMIT:
            yield Fault(field, f"this is longer than {_WORD_LIMIT} letters")


def _words(place: str, words: tuple[str, ...]) -> Iterator[Fault]:
    if len(words) > _LIST_LIMIT or any(len(word) > _WORD_LIMIT for word in words):
        yield Fault(place, f"at most {_LIST_LIMIT} of at most {_WORD_LIMIT} letters each")
