"""`matinee jobs`."""

from __future__ import annotations

from collections.abc import Iterable

import click

from matinee.cli.options import call, json_option, with_settings
from matinee.cli.output import print_json, read_pages, show
from matinee.encoding.api import Encoding, Job
from matinee.kit.ids import JobId
from matinee.mesh.hosting.settings import Settings

_MAX_LETTERS = 60


@click.group()
def jobs() -> None:
    """Manage encoding jobs."""


@jobs.command("list")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="How many at most.")
@json_option
@with_settings
def list_(settings: Settings, limit: int, json_: bool) -> None:
    """List the newest jobs."""
    found, more = call(settings, lambda clients: read_pages(clients.get(Encoding).list_jobs, limit))
    show_jobs(found, as_json=json_, empty="There are no jobs.")
    if more:
        click.echo("Older jobs are not shown: `--limit` shows more.", err=True)


@jobs.command()
@click.argument("job_id")
@json_option
@with_settings
def cancel(settings: Settings, job_id: str, json_: bool) -> None:
    """Stop a job; its finished steps are kept."""
    job = call(settings, lambda clients: clients.get(Encoding).cancel(job_id=JobId(job_id)))
    _print(job, json_, state="being cancelled" if job.state == "running" else job.state)


@jobs.command()
@click.argument("job_id")
@json_option
@with_settings
def retry(settings: Settings, job_id: str, json_: bool) -> None:
    """Queue a failed or cancelled job again; it continues after its finished steps."""
    _print(call(settings, lambda clients: clients.get(Encoding).retry(job_id=JobId(job_id))), json_)


def _print(job: Job, json_: bool, *, state: str = "") -> None:
    print_json(job) if json_ else click.echo(f"{job.job_id} is {state or job.state}")


def show_jobs(jobs: list[Job], *, as_json: bool = False, empty: str = "") -> None:
    """Print jobs as JSON or as a table."""
    headings = ("job", "file", "state", "step", "left", "reason")
    show(jobs, headings, _to_cells, as_json=as_json, empty=empty)


def _shorten(name: str) -> str:
    return name if len(name) <= _MAX_LETTERS else name[: _MAX_LETTERS - 1] + "…"


def _to_cells(job: Job) -> Iterable[object]:
    step = next((step for step in job.steps if step.state == "running"), None)
    progress = f"{step.name} {100 * step.done // max(1, step.total)} %" if step else ""
    left = f"{job.remaining_ms // 1000} s" if job.state == "running" and job.remaining_ms is not None else ""
    return job.job_id, _shorten(job.file_name), job.state, progress, left, job.reason
