"""`matinee lab`: commands for developers of Matinee."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec
from rich.console import Console

from matinee.app.clients import Clients
from matinee.cli.engines import engines
from matinee.cli.options import PathType, call, json_option, with_settings
from matinee.cli.output import print_json, show
from matinee.kit import log
from matinee.kit.ids import EpisodeId, TitleId
from matinee.lab.bench import run as bench_run
from matinee.lab.bench.figures import to_table
from matinee.mesh.hosting.settings import Settings

if TYPE_CHECKING:  # it imports numpy, which no other command needs
    from matinee.lab.verify.cases import Case


@click.group()
def lab() -> None:
    """Commands for developers of Matinee."""


lab.add_command(engines)


@lab.command()
@with_settings
def demo(settings: Settings) -> None:
    """Fill a running deployment with the demo films; existing titles are skipped."""
    from matinee.lab.demo.fill import fill  # imports numpy and Pillow, which no other command needs

    log.configure(level=settings.deployment.log_level, service="demo")
    asyncio.run(fill(settings))


@lab.command()
@click.argument("areas", nargs=-1, type=click.Choice(bench_run.AREAS))
@click.option("--smallest", is_flag=True, help="At the smallest size: fast, but the figures mean nothing.")
@json_option
def bench(areas: tuple[str, ...], smallest: bool, json_: bool) -> None:
    """Measure all areas or those named, each figure beside the baseline of the same run."""
    figures = bench_run.run(areas, smallest, lambda area: click.echo(f"measuring {area} …", err=True))
    print_json(figures) if json_ else Console(width=160).print(to_table(figures))


@lab.command()
@click.option("--minutes", default=5.0, show_default=True, help="How long the viewers watch.")
@click.option("--viewers", default=8, show_default=True, help="How many watch at once.")
@click.option("--every", "every_s", default=6.0, show_default=True, help="Seconds between two kills, on average.")
@click.option("--seed", default=1, show_default=True, help="The same seed gives the same kills and viewers.")
@json_option
def endurance(minutes: float, viewers: int, every_s: float, seed: int, json_: bool) -> None:
    """Kill processes of a distributed deployment at random while viewers watch; exit status 1 when anything is lost."""
    from matinee.lab.endurance import measure_endurance

    report = measure_endurance(seconds=minutes * 60, viewers=viewers, every_s=every_s, seed=seed)
    print_json(report) if json_ else click.echo("\n".join(report.lines()))
    if not report.is_ok:
        raise click.exceptions.Exit(1)


@lab.command()
@click.argument("title_id", required=False)
@click.argument("source", required=False, type=PathType(exists=True, dir_okay=False))
@click.option("--episode-id", help="The episode of the title.")
@click.option(
    "--cases",
    type=PathType(exists=True, file_okay=False),
    help="Ingest every file of a folder instead, and verify each.",
)
@click.option(
    "--base", type=PathType(exists=True, dir_okay=False), help="The film for subtitles of that folder [base.*]."
)
@json_option
@with_settings
def verify(
    settings: Settings,
    title_id: str | None,
    source: Path | None,
    episode_id: str | None,
    cases: Path | None,
    base: Path | None,
    json_: bool,
) -> None:
    """Compare a published title with its source: frames, sound, colours, tracks; exit status 1 when any is wrong."""
    from matinee.lab.verify.cases import run_cases, verify_title
    from matinee.lab.verify.checks import is_wrong

    if cases:
        results: list[Case] = []

        async def run(clients: Clients) -> None:
            async for case in run_cases(settings, clients, cases, base):
                results.append(case)
                click.echo(_describe_case(case), err=json_)

        call(settings, run)
        if json_:
            print_json(results)
        if any(case.outcome in ("WRONG", "failed") for case in results):
            raise click.exceptions.Exit(1)
        return
    if title_id is None or source is None:
        raise click.UsageError("Name a title and its source, or a folder by --cases.")
    episode = EpisodeId(episode_id) if episode_id else None
    checks = call(settings, lambda clients: verify_title(settings, clients, TitleId(title_id), episode, source))
    show(checks, ("check", "track", "result", "found"), msgspec.structs.astuple, as_json=json_)
    if is_wrong(checks):
        raise click.exceptions.Exit(1)


def _describe_case(case: Case) -> str:
    wrong = [f"{check.name} {check.track}: {check.found}" for check in case.checks if check.result == "WRONG"]
    lines = [f"{case.file:<28} {case.outcome:<8} {case.detail}".rstrip()]
    return "\n".join([*lines, *(f"    WRONG {line}" for line in wrong), *(f"    warns {w}" for w in case.warnings)])


# The earlier name of `endurance`.
lab.add_command(click.Command("endure", params=endurance.params, callback=endurance.callback, hidden=True))
