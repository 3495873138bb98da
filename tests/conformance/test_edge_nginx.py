"""What befalls nginx in front of an edge."""

import asyncio
import os
import signal
from pathlib import Path

from tests.conformance.edge_rig import Rig, an_edge, an_origin, link, until
from tests.deployment import eventually

from matinee.edge.ports import Metric

SEGMENT = os.urandom(300_000)


def master(rig: Rig) -> int:
    return int((rig.settings.cache_dir / "nginx" / "nginx.pid").read_text())


async def replaced(rig: Rig, pid: int) -> bool:
    """Whether another process than this one answers."""
    try:
        return master(rig) != pid and (await rig.ask("/healthz")).status == 200
    except (OSError, EOFError, ValueError):
        return False


async def test_nginx_that_is_killed_is_started_again_and_has_what_it_had(tmp_path: Path) -> None:
    async with an_origin() as origin, an_edge(tmp_path, origin, plane="nginx") as rig:
        origin.objects["assets/ast_1/v/1.m4s"] = SEGMENT
        assert (await rig.ask(link("v/1.m4s"))).body == SEGMENT
        killed = master(rig)
        os.kill(killed, signal.SIGTERM)
        await eventually(lambda: replaced(rig, killed))
        assert (await rig.ask(link("v/1.m4s"))).body == SEGMENT
        assert origin.requests.total() == 1
        await until(lambda: rig.count(Metric.HITS) == 1)


async def test_a_house_that_comes_back_ends_the_nginx_it_left_behind(tmp_path: Path) -> None:
    async with an_origin() as origin:
        origin.objects["assets/ast_1/v/1.m4s"] = SEGMENT
        async with an_edge(tmp_path, origin, plane="nginx") as first:
            left_behind, port = master(first), first.port
            first.job.cancel()  # nobody is left who would start it again
            async with an_edge(tmp_path, origin, plane="nginx", port=port) as second:
                assert master(second) != left_behind
                await eventually(lambda: not Path(f"/proc/{left_behind}").exists())
                assert (await second.ask(link("v/1.m4s"))).body == SEGMENT


async def test_figures_tell_of_connections_processor_and_disk(tmp_path: Path) -> None:
    async with an_origin() as origin, an_edge(tmp_path, origin, plane="nginx") as rig:
        origin.objects["assets/ast_1/v/1.m4s"] = SEGMENT
        _, writer = await asyncio.open_connection("127.0.0.1", rig.port)
        await rig.ask(link("v/1.m4s"))
        await until(lambda: rig.count(Metric.CONNECTIONS) >= 1)
        await until(lambda: rig.count(Metric.DISK_USED_BYTES) >= len(SEGMENT))
        writer.close()


async def test_a_reactor_that_is_away_is_a_bad_gateway_and_hits_are_served(tmp_path: Path) -> None:
    async with an_origin() as origin, an_edge(tmp_path, origin, plane="nginx") as rig:
        origin.objects["assets/ast_1/v/1.m4s"] = SEGMENT
        assert (await rig.ask(link("v/1.m4s"))).body == SEGMENT
        await rig.server.stop(0)
        assert (await rig.ask(link("v/1.m4s"))).body == SEGMENT
        assert (await rig.ask(link("v/2.m4s"))).status == 502
