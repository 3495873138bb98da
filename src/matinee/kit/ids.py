"""Typed, prefixed, time-ordered ids: `<prefix>_` and a UUIDv7 (RFC 9562 §5.7) in 26 base-32 characters."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Callable
from datetime import datetime
from string import ascii_lowercase, ascii_uppercase, digits
from typing import Any, NewType, TypeVar

from matinee.kit.clock import to_ms

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
}

# Crockford's alphabet in lower case: sorts as the number does, and no letter is mistaken for a digit.
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
# Python's own base 32 counts on to v; what is not ours is turned into something it refuses.
_TO_PYTHON = str.maketrans(_ALPHABET + "ilou" + ascii_uppercase, digits + ascii_lowercase[:22] + "!" * 30)
_SHIFTS = range(120, -10, -10)
_PAIRS = [a + b for a in _ALPHABET for b in _ALPHABET]


def uuid7(now: datetime, entropy: bytes) -> uuid.UUID:
    """A version 7 UUID for an instant; `entropy` is 10 random bytes."""
    value = to_ms(now) << 80 | int.from_bytes(entropy[:10], "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return uuid.UUID(int=value)


def generate(kind: Callable[[str], T], now: datetime) -> T:
    """A fresh id of a kind, ordered by `now`: `generate(TitleId, clock.now())` → `tit_06…`."""
    return kind(f"{PREFIXES[kind]}_{encode(uuid7(now, os.urandom(10)))}")


def derive(kind: Callable[[str], T], *parts: str) -> T:
    """The same id for the same parts, always: what makes a repeated step find its own earlier work (UUIDv8)."""
    digest = hashlib.sha256("\x1f".join(parts).encode()).digest()
    value = int.from_bytes(digest[:16], "big") & ~(0xF << 76) | 0x8 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return kind(f"{PREFIXES[kind]}_{encode(uuid.UUID(int=value))}")


def encode(value: uuid.UUID) -> str:
    """26 letters of Crockford's base 32, lower case; sorts as the UUID does."""
    number = value.int
    return "".join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])


def decode(text: str) -> uuid.UUID:
    """The UUID inside an id (with or without its prefix). Raises ValueError when it is none."""
    letters = text.rpartition("_")[2]
    try:
        if len(letters) == 26 and letters.isascii() and letters.isalnum():
            return uuid.UUID(int=int(letters.translate(_TO_PYTHON), 32))
    except ValueError:
        pass
    raise ValueError(f"not an id: {text[:64]!r}")
