"""Registrations and wiring: what the builders of the domains need, the processes of a deployment."""

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from matinee.app.domains import DOMAINS, PROTOCOLS, needs
from matinee.app.host import build_targets
from matinee.app.layout import list_groups
from matinee.app.settings import load
from matinee.catalogue.api import Catalogue
from matinee.drivers.metrics import Metrics
from matinee.mesh.hosting.domain import Process, Wiring
from matinee.mesh.hosting.runtime import open_runtime
from matinee.mesh.hosting.settings import BadSettings, Settings


class RecordingProcess(Process):
    """Records which domain gets clients of which."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.used: dict[str, set[type]] = {}

    def client(self, protocol: type[Any], *, caller: str) -> Any:
        self.used.setdefault(caller, set()).add(protocol)
        return super().client(protocol, caller=caller)


def settings(folder: Path, **values: Any) -> Settings:
    overrides = {key.replace("__", "."): value for key, value in values.items()}
    return load(None, {}, {"deployment.data": str(folder), **overrides})


async def test_domains_use_every_domain_that_they_need(tmp_path: Path) -> None:
    async with open_runtime(settings(tmp_path)) as runtime, AsyncExitStack() as stack:
        process = RecordingProcess(runtime, domains=DOMAINS, stack=stack, metrics=Metrics())
        await build_targets(process, (*PROTOCOLS, "gateway"))
        for name in (*PROTOCOLS, "gateway"):
            assert process.used.get(name, set()) == set(DOMAINS[name].needs), name


async def test_domain_gets_no_client_that_its_registration_does_not_list(tmp_path: Path) -> None:
    async with open_runtime(settings(tmp_path)) as runtime, AsyncExitStack() as stack:
        process = Process(runtime, domains=DOMAINS, stack=stack, metrics=Metrics())
        with pytest.raises(LookupError, match="steering does not list Catalogue"):
            Wiring(process, DOMAINS["steering"]).client(Catalogue)


def test_domains_come_after_those_that_they_need() -> None:
    order = list(DOMAINS)
    assert all(order.index(needed) < order.index(name) for name in order for needed in needs(name))


@pytest.mark.parametrize(
    ("key", "value"),
    [("catalogue.read_model", "mongodb://h/x"), ("events.log", "nats://h"), ("viewing.store", "ftp://h")],
)
async def test_unsupported_engine_is_named_with_its_setting(tmp_path: Path, key: str, value: str) -> None:
    chosen = load(None, {}, {"deployment.data": str(tmp_path), key: value})
    async with open_runtime(chosen) as runtime, AsyncExitStack() as stack:
        process = Process(runtime, domains=DOMAINS, stack=stack, metrics=Metrics())
        with pytest.raises(BadSettings) as caught:
            await build_targets(process, (key.partition(".")[0],))
    assert key in str(caught.value)
    assert repr(value.partition(":")[0]) in str(caught.value)


def groups(folder: Path, text: str) -> dict[str, set[str]]:
    return {group.name: set(group.targets) for group in list_groups(settings(folder, deployment__groups=text))}


def test_targets_that_no_group_names_share_one_process(tmp_path: Path) -> None:
    everything = {*PROTOCOLS, "gateway"}
    assert groups(tmp_path, "encoding") == {"services": everything - {"encoding"}, "encoding": {"encoding"}}
    assert groups(tmp_path, "") == {"services": everything}
    assert groups(tmp_path, "gateway; playback, viewing")["playback"] == {"playback", "viewing"}
    assert [group.name for group in list_groups(settings(tmp_path))] == ["services", "encoding"]


@pytest.mark.parametrize("text", ["edge", "gateway,nobody", "gateway;gateway"])
def test_wrong_group_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadSettings, match=r"deployment\.groups"):
        groups(tmp_path, text)


def test_less_than_one_instance_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match=r"deployment\.instances"):
        list_groups(settings(tmp_path, deployment__instances=0))
