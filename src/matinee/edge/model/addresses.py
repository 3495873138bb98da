"""Maps request paths to object keys. Only plain paths are accepted, so a path cannot escape its folder."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

import msgspec

# Segments contain no percent sign, backslash or control character and do not begin with a dot: there is nothing to
# decode or to normalise.
SEGMENT = "[A-Za-z0-9_~+=,@-][A-Za-z0-9._~+=,@-]*"
_SIGNED = re.compile(rf"/t/([A-Za-z0-9_-]+)/((assets/{SEGMENT})(?:/{SEGMENT})+)")
_ART = re.compile(rf"/(art(?:/{SEGMENT})+)")
KEY_LIMIT = 512
_PATH_LIMIT = 1024

CONTENT_TYPES = {
    ".mp4": "video/mp4",
    ".m4s": "video/iso.segment",
    ".m4v": "video/mp4",
    ".m4a": "audio/mp4",
    ".vtt": "text/vtt; charset=utf-8",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".png": "image/png",
    ".avif": "image/avif",
    ".svg": "image/svg+xml",
    ".mpd": "application/dash+xml",
    ".m3u8": "application/vnd.apple.mpegurl",
    ".json": "application/json",
}


class ObjectAddress(msgspec.Struct, frozen=True):
    """An object's key and, if it needs a token, the token from the path and the scope that it must be valid for."""

    key: str
    token: str = ""
    scope: str = ""


def parse_address(target: str) -> ObjectAddress | None:
    """Parse a request target, ignoring its query; None if it is not an address of an edge."""
    path = target.partition("?")[0]
    if len(path) > _PATH_LIMIT:
        return None
    if found := _SIGNED.fullmatch(path):
        token, key, scope = found.groups()
        return ObjectAddress(key, token, scope) if len(key) <= KEY_LIMIT else None
    if found := _ART.fullmatch(path):
        return ObjectAddress(f"public/{found[1]}") if len(found[1]) <= KEY_LIMIT else None
    return None


def content_type(key: str) -> str:
    """Return the media type for a key's suffix, `application/octet-stream` if unknown."""
    return CONTENT_TYPES.get(PurePosixPath(key).suffix.lower(), "application/octet-stream")
