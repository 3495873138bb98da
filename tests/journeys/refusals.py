"""What whoever is refused must get: one line at the command line, a problem document at the API."""

import asyncio
import json
import re
import subprocess
from typing import Any

from tests.deployment import Viewer


def refused(done: "subprocess.CompletedProcess[str]", why: str) -> None:
    """Exit status 1, one line, and that line says why."""
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"matinee: {why}")


async def problem(
    at: Viewer, method: str, path: str, wanted: int | tuple[int, ...], body: Any = None, **rest: Any
) -> dict[str, Any]:
    """A call that is refused: a problem document with the right status that gives nothing away."""
    url = path if path.startswith("http") else at.url + path
    headers = {**at.headers, **rest.pop("headers", {})}
    data = rest.pop("data", None if body is None else json.dumps(body).encode())
    if data is not None:
        headers.setdefault("Content-Type", "application/json")
    async with at.session.request(method, url, data=data, headers=headers, **rest) as answer:
        said = await answer.read()
        return checked(answer.status, answer.content_type, said, wanted)


def checked(status: int, kind: str, body: bytes, wanted: int | tuple[int, ...]) -> dict[str, Any]:
    """A problem document as it must be."""
    assert status in (wanted if isinstance(wanted, tuple) else (wanted,)), body
    assert kind == "application/problem+json"
    document: dict[str, Any] = json.loads(body)
    assert document["type"].startswith("/problems/")
    assert document["title"]
    assert document["status"] == status
    leaked = [word for word in (b"Traceback", b".py", b"site-packages", b"/tmp", b"sqlite") if word in body]
    assert not leaked, body
    return document


async def raw(port: int, path: str) -> tuple[int, str, bytes]:
    """A request whose path nobody tidies on its way."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode())
    head, _, body = (await asyncio.wait_for(reader.read(1 << 20), 10)).partition(b"\r\n\r\n")
    body += await asyncio.wait_for(reader.read(), 10)
    writer.close()
    kind = re.search(rb"(?im)^content-type: *([^;\r\n]+)", head)
    if re.search(rb"(?im)^transfer-encoding: *chunked", head):
        body = unchunked(body)
    return int(head.split(b" ", 2)[1]), kind[1].decode() if kind else "", body


def unchunked(body: bytes) -> bytes:
    whole = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        whole, body = whole + body[: int(size, 16)], body[int(size, 16) + 2 :]
    return whole
