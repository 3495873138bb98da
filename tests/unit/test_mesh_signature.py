"""Signatures of Protocols, and the round trip of arguments and results through the wire encoding."""

from __future__ import annotations

import importlib
from datetime import UTC, datetime
from typing import Any, Literal, NewType, Protocol

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matinee.drivers.metrics import Metrics
from matinee.kit.page import Page
from matinee.mesh.api import idempotent, long_running
from matinee.mesh.service import Services
from matinee.mesh.signature import read_signatures

DOMAINS = ["catalogue", "encoding", "events", "identity", "licensing", "playback", "steering", "viewing"]
LeafId = NewType("LeafId", str)


class Leaf(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="leaf"):
    leaf_id: LeafId
    at: datetime
    colour: Literal["green", "red"] = "green"
    bytes_: bytes = b""


class Twig(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="twig"):
    leaves: tuple[Leaf, ...] = ()
    names: dict[str, str] = {}
    ratio: float = 0.0
    parent: Leaf | None = None


class Tree(Protocol):
    @idempotent
    async def find(self, *, plant: Leaf | Twig, limit: int = 20, cursor: str | None = None) -> Page[Leaf | Twig]: ...

    @idempotent
    @long_running(limit_ms=30_000)
    async def wait(self) -> None: ...

    async def prune(self, *, leaf_ids: list[LeafId], deep: bool = False) -> int: ...


class Mirror:
    """Returns its arguments."""

    async def find(self, *, plant: Leaf | Twig, limit: int = 20, cursor: str | None = None) -> Page[Leaf | Twig]:
        return Page(items=[plant] * (limit % 3), next_cursor=cursor)

    async def wait(self) -> None:
        return None

    async def prune(self, *, leaf_ids: list[LeafId], deep: bool = False) -> int:
        return len(leaf_ids) if deep else -1


leaves = st.builds(
    Leaf,
    leaf_id=st.text().map(LeafId),
    at=st.datetimes(timezones=st.just(UTC)),
    colour=st.sampled_from(["green", "red"]),
    bytes_=st.binary(max_size=64),
)
twigs = st.builds(
    Twig,
    leaves=st.lists(leaves, max_size=3).map(tuple),
    names=st.dictionaries(st.text(), st.text(), max_size=3),
    ratio=st.floats(allow_nan=False, allow_infinity=False),
    parent=st.none() | leaves,
)


def bind_through_wire() -> Any:
    services = Services(Metrics(), force_wire=True)
    services.add("tree", Tree, Mirror())
    return services.bind("tree")


@given(plant=leaves | twigs, limit=st.integers(-(2**63), 2**64 - 1), cursor=st.none() | st.text())
async def test_any_argument_survives_the_wire(plant: Leaf | Twig, limit: int, cursor: str | None) -> None:
    direct, wired = Mirror(), bind_through_wire()
    arguments: dict[str, Any] = {"plant": plant, "limit": limit, "cursor": cursor}
    assert await wired.find(**arguments) == await direct.find(**arguments)


@given(leaf_ids=st.lists(st.text().map(LeafId)), deep=st.booleans())
async def test_any_list_survives_the_wire(leaf_ids: list[LeafId], deep: bool) -> None:
    wired = bind_through_wire()
    assert await wired.prune(leaf_ids=leaf_ids, deep=deep) == (len(leaf_ids) if deep else -1)


def test_marks_are_read() -> None:
    read = read_signatures(Tree)
    assert [(name, s.idempotent, s.limit_ms) for name, s in sorted(read.items())] == [
        ("find", True, None),
        ("prune", False, None),
        ("wait", True, 30_000),
    ]


def test_defaults_are_filled_in_by_the_receiver() -> None:
    prune = read_signatures(Tree)["prune"]
    assert prune.decode_arguments(b'{"leaf_ids":["a"]}') == {"leaf_ids": ["a"], "deep": False}


def test_an_argument_of_a_later_version_is_ignored() -> None:
    assert read_signatures(Tree)["wait"].decode_arguments(b'{"new":1}') == {}


def test_a_missing_or_unknown_argument_is_an_error_of_the_caller() -> None:
    with pytest.raises(TypeError, match="depth"):
        read_signatures(Tree)["prune"].encode_arguments({"leaf_ids": [], "depth": 1})
    with pytest.raises(TypeError, match="leaf_ids"):
        read_signatures(Tree)["prune"].encode_arguments({})


@pytest.mark.parametrize("domain", DOMAINS)
def test_every_domain_can_be_served(domain: str) -> None:
    api = importlib.import_module(f"matinee.{domain}.api")
    assert read_signatures(getattr(api, domain.capitalize()))


class Positional(Protocol):
    async def call(self, name: str) -> None: ...


class Untyped(Protocol):
    async def call(self, *, name) -> None: ...  # type: ignore[no-untyped-def]


class NoReturn(Protocol):
    async def call(self, *, name: str): ...  # type: ignore[no-untyped-def]


class NotAsync(Protocol):
    def call(self) -> None: ...


@pytest.mark.parametrize("protocol", [Positional, Untyped, NoReturn, NotAsync])
def test_a_protocol_that_cannot_be_called_remotely_is_refused(protocol: type[Any]) -> None:
    with pytest.raises(TypeError, match="call"):
        read_signatures(protocol)
