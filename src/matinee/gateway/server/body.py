"""Reading of JSON bodies."""

from __future__ import annotations

import json
from typing import Any

from litestar import Request

from matinee.gateway.api.problems import DuplicateKey, Malformed


class JsonRequest(Request[Any, Any, Any]):
    """A request whose JSON body is refused if an object in it has a key twice.

    Decoders differ in which of the two values they take (RFC 8259 §4), so a proxy or a log may show another one than
    is used.
    """

    async def json(self) -> Any:
        value = await super().json()
        if isinstance(value, dict | list):
            check_keys(await self.body())
        return value


def check_keys(body: bytes) -> None:
    """Raise DuplicateKey if an object in a JSON document has a key twice."""
    try:
        _decode(body.decode())
    except ValueError as error:  # a number with thousands of digits
        raise Malformed from error


def _check_pairs(pairs: list[tuple[str, object]]) -> None:
    if len(dict(pairs)) == len(pairs):
        return
    known: set[str] = set()
    for name, _ in pairs:
        if name in known:
            raise DuplicateKey(key=name[:64])
        known.add(name)


_decode = json.JSONDecoder(object_pairs_hook=_check_pairs).decode
