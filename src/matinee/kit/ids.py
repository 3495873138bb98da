"""Typed, prefixed, time-ordered ids: `<prefix>_` and a UUIDv7 (RFC 9562 §5.7) in 26 base-32 characters."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Callable
from datetime import datetime
from string import ascii_lowercase, ascii_uppercase, digits
from typing import Any, NewType, TypeVar

from matinee.kit.clock import from_ms, to_ms

T = TypeVar("T")

AccountId = NewType("AccountId", str)
ProfileId = NewType("ProfileId", str)
DeviceId = NewType("DeviceId", str)
SignInId = NewType("SignInId", str)
TitleId = NewType("TitleId", str)
EpisodeId = NewType("EpisodeId", str)
PersonId = NewType("PersonId", str)
AssetId = NewType("AssetId", str)
JobId = NewType("JobId", str)
UploadId = NewType("UploadId", str)
PlaySessionId = NewType("PlaySessionId", str)
EdgeId = NewType("EdgeId", str)
FactId = NewType("FactId", str)
InstanceId = NewType("InstanceId", str)
TraceId = NewType("TraceId", str)
AuditEntryId = NewType("AuditEntryId", str)

PREFIXES: dict[Callable[[str], Any], str] = {
    AccountId: "acc",
    ProfileId: "pro",
    DeviceId: "dev",
    SignInId: "sin",
    TitleId: "tit",
    EpisodeId: "epi",
    PersonId: "per",
    AssetId: "ast",
    JobId: "job",
    UploadId: "upl",
    PlaySessionId: "pls",
    EdgeId: "edg",
    FactId: "fct",
    InstanceId: "ins",
    TraceId: "trc",
    AuditEntryId: "aud",
}

# Crockford's alphabet in lower case: sorts like the number, and no letter looks like a digit.
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
# Digits of `int(…, 32)` are 0-9a-v; letters outside of our alphabet are mapped to a character that it refuses.
_TO_PYTHON = str.maketrans(_ALPHABET + "ilou" + ascii_uppercase, digits + ascii_lowercase[:22] + "!" * 30)
_SHIFTS = range(120, -10, -10)
_PAIRS = [a + b for a in _ALPHABET for b in _ALPHABET]


def uuid7(now: datetime, entropy: bytes) -> uuid.UUID:
    """Build a version 7 UUID for a time; `entropy` is 10 random bytes."""
    return _build_uuid(to_ms(now) << 80 | int.from_bytes(entropy[:10], "big"), version=7)


def generate(kind: Callable[[str], T], now: datetime) -> T:
    """Generate a new id that sorts by `now`: `generate(TitleId, clock.now())` → `tit_06…`."""
    return kind(f"{PREFIXES[kind]}_{encode(uuid7(now, os.urandom(10)))}")


def derive(kind: Callable[[str], T], *parts: str) -> T:
    """Derive an id from parts (UUIDv8). The same parts always give the same id, so a repeated step finds its result."""
    digest = hashlib.sha256("\x1f".join(parts).encode()).digest()
    value = _build_uuid(int.from_bytes(digest[:16], "big"), version=8)
    return kind(f"{PREFIXES[kind]}_{encode(value)}")


def read_time(text: str) -> datetime | None:
    """Return when a generated id was made, or None for a derived id and anything else."""
    try:
        value = decode(text)
    except ValueError:
        return None
    return from_ms(value.int >> 80) if value.version == 7 else None


def _build_uuid(value: int, *, version: int) -> uuid.UUID:
    """Set the version and variant bits of RFC 9562."""
    value = value & ~(0xF << 76) | version << 76
    return uuid.UUID(int=value & ~(0x3 << 62) | 0x2 << 62)


def encode(value: uuid.UUID) -> str:
    """Encode a UUID in 26 characters of Crockford's base 32, in lower case, which sort like the UUID."""
    number = value.int
    return "".join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])


def decode(text: str) -> uuid.UUID:
    """Return the UUID of an id, with or without its prefix. Raises ValueError for anything else."""
    letters = text.rpartition("_")[2]
    try:
        if len(letters) == 26 and letters.isascii() and letters.isalnum():
            return uuid.UUID(int=int(letters.translate(_TO_PYTHON), 32))
    except ValueError:
        pass
    raise ValueError(f"not an id: {text[:64]!r}")
