"""A slow link between a browser and servers: a SOCKS5 proxy whose connections share one rate."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import struct
from types import TracebackType

# A turn of a connection on the link.
_TURN_S = 0.01
_SMALLEST_TURN, _LARGEST_TURN = 1_400, 65_536
# What a connection may have on its way, in turns.
_QUEUE = 64
_NO_AUTHENTICATION = b"\x05\x00"
_CONNECTED = b"\x05\x00\x00\x01" + bytes(6)
_UNREACHABLE = b"\x05\x04\x00\x01" + bytes(6)
_DOMAIN = 3
_ADDRESS_BYTES = {1: 4, 4: 16}


class Link:
    """A link with a rate in bits per second and a round-trip time, both of which may change at any time.

    `client_ip` is a loopback address that the servers take for the client's.
    """

    def __init__(self, *, rate_bps: float, round_trip_s: float = 0.0, client_ip: str = "127.0.0.1") -> None:
        self.rate_bps, self.round_trip_s, self.client_ip = rate_bps, round_trip_s, client_ip
        self.received_bytes = 0
        self._free_at_s = 0.0
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """The proxy's URL for a browser, which must also be told to use it for loopback addresses."""
        assert self._server
        return f"socks5://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Link:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.create_task(self._connect(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError, asyncio.IncompleteReadError):
            host, port = await _negotiate(reader, writer)
            await asyncio.sleep(self.round_trip_s)
            try:
                server_reader, server_writer = await asyncio.open_connection(
                    host, port, local_addr=(self.client_ip, 0), limit=_LARGEST_TURN
                )
            except OSError:
                writer.write(_UNREACHABLE)
                return
            writer.write(_CONNECTED)
            with contextlib.closing(server_writer):
                await self._relay_both(reader, writer, server_reader, server_writer)

    async def _relay_both(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        server_reader: asyncio.StreamReader,
        server_writer: asyncio.StreamWriter,
    ) -> None:
        """Relay until one side closes: an aborted request is no load on the link."""
        directions = [
            asyncio.create_task(self._relay(reader, server_writer, is_limited=False)),
            asyncio.create_task(self._relay(server_reader, writer, is_limited=True)),
        ]
        try:
            await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for direction in directions:
                direction.cancel()
            await asyncio.gather(*directions, return_exceptions=True)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_limited: bool) -> None:
        on_the_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_QUEUE)
        delivery = asyncio.create_task(_deliver(on_the_way, writer))
        try:
            while data := await reader.read(self._choose_turn()):
                if is_limited:
                    await self._transmit(len(data))
                await on_the_way.put((_now_s() + self.round_trip_s / 2, data))
            await on_the_way.put((_now_s() + self.round_trip_s / 2, b""))
            await delivery
        finally:
            delivery.cancel()

    def _choose_turn(self) -> int:
        return min(max(int(self.rate_bps / 8 * _TURN_S), _SMALLEST_TURN), _LARGEST_TURN)

    async def _transmit(self, size_bytes: int) -> None:
        """Wait until the link has carried so many bytes after those of the other connections."""
        self._free_at_s = max(self._free_at_s, _now_s()) + size_bytes * 8 / self.rate_bps
        self.received_bytes += size_bytes
        await asyncio.sleep(self._free_at_s - _now_s())


async def _negotiate(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[str, int]:
    """Answer the browser's greeting and return where it wants to connect."""
    _, methods = await reader.readexactly(2)
    await reader.readexactly(methods)
    writer.write(_NO_AUTHENTICATION)
    *_, kind = await reader.readexactly(4)
    if kind == _DOMAIN:
        host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
    else:
        host = str(ipaddress.ip_address(await reader.readexactly(_ADDRESS_BYTES[kind])))
    (port,) = struct.unpack("!H", await reader.readexactly(2))
    return host, port


async def _deliver(on_the_way: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
    while True:
        at_s, data = await on_the_way.get()
        await asyncio.sleep(at_s - _now_s())
        if not data:
            return
        writer.write(data)
        await writer.drain()


def _now_s() -> float:
    return asyncio.get_running_loop().time()
