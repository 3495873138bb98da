"""The problems of masters and disks, in one line each: what, where, and what to do."""

from __future__ import annotations

import errno

from matinee.encoding.api import AlreadyIngested, NoSpace, Unusable
from matinee.encoding.model.cues import InvalidSubtitles
from matinee.kit.disk import RESERVE_BYTES
from matinee.kit.ids import EpisodeId, TitleId

# The stored master, the chunks and the packaged asset together, at most.
_SPACE_PER_BYTE = 2.5
_SPARE_BYTES = 64 << 20
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


def make_unusable(file: str, stream: str, what: str, remedy: str) -> Unusable:
    """Make the problem of a file: which stream, what is wrong and what to do."""
    return Unusable(file=file, stream=stream, remedy=remedy, detail=f"{file}: {stream}: {what}. {remedy}")


def make_unusable_subtitles(file: str, error: InvalidSubtitles) -> Unusable:
    """Make the problem of a file of subtitles."""
    if error.line is None:
        return make_unusable(file, "subtitles", error.what, "Use a file with the subtitles of this film.")
    remedy = "Correct that line and submit the file again."
    return make_unusable(file, f"subtitles, line {error.line}", error.what, remedy)


def make_already_ingested(file: str, title_id: TitleId, episode_id: EpisodeId | None, name: str) -> AlreadyIngested:
    """Make the problem of a file of which a title was made: which title, and what to do."""
    detail = f"{file} is already “{name}” ({episode_id or title_id}). To make another title of it, use `--again`."
    return AlreadyIngested(file=file, title_id=title_id, episode_id=episode_id, name=name, detail=detail)


def make_no_space(what: str, needed_bytes: int = 0, free_bytes: int = 0) -> NoSpace:
    """Make the problem of a full disk; 0 bytes needed means that the need is unknown.

    `free_bytes` is what may be used: the disk's free space less the reserve.
    """
    free_bytes = max(0, free_bytes)
    numbers = f"{needed_bytes / 1e6:,.0f} MB needed, {free_bytes / 1e6:,.0f} MB may be used"
    reserve = f"{RESERVE_BYTES / 1e6:,.0f} MB stay free for sign-in and playback"
    need = f" ({numbers}; {reserve})" if needed_bytes else ""
    detail = f"{what}{need}: free some space."
    return NoSpace(needed_bytes=needed_bytes, free_bytes=free_bytes, detail=detail)


def check_space(size_bytes: int, free_bytes: int | None) -> None:
    """Raise NoSpace where a master of this size and all that is made of it do not fit."""
    needed = round(size_bytes * _SPACE_PER_BYTE) + _SPARE_BYTES
    if free_bytes is not None and free_bytes < needed:
        raise make_no_space("There is not enough space for the film", needed, free_bytes)
