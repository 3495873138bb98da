"""The distributed profile: the whole deployment on real engines, which `matinee up` starts beside it on this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from matinee.app.settings import default_keys, flatten, read_stored, replace_values, store_values
from matinee.app.supervisor import MAX_EARLY_EXITS, Program, Supervisor
from matinee.lab.engines import ENGINES, Engine, EngineLocation, EngineMissing, open_location
from matinee.lab.engines.fetch import fetch
from matinee.mesh.hosting.settings import BadSettings, Settings

ANSWER_S = 180.0
LOOK_S = 0.25
# Two of each, so that one may die at any time.
HOUSE = {
    "deployment.groups": "gateway;playback,steering,identity,licensing;catalogue,viewing,events;encoding",
    "deployment.instances": 2,
}
# Which engine keeps what; each domain in a namespace of its own.
KEEPERS = {
    "mesh.registry": ("etcd", "mesh"),
    "events.log": ("kafka", "matinee"),
    "identity.store": ("mariadb", "identity"),
    "identity.sessions": ("redis", "identity"),
    "identity.throttle": ("redis", "identity"),
    "catalogue.store": ("mariadb", "catalogue"),
    "catalogue.read_model": ("cassandra", "catalogue"),
    "cache.engine": ("memcached", "matinee"),
    "licensing.store": ("mariadb", "licensing"),
    "encoding.store": ("mariadb", "encoding"),
    "steering.store": ("mariadb", "steering"),
    "viewing.store": ("cassandra", "viewing"),
    "playback.store": ("redis", "playback"),
    "objects.store": ("s3", "objects"),
    "gateway.uploads": ("s3", "objects/uploads"),  # below the object store, where workers fetch them
}


class LocalEngines:
    """Engines on this machine, for `matinee up`."""

    def check(self, settings: Settings, report: Callable[[str], None]) -> None:
        """Check that the deployment can be started; fetch the engines that this machine lacks.

        Raises BadSettings when the data directory belongs to the other profile, EngineMissing when an engine cannot be had.
        """
        if settings.deployment.profile == "embedded":
            if read_stored(settings.data).get("deployment.profile") == "distributed":
                raise BadSettings(
                    detail=f"{settings.data} belongs to the distributed profile: name another directory with --data."
                )
            return
        for name, lack in fetch(sorted({KEEPERS[key][0] for key in _ours(settings)}), report).items():
            raise EngineMissing(engine=name, detail=lack)

    async def start(self, settings: Settings, supervisor: Supervisor) -> Settings:
        """Start an engine for each setting that was left at its default; return the settings that point to them.

        The addresses are stored in the data directory, so that later starts and other commands use the same ones.
        """
        keys = _ours(settings)
        places = {name: _place(settings, name) for name in sorted({KEEPERS[key][0] for key in keys})}
        await asyncio.gather(*(_started(ENGINES[name], at, supervisor) for name, at in places.items()))
        values: dict[str, Any] = {"deployment.profile": "distributed"}
        for key in keys:
            name, namespace = KEEPERS[key]
            values[key] = await asyncio.to_thread(ENGINES[name].url, places[name], namespace)
        unsaid = default_keys(settings)
        values |= {key: value for key, value in HOUSE.items() if key in unsaid}
        store_values(settings.data, read_stored(settings.data) | values)
        return replace_values(settings, values)


def _ours(settings: Settings) -> list[str]:
    """The settings that lead, or are to lead, to engines of this deployment's own."""
    unsaid, before = default_keys(settings), read_stored(settings.data)
    return [key for key in KEEPERS if key in unsaid or before.get(key) == flatten(settings)[key]]


def _place(settings: Settings, name: str) -> EngineLocation:
    return open_location(ENGINES[name], settings.data / "engines" / name)


async def _started(engine: Engine, at: EngineLocation, supervisor: Supervisor) -> None:
    if await asyncio.to_thread(engine.is_ready, at):
        return  # `matinee lab engines up` has started it
    await asyncio.to_thread(engine.prepare, at)
    await supervisor.start(
        Program(name=engine.name, command=engine.command(at), environment=engine.environment(at), lifeline=False)
    )
    end = asyncio.get_running_loop().time() + ANSWER_S
    while not await asyncio.to_thread(engine.is_ready, at):
        if asyncio.get_running_loop().time() > end:
            raise RuntimeError(f"{engine.name} does not answer")
        if any(one.restarts >= MAX_EARLY_EXITS for one in supervisor.statuses() if one.name == engine.name):
            raise RuntimeError(f"{engine.name} ends again and again")
        await asyncio.sleep(LOOK_S)
