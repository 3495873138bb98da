"""A client's socket, plain or under TLS, never waiting: what would wait raises BlockingIOError."""

from __future__ import annotations

import os
import socket
import ssl
from typing import ClassVar, Protocol

_MORE = getattr(socket, "MSG_MORE", 0)
_FILE_BYTES = 2 << 20
_TLS_BYTES = 128 << 10


class Wire(Protocol):
    """What a connection reads from and writes to. Every method may raise BlockingIOError."""

    @property
    def sock(self) -> socket.socket:
        """The socket itself."""

    keeps_bytes: ClassVar[bool]  # whether bytes may have arrived that the loop cannot see

    def handshake(self) -> None:
        """Agree on keys, where there are any."""

    def receive(self, limit: int) -> bytes:
        """Bytes that have arrived; empty at the end."""

    def send(self, data: bytes | memoryview, *, more: bool) -> int:
        """Send bytes; tells how many. `more` promises that others follow at once."""

    def send_file(self, fd: int, at: int, count: int) -> int:
        """Send a file's bytes; tells how many."""


class PlainWire:
    """TCP; the kernel copies files to the network itself."""

    keeps_bytes: ClassVar[bool] = False

    def __init__(self, sock: socket.socket) -> None:
        self.sock: socket.socket = sock
        self._fd = sock.fileno()

    def handshake(self) -> None:
        return None

    def receive(self, limit: int) -> bytes:
        return self.sock.recv(limit)

    def send(self, data: bytes | memoryview, *, more: bool) -> int:
        return self.sock.send(data, _MORE if more else 0)

    def send_file(self, fd: int, at: int, count: int) -> int:
        return os.sendfile(self._fd, fd, at, min(count, _FILE_BYTES))


class TlsWire:
    """TLS over TCP."""

    keeps_bytes: ClassVar[bool] = True

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        self.sock: ssl.SSLSocket = context.wrap_socket(
            sock, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=True
        )

    def handshake(self) -> None:
        try:
            self.sock.do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as error:
            raise BlockingIOError from error

    def receive(self, limit: int) -> bytes:
        try:
            return self.sock.recv(limit)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as error:
            raise BlockingIOError from error

    def send(self, data: bytes | memoryview, *, more: bool) -> int:
        try:
            return self.sock.send(data)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as error:
            raise BlockingIOError from error

    def send_file(self, fd: int, at: int, count: int) -> int:
        # OpenSSL wants the very same bytes again after it could not send them: a file has them.
        return self.send(os.pread(fd, min(count, _TLS_BYTES), at), more=False)


def tls_context(cert: os.PathLike[str], key: os.PathLike[str]) -> ssl.SSLContext:
    """TLS 1.2 and later, HTTP/1.1 only."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(cert, key)
    context.set_alpn_protocols(["http/1.1"])
    return context
