"""The executor port, on its adapter: results, deadlines, cancellation, dying workers, overload."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from tests.conformance import executor_functions as functions

from matinee.encoding.model.subtitles import InvalidSubtitles
from matinee.kit.context import Context, activate
from matinee.kit.problem import DeadlineExceeded, Overloaded, TooLarge
from matinee.mesh.executor.ports import WorkerDied
from matinee.mesh.executor.processes import ProcessExecutor

PARENT = """
import asyncio, sys
from pathlib import Path
from matinee.mesh.executor.processes import ProcessExecutor
from tests.conformance import executor_functions as functions

async def main():
    async with ProcessExecutor(workers=1) as executor:
        await executor.run(functions.spin, Path(sys.argv[1]))

asyncio.run(main())
"""


@pytest.fixture
async def executor() -> AsyncIterator[ProcessExecutor]:
    async with ProcessExecutor(workers=2, max_waiting=1) as executor:
        yield executor


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  # processes set no event
            await asyncio.sleep(0.01)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"


def read_pid(file: Path) -> int:
    return int(file.read_text())


async def start_spinning(executor: ProcessExecutor, file: Path) -> tuple[asyncio.Task[None], int]:
    """Start an endless function; return its task and the id of its worker."""
    task = asyncio.create_task(executor.run(functions.spin, file))
    await until(lambda: file.exists() or task.done())
    return task, read_pid(file)


async def expect_works(executor: ProcessExecutor) -> None:
    assert await executor.run(functions.echo, b"works") == b"works"


async def test_a_function_runs_in_another_process_which_is_used_again(executor: ProcessExecutor) -> None:
    pid = await executor.run(functions.get_pid)
    assert pid != os.getpid()
    assert await executor.run(functions.get_pid) == pid


async def test_large_arguments_and_results_pass(executor: ProcessExecutor) -> None:
    data = os.urandom(5_000_000)
    assert await executor.run(functions.echo, data) == data


async def test_calls_run_at_the_same_time_up_to_the_number_of_workers(
    executor: ProcessExecutor, tmp_path: Path
) -> None:
    first, pid = await start_spinning(executor, tmp_path / "first")
    second, other_pid = await start_spinning(executor, tmp_path / "second")
    assert pid != other_pid
    for task in (first, second):
        task.cancel()
    await asyncio.gather(first, second, return_exceptions=True)


async def test_the_context_travels(executor: ProcessExecutor) -> None:
    context = Context(trace_id="trace", deadline_s=time.monotonic() + 60)
    with activate(context):
        assert await executor.run(functions.get_context) == context


@pytest.mark.parametrize(
    ("function", "args", "kind", "text"),
    [
        (functions.refuse, (7,), TooLarge, "too large"),
        (functions.raise_timeout, (), TimeoutError, "of the function"),
        (functions.parse_broken, (), InvalidSubtitles, "line 1"),
        (functions.raise_unpicklable, (), RuntimeError, "1 and 2"),
        (functions.make_unpicklable, (), Exception, "pickle"),
    ],
)
async def test_an_exception_keeps_its_type_and_names_its_place(
    executor: ProcessExecutor, function: Callable[..., None], args: tuple[int, ...], kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind, match=text) as caught:
        await executor.run(function, *args)
    assert "In a worker process" in caught.value.__notes__[0]
    await expect_works(executor)


async def test_an_argument_that_cannot_be_pickled_is_refused(executor: ProcessExecutor) -> None:
    with pytest.raises(Exception, match="pickle"):
        await executor.run(functions.echo, lambda: None)  # type: ignore[arg-type]  # a lambda cannot be pickled


async def limit_by_context(executor: ProcessExecutor, file: Path) -> None:
    with activate(Context(trace_id="", deadline_s=time.monotonic() + 3)):
        await executor.run(functions.spin, file)


async def limit_by_argument(executor: ProcessExecutor, file: Path) -> None:
    await executor.run(functions.spin, file, limit_s=3)


@pytest.mark.parametrize("call", [limit_by_context, limit_by_argument])
async def test_the_worker_is_killed_at_the_deadline(
    executor: ProcessExecutor, tmp_path: Path, call: Callable[[ProcessExecutor, Path], Awaitable[None]]
) -> None:
    with pytest.raises(DeadlineExceeded):
        await call(executor, tmp_path / "pid")
    assert not is_running(read_pid(tmp_path / "pid"))
    await expect_works(executor)


async def test_a_call_that_waits_for_a_worker_ends_at_its_deadline(tmp_path: Path) -> None:
    async with ProcessExecutor(workers=1) as executor:
        task, _ = await start_spinning(executor, tmp_path / "pid")
        with pytest.raises(DeadlineExceeded):
            await executor.run(functions.get_pid, limit_s=0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await expect_works(executor)


async def test_the_worker_is_killed_when_its_caller_is_cancelled(executor: ProcessExecutor, tmp_path: Path) -> None:
    task, pid = await start_spinning(executor, tmp_path / "pid")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not is_running(pid)
    await expect_works(executor)


async def test_a_killed_worker_fails_its_call_and_is_replaced(executor: ProcessExecutor, tmp_path: Path) -> None:
    task, pid = await start_spinning(executor, tmp_path / "pid")
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(WorkerDied) as caught:
        await task
    assert caught.value.exit_status == -signal.SIGKILL
    await expect_works(executor)


async def test_a_worker_that_exits_fails_its_call(executor: ProcessExecutor) -> None:
    with pytest.raises(WorkerDied) as caught:
        await executor.run(functions.die, 3)
    assert (caught.value.function, caught.value.exit_status) == (f"{functions.__name__}.die", 3)
    await expect_works(executor)


async def test_an_idle_worker_that_was_killed_is_replaced(executor: ProcessExecutor) -> None:
    pid = await executor.run(functions.get_pid)
    os.kill(pid, signal.SIGKILL)
    await until(lambda: not executor._idle[0].is_alive)
    assert await executor.run(functions.get_pid) != pid


async def test_more_calls_than_may_wait_are_refused(executor: ProcessExecutor, tmp_path: Path) -> None:
    tasks = [(await start_spinning(executor, tmp_path / name))[0] for name in ("one", "two")]
    waiting = asyncio.create_task(executor.run(functions.get_pid))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await executor.run(functions.get_pid)
    tasks[0].cancel()
    assert await waiting != os.getpid()
    tasks[1].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_worker_is_replaced_after_some_calls() -> None:
    async with ProcessExecutor(workers=1, max_calls=2) as executor:
        pids = [await executor.run(functions.get_pid) for _ in range(3)]
    assert pids[0] == pids[1] != pids[2]
    assert not any(map(is_running, pids))


async def test_an_unused_worker_ends() -> None:
    async with ProcessExecutor(workers=1, idle_s=0.05) as executor:
        first = await executor.run(os.getpid)
        await until(lambda: not is_running(first))
        assert await executor.run(os.getpid) != first


async def test_closing_kills_all_workers(tmp_path: Path) -> None:
    async with ProcessExecutor(workers=1) as executor:
        task, pid = await start_spinning(executor, tmp_path / "pid")
        waiting = asyncio.create_task(executor.run(functions.get_pid))
    with pytest.raises(WorkerDied):
        await task
    with pytest.raises(Overloaded):
        await waiting
    assert not is_running(pid)
    assert not executor._workers


@pytest.mark.parametrize("pdeathsig", [True, False])
async def test_a_worker_dies_with_its_parent(tmp_path: Path, pdeathsig: bool) -> None:
    file = tmp_path / "pid"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    if not pdeathsig:  # as on macOS: the worker notices the end of its pipe
        environment["PATH"] = str(tmp_path)
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(file)], env=environment)  # noqa: ASYNC220
    try:
        await until(file.exists)
    finally:
        parent.kill()
        parent.wait()
    await until(lambda: not is_running(read_pid(file)))
