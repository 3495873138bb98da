"""The HTTP server of a process: its address, its socket, and the application it runs."""

from __future__ import annotations

import socket

import pytest

from matinee.drivers.asgi import Message, Receive, Scope, Send, Server, send_response
from matinee.drivers.http import ConnectionBroken, HttpClient


class Front:
    """An application that answers any path and records its lifespan."""

    def __init__(self, *, starts: bool = True) -> None:
        self.events: list[str] = []
        self._starts = starts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            await send_response(send, 200, f"front {scope['path']}".encode(), [])

    async def _live(self, receive: Receive, send: Send) -> None:
        while not self.events or self.events[-1] != "lifespan.shutdown":
            message: Message = await receive()
            self.events.append(message["type"])
            await send({"type": f"{message['type']}.{'complete' if self._starts else 'failed'}"})


async def test_an_application_is_started_and_stopped() -> None:
    front = Front()
    async with Server(front) as server, HttpClient() as http:
        assert (await http.request("GET", f"{server.address}/anything", timeout_s=5)).body == b"front /anything"
        assert front.events == ["lifespan.startup"]
    assert front.events == ["lifespan.startup", "lifespan.shutdown"]


async def test_an_application_that_fails_to_start() -> None:
    with pytest.raises(RuntimeError, match="did not start"):
        async with Server(Front(starts=False)):
            pass


async def test_a_port_in_use_is_an_error() -> None:
    async with Server(Front()) as server:
        with pytest.raises(OSError, match="in use"):
            async with Server(Front(), port=server.port):
                pass


async def test_a_given_socket_is_served() -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    async with Server(Front(), listener=listening) as server, HttpClient() as http:
        assert server.port == listening.getsockname()[1]
        assert (await http.request("GET", server.address + "/healthz", timeout_s=5)).status == 200


async def test_a_response_without_a_length_over_the_limit_is_not_read() -> None:
    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await Front()(scope, receive, send)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(100):
            await send({"type": "http.response.body", "body": b"x" * 1000, "more_body": True})
        return await send({"type": "http.response.body", "body": b""})

    async with Server(endless) as server:
        async with HttpClient() as http:
            assert len((await http.request("GET", server.address, timeout_s=5)).body) == 100_000
        async with HttpClient(max_response_bytes=5000) as http:
            with pytest.raises(ConnectionBroken, match="larger than 5000"):
                await http.request("GET", server.address, timeout_s=5)


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1"])
async def test_the_address_of_a_server_can_be_called(host: str) -> None:
    async with Server(Front(), host=host) as server:
        assert server.address == f"http://127.0.0.1:{server.port}"
