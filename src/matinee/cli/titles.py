"""`matinee ingest` and `matinee titles`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from matinee.app.clients import Clients
from matinee.app.masters import upload_masters
from matinee.catalogue.api import Catalogue, Genre, Mood, Title, TitleDraft
from matinee.cli.options import PathType, call, json_option, with_settings
from matinee.cli.output import print_json, read_pages, show
from matinee.encoding.api import Encoding, Job, Order, SideFile
from matinee.kit.clock import SystemClock
from matinee.kit.ids import EpisodeId, TitleId, generate
from matinee.kit.problem import DeadlineExceeded, Overloaded, Problem, Unreachable
from matinee.kit.text import replace_controls
from matinee.mesh.hosting.settings import Settings

POLL_INTERVAL_S = 0.5
# How long a running deployment may fail to answer before a command that waits for a job gives up.
UNANSWERED_LIMIT_S = 60.0


class IngestFailed(Problem, status=500):
    """The film could not be made into a title."""


def _parse_side_files(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> list[SideFile]:
    files = []
    for value in values:
        language, equals, path = value.partition("=")
        if not equals or not Path(path).is_file():
            raise click.BadParameter(f"{value!r}: use LANGUAGE=FILE, such as de=sound.wav, with an existing file.")
        files.append(SideFile(path=str(Path(path).absolute()), language=language))
    return files


class IngestOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of `matinee ingest` that describe the film."""

    name: str
    synopsis: str
    language: str
    year: int | None
    maturity: int
    genres: tuple[str, ...]
    countries: tuple[str, ...]
    studios: tuple[str, ...]
    franchise: str
    moods: tuple[str, ...]
    keywords: tuple[str, ...]
    audio: list[SideFile]
    subtitles: list[SideFile]
    title_id: TitleId | None
    episode_id: EpisodeId | None
    again: bool

    def to_draft(self) -> TitleDraft:
        """Return the draft of a new title."""
        return TitleDraft(
            title_id=generate(TitleId, SystemClock().now()),
            kind="film",
            names={self.language: self.name},
            original_language=self.language,
            synopses={self.language: self.synopsis} if self.synopsis else {},
            year=self.year,
            maturity=self.maturity,
            genres=[Genre(genre_id=_make_slug(name), names={self.language: name}) for name in self.genres],
            countries=[country.upper() for country in self.countries],
            studios=[*self.studios],
            franchise={self.language: self.franchise} if self.franchise else {},
            moods=[Mood(mood_id=_make_slug(name), names={self.language: name}) for name in self.moods],
            keywords=[{self.language: keyword} for keyword in self.keywords],
        )

    def to_order(self, title_id: TitleId, path: str) -> Order:
        """Return the order for encoding, with a higher priority than the demo films because a user waits for it."""
        return Order(
            title_id=title_id,
            path=path,
            episode_id=self.episode_id,
            audio=self.audio,
            subtitles=self.subtitles,
            again=self.again,
            language=self.language,
            priority=10,
        )


def _make_slug(name: str) -> str:
    return name.lower().replace(" ", "-")


@click.command()
@click.argument("file", type=PathType())
@click.option("--title", "name", help="The title's name [the file's name].")
@click.option("--synopsis", default="", help="A short description.")
@click.option("--language", default="en", show_default=True, help="The film's own language (BCP 47).")
@click.option("--year", type=int, help="The year of production.")
@click.option("--maturity", type=click.IntRange(0, 18), default=0, show_default=True, help="The minimum age.")
@click.option("--genre", "genres", multiple=True, help="A genre; may be given several times.")
@click.option("--country", "countries", multiple=True, help="A country of production (ISO 3166-1), such as KR.")
@click.option("--studio", "studios", multiple=True, help="A company that produced it.")
@click.option("--franchise", default="", help="The series of films that it belongs to.")
@click.option("--mood", "moods", multiple=True, help="How it feels, such as feel-good; may be given several times.")
@click.option("--keyword", "keywords", multiple=True, help="What it is about, such as heist.")
@click.option("--audio", multiple=True, callback=_parse_side_files, metavar="LANG=FILE", help="Sound in its own file.")
@click.option("--subtitles", multiple=True, callback=_parse_side_files, metavar="LANG=FILE", help=".srt, .vtt or .ass.")
@click.option("--title-id", help="Add to, or encode again, an existing title.")
@click.option("--episode-id", help="The episode of that title.")
@click.option("--again", is_flag=True, help="Make another title of a file that was ingested before.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Show progress until it can be played.")
@json_option
@with_settings
def ingest(settings: Settings, file: Path, name: str | None, wait: bool, json_: bool, **options: Any) -> None:
    """Make a title of a film file: check, encode, encrypt, package, publish."""
    film = IngestOptions(name=name or replace_controls(file.stem), **options)
    if film.episode_id and not film.title_id:
        raise click.UsageError("--episode-id needs the --title-id of its title.")
    path = str(file.expanduser().absolute())
    job = call(settings, lambda clients: _ingest(settings, clients, film, path, wait=wait and not json_))
    if json_:
        print_json(job)
    elif wait:
        click.echo(_describe_done(film, job))
    else:
        click.echo(f"{job.job_id} is {job.state}; `matinee jobs list` shows its progress.")


def _describe_done(film: IngestOptions, job: Job) -> str:
    if film.title_id is None:
        return f"“{film.name}” is on the home page ({job.order.title_id})."
    return f"“{film.name}” is encoded, for {film.episode_id or film.title_id}."


async def _ingest(settings: Settings, clients: Clients, film: IngestOptions, path: str, *, wait: bool) -> Job:
    encoding, draft = clients.get(Encoding), film.to_draft()
    async with upload_masters(settings, film.to_order(film.title_id or draft.title_id, path)) as order:
        # Check the files first, so that a refused film leaves no title behind.
        await encoding.inspect(
            path=order.path,
            audio=order.audio,
            subtitles=order.subtitles,
            title_id=order.title_id,
            episode_id=order.episode_id,
            again=order.again,
        )
        if film.title_id is None:
            await clients.get(Catalogue).put_title(draft=draft)
        job = await encoding.submit(order=order)
    return await _show_progress(encoding, job) if wait else job


async def _show_progress(encoding: Encoding, job: Job) -> Job:
    """Show a job's steps until it ends. Raises IngestFailed with the job's reason."""
    bars = Progress(
        TextColumn("  {task.description:<10}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
    )
    with bars:
        reason = ""
        tasks = {step.name: bars.add_task(step.name, total=None, start=False) for step in job.steps}
        while True:
            for step in (step for step in job.steps if step.state in ("running", "done")):
                bars.start_task(tasks[step.name])
                total = step.total or 1
                bars.update(tasks[step.name], total=total, completed=total if step.state == "done" else step.done)
            if job.state not in ("queued", "running"):
                break
            if job.state == "queued" and job.reason and job.reason != reason:
                bars.console.print(f"  {job.reason}", highlight=False)
            reason = job.reason
            await asyncio.sleep(POLL_INTERVAL_S)
            job = await _poll(encoding, job)
    if job.state != "done":
        reason = job.reason or job.state
        raise IngestFailed(detail=reason if reason.startswith(job.file_name) else f"{job.file_name}: {reason}")
    return job


async def _poll(encoding: Encoding, job: Job) -> Job:
    """Return the job's current state, with retries while the deployment is overloaded or restarts a process."""
    ends_at = time.monotonic() + UNANSWERED_LIMIT_S
    while True:
        try:
            return await encoding.get_job(job_id=job.job_id)
        except (DeadlineExceeded, Overloaded, Unreachable):
            if time.monotonic() > ends_at:
                raise
            await asyncio.sleep(POLL_INTERVAL_S)


@click.group()
def titles() -> None:
    """Manage the titles of the catalogue."""


@titles.command("list")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="How many at most.")
@json_option
@with_settings
def list_(settings: Settings, limit: int, json_: bool) -> None:
    """List the newest titles, in every state."""
    found, more = call(settings, lambda clients: read_pages(clients.get(Catalogue).everything, limit))
    show(found, ("title", "name", "kind", "state", "length"), _to_cells, as_json=json_)
    if more:
        click.echo("Older titles are not shown: `--limit` shows more.", err=True)


def _to_cells(title: Title) -> Iterable[object]:
    name = title.names.get(title.original_language) or next(iter(title.names.values()))
    return title.title_id, name, title.kind, title.state, f"{title.duration_ms // 1000} s"


@titles.command()
@click.argument("title_id")
@with_settings
def publish(settings: Settings, title_id: str) -> None:
    """Offer a title to viewers."""
    title = call(settings, lambda clients: clients.get(Catalogue).publish(title_id=TitleId(title_id)))
    click.echo(f"{title_id} is {title.state}")


@titles.command()
@click.argument("title_id")
@with_settings
def withdraw(settings: Settings, title_id: str) -> None:
    """Stop offering a title; `publish` offers it again."""
    title = call(settings, lambda clients: clients.get(Catalogue).withdraw(title_id=TitleId(title_id)))
    click.echo(f"{title_id} is {title.state}")
