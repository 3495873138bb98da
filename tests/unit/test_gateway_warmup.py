"""A gateway takes traffic only once the domains that fill its screens answer."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from tests.unit.gateway_rig import build_domains

from matinee.gateway.service import warm_up
from matinee.kit.problem import Unreachable


class StartingDomain:
    """A domain whose first calls fail, as while its process starts."""

    def __init__(self, real: Any, failures: int) -> None:
        self._real = real
        self.failures = failures
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        async def call(**arguments: Any) -> Any:
            self.calls += 1
            if self.calls <= self.failures:
                raise Unreachable(service="starting")
            return await getattr(self._real, name)(**arguments)

        return call


async def test_warm_up_waits_until_every_domain_answers(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        domains = await build_domains(tmp_path, stack)
        starting = {name: StartingDomain(domains[name], 2) for name in ("identity", "catalogue", "viewing")}
        assert await warm_up(**starting, territory="ZZ", timeout_s=60)
        assert all(domain.calls > domain.failures for domain in starting.values())


async def test_warm_up_is_limited_when_a_domain_stays_unavailable(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        domains = await build_domains(tmp_path, stack)
        viewing: Any = StartingDomain(None, 1_000_000)
        names = ("identity", "catalogue")
        waiting = warm_up(**{name: domains[name] for name in names}, viewing=viewing, territory="ZZ", timeout_s=0.5)
        assert not await asyncio.wait_for(waiting, 60)
