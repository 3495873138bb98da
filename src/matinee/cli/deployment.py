"""`matinee up`, `serve`, `status`, `targets`."""

from __future__ import annotations

import asyncio

import click
import msgspec
import uvloop
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from matinee.app import place
from matinee.app import targets as known_targets
from matinee.app.serve import serve as serve_targets
from matinee.app.settings import Settings
from matinee.app.supervisor import ProcessStatus
from matinee.app.up import up as bring_up
from matinee.app.wiring import clients
from matinee.app.wiring.doors import EdgeWords
from matinee.cli.jobs import table as jobs_table
from matinee.cli.options import as_json, json_option, run, with_settings
from matinee.drivers.engine import EngineState
from matinee.encoding.api import Job
from matinee.kit.problem import Problem
from matinee.lab.profile import LocalEngines
from matinee.steering.api import Edge

# How long edges and jobs are asked for: who is there and how it is, is told in any case.
ASK_S = 8.0
# Of files only those that are not well are worth a line.
FILES = ("sqlite at", "disk at", "memory")


@click.command()
@click.option("--port", "gateway__port", type=click.IntRange(1, 65535), help="The port viewers open [8080].")
@click.option("--edge-port", "edge__port", type=click.IntRange(1, 65535), help="The first edge's port [8090].")
@click.option(
    "--lan", "deployment__lan", flag_value=True, type=bool, default=None, help="Open to the network, under TLS."
)
@click.option(
    "--profile",
    "deployment__profile",
    type=click.Choice(["embedded", "distributed"]),
    help="State in files, or in real engines started beside the deployment [embedded].",
)
@click.option(
    "--no-demo", "deployment__demo", flag_value=False, type=bool, default=None, help="No demo account, no demo films."
)
@with_settings
def up(settings: Settings) -> None:
    """Run the whole deployment on this machine; Ctrl-C stops it."""
    run(bring_up(settings, Console(), LocalEngines()))  # not uvloop: it cannot put a process into a group of its own


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
    """What `matinee status` tells. `unknown` says why edges and jobs could not be asked for."""

    running: bool
    address: str
    processes: list[ProcessStatus] = []
    engines: list[EngineState] = []
    edges: list[Edge] = []
    jobs: list[Job] = []
    unknown: str = ""


@click.command()
@json_option
@with_settings
def status(settings: Settings, json_: bool) -> None:
    """Processes, the engines they use, edges and jobs; exit status 1 when Matinee is not running."""
    found = run(_status(settings))
    as_json(found) if json_ else _show(found)
    if not found.running:
        raise click.exceptions.Exit(1)


async def _status(settings: Settings) -> Status:
    address, record = place.address(settings), place.processes(settings)
    if not (record.exists() and place.is_held(settings)):
        return Status(running=False, address=address)
    processes = msgspec.json.decode(record.read_bytes(), type=list[ProcessStatus])
    seen = Status(running=True, address=address, processes=processes, engines=_engines(processes))
    try:
        async with asyncio.timeout(ASK_S), clients(settings) as deployment:
            edges, jobs = await asyncio.gather(deployment.steering.edges(), deployment.encoding.jobs())
    except Problem as problem:
        return msgspec.structs.replace(seen, unknown=str(problem))
    except TimeoutError:
        return msgspec.structs.replace(seen, unknown="nobody answers in time")
    return msgspec.structs.replace(seen, edges=edges, jobs=jobs.items)


def _engines(processes: list[ProcessStatus]) -> list[EngineState]:
    """Each engine as the process sees it that sees it worst."""
    found: dict[str, EngineState] = {}
    for engine in (engine for seen in processes for engine in seen.engines):
        before = found.setdefault(engine.engine, engine)
        if before.state == "ok" != engine.state:
            found[engine.engine] = engine
    return list(found.values())


def _show(found: Status) -> None:
    console = Console()
    if not found.running:
        console.print("Matinee is not running here; `make up` or `matinee up` starts it.")
        return
    console.print(f"Matinee is at {found.address}\n")
    console.print(_processes(found.processes), "")
    for seen in found.processes:
        if seen.waiting:
            console.print(f"{seen.name} is waiting: {escape(seen.waiting)}\n", highlight=False)
    if engines := [one for one in found.engines if one.state != "ok" or not one.engine.startswith(FILES)]:
        console.print(_engine_table(engines), "")
    if found.unknown:
        console.print(f"edges and jobs are not known: {escape(found.unknown)}", highlight=False)
        return
    console.print(_edges(found.edges), "", jobs_table(found.jobs) if found.jobs else "no jobs")


def _processes(processes: list[ProcessStatus]) -> Table:
    table = Table("process", "state", "pid", "restarts", box=None, header_style="bold")
    for seen in processes:
        table.add_row(seen.name, seen.state, str(seen.pid), str(seen.restarts))
    return table


def _engine_table(engines: list[EngineState]) -> Table:
    table = Table("engine", "state", "since", "", box=None, header_style="bold")
    for one in engines:
        since = one.since.astimezone().strftime("%H:%M:%S") if one.state != "ok" else ""
        table.add_row(one.engine, one.state, since, escape(one.detail))
    return table


def _edges(edges: list[Edge]) -> Table:
    table = Table("edge", "address", "health", "load", "hits", "misses", box=None, header_style="bold")
    for edge in edges:
        said = edge.report
        table.add_row(said.name, said.base_url, edge.health, f"{said.load:.0%}", str(said.hits), str(said.misses))
    return table
