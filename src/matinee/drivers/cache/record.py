"""How a value lies in an engine: a head with its times, sealed together with its key, then the value's own bytes.

The seal is no secret. It tells a value that was cut, mixed up with another key's, or not written by us at all.
"""

from __future__ import annotations

import enum
import hashlib
import os
import struct
from collections.abc import Callable
from typing import Any

import msgspec

# Mark of this write, kind, version of the namespace, made at, fresh until, good until, lease until (epoch ms), seal.
_HEAD = struct.Struct(">8sBQQQQQ8s")
_SEAL_BYTES = 8


class Kind(enum.IntEnum):
    """What a record says: a value; that there is none; ask again; somebody loads it; too big to be kept."""

    VALUE = 1
    NONE = 2
    GONE = 3
    LEASE = 4
    BIG = 5


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One record; times in milliseconds since 1970."""

    kind: Kind
    version: int
    made_ms: int
    fresh_ms: int = 0
    good_ms: int = 0
    lease_ms: int = 0
    mark: bytes = b""
    body: bytes = b""


def pack(key: str, record: Record, fresh_mark: Callable[[int], bytes] = os.urandom) -> bytes:
    """A record's bytes, under a new mark."""
    times = (record.made_ms, record.fresh_ms, record.good_ms, record.lease_ms)
    head = _HEAD.pack(fresh_mark(8), record.kind, record.version, *times, bytes(_SEAL_BYTES))[:-_SEAL_BYTES]
    return head + _seal(key, head, record.body) + record.body


def unpack(key: str, held: bytes) -> Record | None:
    """The record in some bytes; None where they are not a record of this key."""
    if len(held) < _HEAD.size:
        return None
    mark, kind, version, made_ms, fresh_ms, good_ms, lease_ms, seal = _HEAD.unpack_from(held)
    body = held[_HEAD.size :]
    if seal != _seal(key, held[: _HEAD.size - _SEAL_BYTES], body):
        return None
    return Record(
        kind=Kind(kind),
        version=version,
        made_ms=made_ms,
        fresh_ms=fresh_ms,
        good_ms=good_ms,
        lease_ms=lease_ms,
        mark=mark,
        body=body,
    )


def _seal(key: str, head: bytes, body: bytes) -> bytes:
    name = key.encode()
    digest = hashlib.blake2b(len(name).to_bytes(4, "big") + name + head, digest_size=_SEAL_BYTES)
    digest.update(body)
    return digest.digest()


def encoding_of(kind: Any) -> str:
    """A short name for how a type is encoded: another one whenever a field, its type or its default changes."""
    schema = msgspec.json.encode(_bare(msgspec.json.schema(kind)), order="deterministic")
    return hashlib.blake2b(schema, digest_size=4).hexdigest()


def _bare(schema: Any) -> Any:
    """A schema without its prose."""
    if isinstance(schema, dict):
        prose = {"description", "title"}
        return {name: _bare(part) for name, part in schema.items() if name not in prose or not isinstance(part, str)}
    return [_bare(part) for part in schema] if isinstance(schema, list) else schema
