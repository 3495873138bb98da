"""An HTTP server: ASGI types, functions for whole request and response bodies, and uvicorn (with httptools)."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final, TypeAlias

import uvicorn

from matinee.kit.problem import TooLarge

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
Header: TypeAlias = tuple[bytes, bytes]

# Longer than our clients keep an idle connection, so that the server never closes one that a client is about to use.
_KEEP_ALIVE_S: Final = 75
# Where a server that listens on every interface is reached from this machine.
_LOOPBACK: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # compared, not bound


class ClientDisconnected(Exception):
    """The client disconnected before its request was read."""


async def read_body(scope: Scope, receive: Receive, limit_bytes: int) -> bytes:
    """Read a request's body. Raises TooLarge before reading more than the limit, and ClientDisconnected."""
    for name, value in scope["headers"]:
        if name == b"content-length" and int(value) > limit_bytes:
            raise TooLarge(limit_bytes=limit_bytes)
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientDisconnected
        body += message.get("body", b"")
        if len(body) > limit_bytes:
            raise TooLarge(limit_bytes=limit_bytes)
        if not message.get("more_body"):
            return bytes(body)


async def send_response(send: Send, status: int, body: bytes, headers: Iterable[Header]) -> None:
    """Send a complete response."""
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})


def listen(host: str, port: int) -> socket.socket:
    """Listen on an address of this machine, or on all. Raises OSError for one that is taken or does not exist."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=1024, dualstack_ipv6=host == "::")


def address_of(listener: socket.socket) -> str:
    """Return the `host:port` at which a listening socket is reached from this machine."""
    bound, port = listener.getsockname()[:2]
    host = _LOOPBACK.get(bound, bound)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Server:
    """A listening server. Use as `async with Server(app, host=…, port=…) as server:`. It installs no signal handlers.

    Port 0 takes a free port; `address` has it. Leaving the block stops listening, waits up to `graceful_s` for
    requests in progress, and ends the app's lifespan.
    """

    def __init__(
        self,
        app: App,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        listener: socket.socket | None = None,
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
            date_header=False,  # the proxy adds it
            proxy_headers=False,
            backlog=1024,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=graceful_s,
            ssl_certfile=certificate,
            ssl_keyfile=private_key,
        )
        self._host, self._port = host, port
        self._given_listener = listener
        self._server = _Uvicorn(self._config)

    @property
    def address(self) -> str:
        """The URL (`http://host:port`) at which this machine reaches the server."""
        return f"{'https' if self._config.is_ssl else 'http'}://{address_of(self._listener)}"

    @property
    def port(self) -> int:
        """The port the server listens on."""
        return int(self._listener.getsockname()[1])

    async def __aenter__(self) -> Server:
        self._listener = self._given_listener or listen(self._host, self._port)
        self._serving = asyncio.create_task(self._server.serve(sockets=[self._listener]))
        await self._server.startup_done.wait()
        if self._serving.done() or not self._server.started:
            self._listener.close()
            await self._serving
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.stopping.set()
        await self._serving


class _Uvicorn(uvicorn.Server):
    """uvicorn's server without signal handlers; the end of its startup can be awaited."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.startup_done = asyncio.Event()
        self.stopping = asyncio.Event()

    async def main_loop(self) -> None:
        """Wait until the server is stopped. uvicorn's own loop wakes ten times a second, for what is not used here."""
        await self.on_tick(0)
        await self.stopping.wait()
        self.should_exit = True

    def capture_signals(self) -> contextlib.AbstractContextManager[None]:  # type: ignore[override]  # a generator there
        return contextlib.nullcontext()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit as error:  # uvicorn would end the whole process
            raise RuntimeError("the application did not start; its log has the reason") from error
        finally:
            self.startup_done.set()
