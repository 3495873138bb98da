"""Refusals in one line: what, where, and what to do."""

from __future__ import annotations

from matinee.encoding.api import NoSpace, Unusable


def make_unusable(file: str, stream: str, what: str, remedy: str) -> Unusable:
    """A file that cannot be used: which stream of it, what is wrong and what to do."""
    return Unusable(file=file, stream=stream, remedy=remedy, detail=f"{file}: {stream}: {what}. {remedy}")


def make_no_space(what: str, needed_bytes: int, free_bytes: int) -> NoSpace:
    """A full disk; 0 bytes needed means that the need is not known."""
    need = f" ({needed_bytes / 1e6:,.0f} MB needed, {free_bytes / 1e6:,.0f} MB free)" if needed_bytes else ""
    detail = f"{what}{need}: free some room, then retry the job."
    return NoSpace(needed_bytes=needed_bytes, free_bytes=free_bytes, detail=detail)


# What is written in the course of a job: the stored master, the chunks, the packaged asset, at the very most.
_ROOM = 2.5
_SPARE_BYTES = 64 << 20


def room_needed(size_bytes: int) -> int:
    """The room that must be free before a master of this size is taken in."""
    return round(size_bytes * _ROOM) + _SPARE_BYTES
