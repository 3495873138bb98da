"""Kills processes of a deployment at random, one instance of a group at a time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import time
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from matinee.lab.deployment import Deployment
from matinee.lab.endurance.report import Killed, Report

LOOK_S = 0.2
BACK_S = 60.0
# An edge tells steering of itself every two seconds: until then a session may be given only the other one.
KNOWN_S = 5.0


async def kill_at_random(
    deployment: Deployment, report: Report, rng: Random, *, groups: Sequence[str], every_s: float, until_s: float
) -> None:
    """SIGKILL an instance of one of the groups every few seconds, and note when it is back."""
    watching: list[asyncio.Task[None]] = []
    while time.monotonic() + every_s < until_s:
        await asyncio.sleep(rng.uniform(0.5, 1.5) * every_s)
        rested = [group for group in groups if not _is_fresh(group, report.killed, report.at_s())]
        if not (whole := _whole(deployment.processes(), rested)):
            continue
        name = rng.choice(whole)
        before = deployment.processes()[name]
        with contextlib.suppress(ProcessLookupError):
            os.kill(before["pid"], signal.SIGKILL)
        killed = Killed(name=name, at_s=round(report.at_s(), 1))
        report.killed.append(killed)
        watching.append(asyncio.create_task(_until_back(deployment, killed, before["restarts"])))
    await asyncio.gather(*watching)


def _is_fresh(group: str, killed: Sequence[Killed], now_s: float) -> bool:
    """Whether one of a group was killed and is not yet back for so long that all others know it."""
    own = [one for one in killed if re.fullmatch(_member(group), one.name)]
    return any(one.back_s is None or now_s - one.at_s - one.back_s < KNOWN_S for one in own)


def _member(group: str) -> str:
    return rf"{re.escape(group)}(-\w+)?"


def _whole(processes: Mapping[str, Mapping[str, Any]], groups: Sequence[str]) -> list[str]:
    """The processes of those groups of which every instance runs: what is down already is not made worse."""
    found: list[str] = []
    for group in groups:
        members = [name for name in processes if re.fullmatch(_member(group), name)]
        if members and all(processes[name]["state"] == "running" for name in members):
            found += members
    return found


async def _until_back(deployment: Deployment, killed: Killed, restarts: int) -> None:
    began = time.monotonic()
    while time.monotonic() - began < BACK_S:
        seen = deployment.processes().get(killed.name, {})
        if seen.get("restarts", 0) > restarts and seen.get("state") == "running":
            killed.back_s = round(time.monotonic() - began, 2)
            return
        await asyncio.sleep(LOOK_S)
