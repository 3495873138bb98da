"""Uploads whose client leaves or sends hardly anything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import CapturingLogger
from tests.deployment import eventually
from tests.unit.gateway_rig import Deployment, Viewer, run_gateway
from tests.unit.test_gateway_operator import PIECE, TUS, begin_upload
from yarl import URL

from matinee.gateway.server import errors, middleware
from matinee.gateway.server.body import BodyRate, require_rate

SIZE = 1000


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Deployment]:
    async with run_gateway(tmp_path, upload_rate=BodyRate(least_bytes=50, window_ms=400)) as running:
        yield running


async def connect(
    sender: Viewer, method: str, path: str, *, size: int = SIZE, **more: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Send the head of a request with a body of that size."""
    url = URL(sender.deployment.url)
    assert url.host
    reader, writer = await asyncio.open_connection(url.host, url.port)
    sent = {"Host": "localhost", "Content-Length": str(size), **sender.headers}
    sent |= {name.replace("_", "-"): value for name, value in more.items()}
    head = [f"{method} /api/v1{path} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items()), "", ""]
    writer.write("\r\n".join(head).encode())
    return reader, writer


async def begin(operator: Viewer, size: int = SIZE) -> str:
    return str((await begin_upload(operator, size)).headers["Location"]).removeprefix("/api/v1")


async def read_offset(operator: Viewer, where: str) -> int:
    return int((await operator.call("HEAD", where, **TUS)).headers["Upload-Offset"])


async def send_slowly(operator: Viewer, where: str, piece: bytes) -> int:
    """Send a piece every tenth of a second until the server answers; return the status."""
    reader, writer = await connect(operator, "PATCH", where, Upload_Offset="0", **PIECE)
    answer = asyncio.create_task(reader.readline())
    for _ in range(SIZE // len(piece)):
        writer.write(piece)
        await asyncio.wait([answer], timeout=0.1)
        if answer.done():
            break
    status = int((await answer).split()[1])
    writer.close()
    return status


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> CapturingLogger:
    """What the gateway logs. The modules' own loggers may already hold the processors of an earlier test."""
    logger = CapturingLogger()
    for module in (errors, middleware):
        monkeypatch.setattr(module, "_log", logger)
    return logger


async def wait_for_departure(log: CapturingLogger, method: str, path: str) -> None:
    """Wait until a request is logged as one whose client left, and check that none is logged as failed."""

    def is_logged() -> bool:
        found = [call.kwargs for call in log.calls if call.args == ("request.answered",)]
        return (method, 499) in [(one["method"], one["status"]) for one in found if path in one["route"]]

    await eventually(is_logged)
    assert "request.failed" not in [call.args[0] for call in log.calls]


async def test_client_that_leaves_is_no_error_of_the_server(gateway: Deployment, log: CapturingLogger) -> None:
    operator = await gateway.viewer(operator=True)
    size, part = 3 << 20, 1 << 20
    where = await begin(operator, size)
    _, writer = await connect(operator, "PATCH", where, size=size, Upload_Offset="0", **PIECE)
    writer.write(b"x" * (part + 1000))

    async def is_stored() -> bool:
        return await read_offset(operator, where) >= part

    await eventually(is_stored)
    writer.close()
    await wait_for_departure(log, "PATCH", "/operator/uploads")
    offset = await read_offset(operator, where)
    assert offset >= part
    rest = await operator.call("PATCH", where, b"y" * (size - offset), Upload_Offset=str(offset), **PIECE)
    assert (rest.status, rest.headers["Upload-Offset"]) == (204, str(size))


async def test_client_that_leaves_any_other_route_is_no_error_either(gateway: Deployment, log: CapturingLogger) -> None:
    viewer = await gateway.viewer()
    for method, path in (("POST", "/auth/sign-in"), ("POST", "/playback"), ("POST", "/operator/ingest")):
        sender = await gateway.viewer(operator=True) if "operator" in path else viewer
        _, writer = await connect(sender, method, path, Content_Type="application/json")
        writer.write(b'{"email": "')
        writer.close()
        await wait_for_departure(log, method, path)


async def test_upload_that_hardly_arrives_is_ended(gateway: Deployment) -> None:
    operator = await gateway.viewer(operator=True)
    slow, steady = await begin(operator), await begin(operator)
    assert await send_slowly(operator, slow, b"x") == 408
    assert 0 < await read_offset(operator, slow) < 50
    assert await send_slowly(operator, steady, b"x" * 40) == 204
    assert await read_offset(operator, steady) == SIZE


async def test_only_the_time_spent_waiting_for_the_client_counts() -> None:
    async def arrive() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x"

    received = b""
    async for piece in require_rate(arrive(), BodyRate(least_bytes=50, window_ms=400)):
        received += piece
        await asyncio.sleep(0.5)  # a slow store
    assert received == b"xxx"
