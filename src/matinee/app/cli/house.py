"""`matinee up`, `serve`, `status`, `targets`."""

from __future__ import annotations

import asyncio

import click
import msgspec
import uvloop
from rich.console import Console
from rich.table import Table

from matinee.app import place
from matinee.app import targets as known_targets
from matinee.app.cli.jobs import table as jobs_table
from matinee.app.cli.options import as_json, json_option, run, with_settings
from matinee.app.serve import serve as serve_targets
from matinee.app.settings import Settings
from matinee.app.supervisor import Seen
from matinee.app.up import up as bring_up
from matinee.app.wiring import clients
from matinee.app.wiring.doors import EdgeWords
from matinee.app.wiring.fabric import NotRunning
from matinee.encoding.api import Job
from matinee.steering.api import Edge


@click.command()
@click.option("--port", "gateway__port", type=click.IntRange(1, 65535), help="The port viewers open [8080].")
@click.option("--edge-port", "edge__port", type=click.IntRange(1, 65535), help="The first edge's port [8090].")
@click.option("--lan", "house__lan", flag_value=True, type=bool, default=None, help="Open to the network, under TLS.")
@click.option(
    "--profile",
    "house__profile",
    type=click.Choice(["embedded", "distributed"]),
    help="State in files, or in real engines started beside the house [embedded].",
)
@click.option(
    "--no-demo", "house__demo", flag_value=False, type=bool, default=None, help="No demo account, no demo films."
)
@with_settings
def up(settings: Settings) -> None:
    """Run the whole house on this machine; Ctrl-C stops it."""
    run(bring_up(settings, Console()))  # not uvloop: it cannot put a process into a group of its own


@click.command()
@click.argument("targets", nargs=-1, required=True, type=click.Choice(known_targets.TARGETS))
@click.option("--name", help="The name in the logs [the first target's].")
@click.option("--port", default=0, help="The port to listen on; 0 takes a free one.")
@click.option("--edge", "edge_name", help="The edge's name, where the target is `edge`.")
@click.option("--worker", default=0, help="The number of this worker among those that share an edge's port.")
@with_settings
def serve(
    settings: Settings, targets: tuple[str, ...], name: str | None, port: int, edge_name: str | None, worker: int
) -> None:
    """Run one process that hosts some targets; what they need of others is reached through the mesh."""
    if place.EDGE in targets and len(targets) > 1:
        raise click.UsageError("An edge is a process of its own: serve `edge` alone.")
    words = EdgeWords(name=edge_name or "edge-a", port=port or settings.edge.port, worker=worker)
    uvloop.run(serve_targets(settings, targets, name or targets[0], port, words))


@click.command()
@json_option
def targets(json_: bool) -> None:
    """What can be served, and which target calls which."""
    found = {name: known_targets.needs(name) for name in known_targets.TARGETS}
    if json_:
        as_json(found)
        return
    table = Table("target", "calls", box=None, header_style="bold")
    for name, needed in found.items():
        table.add_row(name, ", ".join(needed))
    Console().print(table)


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """What `matinee status` tells."""

    running: bool
    address: str
    processes: list[Seen] = []
    edges: list[Edge] = []
    jobs: list[Job] = []


@click.command()
@json_option
@with_settings
def status(settings: Settings, json_: bool) -> None:
    """Processes, edges and jobs; exit status 1 when Matinee is not running."""
    found = run(_status(settings))
    as_json(found) if json_ else _show(found)
    if not found.running:
        raise click.exceptions.Exit(1)


async def _status(settings: Settings) -> Status:
    address, record = place.address(settings), place.processes(settings)
    if not record.exists():
        return Status(running=False, address=address)
    processes = msgspec.json.decode(record.read_bytes(), type=list[Seen])
    try:
        async with clients(settings) as house:
            edges, jobs = await asyncio.gather(house.steering.edges(), house.encoding.jobs())
    except NotRunning:
        return Status(running=False, address=address)
    return Status(running=True, address=address, processes=processes, edges=edges, jobs=jobs.items)


def _show(found: Status) -> None:
    console = Console()
    if not found.running:
        console.print("Matinee is not running here; `make up` or `matinee up` starts it.")
        return
    console.print(f"Matinee is at {found.address}\n")
    table = Table("process", "state", "pid", "restarts", box=None, header_style="bold")
    for seen in found.processes:
        table.add_row(seen.name, seen.state, str(seen.pid), str(seen.restarts))
    console.print(table, "")
    table = Table("edge", "address", "health", "load", "hits", "misses", box=None, header_style="bold")
    for edge in found.edges:
        said = edge.report
        table.add_row(said.name, said.base_url, edge.health, f"{said.load:.0%}", str(said.hits), str(said.misses))
    console.print(table, "", jobs_table(found.jobs) if found.jobs else "no jobs")
