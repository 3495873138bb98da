"""What an upload is called."""

from __future__ import annotations

import base64
import contextlib
import unicodedata
from pathlib import PurePosixPath

_NAME_BYTES = 200


def metadata(header: str) -> dict[str, str]:
    """tus `Upload-Metadata`: keys with base64 values, by commas. What cannot be read is left out."""
    found = {}
    for pair in header.split(","):
        key, _, value = pair.strip().partition(" ")
        with contextlib.suppress(ValueError):  # no base64, or no text in it
            found[key] = base64.b64decode(value, validate=True).decode()
    found.pop("", None)
    return found


def file_name(said: str) -> str:
    """A name as a client says it, made fit to be a file's: no folders, no control characters, no dot in front."""
    last = PurePosixPath(said.replace("\\", "/")).name
    clean = "".join(letter for letter in last if unicodedata.category(letter)[0] != "C").strip().lstrip(".")
    stem, suffix = PurePosixPath(clean or "upload").stem, PurePosixPath(clean).suffix[:16]
    while len((stem + suffix).encode()) > _NAME_BYTES:
        stem = stem[:-1]
    return stem + suffix
