"""One suite for every account store. `open_again` hands out the same data as another process would see it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError
from tests.stores import SQL, Program, database_url, start_python, store_opener

from matinee.drivers.sql import Database
from matinee.events.api import AccountOpened, FactRecord, ProfileRemoved
from matinee.identity.adapters.sql import SqlIdentityStore
from matinee.identity.api import Account, EmailTaken, LastOperator, LastProfile, Profile
from matinee.identity.model import Credentials, StoredProfile
from matinee.identity.ports import Profiles, ProfilesChange
from matinee.kit import ids
from matinee.kit.ids import AccountId, FactId, ProfileId
from matinee.kit.problem import Forbidden

NOW = datetime(2026, 1, 1, 12, 30, 15, 123_000, tzinfo=UTC)
Open = Callable[[], Awaitable[SqlIdentityStore]]


@pytest.fixture(params=SQL)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return database_url(request.param, tmp_path, "identity")


@pytest.fixture
async def open_again(url: str) -> AsyncIterator[Open]:
    """Opens the same data again: a second opener is a second process's view of it."""
    async with store_opener(SqlIdentityStore, url) as opened:
        yield opened


def credentials(name: str, **more: Any) -> Credentials:
    account = Account(account_id=AccountId(f"acc_{name}"), email=f"{name}@example.org", created_at=NOW, **more)
    return Credentials(account=account, password_hash=f"$argon2id${name}")


def profile(name: str, owner: str = "ada", **more: Any) -> Profile:
    plain = {"avatar": "ember", "language": "en", **more}
    return Profile(profile_id=ProfileId(f"pro_{name}"), account_id=AccountId(f"acc_{owner}"), name=name, **plain)


def record(name: str) -> FactRecord:
    account_id = AccountId(f"acc_{name}")
    return FactRecord(
        fact_id=ids.derive(FactId, name), at=NOW, key=account_id, fact=AccountOpened(account_id=account_id)
    )


async def open_account(store: SqlIdentityStore, name: str = "ada") -> Credentials:
    stored = credentials(name)
    await store.open_account(credentials=stored, profile=profile(f"first-{name}", name), records=(record(name),))
    return stored


async def read_facts(store: SqlIdentityStore) -> list[FactRecord]:
    records: list[FactRecord] = []

    async def append(batch: list[bytes]) -> None:
        records.extend(msgspec.json.decode(one, type=FactRecord) for one in batch)

    await store.outbox.relay(append)
    return records


def keeping(*profiles: StoredProfile) -> Callable[[Profiles], ProfilesChange]:
    return lambda old: ProfilesChange(profiles=profiles)


async def test_account_is_visible_to_all_instances(open_again: Open) -> None:
    stored = await open_account(await open_again())
    store = await open_again()
    assert await store.credentials(email="ada@example.org") == stored
    assert await store.profiles(account_id=AccountId("acc_ada")) == (StoredProfile(profile=profile("first-ada")),)
    assert await read_facts(store) == [record("ada")]
    assert await read_facts(await open_again()) == []


async def test_missing_entries_are_none(open_again: Open) -> None:
    store = await open_again()
    missing = AccountId("acc_missing")
    assert await store.credentials(email="missing@example.org") is None
    assert await store.member(account_id=missing, profile_id=None) is None
    assert await store.profiles(account_id=missing) == ()
    assert await store.change_account(account_id=missing, change=lambda old: old) is None
    with pytest.raises(Forbidden):
        await store.change_profiles(account_id=missing, change=keeping(StoredProfile(profile=profile("x"))))


async def test_address_has_one_account_and_a_refused_one_stores_nothing(open_again: Open) -> None:
    store = await open_again()
    await open_account(store)
    twin = msgspec.structs.replace(
        credentials("bob"), account=msgspec.structs.replace(credentials("bob").account, email="ada@example.org")
    )
    with pytest.raises(EmailTaken):
        await store.open_account(credentials=twin, profile=profile("twin", "bob"), records=(record("bob"),))
    assert await store.profiles(account_id=AccountId("acc_bob")) == ()
    assert await read_facts(store) == [record("ada")]


async def test_addresses_are_compared_exactly(open_again: Open) -> None:
    store = await open_again()
    for name in ("jose", "josé", "jose\u0301", "ß", "ss"):
        account = Account(account_id=ids.derive(AccountId, name), email=f"{name}@example.org", created_at=NOW)
        await store.open_account(
            credentials=Credentials(account=account, password_hash="x"),
            profile=msgspec.structs.replace(profile(name), profile_id=ids.derive(ProfileId, name)),
            records=(),
        )
        stored = await store.credentials(email=f"{name}@example.org")
        assert stored
        assert stored.account == account


async def test_account_is_changed(open_again: Open) -> None:
    store = await open_again()
    stored = await open_account(store)
    new = credentials("ada", roles=("operator", "ünï"), status="closed")
    assert await store.change_account(account_id=stored.account.account_id, change=lambda old: new) == new
    assert await (await open_again()).credentials(email="ada@example.org") == new


async def test_failed_change_stores_nothing(open_again: Open) -> None:
    store = await open_again()
    stored = await open_account(store)

    def fail(old: Any) -> Any:
        raise LastProfile

    with pytest.raises(LastProfile):
        await store.change_account(account_id=stored.account.account_id, change=fail)
    with pytest.raises(LastProfile):
        await store.change_profiles(account_id=stored.account.account_id, change=fail)
    assert await store.credentials(email="ada@example.org") == stored


async def test_profiles_keep_order_and_all_fields(open_again: Open) -> None:
    store = await open_again()
    await open_account(store)
    full = StoredProfile(
        profile=profile("z", maturity=7, kids=True, has_pin=True, language="pt-BR"),
        pin_hash="$argon2id$pin",
    )
    wanted = (full, StoredProfile(profile=profile("👨‍👩‍👧")), StoredProfile(profile=profile("a")))
    await store.change_profiles(account_id=AccountId("acc_ada"), change=keeping(*wanted))
    again = await open_again()
    assert await again.profiles(account_id=AccountId("acc_ada")) == wanted
    member = await again.member(account_id=AccountId("acc_ada"), profile_id=full.profile.profile_id)
    assert member
    assert (member.profile, member.account) == (full, credentials("ada").account)


async def test_profile_is_found_in_its_own_account_only(open_again: Open) -> None:
    store = await open_again()
    await open_account(store)
    await open_account(store, "bob")
    for asked in (None, ProfileId("pro_none"), ProfileId("pro_first-bob")):
        member = await store.member(account_id=AccountId("acc_ada"), profile_id=asked)
        assert member
        assert member.profile is None


async def test_facts_are_stored_with_their_change_or_not_at_all(open_again: Open) -> None:
    store = await open_again()
    await open_account(store)
    await read_facts(store)
    gone = ProfileRemoved(account_id=AccountId("acc_ada"), profile_id=ProfileId("pro_x"))
    fact = FactRecord(fact_id=ids.derive(FactId, "gone"), at=NOW, key="k", fact=gone, trace_id="t")

    def remove(old: Profiles) -> ProfilesChange:
        return ProfilesChange(profiles=(*old, old[0]), records=(fact,))  # the same profile twice cannot be kept

    with pytest.raises(IntegrityError):
        await store.change_profiles(account_id=AccountId("acc_ada"), change=remove)
    assert await read_facts(store) == []
    await store.change_profiles(
        account_id=AccountId("acc_ada"), change=lambda old: ProfilesChange(profiles=old, records=(fact,))
    )
    assert await read_facts(await open_again()) == [fact]


async def test_concurrent_changes_lose_nothing(open_again: Open) -> None:
    stores = [await open_again() for _ in range(3)]
    await open_account(stores[0])

    def adding(n: int) -> Callable[[Profiles], ProfilesChange]:
        return lambda old: ProfilesChange(profiles=(*old, StoredProfile(profile=profile(f"p{n}"))))

    changes = [stores[n % 3].change_profiles(account_id=AccountId("acc_ada"), change=adding(n)) for n in range(20)]
    await asyncio.gather(*changes)
    assert len(await stores[0].profiles(account_id=AccountId("acc_ada"))) == 21


async def test_one_of_several_concurrent_processes_gets_the_address(url: str, open_again: Open) -> None:
    await open_again()
    racers = [start("race", url, str(n)) for n in range(3)]
    won = [line for racer in racers for line in racer.communicate().split()]
    assert len(won) == len(set(won)) == 20
    store = await open_again()
    for address in won:
        stored = await store.credentials(email=address)
        assert stored
        assert len(await store.profiles(account_id=stored.account.account_id)) == 1
    assert len(await read_facts(store)) == 20


async def test_acknowledged_writes_survive_a_kill(url: str, open_again: Open) -> None:
    await open_again()
    writer = start("write", url, "k")
    answered = [writer.stdout.readline().strip() for _ in range(25)]
    writer.kill()
    answered += writer.communicate().split("\n")[:-1]
    store = await open_again()
    facts = {one.key for one in await read_facts(store)}
    for address in answered:
        stored = await store.credentials(email=address)
        assert stored
        assert stored.account.account_id in facts
        assert len(await store.profiles(account_id=stored.account.account_id)) == 1
    beyond = await store.credentials(email=f"k{len(answered)}@example.org")
    if beyond is not None:  # kept, but the answer was cut off: kept whole
        assert len(await store.profiles(account_id=beyond.account.account_id)) == 1
        assert beyond.account.account_id in facts


NAMES = st.sampled_from(["a", "b", "c"])
STEPS = st.one_of(
    st.tuples(st.just("open"), NAMES, st.none()),
    st.tuples(st.just("roles"), NAMES, st.lists(st.text(max_size=3), max_size=3).map(tuple)),
    st.tuples(st.just("profiles"), NAMES, st.lists(st.integers(0, 21), min_size=1, max_size=8)),
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, max_size=12))
async def test_store_behaves_like_a_dict(url: str, steps: list[Any]) -> None:
    kept: dict[str, tuple[Credentials, Profiles]] = {}
    async with store_opener(SqlIdentityStore, url, clear=True) as reopen:
        store = await reopen()
        for what, name, value in steps:
            await {"open": _open, "roles": _roles, "profiles": _profiles}[what](store, kept, name, value)
        again = await reopen()
        for name in "abc":
            stored, profiles = kept.get(name, (None, ()))
            assert await again.credentials(email=f"{name}@example.org") == stored
            assert await again.profiles(account_id=AccountId(f"acc_{name}")) == profiles


async def _open(store: SqlIdentityStore, kept: dict[str, Any], name: str, _: None) -> None:
    try:
        stored = await open_account(store, name)
    except EmailTaken:
        assert name in kept
    else:
        assert name not in kept
        kept[name] = (stored, (StoredProfile(profile=profile(f"first-{name}", name)),))


async def _roles(store: SqlIdentityStore, kept: dict[str, Any], name: str, roles: tuple[str, ...]) -> None:
    new = credentials(name, roles=roles)
    changed = await store.change_account(account_id=AccountId(f"acc_{name}"), change=lambda old: new)
    assert (changed is not None) == (name in kept)
    if name in kept:
        kept[name] = (new, kept[name][1])


async def _profiles(store: SqlIdentityStore, kept: dict[str, Any], name: str, ages: list[int]) -> None:
    wanted = tuple(StoredProfile(profile=profile(f"{name}{n}", name, maturity=age)) for n, age in enumerate(ages))
    try:
        await store.change_profiles(account_id=AccountId(f"acc_{name}"), change=keeping(*wanted))
    except Forbidden:
        assert name not in kept
    else:
        kept[name] = (kept[name][0], wanted)


def start(task: str, url: str, name: str) -> Program:
    """Run one of the tasks below in a process of its own."""
    return start_python(__file__, task, url, name)


async def _task(task: str, url: str, name: str) -> None:
    async with Database(url) as database:
        store = await SqlIdentityStore.open(database)
        for n in range(20 if task == "race" else 100_000):
            address = f"{n}@example.org" if task == "race" else f"{name}{n}@example.org"
            account = Account(account_id=AccountId(f"acc_{name}_{n}"), email=address, created_at=NOW)
            with_profile = profile(f"{name}_{n}", f"{name}_{n}")
            try:
                await store.open_account(
                    credentials=Credentials(account=account, password_hash="x"),
                    profile=with_profile,
                    records=(record(f"{name}_{n}"),),
                )
            except EmailTaken:
                continue
            print(address, flush=True)


if __name__ == "__main__":
    asyncio.run(_task(*sys.argv[1:]))


async def test_accounts_are_listed_newest_first_by_a_part_of_the_address(open_again: Open) -> None:
    store = await open_again()
    for number, name in enumerate(("ada", "bob", "a_c", "dan")):
        stored = credentials(name)
        account = msgspec.structs.replace(stored.account, created_at=NOW + timedelta(seconds=number // 2))
        stored = msgspec.structs.replace(stored, account=account)
        await store.open_account(credentials=stored, profile=profile(f"first-{name}", name), records=())

    async def names(query: str, after: Account | None = None, limit: int = 10) -> list[str]:
        position = (after.created_at, after.account_id) if after else None
        found = await store.list_accounts(query=query, after=position, limit=limit)
        return [account.email.partition("@")[0] for account in found]

    assert await names("") == ["dan", "a_c", "bob", "ada"]
    first = await store.list_accounts(query="", after=None, limit=2)
    assert await names("", first[-1]) == ["bob", "ada"]
    assert await names("d") == ["dan", "ada"]
    assert await names("a_") == ["a_c"]
    assert await names("%") == []


def without_roles(old: Credentials) -> Credentials:
    return msgspec.structs.replace(old, account=msgspec.structs.replace(old.account, roles=()))


async def test_accounts_are_found_by_status_and_one_keeps_the_role(open_again: Open) -> None:
    store = await open_again()
    for name, more in (
        ("ada", {"roles": ("operator",)}),
        ("bob", {}),
        ("cat", {"roles": ("operator",), "status": "closed"}),
        ("dan", {"roles": ("other",)}),
    ):
        await store.open_account(credentials=credentials(name, **more), profile=profile("p" + name, name), records=())
    again = await open_again()
    assert await again.list_closed() == ["acc_cat"]
    with pytest.raises(LastOperator):
        await again.change_account(account_id=AccountId("acc_ada"), change=without_roles, keep_role="operator")
    assert await again.change_account(account_id=AccountId("acc_dan"), change=without_roles, keep_role="operator")
    ada = await again.credentials(email="ada@example.org")
    assert ada is not None
    assert ada.account.roles == ("operator",)


async def test_one_of_two_concurrent_changes_keeps_the_last_role(open_again: Open) -> None:
    store, other = await open_again(), await open_again()
    names = ("ada", "bob")
    for name in names:
        stored = credentials(name, roles=("operator",))
        await store.open_account(credentials=stored, profile=profile("p" + name, name), records=())
    changes = [
        each.change_account(account_id=AccountId(f"acc_{name}"), change=without_roles, keep_role="operator")
        for each, name in zip((store, other), names, strict=True)
    ]
    results = await asyncio.gather(*changes, return_exceptions=True)
    assert sorted(isinstance(result, LastOperator) for result in results) == [False, True]


async def test_account_is_erased_with_facts_about_its_profiles(open_again: Open) -> None:
    store = await open_again()
    ada, _ = await open_account(store), await open_account(store, "bob")
    await read_facts(store)
    before: list[Profiles] = []

    def to_records(profiles: Profiles) -> tuple[FactRecord, ...]:
        before.append(profiles)
        return (record("erased"),)

    for _ in range(2):
        await store.erase_account(account_id=ada.account.account_id, to_records=to_records)
    again = await open_again()
    assert [[one.profile.name for one in profiles] for profiles in before] == [["first-ada"]]
    assert await read_facts(again) == [record("erased")]
    assert await again.credentials(email="ada@example.org") is None
    assert await again.profiles(account_id=AccountId("acc_ada")) == ()
    assert len(await again.profiles(account_id=AccountId("acc_bob"))) == 1
    await open_account(again)
