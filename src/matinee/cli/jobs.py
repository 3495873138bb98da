"""`matinee jobs`."""

from __future__ import annotations

import click
from rich.console import Console
from rich.table import Table

from matinee.app.settings import Settings
from matinee.app.wiring import clients
from matinee.cli.options import as_json, json_option, run, with_settings
from matinee.encoding.api import Job
from matinee.kit.ids import JobId


@click.group()
def jobs() -> None:
    """Masters on their way to the viewers."""


@jobs.command("list")
@json_option
@with_settings
def list_(settings: Settings, json_: bool) -> None:
    """The newest jobs."""

    async def ask() -> list[Job]:
        async with clients(settings) as deployment:
            return (await deployment.encoding.jobs()).items

    found = run(ask())
    as_json(found) if json_ else Console().print(table(found))


@jobs.command()
@click.argument("job_id")
@json_option
@with_settings
def cancel(settings: Settings, job_id: str, json_: bool) -> None:
    """Stop a job; its finished steps stay."""

    async def ask() -> Job:
        async with clients(settings) as deployment:
            return await deployment.encoding.cancel(job_id=JobId(job_id))

    done = run(ask())
    as_json(done) if json_ else click.echo(f"{done.job_id} is {done.state}")


@jobs.command()
@click.argument("job_id")
@json_option
@with_settings
def retry(settings: Settings, job_id: str, json_: bool) -> None:
    """Queue a failed or cancelled job again; it goes on after its finished steps."""

    async def ask() -> Job:
        async with clients(settings) as deployment:
            return await deployment.encoding.retry(job_id=JobId(job_id))

    done = run(ask())
    as_json(done) if json_ else click.echo(f"{done.job_id} is {done.state}")


def table(found: list[Job]) -> Table:
    """Jobs for a terminal."""
    made = Table("job", "file", "state", "step", "left", "why", box=None, header_style="bold")
    for job in found:
        step = next((s for s in job.steps if s.state == "running"), None)
        at = f"{step.name} {100 * step.done // max(1, step.total)} %" if step else ""
        left = f"{job.remaining_ms // 1000} s" if job.state == "running" and job.remaining_ms is not None else ""
        made.add_row(job.job_id, job.file_name, job.state, at, left, job.reason)
    return made
