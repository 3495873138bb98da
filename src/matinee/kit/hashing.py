"""Digests and signed path tokens."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any

import msgspec

_SAMPLES = 32
_SAMPLE_BYTES = 64 << 10
_EXPIRY = re.compile(r"[0-9a-f]{1,12}")


def sha256_hex(data: bytes) -> str:
    """Return the SHA-256 digest in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the SHA-256 digest of a file, which is read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint_file(path: Path) -> str:
    """Return a digest of a file's size and of samples of its content, which takes equally long for any size."""
    with path.open("rb") as file:
        size_bytes = file.seek(0, os.SEEK_END)
        digest = hashlib.sha256(b"%d|" % size_bytes)
        for number in range(_SAMPLES):
            file.seek(max(0, size_bytes - _SAMPLE_BYTES) * number // (_SAMPLES - 1))
            digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()


def digest_schema(kind: Any) -> str:
    """Return a short digest of a type's schema, which changes with any field, type or default, not with docstrings."""
    schema = msgspec.json.encode(_without_prose(msgspec.json.schema(kind)), order="deterministic")
    return hashlib.blake2b(schema, digest_size=4).hexdigest()


def _without_prose(schema: Any) -> Any:
    if isinstance(schema, dict):
        prose = {"description", "title"}
        return {
            name: _without_prose(part)
            for name, part in schema.items()
            if name not in prose or not isinstance(part, str)
        }
    return [_without_prose(part) for part in schema] if isinstance(schema, list) else schema


def mint_path_token(key: bytes, scope: str, expires_at_s: int) -> str:
    """Create a token that grants access to every path below `scope` until `expires_at_s`.

    Its form is `<expiry hex>-<HMAC-SHA256, 128 bits>`. It precedes the scope in the path (`/t/<token>/<scope>/…`), so
    that relative URLs in a manifest contain it.
    """
    return f"{expires_at_s:x}-{_sign(key, scope, f'{expires_at_s:x}')}"


def verify_path_token(key: bytes, scope: str, token: str, now_s: float) -> bool:
    """Return whether a token was minted with this key for this scope and has not expired. Never raises."""
    expiry, _, signature = token.partition("-")
    if not _EXPIRY.fullmatch(expiry):
        return False
    expected = _sign(key, scope, expiry).encode()
    return hmac.compare_digest(signature.encode(errors="replace"), expected) and int(expiry, 16) > now_s


def _sign(key: bytes, scope: str, expiry: str) -> str:
    digest = hmac.digest(key, f"{expiry}|{scope}".encode(errors="surrogatepass"), "sha256")
    return urlsafe_b64encode(digest[:16]).rstrip(b"=").decode()
