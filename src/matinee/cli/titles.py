"""`matinee ingest` and `matinee titles`."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from matinee.app.masters import upload_masters
from matinee.app.settings import Settings
from matinee.app.wiring import Clients, clients
from matinee.catalogue.api import Genre, Title, TitleDraft
from matinee.cli.options import as_json, json_option, run, with_settings
from matinee.encoding.api import Job, Order, SideFile
from matinee.kit.clock import SystemClock
from matinee.kit.ids import EpisodeId, TitleId, generate
from matinee.kit.problem import DeadlineExceeded, Overloaded, Problem, Unreachable

LOOK_S = 0.5
# How long a deployment that runs may give no answer before a command that waits for a job gives up.
PATIENCE_S = 60.0


class IngestFailed(Problem, status=500):
    """The film could not be made into a title."""


def _side_file(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> list[SideFile]:
    files = []
    for value in values:
        language, equals, path = value.partition("=")
        if not equals or not Path(path).is_file():
            raise click.BadParameter(f"{value!r}: say LANGUAGE=FILE, such as de=sound.wav, with a file that is there.")
        files.append(SideFile(path=str(Path(path).absolute()), language=language))
    return files


class Words(msgspec.Struct, frozen=True, kw_only=True):
    """What `matinee ingest` was told of a film."""

    name: str
    synopsis: str
    language: str
    year: int | None
    maturity: int
    genres: tuple[str, ...]
    audio: list[SideFile]
    subtitles: list[SideFile]
    title_id: TitleId | None
    episode_id: EpisodeId | None

    def draft(self) -> TitleDraft:
        """The title as it is first put into the catalogue."""
        return TitleDraft(
            title_id=generate(TitleId, SystemClock().now()),
            kind="film",
            names={self.language: self.name},
            original_language=self.language,
            synopses={self.language: self.synopsis} if self.synopsis else {},
            year=self.year,
            maturity=self.maturity,
            genres=[Genre(genre_id=g.lower().replace(" ", "-"), names={self.language: g}) for g in self.genres],
        )

    def order(self, title_id: TitleId, path: str) -> Order:
        """The master as it is handed to encoding; somebody waits for it, so it goes before the demo's films."""
        return Order(
            title_id=title_id,
            path=path,
            episode_id=self.episode_id,
            audio=self.audio,
            subtitles=self.subtitles,
            language=self.language,
            priority=10,
        )


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--title", "name", help="The title's name [the file's name].")
@click.option("--synopsis", default="", help="What it is about.")
@click.option("--language", default="en", show_default=True, help="The film's own language (BCP 47).")
@click.option("--year", type=int, help="The year it was made.")
@click.option("--maturity", type=click.IntRange(0, 18), default=0, show_default=True, help="The least age.")
@click.option("--genre", "genres", multiple=True, help="A genre; may be given several times.")
@click.option("--audio", multiple=True, callback=_side_file, metavar="LANG=FILE", help="Sound in its own file.")
@click.option("--subtitles", multiple=True, callback=_side_file, metavar="LANG=FILE", help=".srt, .vtt or .ass.")
@click.option("--title-id", help="Add to, or encode again, a title that is there.")
@click.option("--episode-id", help="The episode of it that this is.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Show progress until it can be played.")
@json_option
@with_settings
def ingest(settings: Settings, file: Path, name: str | None, wait: bool, json_: bool, **words: Any) -> None:
    """Make a title of a film file: check, encode, encrypt, package, publish."""
    told = Words(name=name or file.stem, **words)
    job = run(_ingest(settings, str(file.expanduser().absolute()), told, wait and not json_))
    if json_:
        as_json(job)
    elif wait:
        click.echo(f"“{told.name}” is on the home page ({job.order.title_id}).")
    else:
        click.echo(f"{job.job_id} is {job.state}; `matinee jobs list` shows how it goes.")


async def _ingest(settings: Settings, path: str, told: Words, wait: bool) -> Job:
    draft = told.draft()
    async with clients(settings) as deployment:
        async with upload_masters(settings, told.order(told.title_id or draft.title_id, path)) as order:
            # All that can be refused is refused before a title is made of it.
            await deployment.encoding.inspect(path=order.path, audio=order.audio, subtitles=order.subtitles)
            if told.title_id is None:
                await deployment.catalogue.put_title(draft=draft)
            job = await deployment.encoding.submit(order=order)
        return await follow(deployment, job) if wait else job


async def follow(deployment: Clients, job: Job) -> Job:
    """Show a job's steps until it ends. Raises IngestFailed with the job's reason."""
    bars = Progress(
        TextColumn("  {task.description:<10}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
    )
    with bars:
        tasks = {step.name: bars.add_task(step.name, total=None, start=False) for step in job.steps}
        while job.state in ("queued", "running"):
            for step in job.steps:
                if step.state in ("running", "done"):
                    bars.start_task(tasks[step.name])
                    whole = step.total or 1
                    bars.update(tasks[step.name], total=whole, completed=whole if step.state == "done" else step.done)
            await asyncio.sleep(LOOK_S)
            job = await _looked(deployment, job)
        for step in job.steps:
            if step.state == "done":
                bars.update(tasks[step.name], total=1, completed=1)
    if job.state != "done":
        raise IngestFailed(detail=f"{job.file_name}: {job.reason or job.state}")
    return job


async def _looked(deployment: Clients, job: Job) -> Job:
    """The job as it stands. A deployment that is busy or has lost a process is asked again: the job goes on meanwhile."""
    ends_at = time.monotonic() + PATIENCE_S
    while True:
        try:
            return await deployment.encoding.job(job_id=job.job_id)
        except (DeadlineExceeded, Overloaded, Unreachable):
            if time.monotonic() > ends_at:
                raise
            await asyncio.sleep(LOOK_S)


@click.group()
def titles() -> None:
    """What is in the catalogue."""


@titles.command("list")
@json_option
@with_settings
def list_(settings: Settings, json_: bool) -> None:
    """All titles, newest first."""

    async def ask() -> list[Title]:
        async with clients(settings) as deployment:
            return (await deployment.catalogue.everything()).items

    found = run(ask())
    if json_:
        as_json(found)
        return
    table = Table("title", "name", "kind", "state", "length", box=None, header_style="bold")
    for title in found:
        name = title.names.get(title.original_language) or next(iter(title.names.values()))
        table.add_row(title.title_id, name, title.kind, title.state, f"{title.duration_ms // 1000} s")
    Console().print(table)


@titles.command()
@click.argument("title_id")
@with_settings
def publish(settings: Settings, title_id: str) -> None:
    """Offer a title."""
    click.echo(f"{title_id} is {run(_state(settings, title_id, offered=True)).state}")


@titles.command()
@click.argument("title_id")
@with_settings
def withdraw(settings: Settings, title_id: str) -> None:
    """Stop offering a title; `publish` offers it again."""
    click.echo(f"{title_id} is {run(_state(settings, title_id, offered=False)).state}")


async def _state(settings: Settings, title_id: str, *, offered: bool) -> Title:
    async with clients(settings) as deployment:
        change = deployment.catalogue.publish if offered else deployment.catalogue.withdraw
        return await change(title_id=TitleId(title_id))
