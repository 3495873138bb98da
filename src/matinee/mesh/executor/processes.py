"""`Executor` by a pool of worker processes.

`concurrent.futures.ProcessPoolExecutor` cannot kill a running function, and breaks as a whole when a worker dies
(ADR 0021). Here each worker is a child process with a pipe in each direction: requests and replies are pickled, with
their length in front.
"""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Final, Self, TypeVar, TypeVarTuple

from msgspec.structs import replace

from matinee.drivers.process import die_with_parent, kill
from matinee.kit import context, log
from matinee.kit.problem import DeadlineExceeded, Overloaded
from matinee.mesh.executor.ports import WorkerDied
from matinee.mesh.executor.worker import HEADER, Failure, pack

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
_ARGV: Final = (sys.executable, "-c", "from matinee.mesh.executor.worker import main; main()")
_EXIT_S: Final = 5.0
_RETRY_AFTER_MS: Final = 1000
_log = log.get()


class ProcessExecutor(AbstractAsyncContextManager["ProcessExecutor"]):
    """At most `workers` processes, each started when it is first needed and replaced after `max_calls`.

    A worker that has no call for `idle_s` ends, with the memory that its functions need.

    `limit_s` limits a call that has no limit of its own; `max_waiting` calls may wait for a worker. `initialise` is
    called at the start of each worker.
    """

    def __init__(
        self,
        *,
        workers: int,
        limit_s: float = 60.0,
        max_waiting: int = 64,
        max_calls: int = 200,
        idle_s: float = 60.0,
        initialise: Callable[[], None] | None = None,
    ) -> None:
        self._max_pending = workers + max_waiting
        self._limit_s = limit_s
        self._max_calls = max_calls
        self._idle_s = idle_s
        self._ending: set[asyncio.Task[int]] = set()
        self._initialise = initialise
        self._slots = asyncio.Semaphore(workers)
        self._pending = 0
        self._is_closed = False
        self._idle: list[_Worker] = []
        self._workers: set[_Worker] = set()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill all workers; calls in flight raise WorkerDied."""
        self._is_closed = True
        await asyncio.gather(*(worker.kill() for worker in self._workers))

    async def run(self, function: Callable[[*Ts], T], *args: *Ts, limit_s: float | None = None) -> T:
        if self._pending >= self._max_pending:
            raise Overloaded(retry_after_ms=_RETRY_AFTER_MS)
        name, current = f"{function.__module__}.{function.__qualname__}", context.current()
        # A span belongs to its process; spans of the worker would be lost.
        request = pack((replace(current, span=None), function, args))
        self._pending += 1
        try:
            async with asyncio.timeout(current.shorten_s(limit_s or self._limit_s)), self._slots:
                reply = await self._call(name, request)
        except TimeoutError:
            raise DeadlineExceeded(service=name) from None
        finally:
            self._pending -= 1
        if isinstance(reply, Failure):
            reply.error.add_note(f"In a worker process:\n{reply.trace}")
            raise reply.error
        result: T = reply
        return result

    async def _call(self, name: str, request: bytes) -> Any:
        worker = await self._take()
        try:
            if self._is_closed:
                raise Overloaded(retry_after_ms=_RETRY_AFTER_MS)
            reply = await worker.call(request)
        except (asyncio.IncompleteReadError, ConnectionError):
            status = await self._discard(worker)
            _log.warning("worker.died", function=name, exit_status=status)
            raise WorkerDied(function=name, exit_status=status) from None
        except BaseException:
            await self._discard(worker)
            raise
        if worker.calls < self._max_calls:
            self._idle.append(worker)
            asyncio.get_running_loop().call_later(self._idle_s, self._end_if_unused, worker, worker.calls)
        else:
            await self._discard(worker)
        return pickle.loads(reply)  # noqa: S301  # written by our own worker

    async def _take(self) -> _Worker:
        while self._idle:
            if (worker := self._idle.pop()).is_alive:
                return worker
            await self._discard(worker)
        worker = await _Worker.start(self._initialise)
        self._workers.add(worker)
        return worker

    def _end_if_unused(self, worker: _Worker, calls: int) -> None:
        if worker in self._idle and worker.calls == calls:
            self._idle.remove(worker)
            ending = asyncio.create_task(self._discard(worker))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)

    async def _discard(self, worker: _Worker) -> int:
        self._workers.discard(worker)
        return await worker.kill()


class _Worker:
    """One worker process; it serves one call at a time."""

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._requests = process.stdin
        self._replies = process.stdout
        self.calls = 0

    @classmethod
    async def start(cls, initialise: Callable[[], None] | None) -> Self:
        argv = (*die_with_parent("KILL"), *_ARGV)
        worker = cls(await asyncio.create_subprocess_exec(*argv, stdin=PIPE, stdout=PIPE))
        worker._requests.write(pack((sys.path, initialise)))
        return worker

    @property
    def is_alive(self) -> bool:
        return self._process.returncode is None and not self._replies.at_eof()

    async def call(self, request: bytes) -> bytes:
        self.calls += 1
        self._requests.write(request)
        await self._requests.drain()
        (size,) = HEADER.unpack(await self._replies.readexactly(HEADER.size))
        return await self._replies.readexactly(size)

    async def kill(self) -> int:
        """Kill the process, and return its exit status once it has ended."""
        if self._replies.at_eof():
            # It is ending by itself. A signal would make `subprocess` reap it, and its exit status would be lost.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_EXIT_S):
                    return await self._process.wait()
        await kill(self._process)
        return await self._process.wait()
