"""Digests and signed path tokens."""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import urlsafe_b64encode
from pathlib import Path

_EXPIRY = re.compile(r"[0-9a-f]{1,12}")


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
    """Whether a token was minted with this key for this scope and is still good. Never raises, whatever it is given."""
    expiry, _, signature = token.partition("-")
    if not _EXPIRY.fullmatch(expiry):
        return False
    good = hmac.compare_digest(signature.encode(errors="replace"), _signature(key, scope, expiry).encode())
    return good and int(expiry, 16) > now_s


def _signature(key: bytes, scope: str, expiry: str) -> str:
    digest = hmac.digest(key, f"{expiry}|{scope}".encode(errors="surrogatepass"), "sha256")
    return urlsafe_b64encode(digest[:16]).rstrip(b"=").decode()
