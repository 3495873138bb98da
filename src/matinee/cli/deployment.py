"""`matinee up`, `status`, `targets`."""

from __future__ import annotations

import asyncio

import click
import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from matinee.app import layout
from matinee.app.clients import open_clients
from matinee.app.domains import DOMAINS, needs
from matinee.app.supervisor import ProcessStatus
from matinee.app.up import up as run_deployment
from matinee.cli.jobs import build_table as build_jobs_table
from matinee.cli.options import json_option, print_json, with_settings
from matinee.drivers.engine import EngineState
from matinee.encoding.api import Encoding, Job
from matinee.kit.problem import Problem
from matinee.mesh.hosting.settings import Settings
from matinee.steering.api import Edge, Steering

# The limit for edges and jobs; processes and engines are shown in any case.
TIMEOUT_S = 8.0
# Engines on local files are shown only when they are not ok.
LOCAL_ENGINES = ("sqlite at", "disk at", "memory")


@click.command()
@click.option("--port", "gateway__port", type=click.IntRange(1, 65535), help="The port viewers open [8080].")
@click.option("--edge-port", "edge__port", type=click.IntRange(1, 65535), help="The first edge's port [8090].")
@click.option("--lan", "deployment__lan", flag_value=True, type=bool, default=None, help="Open to the network, by TLS.")
@click.option(
    "--profile",
    "deployment__profile",
    type=click.Choice(["embedded", "distributed"]),
    help="State in files, or in real engines started with the deployment [embedded].",
)
@click.option(
    "--no-demo", "deployment__demo", flag_value=False, type=bool, default=None, help="No demo account, no demo films."
)
@with_settings
def up(settings: Settings) -> None:
    """Run the whole deployment on this machine; Ctrl-C stops it."""
    from matinee.lab.profile import LocalEngines

    # Not under uvloop, which cannot start a process in its own process group.
    asyncio.run(run_deployment(settings, Console(), LocalEngines()))


@click.command()
@json_option
def targets(json_: bool) -> None:
    """List the targets that can be served, and the targets that each one calls."""
    found = {name: needs(name) for name in DOMAINS}
    if json_:
        print_json(found)
        return
    table = Table("target", "calls", box=None, header_style="bold")
    for name, needed in found.items():
        table.add_row(name, ", ".join(needed))
    Console().print(table)


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """The output of `matinee status`. `unknown` is the reason why edges and jobs are missing."""

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
    """Show processes, the engines they use, edges and jobs; exit status 1 when Matinee is not running."""
    found = asyncio.run(_read_status(settings))
    print_json(found) if json_ else _print(found)
    if not found.running:
        raise click.exceptions.Exit(1)


async def _read_status(settings: Settings) -> Status:
    address, record = layout.read_address(settings), layout.record_file(settings)
    if not (record.exists() and layout.is_running(settings)):
        return Status(running=False, address=address)
    processes = msgspec.json.decode(record.read_bytes(), type=list[ProcessStatus])
    found = Status(running=True, address=address, processes=processes, engines=_merge_engines(processes))
    try:
        async with asyncio.timeout(TIMEOUT_S), open_clients(settings) as clients:
            edges, jobs = await asyncio.gather(clients.get(Steering).list_edges(), clients.get(Encoding).list_jobs())
    except Problem as problem:
        return msgspec.structs.replace(found, unknown=str(problem))
    except TimeoutError:
        return msgspec.structs.replace(found, unknown=f"no answer within {TIMEOUT_S:.0f} s")
    return msgspec.structs.replace(found, edges=edges, jobs=jobs.items)


def _merge_engines(processes: list[ProcessStatus]) -> list[EngineState]:
    """Return the state of each engine; where processes differ, one that is not ok."""
    found: dict[str, EngineState] = {}
    for engine in (engine for process in processes for engine in process.engines):
        if engine.engine not in found or found[engine.engine].state == "ok":
            found[engine.engine] = engine
    return list(found.values())


def _print(found: Status) -> None:
    console = Console()
    if not found.running:
        console.print("Matinee is not running here; `make up` or `matinee up` starts it.")
        return
    console.print(f"Matinee is at {found.address}\n")
    console.print(_process_table(found.processes), "")
    for process in found.processes:
        if process.waiting:
            console.print(f"{process.name} is waiting: {escape(process.waiting)}\n", highlight=False)
    if engines := [one for one in found.engines if one.state != "ok" or not one.engine.startswith(LOCAL_ENGINES)]:
        console.print(_engine_table(engines), "")
    if found.unknown:
        console.print(f"edges and jobs are unknown: {escape(found.unknown)}", highlight=False)
        return
    console.print(_edge_table(found.edges), "", build_jobs_table(found.jobs) if found.jobs else "no jobs")


def _process_table(processes: list[ProcessStatus]) -> Table:
    table = Table("process", "state", "pid", "restarts", box=None, header_style="bold")
    for process in processes:
        table.add_row(process.name, process.state, str(process.pid), str(process.restarts))
    return table


def _engine_table(engines: list[EngineState]) -> Table:
    table = Table("engine", "state", "since", "", box=None, header_style="bold")
    for one in engines:
        since = one.since.astimezone().strftime("%H:%M:%S") if one.state != "ok" else ""
        table.add_row(one.engine, one.state, since, escape(one.detail))
    return table


def _edge_table(edges: list[Edge]) -> Table:
    table = Table("edge", "address", "health", "load", "hits", "misses", box=None, header_style="bold")
    for edge in edges:
        report = edge.report
        row = (report.name, report.base_url, edge.health, f"{report.load:.0%}", str(report.hits), str(report.misses))
        table.add_row(*row)
    return table
