"""`matinee schedules`: the scheduled work of a deployment, read from its store."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar

import click
from rich.console import Console
from rich.table import Table

from matinee.app.clients import check_started
from matinee.cli.options import json_option, print_json, with_settings
from matinee.mesh.hosting.runtime import open_schedules
from matinee.mesh.hosting.settings import Settings
from matinee.mesh.schedules.ports import Order, Run, Schedule, ScheduleStore

Result = TypeVar("Result")


@click.group()
def schedules() -> None:
    """Scheduled work, which runs once per deployment."""


@schedules.command("list")
@json_option
@with_settings
def list_(settings: Settings, json_: bool) -> None:
    """List the schedules with their next and last run."""
    found = _with_store(settings, lambda store: store.list_schedules())
    print_json(found) if json_ else Console(width=160).print(_schedules_table(found))


@schedules.command()
@click.argument("schedule")
@click.option("--limit", default=20, show_default=True, help="The number of runs, newest first.")
@json_option
@with_settings
def history(settings: Settings, schedule: str, limit: int, json_: bool) -> None:
    """List the latest runs of a schedule."""
    found = _with_store(settings, lambda store: store.list_runs(schedule=schedule, limit=limit))
    print_json(found) if json_ else Console(width=160).print(_runs_table(found))


@schedules.command()
@click.argument("schedule")
@with_settings
def run(settings: Settings, schedule: str) -> None:
    """Run a schedule as soon as an instance can, also a paused one."""
    _order(settings, schedule, "run")
    click.echo(f"{schedule} runs within seconds; `matinee schedules history {schedule}` shows its result")


@schedules.command()
@click.argument("schedule")
@with_settings
def pause(settings: Settings, schedule: str) -> None:
    """Stop running a schedule until it is resumed."""
    _order(settings, schedule, "pause")
    click.echo(f"{schedule} is paused")


@schedules.command()
@click.argument("schedule")
@with_settings
def resume(settings: Settings, schedule: str) -> None:
    """Run a paused schedule again."""
    _order(settings, schedule, "resume")
    click.echo(f"{schedule} is resumed")


def _order(settings: Settings, schedule: str, order: Order) -> None:
    _with_store(settings, lambda store: store.order(schedule=schedule, order=order))


def _with_store(settings: Settings, work: Callable[[ScheduleStore], Awaitable[Result]]) -> Result:
    check_started(settings, settings.mesh.schedules)

    async def connect() -> Result:
        async with contextlib.AsyncExitStack() as stack:
            store, _ = await open_schedules(settings, stack)
            return await work(store)

    return asyncio.run(connect())


def _schedules_table(schedules: list[Schedule]) -> Table:
    table = Table("schedule", "when", "next run", "last run", "took", "error", box=None, header_style="bold")
    for schedule in schedules:
        last = schedule.last_run
        next_at = "paused" if schedule.is_paused else _to_text(schedule.next_at)
        table.add_row(
            schedule.schedule,
            schedule.expression,
            "requested" if schedule.is_requested else next_at,
            _to_text(last.started_at) if last else "",
            _duration(last) if last else "",
            last.error if last else "",
        )
    return table


def _runs_table(runs: list[Run]) -> Table:
    table = Table("run", "started", "took", "instance", "error", box=None, header_style="bold")
    for run in runs:
        table.add_row(str(run.number), _to_text(run.started_at), _duration(run), run.instance_id, run.error)
    return table


def _duration(run: Run) -> str:
    return "running" if run.duration_ms is None else f"{run.duration_ms} ms"


def _to_text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
