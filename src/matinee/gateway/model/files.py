"""Names of uploaded files."""

from __future__ import annotations

import base64
import contextlib
import unicodedata
from pathlib import PurePosixPath

_NAME_BYTES = 200


def parse_metadata(header: str) -> dict[str, str]:
    """Parse tus `Upload-Metadata`: keys with base64 values, separated by commas. Invalid pairs are skipped."""
    found = {}
    for pair in header.split(","):
        key, _, value = pair.strip().partition(" ")
        with contextlib.suppress(ValueError):  # not base64, or not UTF-8
            found[key] = base64.b64decode(value, validate=True).decode()
    found.pop("", None)
    return found


def sanitize_file_name(name: str) -> str:
    """Turn a name from a client into a file name: no folders, no control characters, no leading dot."""
    last = PurePosixPath(name.replace("\\", "/")).name
    clean = "".join(letter for letter in last if unicodedata.category(letter)[0] != "C").strip().lstrip(".")
    stem, suffix = PurePosixPath(clean or "upload").stem, PurePosixPath(clean).suffix[:16]
    limit = _NAME_BYTES - len(suffix.encode())
    return stem.encode()[:limit].decode(errors="ignore") + suffix
