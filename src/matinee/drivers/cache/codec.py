"""The stored form of a cache entry: a header with its times and a checksum, then the encoded value.

The checksum covers the key. It detects bytes that were truncated, changed or stored under another key.
"""

from __future__ import annotations

import enum
import hashlib
import os
import struct
from typing import Any

import msgspec

# Write id, kind, created at, fresh until, expires at, lease until (milliseconds since 1970), checksum.
_HEADER = struct.Struct(">8sBQQQQ8s")
_CHECKSUM_BYTES = 8
_FORMAT = b"2"


class EntryKind(enum.IntEnum):
    """What an entry means."""

    VALUE = 1
    ABSENT = 2
    INVALIDATED = 3
    LEASE = 4
    TOO_LARGE = 5


class CacheEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry; times in milliseconds since 1970. Each write has its own random `write_id`."""

    kind: EntryKind
    created_ms: int
    fresh_until_ms: int = 0
    expires_ms: int = 0
    lease_until_ms: int = 0
    write_id: bytes = b""
    body: bytes = b""


def encode_entry(key: str, entry: CacheEntry) -> bytes:
    """Encode an entry for a new write."""
    times = (entry.created_ms, entry.fresh_until_ms, entry.expires_ms, entry.lease_until_ms)
    header = _HEADER.pack(os.urandom(8), entry.kind, *times, bytes(_CHECKSUM_BYTES))[:-_CHECKSUM_BYTES]
    return header + _compute_checksum(key, header, entry.body) + entry.body


def decode_entry(key: str, data: bytes) -> CacheEntry | None:
    """Decode an entry; None if the bytes are no entry of this key."""
    if len(data) < _HEADER.size:
        return None
    write_id, kind, created_ms, fresh_until_ms, expires_ms, lease_until_ms, checksum = _HEADER.unpack_from(data)
    body = data[_HEADER.size :]
    if checksum != _compute_checksum(key, data[: _HEADER.size - _CHECKSUM_BYTES], body):
        return None
    return CacheEntry(
        kind=EntryKind(kind),
        created_ms=created_ms,
        fresh_until_ms=fresh_until_ms,
        expires_ms=expires_ms,
        lease_until_ms=lease_until_ms,
        write_id=write_id,
        body=body,
    )


def _compute_checksum(key: str, header: bytes, body: bytes) -> bytes:
    name = key.encode()
    digest = hashlib.blake2b(len(name).to_bytes(4, "big") + name + header, digest_size=_CHECKSUM_BYTES)
    digest.update(body)
    return digest.digest()


def schema_digest(kind: Any) -> str:
    """Return a short name of a type's encoding, which changes with any field, type or default."""
    schema = msgspec.json.encode(_without_prose(msgspec.json.schema(kind)), order="deterministic")
    return hashlib.blake2b(schema, digest_size=4, person=_FORMAT).hexdigest()


def _without_prose(schema: Any) -> Any:
    if isinstance(schema, dict):
        prose = {"description", "title"}
        return {
            name: _without_prose(part)
            for name, part in schema.items()
            if name not in prose or not isinstance(part, str)
        }
    return [_without_prose(part) for part in schema] if isinstance(schema, list) else schema
