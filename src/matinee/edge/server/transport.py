"""A client's non-blocking socket, plain or with TLS. An operation that would block raises one of `WOULD_BLOCK`."""

from __future__ import annotations

import os
import socket
import ssl

_MORE = getattr(socket, "MSG_MORE", 0)
_SENDFILE_BYTES = 2 << 20
_TLS_BYTES = 128 << 10
WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Transport:
    """TCP, with files copied to the network by the kernel. Every method may raise one of `WOULD_BLOCK`."""

    buffers_input = False  # whether received bytes may be in a buffer, invisible to the event loop

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._fd = sock.fileno()

    def handshake(self) -> None:
        """Perform the TLS handshake, if any."""

    def receive(self, limit: int) -> bytes:
        """Return received bytes; empty at the end of the stream."""
        return self.sock.recv(limit)

    def send(self, data: bytes | memoryview, *, more: bool) -> int:
        """Send bytes; return how many were sent. `more` announces that others follow immediately."""
        return self.sock.send(data, _MORE if more else 0)

    def send_file(self, fd: int, at: int, count: int) -> int:
        """Send bytes of a file; return how many were sent."""
        return os.sendfile(self._fd, fd, at, min(count, _SENDFILE_BYTES))


class TlsTransport(Transport):
    """TLS over TCP."""

    buffers_input = True

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        self._tls = context.wrap_socket(sock, True, do_handshake_on_connect=False)
        super().__init__(self._tls)

    def handshake(self) -> None:
        self._tls.do_handshake()

    def send(self, data: bytes | memoryview, *, more: bool) -> int:
        return self.sock.send(data)

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
