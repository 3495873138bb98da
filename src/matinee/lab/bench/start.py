"""CPU time of press play in all processes that take part, beside a no-op on the same path through Envoy and gateway."""

from __future__ import annotations

import aiohttp

from matinee.lab.bench.harness import Bench, cpu_clock, time_in_turns
from matinee.lab.deployment import deploy_film
from matinee.lab.viewer import Viewer

GOAL = 4.0
CLIENTS = 8


async def measure(bench: Bench) -> None:
    """Measure the requests of some clients at once; edges and encoders take no part."""
    deployment, title_id = bench.stack.enter_context(deploy_film(bench.folder, seconds=6, size="160x90", rate="12"))
    viewer = Viewer(await bench.stack.enter_async_context(aiohttp.ClientSession()), deployment.url)
    await viewer.sign_up("bench@matinee.example")
    processes = deployment.processes()
    ping, play = await time_in_turns(
        {
            "no-op, same path": lambda _: viewer.call("GET", "/ping"),
            "play": lambda _: viewer.call("POST", "/playback", {"title_id": title_id, "capabilities": {}}),
        },
        count=bench.size(400, 16),
        in_flight=CLIENTS,
        rounds=bench.size(5, 1),
        clock=cpu_clock(processes["envoy"]["pid"], processes["services"]["pid"]),
    )
    bench.report("CPU per play start", play, "µs", baseline=ping, max_ratio=GOAL)
