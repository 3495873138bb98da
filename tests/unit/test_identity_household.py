"""Identity as a household meets it: profiles, PINs, roles, closed accounts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.unit.identity_rig import Rig, open_rig

from matinee.events.api import ProfileRemoved
from matinee.identity.api import (
    AccountNotFound,
    LastProfile,
    ProfileNotFound,
    TokenRejected,
    TooManyAttempts,
    TooManyProfiles,
    WrongCredentials,
    WrongPin,
)
from matinee.identity.model import Credentials
from matinee.kit.ids import AccountId, ProfileId, SignInId
from matinee.kit.problem import Forbidden


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with open_rig(tmp_path) as rig:
        yield rig


async def test_profiles_are_created_changed_and_removed(rig: Rig) -> None:
    grant = await rig.sign_up()
    account_id = grant.account_id
    made = await rig.identity.create_profile(
        account_id=account_id, name=" Kit ", avatar="moss", language="de", kids=True, pin="1234"
    )
    assert (made.name, made.maturity, made.kids, made.has_pin) == ("Kit", 12, True, True)
    changed = await rig.identity.update_profile(
        account_id=account_id, profile_id=made.profile_id, name="Kim", maturity=16, kids=False, pin=""
    )
    assert (changed.name, changed.maturity, changed.avatar, changed.has_pin) == ("Kim", 16, "moss", False)
    viewer = await rig.identity.viewer(account_id=account_id, profile_id=made.profile_id)
    assert (viewer.profile, viewer.account.account_id) == (changed, account_id)
    await rig.facts()
    for _ in range(2):
        await rig.identity.remove_profile(account_id=account_id, profile_id=made.profile_id)
    assert await rig.facts() == [ProfileRemoved(account_id=account_id, profile_id=made.profile_id)]
    with pytest.raises(ProfileNotFound):
        await rig.identity.viewer(account_id=account_id, profile_id=made.profile_id)
    with pytest.raises(LastProfile):
        await rig.identity.remove_profile(account_id=account_id, profile_id=await rig.first_profile(grant))


async def test_concurrent_calls_cannot_exceed_eight_profiles(rig: Rig) -> None:
    grant = await rig.sign_up()
    makes = [
        rig.instance().create_profile(account_id=grant.account_id, name=f"P{n}", avatar="moss", language="en")
        for n in range(12)
    ]
    outcomes = await asyncio.gather(*makes, return_exceptions=True)
    assert sum(isinstance(one, TooManyProfiles) for one in outcomes) == 5
    assert len(await rig.identity.profiles(account_id=grant.account_id)) == 8


async def test_profiles_of_another_account_are_not_found(rig: Rig) -> None:
    ada, bob = await rig.sign_up(), await rig.sign_up("bob@example.org")
    theirs = await rig.first_profile(bob)
    reach: dict[str, Any] = {"account_id": ada.account_id, "profile_id": theirs}
    with pytest.raises(ProfileNotFound):
        await rig.identity.viewer(**reach)
    with pytest.raises(ProfileNotFound):
        await rig.identity.update_profile(**reach, name="Mine")
    with pytest.raises(ProfileNotFound):
        await rig.choose(ada, theirs)
    with pytest.raises(TokenRejected):
        await rig.identity.choose_profile(**{**reach, "account_id": bob.account_id}, sign_in_id=ada.sign_in_id)
    await rig.identity.create_profile(account_id=ada.account_id, name="B", avatar="moss", language="en")
    await rig.identity.remove_profile(**reach)
    assert await rig.first_profile(bob) == theirs


async def test_profile_with_pin_needs_its_pin(rig: Rig) -> None:
    grant = await rig.sign_up()
    profile_id = await rig.first_profile(grant)
    await rig.identity.update_profile(account_id=grant.account_id, profile_id=profile_id, pin="0042")
    for _ in range(9):
        with pytest.raises(WrongPin):  # a PIN not given is not a wrong try
            await rig.choose(grant, profile_id)
    for pin in ("42", "00420", "4200", "1234", "x" * 1_000_000):
        with pytest.raises(WrongPin):
            await rig.choose(grant, profile_id, pin)
    with pytest.raises(TooManyAttempts):
        await rig.choose(grant, profile_id, "0042")
    rig.clock.advance(seconds=1)
    assert (await rig.choose(grant, profile_id, "0042")).profile_id == profile_id
    assert (await rig.refresh(grant)).profile_id == profile_id


async def test_removed_profile_is_dropped_from_the_sign_in(rig: Rig) -> None:
    grant = await rig.sign_up()
    made = await rig.identity.create_profile(account_id=grant.account_id, name="B", avatar="moss", language="en")
    await rig.choose(grant, made.profile_id)
    await rig.identity.remove_profile(account_id=grant.account_id, profile_id=made.profile_id)
    assert (await rig.refresh(grant)).profile_id is None


async def test_granted_role_is_in_the_next_token(rig: Rig) -> None:
    grant = await rig.sign_up()
    for _ in range(2):
        assert (await rig.identity.grant_role(email="ADA@example.org", role="operator")).roles == ("operator",)
    refreshed = await rig.refresh(grant)
    assert (await rig.verifier.verify(refreshed.access_token)).roles == ("operator",)
    with pytest.raises(AccountNotFound):
        await rig.identity.grant_role(email="missing@example.org", role="operator")


async def test_closed_account_is_refused_at_once(rig: Rig) -> None:
    grant = await rig.sign_up()
    profile_id = await rig.first_profile(grant)

    def close_account(old: Credentials) -> Credentials:
        return msgspec.structs.replace(old, account=msgspec.structs.replace(old.account, status="closed"))

    await rig.store.change_account(account_id=grant.account_id, change=close_account)
    with pytest.raises(Forbidden):
        await rig.identity.viewer(account_id=grant.account_id, profile_id=profile_id)
    with pytest.raises(WrongCredentials):
        await rig.sign_in()
    with pytest.raises(TokenRejected):
        await rig.choose(grant, profile_id)
    with pytest.raises(TokenRejected):
        await rig.refresh(grant)


async def test_unknown_accounts_have_no_profiles_or_devices(rig: Rig) -> None:
    missing, nothing = AccountId("acc_none"), ProfileId("pro_none")
    assert await rig.identity.profiles(account_id=missing) == []
    assert await rig.identity.devices(account_id=missing) == []
    assert await rig.identity.sign_out_everywhere(account_id=missing) == 0
    await rig.identity.sign_out(sign_in_id=SignInId("sin_none"))
    with pytest.raises(Forbidden):
        await rig.identity.account(account_id=missing)
    with pytest.raises(Forbidden):
        await rig.identity.create_profile(account_id=missing, name="A", avatar="moss", language="en")
    with pytest.raises(Forbidden):
        await rig.identity.remove_profile(account_id=missing, profile_id=nothing)
    with pytest.raises(ProfileNotFound):
        await rig.identity.viewer(account_id=missing, profile_id=nothing)
