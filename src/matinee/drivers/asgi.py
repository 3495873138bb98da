"""HTTP in: ASGI's types, whole bodies in and out, and a server by uvicorn (uvloop where it runs, httptools)."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final, TypeAlias, TypeVar

import uvicorn

from matinee.kit.problem import TooLarge

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
Header: TypeAlias = tuple[bytes, bytes]

# Longer than our clients keep one, so that it is they who close an idle connection.
_KEEP_ALIVE_S: Final = 75
# Who listens everywhere is called here.
_LOOPBACK: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # looked up, not bound to

B = TypeVar("B", bytes, bytearray)


class Gone(Exception):
    """The client went away before its request was read."""


async def read_body(scope: Scope, receive: Receive, limit_bytes: int) -> bytes:
    """The whole body. Raises TooLarge, as soon as that is known, and Gone."""
    for name, value in scope["headers"]:
        if name == b"content-length" and int(value) > limit_bytes:
            raise TooLarge(limit_bytes=limit_bytes)
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        return _within(bytes(message.get("body", b"")), limit_bytes)
    body = bytearray()
    while message["type"] == "http.request":
        body += message.get("body", b"")
        _within(body, limit_bytes)
        if not message.get("more_body"):
            return bytes(body)
        message = await receive()
    raise Gone


def _within(body: B, limit_bytes: int) -> B:
    if len(body) > limit_bytes:
        raise TooLarge(limit_bytes=limit_bytes)
    return body


async def respond(send: Send, status: int, body: bytes, headers: Iterable[Header]) -> None:
    """Send a whole answer."""
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})


def called_at(listening: socket.socket) -> str:
    """The `host:port` at which a listening socket can be called from this machine."""
    bound, port = listening.getsockname()[:2]
    host = _LOOPBACK.get(bound, bound)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Server:
    """One listening server. Use as `async with Server(app, host=…, port=…) as server:`; it leaves signals alone.

    `port` 0 takes a free one, told by `address`. Leaving the block stops listening, waits up to
    `graceful_s` for requests under way, and ends the app's lifespan.
    """

    def __init__(
        self,
        app: App,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        listening: socket.socket | None = None,
        graceful_s: int = 10,
        certificate: str | None = None,
        private_key: str | None = None,
    ) -> None:
        self._config = uvicorn.Config(
            app,
            loop="none",
            http="httptools",
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=1024,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=graceful_s,
            ssl_certfile=certificate,
            ssl_keyfile=private_key,
        )
        self._host, self._port = host, port
        self._given = listening
        self._server = _Quiet(self._config)

    @property
    def address(self) -> str:
        """`http://host:port` as it can be called from this machine."""
        return f"{'https' if self._config.is_ssl else 'http'}://{called_at(self._socket)}"

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self._socket.getsockname()[1])

    async def __aenter__(self) -> Server:
        self._socket = self._given or _listening(self._host, self._port)
        self._running = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        await self._server.up.wait()
        if self._running.done() or not self._server.started:
            self._socket.close()
            await self._running
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.should_exit = True
        await self._running


class _Quiet(uvicorn.Server):
    """uvicorn's server, with signals left to whoever runs the process and a start that can be waited for."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    def capture_signals(self) -> contextlib.AbstractContextManager[None]:  # type: ignore[override]  # a generator there
        return contextlib.nullcontext()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit as error:  # uvicorn would end the process, which is not ours to do
            raise RuntimeError("the application did not start; its log says why") from error
        finally:
            self.up.set()


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=1024)
