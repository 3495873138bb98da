"""`matinee jobs`."""

from __future__ import annotations

import click
from rich.console import Console
from rich.table import Table

from matinee.cli.options import call, json_option, print_json, with_settings
from matinee.encoding.api import Encoding, Job
from matinee.kit.ids import JobId
from matinee.mesh.hosting.settings import Settings


@click.group()
def jobs() -> None:
    """Manage encoding jobs."""


@jobs.command("list")
@json_option
@with_settings
def list_(settings: Settings, json_: bool) -> None:
    """List the newest jobs."""
    page = call(settings, lambda clients: clients.get(Encoding).list_jobs())
    print_json(page.items) if json_ else Console().print(build_table(page.items))


@jobs.command()
@click.argument("job_id")
@json_option
@with_settings
def cancel(settings: Settings, job_id: str, json_: bool) -> None:
    """Stop a job; its finished steps are kept."""
    job = call(settings, lambda clients: clients.get(Encoding).cancel(job_id=JobId(job_id)))
    print_json(job) if json_ else click.echo(f"{job.job_id} is {job.state}")


@jobs.command()
@click.argument("job_id")
@json_option
@with_settings
def retry(settings: Settings, job_id: str, json_: bool) -> None:
    """Queue a failed or cancelled job again; it continues after its finished steps."""
    job = call(settings, lambda clients: clients.get(Encoding).retry(job_id=JobId(job_id)))
    print_json(job) if json_ else click.echo(f"{job.job_id} is {job.state}")


def build_table(jobs: list[Job]) -> Table:
    """Build the table of jobs for a terminal."""
    table = Table("job", "file", "state", "step", "left", "reason", box=None, header_style="bold")
    for job in jobs:
        step = next((s for s in job.steps if s.state == "running"), None)
        progress = f"{step.name} {100 * step.done // max(1, step.total)} %" if step else ""
        left = f"{job.remaining_ms // 1000} s" if job.state == "running" and job.remaining_ms is not None else ""
        table.add_row(job.job_id, job.file_name, job.state, progress, left, job.reason)
    return table
