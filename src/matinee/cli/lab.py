"""`matinee lab`: commands for developers of Matinee."""

from __future__ import annotations

import asyncio

import click
from rich.console import Console

from matinee.cli.engines import engines
from matinee.cli.options import json_option, with_settings
from matinee.cli.output import print_json
from matinee.kit import log
from matinee.lab.bench import run as bench_run
from matinee.lab.bench.figures import to_table
from matinee.mesh.hosting.settings import Settings


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


# The earlier name of `endurance`.
lab.add_command(click.Command("endure", params=endurance.params, callback=endurance.callback, hidden=True))
