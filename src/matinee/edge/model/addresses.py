"""From a request's path to an object's key, letting nothing through that could mean another place."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

import msgspec

# A segment is plain: no percent sign, no backslash, no control character, and no dot at its beginning. So there is
# nothing to decode, nothing to normalise, and no way up.
_SEGMENT = "[A-Za-z0-9_~+=,@-][A-Za-z0-9._~+=,@-]*"
_SIGNED = re.compile(rf"/t/([A-Za-z0-9_-]+)/((assets/{_SEGMENT})(?:/{_SEGMENT})+)")
_ART = re.compile(rf"/(art(?:/{_SEGMENT})+)")
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
    """An object's key and, where it takes one, the token in the path and the scope it must open."""

    key: str
    token: str = ""
    scope: str = ""


def parse_address(target: str) -> ObjectAddress | None:
    """The address in a request target (its query is not looked at); None where it can be none of ours."""
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
    """The media type by the key's ending; bytes of no known kind otherwise."""
    return CONTENT_TYPES.get(PurePosixPath(key).suffix.lower(), "application/octet-stream")
