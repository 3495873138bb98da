"""`matinee serve`. Apart from the other commands, because each service process imports this module."""

from __future__ import annotations

import click
import uvloop

from matinee.app.domains import DOMAINS
from matinee.app.serve import serve_targets, serve_worker
from matinee.cli.options import with_settings
from matinee.edge.domain import EdgeSection
from matinee.kit.memory import collect_garbage_less_often, limit_arenas
from matinee.mesh.hosting.domain import WorkerOptions
from matinee.mesh.hosting.settings import Settings

_PORT = click.IntRange(0, 65535)


@click.command()
@click.argument("targets", nargs=-1, required=True, type=click.Choice(list(DOMAINS)))
@click.option("--name", help="The name in the logs [the first target's].")
@click.option("--port", type=_PORT, default=0, help="The port to listen on; 0 takes a free one.")
@click.option(
    "--app-port", type=_PORT, default=0, help="The port for the front, with the target `gateway`; 0 takes a free one."
)
@click.option("--edge", "edge_name", help="The edge's name, where the target is `edge`.")
@click.option("--worker", default=0, help="The number of this worker among those that share an edge's port.")
@with_settings
def serve(
    settings: Settings,
    targets: tuple[str, ...],
    name: str | None,
    port: int,
    app_port: int,
    edge_name: str | None,
    worker: int,
) -> None:
    """Run one process that serves some targets; it calls others through the mesh."""
    if app_port and "gateway" not in targets:
        raise click.UsageError("--app-port needs the target `gateway`.")
    limit_arenas()
    collect_garbage_less_often()
    workers = [target for target in targets if DOMAINS[target].run]
    if not workers:
        uvloop.run(serve_targets(settings, targets, name or targets[0], port, app_port))
        return
    if len(targets) > 1:
        raise click.UsageError(f"The target `{workers[0]}` needs a process of its own.")
    options = WorkerOptions(name=edge_name or "edge-a", port=port or settings.of(EdgeSection).port, worker=worker)
    uvloop.run(serve_worker(settings, workers[0], name or targets[0], options))
