"""`matinee schedules`: the scheduled work of a deployment, read from its store."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable
from datetime import datetime

import click

from matinee.app.clients import check_started
from matinee.cli.options import json_option, run_with, with_settings
from matinee.cli.output import show
from matinee.mesh.hosting.runtime import open_schedules
from matinee.mesh.hosting.settings import Settings
from matinee.mesh.schedules.ports import Order, Run, Schedule, ScheduleNotFound, ScheduleStore

_schedule = click.argument("schedule")


@click.group()
def schedules() -> None:
    """Scheduled work, which runs once per deployment."""


@schedules.command("list")
@json_option
@with_settings
def list_(settings: Settings, json_: bool) -> None:
    """List the schedules with their next and last run."""
    found = run_with(_open_store(settings), lambda store: store.list_schedules())
    show(found, ("schedule", "when", "next run", "last run", "took", "error"), _schedule_cells, as_json=json_)


@schedules.command()
@_schedule
@click.option(
    "--limit", default=20, type=click.IntRange(min=1), show_default=True, help="The number of runs, newest first."
)
@json_option
@with_settings
def history(settings: Settings, schedule: str, limit: int, json_: bool) -> None:
    """List the latest runs of a schedule."""

    async def read(store: ScheduleStore) -> list[Run]:
        await _check_known(store, schedule)
        return await store.list_runs(schedule=schedule, limit=limit)

    found, empty = run_with(_open_store(settings), read), f"{schedule} has not run yet."
    show(found, ("run", "started", "took", "instance", "error"), _run_cells, as_json=json_, empty=empty)


@schedules.command()
@_schedule
@with_settings
def run(settings: Settings, schedule: str) -> None:
    """Run a schedule as soon as an instance can, also a paused one."""
    _order(settings, schedule, "run")
    click.echo(f"{schedule} runs within seconds; `matinee schedules history {schedule}` shows its result")


@schedules.command()
@_schedule
@with_settings
def pause(settings: Settings, schedule: str) -> None:
    """Stop running a schedule until it is resumed."""
    _order(settings, schedule, "pause")
    click.echo(f"{schedule} is paused")


@schedules.command()
@_schedule
@with_settings
def resume(settings: Settings, schedule: str) -> None:
    """Run a paused schedule again."""
    _order(settings, schedule, "resume")
    click.echo(f"{schedule} is resumed")


def _order(settings: Settings, schedule: str, order: Order) -> None:
    async def give(store: ScheduleStore) -> None:
        await _check_known(store, schedule)
        await store.order(schedule=schedule, order=order)

    run_with(_open_store(settings), give)


async def _check_known(store: ScheduleStore, schedule: str) -> None:
    """Raise ScheduleNotFound, with the names of the known schedules, for an unknown one."""
    known = [one.schedule for one in await store.list_schedules()]
    if schedule not in known:
        detail = f"There is no schedule {schedule!r}; there are {', '.join(known) or 'none'}."
        raise ScheduleNotFound(schedule=schedule, detail=detail)


@contextlib.asynccontextmanager
async def _open_store(settings: Settings) -> AsyncIterator[ScheduleStore]:
    check_started(settings, settings.mesh.schedules)
    async with contextlib.AsyncExitStack() as stack:
        store, _ = await open_schedules(settings, stack)
        yield store


def _schedule_cells(schedule: Schedule) -> Iterable[object]:
    next_at = "paused" if schedule.is_paused else _to_text(schedule.next_at)
    next_at = "requested" if schedule.is_requested else next_at
    run = schedule.last_run
    last = (_to_text(run.started_at), _describe_duration(run), run.error) if run else ("", "", "")
    return schedule.schedule, schedule.expression, next_at, *last


def _run_cells(run: Run) -> Iterable[object]:
    return run.number, _to_text(run.started_at), _describe_duration(run), run.instance_id, run.error


def _describe_duration(run: Run) -> str:
    return "running" if run.duration_ms is None else f"{run.duration_ms} ms"


def _to_text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
