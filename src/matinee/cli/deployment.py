"""`matinee up`, `status`, `targets`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

import click
import msgspec
from rich.console import Console

from matinee.app import layout
from matinee.app.clients import open_clients
from matinee.app.domains import DOMAINS, needs
from matinee.app.supervisor import ProcessStatus
from matinee.app.up import up as run_deployment
from matinee.cli.jobs import show_jobs
from matinee.cli.options import json_option, with_settings
from matinee.cli.output import print_json, show
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
    else:
        show(found, ("target", "calls"), lambda name: (name, ", ".join(found[name])))


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """The output of `matinee status`. `unknown` is the reason why edges and jobs are missing.

    `stores` are the sizes of the databases in the data directory, in bytes.
    """

    running: bool
    address: str
    processes: list[ProcessStatus] = []
    engines: list[EngineState] = []
    edges: list[Edge] = []
    jobs: list[Job] = []
    stores: dict[str, int] = {}
    unknown: str = ""


@click.command()
@json_option
@with_settings
def status(settings: Settings, json_: bool) -> None:
    """Show processes, the engines they use, edges and jobs; exit status 1 when Matinee is not running."""
    found = asyncio.run(_read_status(settings))
    print_json(found) if json_ else _print(found, settings.deployment.data)
    if not found.running:
        raise click.exceptions.Exit(1)


async def _read_status(settings: Settings) -> Status:
    address, record = layout.read_address(settings), layout.record_file(settings)
    if not (record.exists() and layout.is_running(settings)):
        return Status(running=False, address=address)
    processes = msgspec.json.decode(record.read_bytes(), type=list[ProcessStatus])
    found = Status(
        running=True,
        address=address,
        processes=processes,
        engines=_merge_engines(processes),
        stores=_measure_stores(settings.data),
    )
    try:
        async with asyncio.timeout(TIMEOUT_S), open_clients(settings) as clients:
            edges, jobs = await asyncio.gather(clients.get(Steering).list_edges(), clients.get(Encoding).list_jobs())
    except Problem as problem:
        return msgspec.structs.replace(found, unknown=str(problem))
    except TimeoutError:
        return msgspec.structs.replace(found, unknown=f"no answer within {TIMEOUT_S:.0f} s")
    return msgspec.structs.replace(found, edges=edges, jobs=jobs.items)


def _measure_stores(folder: Path) -> dict[str, int]:
    """Return the bytes of each database with what is not yet written into it, the largest first."""
    sizes = {
        file.name: sum(one.stat().st_size for one in (file, file.with_name(f"{file.name}-wal")) if one.exists())
        for file in folder.glob("*.db")
    }
    return dict(sorted(sizes.items(), key=lambda item: -item[1]))


def _merge_engines(processes: list[ProcessStatus]) -> list[EngineState]:
    """Return the state of each engine; where processes differ, one that is not ok."""
    found: dict[str, EngineState] = {}
    for engine in (engine for process in processes for engine in process.engines):
        if engine.engine not in found or found[engine.engine].state == "ok":
            found[engine.engine] = engine
    return list(found.values())


def _print(found: Status, data: str) -> None:
    if not found.running:
        click.echo(f"Matinee is not running in {data}: `matinee up` starts it; `--data` names another data directory.")
        return
    click.echo(f"Matinee is at {found.address}\n")
    show(found.processes, ("process", "state", "pid", "restarts"), lambda p: (p.name, p.state, p.pid, p.restarts))
    for process in found.processes:
        if process.waiting:
            click.echo(f"\n{process.name} is waiting: {process.waiting}")
    if engines := [one for one in found.engines if one.state != "ok" or not one.engine.startswith(LOCAL_ENGINES)]:
        click.echo()
        show(engines, ("engine", "state", "since", ""), _engine_cells)
    if found.stores:
        sizes = ", ".join(f"{name} {size / 1e6:,.1f} MB" for name, size in found.stores.items())
        click.echo(f"\ndatabases in {data}: {sizes}")
    click.echo()
    if found.unknown:
        click.echo(f"edges and jobs are unknown: {found.unknown}")
        return
    show(found.edges, ("edge", "address", "health", "load", "hits", "misses"), _edge_cells)
    click.echo()
    show_jobs(found.jobs, empty="no jobs")


def _engine_cells(engine: EngineState) -> Iterable[object]:
    since = f"{engine.since.astimezone():%H:%M:%S}" if engine.state != "ok" else ""
    return engine.engine, engine.state, since, engine.detail


def _edge_cells(edge: Edge) -> Iterable[object]:
    report = edge.report
    return report.name, report.base_url, edge.health, f"{report.load:.0%}", report.hits, report.misses
