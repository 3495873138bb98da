"""Supervised subprocesses: output lines, deadlines, cancellation, and no orphans."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from matinee.drivers.process import OutputTooLong, ToolFailed, run

# A shell prints its pid within the deadline even on a busy machine; Python starts too slowly for that.
SLEEPER = ["sh", "-c", "echo $$; exec sleep 60"]


def is_alive(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z")


async def wait_for_end(pid: int) -> None:
    """Wait until a process has ended."""
    while is_alive(pid):  # noqa: ASYNC110  # another process's child gives no event
        await asyncio.sleep(0.02)


async def test_output_lines_are_passed_on_and_the_error_tail_is_returned() -> None:
    lines: list[str] = []
    code = "import sys; print('a'); print('b \\xe9'); print('oops', file=sys.stderr)"
    tail = await run([sys.executable, "-c", code], deadline_s=30, on_line=lines.append)
    assert lines == ["a", "b \xe9"]
    assert tail == ["oops"]


async def test_failure_has_the_status_and_last_lines() -> None:
    code = "import sys; sys.exit('No space left on device')"
    with pytest.raises(ToolFailed, match="No space") as failed:
        await run([sys.executable, "-c", code], deadline_s=30)
    assert failed.value.status == 1
    assert failed.value.disk_full


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
async def test_program_that_writes_an_endless_line_is_killed(stream: str) -> None:
    code = f"import sys\nwhile True: sys.{stream}.write('x' * 4096)"
    with pytest.raises(ToolFailed, match="a line of its output is too long"):
        await run([sys.executable, "-c", code], deadline_s=60)


async def test_reader_of_lines_can_end_the_program() -> None:
    def refuse(line: str) -> None:
        raise OutputTooLong("it writes too much")

    with pytest.raises(ToolFailed, match="it writes too much"):
        await run(["sh", "-c", "while :; do echo x; done"], deadline_s=60, on_line=refuse)


async def test_deadline_kills_the_process() -> None:
    pids: list[str] = []
    with pytest.raises(ToolFailed, match="exceeded its deadline"):
        await run(SLEEPER, deadline_s=1.5, on_line=pids.append)
    assert pids
    await wait_for_end(int(pids[0]))


async def test_cancellation_kills_the_process() -> None:
    pid: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(run(SLEEPER, deadline_s=60, nice=5, on_line=lambda line: pid.set_result(int(line))))
    child = await pid
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await wait_for_end(child)


async def test_process_ends_with_a_killed_parent() -> None:
    if sys.platform != "linux":  # elsewhere the process group is killed instead
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
    await wait_for_end(child)
