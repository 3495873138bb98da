"""Identity as a household meets it: profiles, PINs, roles, closed accounts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.unit.identity_rig import PASSWORD, Rig, open_rig

from matinee.events.api import ProfileChanged, ProfileRemoved, SignInsEnded
from matinee.identity.api import (
    COMMAND_LINE,
    AccountNotFound,
    Grant,
    LastProfile,
    ProfileNotFound,
    ProofRequired,
    TokenRejected,
    TooManyAttempts,
    TooManyProfiles,
    WrongCredentials,
    WrongPassword,
    WrongPin,
)
from matinee.identity.model import Credentials
from matinee.kit.context import Principal
from matinee.kit.ids import AccountId, DeviceId, ProfileId, SignInId
from matinee.kit.problem import Forbidden, Invalid


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with open_rig(tmp_path) as rig:
        yield rig


async def test_profiles_are_created_changed_and_removed(rig: Rig) -> None:
    grant = await rig.sign_up()
    account_id, ada = grant.account_id, rig.principal(grant)
    made = await rig.identity.create_profile(
        principal=ada, name=" Kit ", avatar="moss", language="de", kids=True, pin="1234"
    )
    assert (made.name, made.maturity, made.kids, made.has_pin) == ("Kit", 12, True, True)
    changed = await rig.identity.update_profile(
        principal=ada, profile_id=made.profile_id, name="Kim", maturity=16, kids=False, pin=""
    )
    assert (changed.name, changed.maturity, changed.avatar, changed.has_pin) == ("Kim", 16, "moss", False)
    viewer = await rig.identity.viewer(account_id=account_id, profile_id=made.profile_id)
    assert (viewer.profile, viewer.account.account_id) == (changed, account_id)
    await rig.facts()
    for _ in range(2):
        await rig.identity.remove_profile(principal=ada, profile_id=made.profile_id)
    assert await rig.facts() == [ProfileRemoved(account_id=account_id, profile_id=made.profile_id)]
    with pytest.raises(ProfileNotFound):
        await rig.identity.viewer(account_id=account_id, profile_id=made.profile_id)
    with pytest.raises(LastProfile):
        await rig.identity.remove_profile(principal=ada, profile_id=await rig.first_profile(grant))


async def test_concurrent_calls_cannot_exceed_eight_profiles(rig: Rig) -> None:
    grant = await rig.sign_up()
    makes = [
        rig.instance().create_profile(principal=rig.principal(grant), name=f"P{n}", avatar="moss", language="en")
        for n in range(12)
    ]
    outcomes = await asyncio.gather(*makes, return_exceptions=True)
    assert sum(isinstance(one, TooManyProfiles) for one in outcomes) == 5
    assert len(await rig.identity.profiles(account_id=grant.account_id)) == 8


async def test_profiles_of_another_account_are_not_found(rig: Rig) -> None:
    ada, bob = await rig.sign_up(), await rig.sign_up("bob@example.org")
    theirs = await rig.first_profile(bob)
    reach: dict[str, Any] = {"account_id": ada.account_id, "profile_id": theirs}
    change: dict[str, Any] = {"principal": rig.principal(ada), "profile_id": theirs}
    with pytest.raises(ProfileNotFound):
        await rig.identity.viewer(**reach)
    with pytest.raises(ProfileNotFound):
        await rig.identity.update_profile(**change, name="Mine")
    with pytest.raises(ProfileNotFound):
        await rig.choose(ada, theirs)
    with pytest.raises(TokenRejected):
        await rig.identity.choose_profile(**{**reach, "account_id": bob.account_id}, sign_in_id=ada.sign_in_id)
    await rig.identity.create_profile(principal=rig.principal(ada), name="B", avatar="moss", language="en")
    await rig.identity.remove_profile(**change)
    assert await rig.first_profile(bob) == theirs


async def test_profile_with_pin_needs_its_pin(rig: Rig) -> None:
    grant = await rig.sign_up()
    profile_id = await rig.first_profile(grant)
    await rig.identity.update_profile(principal=rig.principal(grant), profile_id=profile_id, pin="0042")
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
    ada = rig.principal(grant)
    made = await rig.identity.create_profile(principal=ada, name="B", avatar="moss", language="en")
    await rig.choose(grant, made.profile_id)
    await rig.identity.remove_profile(principal=ada, profile_id=made.profile_id)
    assert (await rig.refresh(grant)).profile_id is None


async def test_granted_role_is_in_the_next_token(rig: Rig) -> None:
    grant = await rig.sign_up()
    for _ in range(2):
        changed = await rig.identity.grant_role(by=COMMAND_LINE, account_id=grant.account_id, role="operator")
        assert changed.roles == ("operator",)
    refreshed = await rig.refresh(grant)
    assert (await rig.verifier.verify(refreshed.access_token)).roles == ("operator",)
    with pytest.raises(AccountNotFound):
        await rig.identity.grant_role(by=COMMAND_LINE, account_id=AccountId("acc_missing"), role="operator")


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
    await rig.identity.sign_out(account_id=missing, sign_in_id=SignInId("sin_none"))
    with pytest.raises(Forbidden):
        await rig.identity.account(account_id=missing)
    nobody = Principal(account_id=missing, device_id=DeviceId("dev_none"), sign_in_id=SignInId("sin_none"))
    for change in (
        rig.identity.sign_out_everywhere(principal=nobody),
        rig.identity.create_profile(principal=nobody, name="A", avatar="moss", language="en"),
        rig.identity.remove_profile(principal=nobody, profile_id=nothing),
    ):
        with pytest.raises(TokenRejected):
            await change
    with pytest.raises(ProfileNotFound):
        await rig.identity.viewer(account_id=missing, profile_id=nothing)


async def sign_in_as_child(rig: Rig, *, roles: tuple[str, ...] = ()) -> tuple[Grant, ProfileId, ProfileId]:
    """Return a sign-in on which a child's profile was chosen, that profile, and an adult's with a PIN."""
    grant = await rig.sign_up()
    adult, parent = rig.principal(grant), await rig.first_profile(grant)
    for role in roles:
        await rig.identity.grant_role(by=COMMAND_LINE, account_id=grant.account_id, role=role)
    child = await rig.identity.create_profile(principal=adult, name="Kit", avatar="moss", language="en", kids=True)
    await rig.identity.update_profile(principal=adult, profile_id=parent, pin="0042")
    return await rig.choose(grant, child.profile_id), child.profile_id, parent


async def test_child_cannot_change_the_household(rig: Rig) -> None:
    grant, child, parent = await sign_in_as_child(rig)
    who = rig.principal(grant)
    assert not who.is_adult
    attempts: list[Callable[[], Awaitable[object]]] = [
        lambda: rig.identity.update_profile(principal=who, profile_id=child, maturity=18, kids=False),
        lambda: rig.identity.update_profile(principal=who, profile_id=child, name="Me"),
        lambda: rig.identity.update_profile(principal=who, profile_id=parent, pin=""),
        lambda: rig.identity.create_profile(principal=who, name="Free", avatar="moss", language="en"),
        lambda: rig.identity.remove_profile(principal=who, profile_id=parent),
        lambda: rig.identity.remove_device(principal=who, device_id=grant.device_id),
        lambda: rig.identity.sign_out_everywhere(principal=who),
    ]
    before = await rig.identity.profiles(account_id=grant.account_id)
    for attempt in attempts:
        with pytest.raises(ProofRequired):
            await attempt()
    assert await rig.identity.profiles(account_id=grant.account_id) == before
    await rig.identity.prove(principal=who, password=PASSWORD)  # a parent takes over
    assert (await rig.identity.update_profile(principal=who, profile_id=child, name="Me")).name == "Me"


async def test_a_proof_is_a_password_or_the_pin_of_an_adult(rig: Rig) -> None:
    grant, child, parent = await sign_in_as_child(rig)
    who = rig.principal(grant)
    for wrong in ({"password": "guess"}, {}):
        with pytest.raises(WrongPassword):
            await rig.identity.prove(principal=who, **wrong)
    for profile_id, pin in ((child, "0042"), (parent, "1111"), (parent, None)):
        with pytest.raises(WrongPin):
            await rig.identity.prove(principal=who, profile_id=profile_id, pin=pin)
    with pytest.raises(ProofRequired):
        await rig.identity.sign_out_everywhere(principal=who)
    await rig.identity.prove(principal=who, profile_id=parent, pin="0042")
    await rig.identity.update_profile(principal=who, profile_id=child, maturity=6)
    rig.clock.advance(minutes=10)
    with pytest.raises(ProofRequired):
        await rig.identity.update_profile(principal=who, profile_id=child, maturity=12)


async def test_guessing_a_proof_is_delayed(rig: Rig) -> None:
    grant, _, _ = await sign_in_as_child(rig)
    for _ in range(5):
        with pytest.raises(WrongPassword):
            await rig.identity.prove(principal=rig.principal(grant), password="guess")
    with pytest.raises(TooManyAttempts):
        await rig.identity.prove(principal=rig.principal(grant), password=PASSWORD)


async def test_choosing_an_adult_by_pin_is_a_proof_and_choosing_a_child_ends_it(rig: Rig) -> None:
    grant, child, parent = await sign_in_as_child(rig)
    adult = rig.principal(await rig.choose(grant, parent, "0042"))
    await rig.identity.update_profile(principal=adult, profile_id=child, maturity=6)
    await rig.choose(grant, child)
    with pytest.raises(ProofRequired):  # also with the token of the adult
        await rig.identity.update_profile(principal=adult, profile_id=child, maturity=12)


async def test_adult_changes_the_looks_of_the_own_profile_without_a_proof(rig: Rig) -> None:
    grant = await rig.sign_up()
    own = await rig.first_profile(grant)
    other = await rig.identity.create_profile(
        principal=rig.principal(grant), name="B", avatar="moss", language="en", maturity=16
    )
    who = rig.principal(await rig.choose(grant, own))
    rig.clock.advance(minutes=10)
    changed = await rig.identity.update_profile(principal=who, profile_id=own, name="A", avatar="dusk", language="de")
    assert (changed.name, changed.avatar, changed.language) == ("A", "dusk", "de")
    for profile_id, change in ((own, {"pin": "1234"}), (own, {"maturity": 21}), (other.profile_id, {"name": "C"})):
        with pytest.raises(ProofRequired):
            await rig.identity.update_profile(principal=who, profile_id=profile_id, **change)


async def test_child_has_no_roles(rig: Rig) -> None:
    grant, child, parent = await sign_in_as_child(rig, roles=("operator",))
    token = await rig.verifier.verify(grant.access_token)
    assert (token.roles, token.is_adult) == ((), False)
    adult = await rig.choose(grant, parent, "0042")
    assert (adult.roles, adult.is_adult) == (("operator",), True)
    await rig.choose(grant, child)
    await rig.identity.prove(principal=rig.principal(grant), password=PASSWORD)
    await rig.identity.remove_profile(principal=rig.principal(grant), profile_id=child)
    verified = await rig.identity.verify_sign_in(principal=rig.principal(adult))
    assert verified.roles == ("operator",)
    signed_in = await rig.sign_in()
    refreshed = await rig.refresh(signed_in)
    assert refreshed.roles == ("operator",)


async def test_verified_sign_in_has_the_present_roles(rig: Rig) -> None:
    grant, child, parent = await sign_in_as_child(rig, roles=("operator",))
    adult = rig.principal(await rig.choose(grant, parent, "0042"))
    assert (await rig.identity.verify_sign_in(principal=adult)).roles == ("operator",)
    await rig.identity.update_profile(principal=adult, profile_id=parent, maturity=16)
    assert await rig.identity.verify_sign_in(principal=adult) == msgspec.structs.replace(
        adult, roles=(), is_adult=False
    )
    await rig.identity.sign_out(account_id=adult.account_id, sign_in_id=adult.sign_in_id)
    with pytest.raises(TokenRejected):
        await rig.identity.verify_sign_in(principal=adult)
    with pytest.raises(TokenRejected):
        await rig.identity.viewer(account_id=adult.account_id, profile_id=child, sign_in_id=adult.sign_in_id)


async def test_changed_profile_is_a_fact(rig: Rig) -> None:
    grant, child, parent = await sign_in_as_child(rig)
    adult = rig.principal(await rig.choose(grant, parent, "0042"))
    await rig.facts()
    for _ in range(2):
        await rig.identity.update_profile(principal=adult, profile_id=child, maturity=0)
    assert await rig.facts() == [ProfileChanged(account_id=grant.account_id, profile_id=child, maturity=0)]


async def test_proof_on_the_page_of_a_child_is_good_for_one_change(rig: Rig) -> None:
    grant, child, parent = await sign_in_as_child(rig)
    kid = rig.principal(await rig.choose(grant, child))
    await rig.identity.prove(principal=kid, profile_id=parent, pin="0042")
    await rig.identity.update_profile(principal=kid, profile_id=child, name="Kitty")
    for call in (
        rig.identity.update_profile(principal=kid, profile_id=parent, pin=""),
        rig.identity.change_password(principal=kid, password="battery staple"),
        rig.identity.remove_profile(principal=kid, profile_id=parent),
    ):
        with pytest.raises(ProofRequired):
            await call
    await rig.identity.prove(principal=kid, password=PASSWORD)
    changes = [rig.identity.update_profile(principal=kid, profile_id=child, name=name) for name in "ab"]
    results = await asyncio.gather(*changes, return_exceptions=True)
    assert sorted(isinstance(result, ProofRequired) for result in results) == [False, True]


async def test_proof_of_an_adult_is_none_for_a_child_in_another_tab(rig: Rig) -> None:
    grant, child, parent = await sign_in_as_child(rig)
    kid = rig.principal(await rig.choose(grant, child))
    adult = rig.principal(await rig.choose(grant, parent, "0042"))
    with pytest.raises(ProofRequired):
        await rig.identity.update_profile(principal=kid, profile_id=child, maturity=18)
    await rig.identity.update_profile(principal=adult, profile_id=child, maturity=6)
    await rig.choose(grant, child)
    with pytest.raises(Forbidden):
        await rig.identity.prove(principal=adult, password=PASSWORD)
    with pytest.raises(ProofRequired):
        await rig.identity.update_profile(principal=kid, profile_id=child, maturity=18)


async def test_operator_whose_profile_was_chosen_in_another_tab_keeps_the_role(rig: Rig) -> None:
    grant = await rig.sign_up()
    await rig.identity.grant_role(by=COMMAND_LINE, account_id=grant.account_id, role="operator")
    await rig.choose(grant, await rig.first_profile(grant))
    verified = await rig.identity.verify_sign_in(principal=rig.principal(grant))
    assert (verified.roles, verified.is_adult) == (("operator",), True)


async def test_guesses_of_a_pin_on_one_device_do_not_lock_another(rig: Rig) -> None:
    grant, _, parent = await sign_in_as_child(rig)
    for _ in range(6):
        with contextlib.suppress(WrongPin, TooManyAttempts):
            await rig.choose(grant, parent, "1111")
    with pytest.raises(TooManyAttempts):
        await rig.choose(grant, parent, "0042")
    other = await rig.sign_in()
    assert (await rig.choose(other, parent, "0042")).profile_id == parent


async def test_changes_of_profiles_are_in_the_audit_log_without_their_values(rig: Rig) -> None:
    grant = await rig.sign_up()
    ada = rig.principal(grant)
    made = await rig.identity.create_profile(principal=ada, name="B", avatar="moss", language="en", pin="4711")
    await rig.identity.update_profile(principal=ada, profile_id=made.profile_id, name="Secret", pin="1234")
    await rig.identity.remove_profile(principal=ada, profile_id=made.profile_id)
    entries = (await rig.identity.audit_log()).items
    details = {entry.act: entry.detail for entry in entries if entry.act.startswith("profile-")}
    assert details == {
        "profile-created": made.profile_id,
        "profile-changed": f"{made.profile_id} name pin",
        "profile-removed": made.profile_id,
    }


async def test_proof_of_a_clock_that_was_ahead_is_none(rig: Rig) -> None:
    grant = await rig.sign_up()
    rig.clock.advance(hours=-5)
    with pytest.raises(ProofRequired):
        await rig.identity.require_proof(principal=rig.principal(grant))


async def test_changed_password_ends_other_sign_ins_and_keeps_device_and_profile(rig: Rig) -> None:
    grant = await rig.sign_up()
    other = await rig.sign_in()
    profile_id = await rig.first_profile(grant)
    who = rig.principal(await rig.choose(grant, profile_id))
    rig.clock.advance(minutes=10)
    with pytest.raises(ProofRequired):
        await rig.identity.change_password(principal=who, password="battery staple")
    await rig.identity.prove(principal=who, password=PASSWORD)
    with pytest.raises(Invalid):
        await rig.identity.change_password(principal=who, password="short")
    await rig.facts()
    fresh = await rig.identity.change_password(principal=who, password="battery staple")
    assert (fresh.device_id, fresh.profile_id, fresh.is_adult) == (grant.device_id, profile_id, True)
    assert await rig.facts() == [SignInsEnded(account_id=grant.account_id)]
    for ended in (grant, other):
        with pytest.raises(TokenRejected):
            await rig.refresh(ended)
    assert (await rig.refresh(fresh)).profile_id == profile_id
    with pytest.raises(WrongCredentials):
        await rig.sign_in()
    assert (await rig.sign_in("battery staple")).account_id == grant.account_id
    assert [one.name for one in await rig.identity.devices(account_id=grant.account_id)][-1] == "Chromium"
