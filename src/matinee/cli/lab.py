"""`matinee lab`: commands for those who build Matinee."""

from __future__ import annotations

import click
from rich.console import Console

from matinee.app.settings import Settings
from matinee.cli.engines import engines
from matinee.cli.options import as_json, json_option, run, with_settings
from matinee.kit import log
from matinee.lab.bench import run as bench_run


@click.group()
def lab() -> None:
    """For those who build Matinee."""


lab.add_command(engines)


@lab.command()
@with_settings
def demo(settings: Settings) -> None:
    """Fill a running deployment with the demo films; what is there is left alone."""
    from matinee.lab.demo.fill import fill  # draws with numpy and Pillow, which no other command needs

    log.configure(level=settings.deployment.log_level, service="demo")
    run(fill(settings))


@lab.command()
@click.argument("areas", nargs=-1, type=click.Choice(bench_run.AREAS))
@json_option
def bench(areas: tuple[str, ...], json_: bool) -> None:
    """Figures beside their baselines of the same run; all areas, or those named."""
    found = bench_run.run(areas, lambda area: click.echo(f"measuring {area} …", err=True))
    as_json(found) if json_ else Console(width=160).print(bench_run.table(found))


@lab.command()
@click.option("--minutes", default=5.0, show_default=True, help="How long the viewers watch.")
@click.option("--viewers", default=8, show_default=True, help="How many watch at once.")
@click.option("--every", "every_s", default=6.0, show_default=True, help="Seconds between two kills, on average.")
@click.option("--seed", default=1, show_default=True, help="The same seed kills and watches alike.")
@json_option
def endure(minutes: float, viewers: int, every_s: float, seed: int, json_: bool) -> None:
    """Kill processes of a distributed deployment at random while viewers watch; exit status 1 when anything was lost."""
    from matinee.lab.endurance import endure as run_endurance

    report = run_endurance(seconds=minutes * 60, viewers=viewers, every_s=every_s, seed=seed)
    as_json(report) if json_ else click.echo("\n".join(report.lines()))
    if not report.good:
        raise click.exceptions.Exit(1)
