"""One suite for every sign-in store. `open_again` hands out the data as another process would see it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.stores import SQL_OR_REDIS, database_url, sql_or_redis_opener, start_python

from matinee.events.api import FactRecord, RefreshTokenReused, SignInsEnded
from matinee.identity.adapters.redis import RedisSignInStore
from matinee.identity.adapters.sql import SqlIdentityStore
from matinee.identity.api import Device, DeviceInfo
from matinee.identity.model import SignIn
from matinee.identity.ports import SignInChange
from matinee.kit import ids
from matinee.kit.ids import AccountId, DeviceId, FactId, ProfileId, SignInId
from matinee.kit.structs import build_from

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ADA = AccountId("acc_ada")
NewPlace = Callable[[], str]
Store = SqlIdentityStore | RedisSignInStore
Open = Callable[[], Awaitable[Store]]
reopening = partial(sql_or_redis_opener, SqlIdentityStore, RedisSignInStore)


@pytest.fixture(params=SQL_OR_REDIS)
def new_place(request: pytest.FixtureRequest, tmp_path: Path) -> NewPlace:
    """Tells a new URL, at which nothing is kept yet, at each call."""
    return partial(database_url, request.param, tmp_path, "identity")


@pytest.fixture
def url(new_place: NewPlace) -> str:
    return new_place()


@pytest.fixture
async def open_again(url: str) -> AsyncIterator[Open]:
    async with reopening(url) as opened:
        yield opened


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def sign_in(name: str = "1", device: str = "tv", account_id: AccountId = ADA, **more: Any) -> SignIn:
    plain = {"handle": b"\x00\xffhandle", "live": (b"\x00live",), "turned_at": NOW, "expires_at": later(100), **more}
    return SignIn(
        sign_in_id=SignInId(f"sin_{name}"), account_id=account_id, device_id=DeviceId(f"dev_{device}"), **plain
    )


def device(name: str = "tv", at: datetime = NOW, signed_in: bool = True) -> Device:
    return Device(device_id=DeviceId(f"dev_{name}"), name=f"{name} 📺", kind="tv", last_seen_at=at, signed_in=signed_in)


def new_reuse_record() -> FactRecord:
    fact = RefreshTokenReused(account_id=ADA, device_id=DeviceId("dev_tv"))
    return FactRecord(fact_id=ids.derive(FactId, "1"), at=NOW, key=ADA, fact=fact)


def new_end_record(name: str = "end") -> FactRecord:
    return FactRecord(fact_id=ids.derive(FactId, name), at=NOW, key=ADA, fact=SignInsEnded(account_id=ADA))


async def look(store: Store, name: str = "1") -> SignIn | None:
    return await store.find(sign_in_id=SignInId(f"sin_{name}"))


async def relay(store: Store) -> list[FactRecord]:
    relayed: list[bytes] = []

    async def append(records: list[bytes]) -> None:
        relayed.extend(records)

    await store.outbox.relay(append)
    return [msgspec.json.decode(one, type=FactRecord) for one in relayed]


async def test_sign_in_is_visible_to_all_instances(open_again: Open) -> None:
    full = sign_in(spent=(b"a", b""), profile_id=ProfileId("pro_1"), proved_at=later(-5))
    await (await open_again()).begin(sign_in=full, device=device())
    store = await open_again()
    assert await look(store) == full
    assert await store.devices(account_id=ADA, now=NOW) == [device()]
    assert await look(store, "none") is None


async def test_change_updates_sign_in_and_device(open_again: Open) -> None:
    store = await open_again()
    await store.begin(sign_in=sign_in(), device=device())
    changed = {"turned_at": later(5), "expires_at": later(200), "proved_at": later(4), "profile_id": "pro_2"}
    new = sign_in(live=(b"2a", b"2b"), spent=(b"1",), **changed)
    change = SignInChange(sign_in=new)
    assert await store.change(sign_in_id=new.sign_in_id, now=later(5), change=lambda old: change) == change
    again = await open_again()
    assert await look(again) == new
    assert await again.devices(account_id=ADA, now=later(150)) == [device(at=later(5))]


async def test_change_can_end_a_sign_in_with_a_fact(open_again: Open) -> None:
    store = await open_again()
    await store.begin(sign_in=sign_in(), device=device())
    record = new_reuse_record()
    ended = SignInChange(sign_in=None, records=(record,))
    assert await store.change(sign_in_id=SignInId("sin_1"), now=NOW, change=lambda old: ended) == ended
    assert await look(store) is None
    assert await store.devices(account_id=ADA, now=NOW) == [device(signed_in=False)]
    assert await relay(await open_again()) == [record]


async def test_device_is_stored_once(open_again: Open) -> None:
    store = await open_again()
    await store.begin(sign_in=sign_in("1"), device=device())
    renamed = msgspec.structs.replace(device(at=later(1)), name="Other", kind="browser")
    await store.begin(sign_in=sign_in("2"), device=renamed)
    assert await store.devices(account_id=ADA, now=NOW) == [renamed]


async def test_devices_are_listed_by_account_last_seen_first(open_again: Open) -> None:
    store = await open_again()
    for n, name in enumerate(("a", "b", "c")):
        await store.begin(sign_in=sign_in(name, name), device=device(name, later(n % 2)))
    bob = AccountId("acc_bob")
    await store.begin(sign_in=sign_in("bob", "a", bob), device=device("a"))
    assert [one.device_id for one in await store.devices(account_id=ADA, now=NOW)] == ["dev_b", "dev_a", "dev_c"]
    assert await store.devices(account_id=bob, now=NOW) == [device("a")]
    removal: dict[str, Any] = {"account_id": bob, "device_id": DeviceId("dev_a"), "record": new_end_record()}
    assert await store.remove_device(**removal)
    assert not await store.remove_device(**removal)
    assert await relay(store) == [new_end_record()]
    assert len(await store.devices(account_id=ADA, now=NOW)) == 3
    assert await look(store, "bob") is None
    assert await look(store, "a")


async def test_account_is_erased_with_its_devices(open_again: Open) -> None:
    store = await open_again()
    bob = AccountId("acc_bob")
    for name, account_id in (("1", ADA), ("2", ADA), ("3", bob)):
        await store.begin(sign_in=sign_in(name, account_id=account_id), device=device())
    for _ in range(2):
        await store.erase(account_id=ADA, record=new_end_record())
    again = await open_again()
    assert await again.devices(account_id=ADA, now=NOW) == []
    assert await look(again) is None
    assert len(await again.devices(account_id=bob, now=NOW)) == 1
    assert await look(again, "3")
    assert await relay(again) == [new_end_record()]


async def test_sign_ins_end_singly_or_together(open_again: Open) -> None:
    store = await open_again()
    for name in "123":
        await store.begin(sign_in=sign_in(name), device=device())
    bob = AccountId("acc_bob")
    await store.begin(sign_in=sign_in("bob", account_id=bob), device=device())
    one, two = new_end_record("1"), new_end_record("2")
    assert await store.end(account_id=bob, sign_in_id=SignInId("sin_1"), record=one) == 0
    assert await store.end(account_id=ADA, sign_in_id=SignInId("sin_1"), record=one) == 1
    assert await store.end(account_id=ADA, sign_in_id=SignInId("sin_1"), record=one) == 0
    assert await store.end(account_id=ADA, record=two) == 2
    assert await store.end(account_id=ADA, record=two) == 0
    again = await open_again()
    assert await relay(again) == [one, two]
    assert await again.devices(account_id=ADA, now=NOW) == [device(signed_in=False)]
    assert await look(again, "bob")


async def test_device_is_found_by_its_id(open_again: Open) -> None:
    store = await open_again()
    await store.begin(sign_in=sign_in(), device=device())
    found = await store.find_device(account_id=ADA, device_id=device().device_id)
    assert found == build_from(device(), DeviceInfo)
    assert await store.find_device(account_id=AccountId("acc_bob"), device_id=device().device_id) is None
    assert await store.find_device(account_id=ADA, device_id=DeviceId("dev_other")) is None


async def test_unused_devices_are_deleted(open_again: Open) -> None:
    store = await open_again()
    for name, used_s in (("a", 0), ("b", 10), ("c", 0), ("d", 0)):
        await store.begin(sign_in=sign_in(name, name), device=device(name, later(used_s)))
    renewed = sign_in("c", "c", turned_at=later(20))
    await store.change(sign_in_id=SignInId("sin_c"), now=later(20), change=lambda _: SignInChange(sign_in=renewed))
    await store.remove_device(account_id=ADA, device_id=DeviceId("dev_d"), record=new_end_record())
    again = await open_again()
    assert await again.expire_devices(before=later(10)) == 1
    assert [one.device_id for one in await again.devices(account_id=ADA, now=NOW)] == ["dev_c", "dev_b"]
    assert await again.expire_devices(before=later(30)) == 2
    assert await again.devices(account_id=ADA, now=NOW) == []
    await again.begin(sign_in=sign_in("e", "a"), device=device("a", later(40)))
    assert await again.expire_devices(before=later(30)) == 0


async def test_expired_sign_ins_are_deleted(open_again: Open) -> None:
    store = await open_again()
    await store.begin(sign_in=sign_in("1", expires_at=later(10)), device=device())
    await store.begin(sign_in=sign_in("2", expires_at=later(11)), device=device())
    assert await store.devices(account_id=ADA, now=later(11)) == [device(signed_in=False)]
    assert await store.expire(now=later(10)) == 1
    assert await look(store, "1") is None
    assert await look(store, "2")


async def test_concurrent_changes_are_serialised(open_again: Open) -> None:
    stores = [await open_again() for _ in range(3)]
    await stores[0].begin(sign_in=sign_in(live=()), device=device())

    def adding(n: int) -> Callable[[SignIn], SignInChange]:
        return lambda old: SignInChange(sign_in=msgspec.structs.replace(old, live=(*old.live, b"%d" % n)))

    turns = [stores[n % 3].change(sign_in_id=SignInId("sin_1"), now=NOW, change=adding(n)) for n in range(20)]
    await asyncio.gather(*turns)
    stored = await look(stores[0])
    assert stored
    assert set(stored.live) == {b"%d" % n for n in range(20)}


async def test_concurrent_sign_ins_share_one_device(open_again: Open) -> None:
    stores = [await open_again() for _ in range(3)]
    await asyncio.gather(*(stores[n % 3].begin(sign_in=sign_in(str(n)), device=device()) for n in range(9)))
    assert await stores[0].devices(account_id=ADA, now=NOW) == [device()]
    assert await stores[0].end(account_id=ADA, record=new_end_record()) == 9


async def test_acknowledged_writes_survive_a_kill(url: str, open_again: Open) -> None:
    await open_again()
    writer = start_python(__file__, url, "k")
    answered = [writer.stdout.readline().strip() for _ in range(25)]
    writer.kill()
    answered += writer.communicate().split("\n")[:-1]
    store = await open_again()
    stored = await look(store, "k")
    assert stored
    # The last turn may have been kept and its answer cut off.
    assert int(stored.live[0]) - int(answered[-1]) in (0, 1)
    assert stored.spent == (b"%d" % (int(stored.live[0]) - 1),)


NAMES = st.sampled_from(["1", "2", "3"])
STEPS = st.one_of(
    st.tuples(st.just("begin"), NAMES, st.sampled_from(["tv", "phone"])),
    st.tuples(st.just("turn"), NAMES, st.lists(st.binary(max_size=4), max_size=3).map(tuple)),
    st.tuples(st.just("end"), NAMES, st.none()),
    st.tuples(st.just("remove"), st.none(), st.sampled_from(["tv", "phone"])),
)


class Plain:
    """What a dict would do."""

    def __init__(self) -> None:
        self.sign_ins: dict[str, SignIn] = {}
        self.devices: set[str] = set()


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, max_size=15))
async def test_store_behaves_like_a_dict(new_place: NewPlace, steps: list[Any]) -> None:
    plain = Plain()
    async with reopening(new_place()) as reopen:
        store = await reopen()
        for what, name, value in steps:
            await TASKS[what](store, plain, name, value)
        again = await reopen()
        for name in "123":
            assert await look(again, name) == plain.sign_ins.get(name)
        used = {one.device_id for one in plain.sign_ins.values()}
        shown = {one.device_id: one.signed_in for one in await again.devices(account_id=ADA, now=NOW)}
        assert shown == {f"dev_{name}": f"dev_{name}" in used for name in plain.devices}


async def _begin(store: Store, plain: Plain, name: str, on: str) -> None:
    if name not in plain.sign_ins:
        plain.sign_ins[name] = sign_in(name, on)
        plain.devices.add(on)
        await store.begin(sign_in=plain.sign_ins[name], device=device(on))


async def _turn(store: Store, plain: Plain, name: str, live: tuple[bytes, ...]) -> None:
    def turn(old: SignIn) -> SignInChange:
        return SignInChange(sign_in=msgspec.structs.replace(old, live=live, spent=old.live))

    changed = await store.change(sign_in_id=SignInId(f"sin_{name}"), now=NOW, change=turn)
    assert (changed is not None) == (name in plain.sign_ins)
    if changed and changed.sign_in:
        plain.sign_ins[name] = changed.sign_in


async def _end(store: Store, plain: Plain, name: str, _: None) -> None:
    plain.sign_ins.pop(name, None)
    await store.end(account_id=ADA, sign_in_id=SignInId(f"sin_{name}"), record=new_end_record())


async def _remove(store: Store, plain: Plain, _: None, on: str) -> None:
    removed = await store.remove_device(account_id=ADA, device_id=DeviceId(f"dev_{on}"), record=new_end_record())
    assert removed == (on in plain.devices)
    plain.devices.discard(on)
    plain.sign_ins = {k: v for k, v in plain.sign_ins.items() if v.device_id != f"dev_{on}"}


TASKS: dict[str, Any] = {"begin": _begin, "turn": _turn, "end": _end, "remove": _remove}


async def _write(store: Store, name: str) -> None:
    await store.begin(sign_in=sign_in(name, live=(b"0",), spent=(b"-1",)), device=device())
    for n in range(1, 100_000):
        await store.change(sign_in_id=SignInId(f"sin_{name}"), now=later(n), change=_next)
        print(n, flush=True)


def _next(old: SignIn) -> SignInChange:
    fresh = b"%d" % (int(old.live[0]) + 1)
    return SignInChange(sign_in=msgspec.structs.replace(old, live=(fresh,), spent=old.live))


async def _run(url: str, name: str) -> None:
    """Turn a sign-in over and over, in a process of its own."""
    async with reopening(url) as reopen:
        await _write(await reopen(), name)


if __name__ == "__main__":
    asyncio.run(_run(*sys.argv[1:]))
