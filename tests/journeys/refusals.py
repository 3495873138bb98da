"""Checks of refusals: one line on the command line, a problem document from the API."""

import asyncio
import json
import re
import subprocess
from typing import Any

from tests.deployment import Viewer


def assert_refused(done: "subprocess.CompletedProcess[str]", why: str) -> None:
    """Check for exit status 1 and one line with the reason."""
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"matinee: {why}")


async def problem(
    at: Viewer, method: str, path: str, wanted: int | tuple[int, ...], body: Any = None, **rest: Any
) -> dict[str, Any]:
    """Make a call that must be refused and return its problem document."""
    url = path if path.startswith("http") else at.url + path
    headers = {**at.headers, **rest.pop("headers", {})}
    data = rest.pop("data", None if body is None else json.dumps(body).encode())
    if data is not None:
        headers.setdefault("Content-Type", "application/json")
    async with at.session.request(method, url, data=data, headers=headers, **rest) as answer:
        content = await answer.read()
        return check_problem(answer.status, answer.content_type, content, wanted)


def check_problem(status: int, kind: str, body: bytes, wanted: int | tuple[int, ...]) -> dict[str, Any]:
    """Check a problem document for its members, and for internals that must not be in it."""
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
    """Send a request with its path unchanged."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode())
    head, _, body = (await asyncio.wait_for(reader.read(1 << 20), 10)).partition(b"\r\n\r\n")
    body += await asyncio.wait_for(reader.read(), 10)
    writer.close()
    kind = re.search(rb"(?im)^content-type: *([^;\r\n]+)", head)
    if re.search(rb"(?im)^transfer-encoding: *chunked", head):
        body = join_chunks(body)
    return int(head.split(b" ", 2)[1]), kind[1].decode() if kind else "", body


def join_chunks(body: bytes) -> bytes:
    whole = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        whole, body = whole + body[: int(size, 16)], body[int(size, 16) + 2 :]
    return whole
