"""Supervised programs: lines, deadlines, cancellation, and no survivor."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from matinee.drivers.process import ToolFailed, run

# It tells its number long before a deadline of a second or two: Python would not, on a machine that is busy.
SLEEPER = ["sh", "-c", "echo $$; exec sleep 60"]


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits to be reaped does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z")


async def gone(pid: int) -> None:
    """Wait until a process has ended."""
    while alive(pid):  # noqa: ASYNC110  # nobody tells us of another's child
        await asyncio.sleep(0.02)


async def test_lines_are_heard_as_they_come_and_the_tail_is_told() -> None:
    heard: list[str] = []
    code = "import sys; print('a'); print('b \\xe9'); print('oops', file=sys.stderr)"
    tail = await run([sys.executable, "-c", code], deadline_s=30, on_line=heard.append)
    assert heard == ["a", "b \xe9"]
    assert tail == ["oops"]


async def test_a_bad_end_tells_the_status_and_the_last_lines() -> None:
    code = "import sys; sys.exit('No space left on device')"
    with pytest.raises(ToolFailed, match="No space") as failed:
        await run([sys.executable, "-c", code], deadline_s=30)
    assert failed.value.status == 1
    assert failed.value.disk_full


async def test_a_deadline_ends_it() -> None:
    pids: list[str] = []
    with pytest.raises(ToolFailed, match="exceeded its deadline"):
        await run(SLEEPER, deadline_s=1.5, on_line=pids.append)
    assert pids
    await gone(int(pids[0]))


async def test_cancelling_ends_it() -> None:
    pid: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(run(SLEEPER, deadline_s=60, nice=5, on_line=lambda line: pid.set_result(int(line))))
    child = await pid
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await gone(child)


async def test_it_does_not_outlive_a_parent_that_is_killed() -> None:
    if sys.platform != "linux":  # elsewhere whoever kills the process group sees to it
        return
    parent = (
        "import asyncio,sys; from matinee.drivers.process import run;"
        f"asyncio.run(run({SLEEPER!r},deadline_s=60,"
        "on_line=lambda line: print(line,flush=True)))"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", parent, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    child = int(await process.stdout.readline())
    os.kill(process.pid, signal.SIGKILL)
    await process.wait()
    await gone(child)
