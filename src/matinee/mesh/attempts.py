"""One call, made as often as is safe and sensible, each time to the instance that seems best."""

from __future__ import annotations

import asyncio
import contextlib
import time
from random import Random
from typing import Any, Final

from matinee.drivers.engine import EngineUnavailable
from matinee.drivers.http import ConnectFailed, ConnectionBroken, HttpClient, Response
from matinee.kit.problem import DeadlineExceeded, Problem, Unreachable
from matinee.mesh import wire
from matinee.mesh.api import ServiceFailed
from matinee.mesh.balance import Peer, Peers
from matinee.mesh.membership import Directory
from matinee.mesh.retry import ATTEMPTS, RetryBudget, pause_s
from matinee.mesh.signature import Signature

# An attempt that was given less time than this says nothing of the instance when it runs out.
_FAIR_S: Final = 0.25
# What a failed call counts as, when instances are compared by how long they take.
_FAILED_S: Final = 1.0
# A refusal that another instance, or a little later the same one, may not give.
_ELSEWHERE: Final = frozenset({"draining", "overloaded", "unknown"})


class Call:
    """What is to be called, until when, and how often it was tried."""

    __slots__ = ("attempts", "body", "deadline_s", "domain", "signature", "trace_id", "tried")

    def __init__(self, domain: str, signature: Signature, body: bytes, deadline_s: float, trace_id: str) -> None:
        self.domain = domain
        self.signature = signature
        self.body = body
        self.deadline_s = deadline_s
        self.trace_id = trace_id
        self.attempts = 0
        self.tried: list[Peer] = []


class _Missed(Exception):
    """An attempt without an answer. `certain`: no work was done."""

    def __init__(self, problem: Problem, *, certain: bool) -> None:
        self.problem = problem
        self.certain = certain


class Attempts:
    """Sends calls, and learns from each how every instance is doing."""

    def __init__(self, *, http: HttpClient, directory: Directory, key: str, rng: Random) -> None:
        self._http = http
        self._directory = directory
        self._bearer = f"Bearer {key}"
        self._dice = rng
        self._peers = Peers()
        self._budgets: dict[str, RetryBudget] = {}

    async def make(self, call: Call) -> Any:
        """The method's result. Raises its problem, or why there is none."""
        budget = self._budgets.setdefault(call.domain, RetryBudget())
        budget.earn()
        while True:
            try:
                return await self._try(call)
            except _Missed as missed:
                may = missed.certain or call.signature.idempotent
                if not may or call.attempts >= ATTEMPTS or not budget.spend():
                    raise missed.problem from missed
                await self._pause(call, missed)

    async def _pause(self, call: Call, missed: _Missed) -> None:
        if missed.certain and self._pick(call) not in (None, *call.tried):
            return  # another instance has not been asked yet: no reason to wait
        pause = pause_s(call.attempts, self._dice.random())
        if time.monotonic() + pause >= call.deadline_s:
            raise missed.problem from missed
        await asyncio.sleep(pause)

    async def _try(self, call: Call) -> Any:
        call.attempts += 1
        peer = self._pick(call)
        if peer is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, call.deadline_s - time.monotonic())):
                    await self._directory.refresh()
            peer = self._pick(call)
        if peer is None:
            raise _Missed(Unreachable(service=call.domain, detail="No instance takes calls."), certain=True)
        call.tried.append(peer)
        return self._result(call, peer, await self._send(call, peer))

    def _pick(self, call: Call) -> Peer | None:
        self._peers.follow(self._directory.instances)
        return self._peers.pick(call.domain, avoid=call.tried, now_s=time.monotonic(), rng=self._dice)

    async def _send(self, call: Call, peer: Peer) -> Response:
        started_s = time.monotonic()
        limit_s = self._limit_s(call, peer, started_s)
        if limit_s <= 0.001:
            raise DeadlineExceeded(service=call.domain)
        peer.breaker.begin()
        peer.in_flight += 1
        try:
            answer = await self._http.request(
                "POST",
                peer.instance.address + wire.path(call.domain, call.signature.name),
                body=call.body,
                headers=self._headers(call, limit_s),
                timeout_s=limit_s,
            )
        except (ConnectFailed, ConnectionBroken, TimeoutError) as error:
            raise self._missed(call, peer, error, limit_s) from error
        except BaseException:  # cancelled: nothing is learnt
            peer.breaker.abstain()
            raise
        finally:
            peer.in_flight -= 1
        peer.breaker.succeed()
        if call.signature.limit_ms is None:
            ended_s = time.monotonic()
            peer.took(ended_s - started_s, ended_s)
        return answer

    def _limit_s(self, call: Call, peer: Peer, now_s: float) -> float:
        left_s = call.deadline_s - now_s
        if call.attempts == 1 and call.signature.idempotent and call.signature.limit_ms is None:
            # Half the time for the first, so that one hung instance does not use up the whole of it.
            return left_s / 2 if self._peers.others(call.domain, peer) else left_s
        return left_s

    def _headers(self, call: Call, limit_s: float) -> dict[str, str]:
        headers = {
            "authorization": self._bearer,
            "content-type": wire.JSON,
            wire.DEADLINE: str(max(1, int(limit_s * 1000))),
        }
        if call.trace_id and (parent := wire.trace_parent(call.trace_id)):
            headers[wire.TRACE] = parent
        return headers

    def _missed(self, call: Call, peer: Peer, error: Exception, limit_s: float) -> _Missed:
        now_s = time.monotonic()
        if isinstance(error, TimeoutError):
            if limit_s >= _FAIR_S:
                peer.breaker.fail(now_s)
            else:
                peer.breaker.abstain()
            peer.took(limit_s, now_s)
            return _Missed(DeadlineExceeded(service=call.domain), certain=False)
        peer.breaker.fail(now_s)
        # A quick failure must not look like a quick answer, or it would draw all calls to itself.
        peer.took(_FAILED_S, now_s)
        problem = Unreachable(service=call.domain, detail=f"{peer.instance.address}: {error}")
        return _Missed(problem, certain=isinstance(error, ConnectFailed))

    def _result(self, call: Call, peer: Peer, answer: Response) -> Any:
        if answer.status == 200:
            try:
                return call.signature.decode_result(answer.body)
            except ValueError as error:
                raise ServiceFailed(service=call.domain, trace_id=call.trace_id, detail=str(error)) from error
        problem = wire.decode_problem(answer.body, call.domain, call.trace_id)
        refused = answer.headers.get(wire.REFUSED, "")
        if refused == "draining":
            peer.draining = True
        if refused in _ELSEWHERE:
            raise _Missed(problem, certain=True)
        if refused == "key":  # the viewer is not to be told to sign in because our own keys differ
            raise ServiceFailed(service=call.domain, trace_id=call.trace_id, detail="The mesh keys differ.")
        if isinstance(problem, DeadlineExceeded) and problem.service == call.domain:
            raise _Missed(problem, certain=False)  # it ran out of this attempt's time, not necessarily of the call's
        if isinstance(problem, EngineUnavailable):
            self._engine_away(call, peer, problem)
        raise problem

    def _engine_away(self, call: Call, peer: Peer, problem: EngineUnavailable) -> None:
        """Another instance may have a road to the engine that this one lacks: it is asked, once."""
        peer.took(_FAILED_S, time.monotonic())  # as above: this one must not draw all calls to itself
        if call.attempts == 1 and self._peers.others(call.domain, peer):
            raise _Missed(problem, certain=False)
