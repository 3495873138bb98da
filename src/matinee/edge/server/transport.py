"""A client's non-blocking socket, plain or with TLS. An operation that would block raises BlockingIOError."""

from __future__ import annotations

import os
import socket
import ssl
from typing import ClassVar, Protocol

_MORE = getattr(socket, "MSG_MORE", 0)
_SENDFILE_BYTES = 2 << 20
_TLS_BYTES = 128 << 10
_WOULD_BLOCK = (ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Transport(Protocol):
    """What a connection reads from and writes to. Every method may raise BlockingIOError."""

    @property
    def sock(self) -> socket.socket:
        """The socket."""

    buffers_input: ClassVar[bool]  # whether received bytes may be in a buffer, invisible to the event loop

    def handshake(self) -> None:
        """Perform the TLS handshake, if any."""

    def receive(self, limit: int) -> bytes:
        """Return received bytes; empty at the end of the stream."""

    def send(self, data: bytes | memoryview, *, more: bool) -> int:
        """Send bytes; return how many were sent. `more` announces that others follow immediately."""

    def send_file(self, fd: int, at: int, count: int) -> int:
        """Send bytes of a file; return how many were sent."""


class PlainTransport:
    """TCP, with files copied to the network by the kernel."""

    buffers_input: ClassVar[bool] = False

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
        return os.sendfile(self._fd, fd, at, min(count, _SENDFILE_BYTES))


class TlsTransport:
    """TLS over TCP."""

    buffers_input: ClassVar[bool] = True

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        self.sock: ssl.SSLSocket = context.wrap_socket(
            sock, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=True
        )

    def handshake(self) -> None:
        try:
            self.sock.do_handshake()
        except _WOULD_BLOCK as error:
            raise BlockingIOError from error

    def receive(self, limit: int) -> bytes:
        try:
            return self.sock.recv(limit)
        except _WOULD_BLOCK as error:
            raise BlockingIOError from error

    def send(self, data: bytes | memoryview, *, more: bool) -> int:
        try:
            return self.sock.send(data)
        except _WOULD_BLOCK as error:
            raise BlockingIOError from error

    def send_file(self, fd: int, at: int, count: int) -> int:
        # OpenSSL requires the same bytes again after a failed send; reading the file again returns them.
        return self.send(os.pread(fd, min(count, _TLS_BYTES), at), more=False)


def tls_context(cert: os.PathLike[str], key: os.PathLike[str]) -> ssl.SSLContext:
    """Create a TLS context: TLS 1.2 and later, HTTP/1.1 only."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(cert, key)
    context.set_alpn_protocols(["http/1.1"])
    return context
