"""`matinee jobs`."""

from __future__ import annotations

from collections.abc import Iterable

import click

from matinee.cli.options import call, json_option, with_settings
from matinee.cli.output import print_json, show
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
    show_jobs(call(settings, lambda clients: clients.get(Encoding).list_jobs()).items, as_json=json_)


@jobs.command()
@click.argument("job_id")
@json_option
@with_settings
def cancel(settings: Settings, job_id: str, json_: bool) -> None:
    """Stop a job; its finished steps are kept."""
    _print(call(settings, lambda clients: clients.get(Encoding).cancel(job_id=JobId(job_id))), json_)


@jobs.command()
@click.argument("job_id")
@json_option
@with_settings
def retry(settings: Settings, job_id: str, json_: bool) -> None:
    """Queue a failed or cancelled job again; it continues after its finished steps."""
    _print(call(settings, lambda clients: clients.get(Encoding).retry(job_id=JobId(job_id))), json_)


def _print(job: Job, json_: bool) -> None:
    print_json(job) if json_ else click.echo(f"{job.job_id} is {job.state}")


def show_jobs(jobs: list[Job], *, as_json: bool = False, empty: str = "") -> None:
    """Print jobs as JSON or as a table."""
    headings = ("job", "file", "state", "step", "left", "reason")
    show(jobs, headings, _to_cells, as_json=as_json, empty=empty)


def _to_cells(job: Job) -> Iterable[object]:
    step = next((step for step in job.steps if step.state == "running"), None)
    progress = f"{step.name} {100 * step.done // max(1, step.total)} %" if step else ""
    left = f"{job.remaining_ms // 1000} s" if job.state == "running" and job.remaining_ms is not None else ""
    return job.job_id, job.file_name, job.state, progress, left, job.reason
