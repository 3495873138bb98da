"""Digests and signed path tokens."""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64encode
from pathlib import Path


def sha256_hex(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def mint_path_token(key: bytes, scope: str, expires_at_s: int) -> str:
    """A token that opens every path below `scope` until `expires_at_s`: `<expiry hex>-<HMAC-SHA256, 128 bits>`.

    It stands in the path before the scope (`/t/<token>/<scope>/…`), so that relative URLs in a manifest carry it.
    """
    return f"{expires_at_s:x}-{_signature(key, scope, f'{expires_at_s:x}')}"


def verify_path_token(key: bytes, scope: str, token: str, now_s: float) -> bool:
    """Whether a token was minted with this key for this scope and is still good."""
    expiry, dash, signature = token.partition("-")
    if (
        not dash
        or len(expiry) > 12
        or not hmac.compare_digest(signature.encode(), _signature(key, scope, expiry).encode())
    ):
        return False
    return int(expiry, 16) > now_s


def _signature(key: bytes, scope: str, expiry: str) -> str:
    digest = hmac.digest(key, f"{expiry}|{scope}".encode(), "sha256")
    return urlsafe_b64encode(digest[:16]).rstrip(b"=").decode()
