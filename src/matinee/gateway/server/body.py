"""Reading of bodies: keys in JSON, the rate at which a body arrives, and clients that leave."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from litestar import Request

from matinee.drivers.asgi import Message, Receive
from matinee.gateway.api.problems import ClientLeft, DuplicateKey, Malformed, TooSlow


class BodyRate(msgspec.Struct, frozen=True, kw_only=True):
    """At least `least_bytes` have to arrive in `window_ms` of waiting: by default 500 bytes a second.

    Any line that can send a film is faster; an interruption of half a minute is not too long.
    """

    least_bytes: int = 30_000
    window_ms: int = 60_000


async def require_rate(pieces: AsyncIterator[bytes], rate: BodyRate) -> AsyncIterator[bytes]:
    """Yield the pieces of a body. Raises TooSlow. The time until the next piece is asked for does not count."""
    arrived_bytes, left_s = 0, rate.window_ms / 1000
    while True:
        started_s = time.monotonic()
        try:
            async with asyncio.timeout(left_s):
                piece = await anext(pieces, None)
        except TimeoutError:
            raise TooSlow from None
        if piece is None:
            return
        arrived_bytes, left_s = arrived_bytes + len(piece), left_s - (time.monotonic() - started_s)
        if arrived_bytes >= rate.least_bytes:
            arrived_bytes, left_s = 0, rate.window_ms / 1000
        yield piece


def notice_departure(receive: Receive) -> Receive:
    """Return a `receive` that raises ClientLeft if the client closes the connection before its body has arrived."""
    is_complete = False

    async def receive_body() -> Message:
        nonlocal is_complete
        message = await receive()
        if message["type"] == "http.disconnect" and not is_complete:
            raise ClientLeft
        is_complete = is_complete or not message.get("more_body", False)
        return message

    return receive_body


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
