"""Identity as an owner, a thief and a guesser meet it: signing up and in, going on, signing out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
from tests.unit.identity_rig import BROWSER, EMAIL, PASSWORD, Rig, open_rig

from matinee.drivers.argon import Argon2
from matinee.events.api import AccountOpened, RefreshTokenReused, SignInsEnded
from matinee.identity import jobs
from matinee.identity.api import (
    COMMAND_LINE,
    DeviceInfo,
    DeviceNotFound,
    EmailTaken,
    TokenRejected,
    TooManyAttempts,
    WrongCredentials,
)
from matinee.kit.ids import DeviceId
from matinee.kit.problem import Invalid


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with open_rig(tmp_path) as rig:
        yield rig


async def test_sign_up_creates_account_and_profile(rig: Rig) -> None:
    grant = await rig.sign_up(" Ada@Example.org ")
    assert (await rig.identity.account(account_id=grant.account_id)).email == EMAIL
    (profile,) = await rig.identity.profiles(account_id=grant.account_id)
    assert (profile.name, profile.language, profile.maturity, profile.has_pin) == ("Ada", "en", 18, False)
    who = await rig.verifier.verify(grant.access_token)
    assert (who.account_id, who.device_id, who.profile_id) == (grant.account_id, grant.device_id, None)
    assert await rig.facts() == [AccountOpened(account_id=grant.account_id)]


async def test_equivalent_addresses_share_one_account(rig: Rig) -> None:
    await rig.sign_up()
    with pytest.raises(EmailTaken):
        await rig.sign_up("ADA@example.org")
    assert len(await rig.facts()) == 1


async def test_invalid_sign_up_stores_nothing(rig: Rig) -> None:
    with pytest.raises(Invalid):
        await rig.identity.sign_up(email="x", password=PASSWORD, name="A", language="en", device=BROWSER)
    assert await rig.facts() == []


async def test_sign_in_needs_the_right_password(rig: Rig) -> None:
    opened = await rig.sign_up()
    assert (await rig.sign_in(email="ADA@example.org ")).account_id == opened.account_id
    for password in ("correct horsf", "", "x" * 1_000_000, PASSWORD + " ", "\ud800"):
        with pytest.raises(WrongCredentials):
            await rig.sign_in(password)
    for email in ("bob@example.org", "", "@", "\ud800@x", "x" * 100_000):
        with pytest.raises(WrongCredentials):
            await rig.sign_in(email=email)


async def test_passwords_and_tokens_are_not_stored_in_clear(rig: Rig) -> None:
    grant = await rig.sign_up()
    await rig.refresh(grant)
    kept = b"".join(file.read_bytes() for file in rig.folder.glob("identity.db*"))
    assert PASSWORD.encode() not in kept
    assert grant.refresh_token.encode() not in kept
    assert b"$argon2id$" in kept


async def test_guessing_delays_strangers_but_not_the_owner(rig: Rig) -> None:
    opened = await rig.sign_up()
    for _ in range(5):
        with pytest.raises(WrongCredentials):
            await rig.sign_in("wrong")
    with pytest.raises(TooManyAttempts) as caught:
        await rig.sign_in()
    assert 0 < caught.value.retry_after_ms <= 1000
    known = DeviceInfo(name="Chromium", device_id=opened.device_id)
    assert (await rig.sign_in(device=known)).device_id == opened.device_id
    with pytest.raises(TooManyAttempts):
        await rig.instance().sign_in(email=EMAIL, password=PASSWORD, device=BROWSER)  # other processes know
    rig.clock.advance(seconds=1)
    await rig.sign_in()
    with pytest.raises(WrongCredentials):
        await rig.sign_in("wrong")  # counted from nought again


async def test_guessing_in_one_network_does_not_lock_the_owner_out_in_another(rig: Rig) -> None:
    await rig.sign_up()
    credentials = {"email": EMAIL, "device": BROWSER}
    for n in range(5):
        with pytest.raises(WrongCredentials):
            await rig.identity.sign_in(**credentials, password="wrong", client_ip=f"192.0.2.{n}")
    with pytest.raises(TooManyAttempts):
        await rig.identity.sign_in(**credentials, password="wrong", client_ip="192.0.2.9")
    for n in range(95):
        with pytest.raises(WrongCredentials):
            await rig.identity.sign_in(**credentials, password="wrong", client_ip=f"10.0.{n}.1")
    with pytest.raises(TooManyAttempts) as caught:  # guesses from many networks are limited too
        await rig.identity.sign_in(**credentials, password=PASSWORD, client_ip="198.51.100.1")
    assert caught.value.retry_after_ms <= 1000
    rig.clock.advance(seconds=1)
    await rig.identity.sign_in(**credentials, password=PASSWORD, client_ip="198.51.100.1")


async def test_addresses_without_account_are_delayed_alike(rig: Rig) -> None:
    for _ in range(5):
        with pytest.raises(WrongCredentials):
            await rig.sign_in()
    with pytest.raises(TooManyAttempts):
        await rig.sign_in()


async def test_device_that_tries_many_addresses_is_delayed(rig: Rig) -> None:
    sprayer = DeviceInfo(name="x", device_id=DeviceId("dev_sprayer"))
    for n in range(5):
        with pytest.raises(WrongCredentials):
            await rig.sign_in(email=f"{n}@example.org", device=sprayer)
    with pytest.raises(TooManyAttempts):
        await rig.sign_in(email="another@example.org", device=sprayer)


async def test_concurrent_guesses_are_counted(rig: Rig) -> None:
    await rig.sign_up()
    outcomes = await asyncio.gather(*(rig.sign_in(f"wrong {n}") for n in range(30)), return_exceptions=True)
    assert sum(isinstance(one, WrongCredentials) for one in outcomes) == 5
    assert sum(isinstance(one, TooManyAttempts) for one in outcomes) == 25


async def test_outdated_hash_is_renewed_at_sign_in(rig: Rig) -> None:
    await rig.sign_up()
    stronger = Argon2(time_cost=2, memory_kib=64)
    stored = await rig.store.credentials(email=EMAIL)
    await rig.instance(secrets=stronger).sign_in(email=EMAIL, password=PASSWORD, device=BROWSER)
    renewed = await rig.store.credentials(email=EMAIL)
    assert stored
    assert renewed
    assert stronger.needs_rehash(stored.password_hash)
    assert not stronger.needs_rehash(renewed.password_hash)
    await rig.sign_in()
    stronger.close()


async def test_browser_keeps_its_device_id_and_others_cannot_use_it(rig: Rig) -> None:
    first = await rig.sign_up()
    known = DeviceInfo(name="Chromium 2", device_id=first.device_id)
    assert (await rig.sign_in(device=known)).device_id == first.device_id
    other = await rig.sign_up("bob@example.org")
    taken = await rig.sign_in(email="bob@example.org", device=known)
    assert taken.device_id not in (first.device_id, other.device_id)
    (device,) = await rig.identity.devices(account_id=first.account_id)
    assert (device.name, device.signed_in) == ("Chromium 2", True)


async def test_refresh_rotates_the_token_and_keeps_the_profile(rig: Rig) -> None:
    grant = await rig.sign_up()
    profile_id = await rig.first_profile(grant)
    chosen = await rig.choose(grant, profile_id)
    assert (chosen.profile_id, chosen.refresh_token) == (profile_id, "")
    rig.clock.advance(minutes=9)
    second = await rig.refresh(grant)
    assert second.refresh_token not in ("", grant.refresh_token)
    assert (await rig.verifier.verify(second.access_token)).profile_id == profile_id
    rig.clock.advance(days=29)
    assert (await rig.refresh(second)).profile_id == profile_id


async def test_reused_token_revokes_the_sign_in_and_emits_a_fact(rig: Rig) -> None:
    grant = await rig.sign_up()
    thief = await rig.refresh(grant)
    rig.clock.advance(seconds=61)
    with pytest.raises(TokenRejected):
        await rig.refresh(grant)
    with pytest.raises(TokenRejected):
        await rig.refresh(thief)
    with pytest.raises(TokenRejected):
        await rig.choose(thief, await rig.first_profile(grant))
    revoked = {"account_id": grant.account_id, "device_id": grant.device_id}
    facts = await rig.facts()
    assert facts[-2:] == [RefreshTokenReused(**revoked), SignInsEnded(**revoked, sign_in_id=grant.sign_in_id)]
    await rig.sign_in()


async def test_concurrent_refreshes_of_two_tabs_succeed(rig: Rig) -> None:
    grant = await rig.sign_up()
    one, two = await asyncio.gather(rig.refresh(grant), rig.refresh(grant))
    rig.clock.advance(minutes=5)
    await rig.refresh(two)
    await rig.refresh(one)  # within the grace of its twin
    assert RefreshTokenReused not in {type(fact) for fact in await rig.facts()}


async def test_device_that_did_not_get_the_answer_tries_again(rig: Rig) -> None:
    grant = await rig.sign_up()
    await rig.refresh(grant)
    rig.clock.advance(seconds=59)
    again = await rig.refresh(grant)
    rig.clock.advance(minutes=5)
    assert (await rig.refresh(again)).account_id == grant.account_id


async def test_unused_sign_in_expires(rig: Rig) -> None:
    grant = await rig.sign_up()
    rig.clock.advance(days=30)
    with pytest.raises(TokenRejected):
        await rig.refresh(grant)
    assert await rig.store.expire(now=rig.clock.now()) == 1


@pytest.mark.parametrize("text", ["", "x", "A" * 86, "Ä" * 86, "x" * 1_000_000])
async def test_malformed_refresh_token_is_refused(rig: Rig, text: str) -> None:
    with pytest.raises(TokenRejected):
        await rig.identity.refresh(refresh_token=text)


async def test_signing_out_ends_one_or_all_sign_ins(rig: Rig) -> None:
    one, two, three = await rig.sign_up(), await rig.sign_in(), await rig.sign_in()
    other = await rig.sign_up("bob@example.org")
    await rig.identity.sign_out(account_id=one.account_id, sign_in_id=one.sign_in_id)
    await rig.identity.sign_out(account_id=one.account_id, sign_in_id=one.sign_in_id)
    with pytest.raises(TokenRejected):
        await rig.refresh(one)
    two = await rig.refresh(two)
    await rig.facts()
    assert await rig.identity.sign_out_everywhere(principal=rig.principal(two)) == 2
    assert await rig.facts() == [SignInsEnded(account_id=one.account_id)]
    for gone in (two, three):
        with pytest.raises(TokenRejected):
            await rig.refresh(gone)
    await rig.refresh(other)


async def test_removed_device_is_signed_out_and_deleted(rig: Rig) -> None:
    one, two = await rig.sign_up(), await rig.sign_in()
    stranger = await rig.sign_up("bob@example.org")
    with pytest.raises(DeviceNotFound):
        await rig.identity.remove_device(principal=rig.principal(stranger), device_id=one.device_id)
    await rig.identity.remove_device(principal=rig.principal(two), device_id=one.device_id)
    with pytest.raises(TokenRejected):
        await rig.refresh(one)
    assert [d.device_id for d in await rig.identity.devices(account_id=one.account_id)] == [two.device_id]


async def test_expired_sign_ins_are_deleted(rig: Rig) -> None:
    await rig.sign_up()
    rig.clock.advance(days=31)
    await jobs.delete_expired(rig.store, rig.store, rig.clock, refresh_ttl_s=86_400)
    assert await rig.store.expire(now=rig.clock.now()) == 0


@pytest.mark.parametrize("end", ["reset", "close"])
async def test_sign_in_that_is_checked_during_a_reset_or_a_closing_has_ended_after_it(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    grant = await rig.sign_up()
    account_id, verify = grant.account_id, rig.argon.verify

    async def verify_and_end(hashed: str, secret: str) -> bool:
        is_right = await verify(hashed, secret)
        monkeypatch.setattr(rig.argon, "verify", verify)
        if end == "reset":
            await rig.identity.reset_password(by=COMMAND_LINE, account_id=account_id, password="battery staple")
        else:
            await rig.identity.close_account(by=COMMAND_LINE, account_id=account_id)
        return is_right

    monkeypatch.setattr(rig.argon, "verify", verify_and_end)
    with pytest.raises(WrongCredentials):
        await rig.sign_in()
    devices = await rig.identity.devices(account_id=account_id)
    assert not any(device.signed_in for device in devices)
    assert end == "reset" or devices == []


async def test_sign_ins_that_renew_the_hash_at_once_both_work(rig: Rig) -> None:
    await rig.sign_up()
    stronger = Argon2(time_cost=2, memory_kib=64)
    identity = rig.instance(secrets=stronger)
    sign_in = partial(identity.sign_in, email=EMAIL, password=PASSWORD, device=BROWSER)
    grants = await asyncio.gather(sign_in(), sign_in(), sign_in())
    stronger.close()
    for grant in grants:
        await rig.refresh(grant)


async def test_change_of_the_password_that_a_reset_overtakes_is_refused(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    thief = await rig.sign_up()
    compute = rig.argon.hash

    async def hash_after_a_reset(secret: str) -> str:
        monkeypatch.setattr(rig.argon, "hash", compute)
        await rig.identity.reset_password(by=COMMAND_LINE, account_id=thief.account_id, password="battery staple")
        return await compute(secret)

    monkeypatch.setattr(rig.argon, "hash", hash_after_a_reset)
    with pytest.raises(TokenRejected):
        await rig.identity.change_password(principal=rig.principal(thief), password="plum otter lantern")
    await rig.sign_in("battery staple")
    with pytest.raises(WrongCredentials):
        await rig.sign_in("plum otter lantern")
    assert "refused" in await rig.acts()
