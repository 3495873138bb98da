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
from matinee.lab.endurance.report import Kill, Report

POLL_S = 0.2
RECOVERY_LIMIT_S = 60.0
# An edge reports to steering every two seconds: until then sessions may be given only the other edge.
REPORTED_S = 5.0


async def kill_at_random(
    deployment: Deployment, report: Report, rng: Random, *, groups: Sequence[str], every_s: float, until_s: float
) -> None:
    """Kill an instance of one of the groups every few seconds, and record its recovery."""
    watching: list[asyncio.Task[None]] = []
    while time.monotonic() + every_s < until_s:
        await asyncio.sleep(rng.uniform(0.5, 1.5) * every_s)
        eligible = [group for group in groups if not _is_recovering(group, report.kills, report.elapsed_s())]
        if not (candidates := _list_running(deployment.processes(), eligible)):
            continue
        name = rng.choice(candidates)
        before = deployment.processes()[name]
        with contextlib.suppress(ProcessLookupError):
            os.kill(before["pid"], signal.SIGKILL)
        kill = Kill(name=name, at_s=round(report.elapsed_s(), 1))
        report.kills.append(kill)
        watching.append(asyncio.create_task(_watch_recovery(deployment, kill, before["restarts"])))
    await asyncio.gather(*watching)


def _is_recovering(group: str, kills: Sequence[Kill], now_s: float) -> bool:
    """Tell whether an instance of a group was killed, and others may not know yet that it has recovered."""
    own = [kill for kill in kills if re.fullmatch(_member(group), kill.name)]
    return any(kill.recovery_s is None or now_s - kill.at_s - kill.recovery_s < REPORTED_S for kill in own)


def _member(group: str) -> str:
    return rf"{re.escape(group)}(-\w+)?"


def _list_running(processes: Mapping[str, Mapping[str, Any]], groups: Sequence[str]) -> list[str]:
    """Return the processes of the groups whose instances all run, so that no group loses a second one."""
    names: list[str] = []
    for group in groups:
        members = [name for name in processes if re.fullmatch(_member(group), name)]
        if members and all(processes[name]["state"] == "running" for name in members):
            names += members
    return names


async def _watch_recovery(deployment: Deployment, kill: Kill, restarts: int) -> None:
    started_s = time.monotonic()
    while time.monotonic() - started_s < RECOVERY_LIMIT_S:
        process = deployment.processes().get(kill.name, {})
        if process.get("restarts", 0) > restarts and process.get("state") == "running":
            kill.recovery_s = round(time.monotonic() - started_s, 2)
            return
        await asyncio.sleep(POLL_S)
