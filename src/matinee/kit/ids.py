"""Typed, prefixed, time-ordered ids: `<prefix>_` and a UUIDv7 (RFC 9562 §5.7) in 26 base-32 characters."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Callable
from datetime import datetime
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
_VALUES = {letter: value for value, letter in enumerate(_ALPHABET)}


def uuid7(now: datetime, entropy: bytes) -> uuid.UUID:
    """A version 7 UUID for an instant; `entropy` is 10 random bytes."""
    value = to_ms(now) << 80 | int.from_bytes(entropy[:10], "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return uuid.UUID(int=value)


def new(kind: Callable[[str], T], now: datetime) -> T:
    """A fresh id of a kind, ordered by `now`: `new(TitleId, clock.now())` → `tit_06…`."""
    return kind(f"{PREFIXES[kind]}_{encode(uuid7(now, os.urandom(10)))}")


def derived(kind: Callable[[str], T], *parts: str) -> T:
    """The same id for the same parts, always: what makes a repeated step find its own earlier work (UUIDv8)."""
    digest = hashlib.sha256("\x1f".join(parts).encode()).digest()
    value = int.from_bytes(digest[:16], "big") & ~(0xF << 76) | 0x8 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return kind(f"{PREFIXES[kind]}_{encode(uuid.UUID(int=value))}")


def encode(value: uuid.UUID) -> str:
    """26 letters of Crockford's base 32, lower case; sorts as the UUID does."""
    number = value.int
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -5, -5))


def decode(text: str) -> uuid.UUID:
    """The UUID inside an id (with or without its prefix). Raises ValueError when it is none."""
    letters = text.rpartition("_")[2]
    if len(letters) != 26 or any(letter not in _VALUES for letter in letters):
        raise ValueError(f"not an id: {text[:64]!r}")
    number = 0
    for letter in letters:
        number = number << 5 | _VALUES[letter]
    return uuid.UUID(int=number)
