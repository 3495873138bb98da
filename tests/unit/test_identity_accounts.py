"""Accounts from outside: opened, found, given roles, exported and closed; the audit log; passwords."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from tests.unit.identity_rig import BROWSER, EMAIL, PASSWORD, Rig, open_rig

from matinee.drivers.engine import EngineReadOnly
from matinee.events.api import AccountClosed, ProfileRemoved, SignInsEnded
from matinee.identity import jobs
from matinee.identity.api import (
    COMMAND_LINE,
    AccountNotFound,
    Actor,
    AuditEntry,
    DeviceInfo,
    DeviceNotFound,
    EmailTaken,
    LastOperator,
    LastProfile,
    ProfileNotFound,
    RotatedTooSoon,
    SignUpClosed,
    TokenRejected,
    WrongCredentials,
    WrongPassword,
)
from matinee.kit.ids import AccountId, DeviceId, ProfileId
from matinee.kit.problem import Forbidden, Invalid

NOBODY = AccountId("acc_nobody")
FRESH = "battery staple"


@pytest.fixture
async def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    """A rig whose clock moves on after each entry of the audit log, so that the log has an order."""
    async with open_rig(tmp_path) as opened:
        add = opened.audit.add

        async def add_and_advance(entry: AuditEntry) -> None:
            await add(entry)
            opened.clock.advance(milliseconds=1)

        monkeypatch.setattr(opened.audit, "add", add_and_advance)
        yield opened


async def create(rig: Rig, email: str = EMAIL, *roles: str) -> AccountId:
    account = await rig.identity.create_account(
        by=COMMAND_LINE, email=email, password=PASSWORD, name="Ada", roles=roles
    )
    return account.account_id


async def test_where_sign_up_is_closed_an_operator_opens_accounts(rig: Rig) -> None:
    rig.identity = rig.instance(is_sign_up_open=False)
    assert not await rig.identity.is_sign_up_open()
    with pytest.raises(SignUpClosed):
        await rig.sign_up()
    account_id = await create(rig, " Ada@Example.org ", "operator")
    grant = await rig.sign_in()
    assert (grant.account_id, grant.roles) == (account_id, ("operator",))
    assert [profile.name for profile in await rig.identity.profiles(account_id=account_id)] == ["Ada"]
    with pytest.raises(EmailTaken):
        await create(rig)
    assert await rig.acts() == ["account-created", "sign-in"]


async def test_accounts_are_found_by_a_part_of_the_address_page_by_page(rig: Rig) -> None:
    for number in range(53):
        await rig.identity.create_account(
            by=COMMAND_LINE, email=f"v{number}_%@example.org", password=PASSWORD, name="V"
        )
        rig.clock.advance(seconds=number % 2)  # some have the same time
    first = await rig.identity.list_accounts()
    rest = await rig.identity.list_accounts(cursor=first.next_cursor)
    emails = [account.email for account in first.items + rest.items]
    assert (len(first.items), len(set(emails)), rest.next_cursor) == (50, 53, None)
    assert emails[0] == "v52_%@example.org"
    assert [one.email for one in (await rig.identity.list_accounts(query=" V7_% ")).items] == ["v7_%@example.org"]
    assert (await rig.identity.list_accounts(query="v%7")).items == []
    with pytest.raises(Invalid):
        await rig.identity.list_accounts(cursor="x")


async def test_password_is_reset_and_sign_ins_end(rig: Rig) -> None:
    grant = await rig.sign_up()
    await rig.identity.reset_password(by=COMMAND_LINE, account_id=grant.account_id, password=FRESH)
    with pytest.raises(TokenRejected):
        await rig.refresh(grant)
    await rig.sign_in(FRESH)
    assert await rig.identity.end_sign_ins(by=COMMAND_LINE, account_id=grant.account_id) == 1


async def test_last_operator_stays(rig: Rig) -> None:
    ada, bob = await create(rig, EMAIL, "operator"), await create(rig, "bob@example.org")
    for _ in range(2):
        with pytest.raises(LastOperator):
            await rig.identity.revoke_role(by=COMMAND_LINE, account_id=ada, role="operator")
        with pytest.raises(LastOperator):
            await rig.identity.close_account(by=COMMAND_LINE, account_id=ada)
    await rig.identity.grant_role(by=COMMAND_LINE, account_id=bob, role="operator")
    for _ in range(2):
        changed = await rig.identity.revoke_role(by=COMMAND_LINE, account_id=ada, role="operator")
        assert changed.roles == ()
    await rig.identity.close_account(by=COMMAND_LINE, account_id=ada)


async def test_unknown_accounts_are_not_found(rig: Rig) -> None:
    identity = rig.identity
    for call in (
        identity.find_account(email="none@example.org"),
        identity.describe_account(account_id=NOBODY),
        identity.grant_role(by=COMMAND_LINE, account_id=NOBODY, role="operator"),
        identity.revoke_role(by=COMMAND_LINE, account_id=NOBODY, role="operator"),
        identity.reset_password(by=COMMAND_LINE, account_id=NOBODY, password=FRESH),
        identity.end_sign_ins(by=COMMAND_LINE, account_id=NOBODY),
        identity.export_account(by=COMMAND_LINE, account_id=NOBODY),
    ):
        with pytest.raises(AccountNotFound):
            await call
    assert await rig.acts() == []


async def test_closed_account_is_erased(rig: Rig) -> None:
    grant, other = await rig.sign_up(), await rig.sign_up("bob@example.org")
    account_id, principal = grant.account_id, rig.principal(grant)
    second = await rig.identity.create_profile(principal=principal, name="Kit", avatar="moss", language="en")
    profile_ids = [profile.profile_id for profile in await rig.identity.profiles(account_id=account_id)]
    await rig.facts()
    for _ in range(2):
        await rig.identity.close_account(by=Actor(account_id=account_id), account_id=account_id)
    assert profile_ids[1] == second.profile_id
    assert await rig.facts() == [
        SignInsEnded(account_id=account_id),
        *(ProfileRemoved(account_id=account_id, profile_id=profile_id) for profile_id in profile_ids),
        AccountClosed(account_id=account_id),
    ]
    for call in (rig.refresh(grant), rig.identity.verify_sign_in(principal=principal)):
        with pytest.raises(TokenRejected):
            await call
    with pytest.raises(WrongCredentials):
        await rig.sign_in()
    with pytest.raises(Forbidden):
        await rig.identity.account(account_id=account_id)
    assert await rig.identity.devices(account_id=account_id) == []
    assert await rig.identity.profiles(account_id=account_id) == []
    assert EMAIL not in {account.email for account in (await rig.identity.list_accounts()).items}
    await rig.refresh(other)
    assert (await rig.sign_up()).account_id != account_id  # the address is free again


async def test_interrupted_closing_is_finished(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    grant = await rig.sign_up()

    async def fail(**_: object) -> None:
        raise ConnectionError

    with monkeypatch.context() as broken:
        broken.setattr(rig.store, "erase", fail)
        with pytest.raises(ConnectionError):
            await rig.identity.close_account(by=COMMAND_LINE, account_id=grant.account_id)
    with pytest.raises(TokenRejected):
        await rig.refresh(grant)
    with pytest.raises(WrongCredentials):
        await rig.sign_in()
    await jobs.finish_closing(rig.identity)
    assert await rig.identity.profiles(account_id=grant.account_id) == []
    await rig.sign_up()


async def test_closing_is_repeated_but_not_invented(rig: Rig) -> None:
    account_id = await create(rig)
    with pytest.raises(AccountNotFound):
        await rig.identity.close_account(by=COMMAND_LINE, account_id=NOBODY)
    for _ in range(2):  # the answer to the first was lost
        await rig.identity.close_account(by=COMMAND_LINE, account_id=account_id)
    assert await rig.acts() == ["account-created", "account-closed"]


async def test_export_tells_nothing_about_others(rig: Rig) -> None:
    boss, bob = await create(rig), await create(rig, "bob@example.org")
    by = Actor(account_id=boss, client="192.0.2.1")
    await rig.identity.reset_password(by=by, account_id=bob, password=FRESH)
    for account_id, other in ((boss, "bob@example.org"), (bob, EMAIL)):
        exported = await rig.identity.export_account(by=COMMAND_LINE, account_id=account_id)
        assert "password-reset" in [entry.act for entry in exported.audit]
        text = msgspec.json.encode(exported.audit).decode()
        assert other not in text
        assert ("192.0.2.1" in text) == (account_id == boss)
    log = (await rig.identity.audit_log(account_id=bob)).items
    assert {entry.actor for entry in log if entry.act == "password-reset"} == {EMAIL}


async def test_export_has_the_profiles_devices_and_acts_but_no_secret(rig: Rig) -> None:
    grant = await rig.sign_up()
    exported = await rig.identity.export_account(by=COMMAND_LINE, account_id=grant.account_id)
    assert exported.account.email == EMAIL
    assert [profile.name for profile in exported.profiles] == ["Ada"]
    assert [device.name for device in exported.devices] == ["Chromium"]
    assert [entry.act for entry in exported.audit] == ["account-exported", "sign-up"]
    assert b"argon2" not in msgspec.json.encode(exported)


async def test_audit_log_tells_who_did_what_from_where(rig: Rig) -> None:
    identity = rig.identity
    ada = await identity.sign_up(
        email=EMAIL, password=PASSWORD, name="Ada", language="en", device=BROWSER, client_ip="192.0.2.1"
    )
    principal = rig.principal(ada)
    with pytest.raises(WrongCredentials):
        await identity.sign_in(email=EMAIL, password="wrong horse", device=BROWSER, client_ip="192.0.2.2")
    with pytest.raises(WrongCredentials):
        await identity.sign_in(email="none@example.org", password="wrong horse", device=BROWSER)
    with pytest.raises(WrongPassword):
        await identity.prove(principal=principal, password="wrong horse", client_ip="192.0.2.1")
    await identity.sign_in(email=EMAIL, password=PASSWORD, device=DeviceInfo(name="TV", kind="tv"), client_ip="::1")
    await identity.record_act(by=Actor(account_id=ada.account_id), detail="publish_title tit_1")
    spent = ada.refresh_token
    for _ in range(2):
        ada = await identity.refresh(refresh_token=ada.refresh_token)
    rig.clock.advance(minutes=2)
    with pytest.raises(TokenRejected):
        await identity.refresh(refresh_token=spent)
    entries = (await identity.audit_log()).items[::-1]
    assert [(entry.act, entry.actor, entry.account, entry.client, entry.detail) for entry in entries] == [
        ("sign-up", EMAIL, EMAIL, "192.0.2.1", ""),
        ("sign-in-failed", None, EMAIL, "192.0.2.2", ""),
        ("sign-in-failed", None, None, "", ""),
        ("proof-failed", EMAIL, EMAIL, "192.0.2.1", ada.device_id),
        ("sign-in", EMAIL, EMAIL, "::1", "tv"),
        ("operator", EMAIL, None, "", "publish_title tit_1"),
        ("token-reused", None, EMAIL, "", ""),
    ]
    bob = await create(rig, "bob@example.org")
    await identity.close_account(by=COMMAND_LINE, account_id=bob)
    about_bob = (await identity.audit_log(account_id=bob)).items
    assert [(entry.act, entry.account, entry.account_id) for entry in about_bob] == [
        ("account-closed", None, bob),
        ("account-created", None, bob),
    ]


async def test_changes_of_the_household_are_recorded_with_their_address(rig: Rig) -> None:
    grant, client_ip = await rig.sign_up(), "192.0.2.7"
    principal, first = rig.principal(grant), await rig.first_profile(grant)
    added = await rig.identity.create_profile(
        principal=principal, name="Kit", avatar="moss", language="en", client_ip=client_ip
    )
    await rig.identity.update_profile(principal=principal, profile_id=added.profile_id, maturity=6, client_ip=client_ip)
    await rig.identity.remove_profile(principal=principal, profile_id=added.profile_id, client_ip=client_ip)
    with pytest.raises(LastProfile):
        await rig.identity.remove_profile(principal=principal, profile_id=first, client_ip=client_ip)
    await rig.identity.sign_out(account_id=grant.account_id, sign_in_id=grant.sign_in_id, client_ip=client_ip)
    entries = (await rig.identity.audit_log()).items[::-1][1:]
    assert {entry.client for entry in entries} == {client_ip}
    assert [(entry.act, entry.detail) for entry in entries] == [
        ("profile-created", added.profile_id),
        ("profile-changed", f"{added.profile_id} maturity"),
        ("profile-removed", added.profile_id),
        ("profile-removed", first),
        ("refused", "profile-removed last-profile"),
        ("sign-out", ""),
    ]


async def test_ids_that_a_client_invents_are_not_in_the_audit_log(rig: Rig) -> None:
    grant = await rig.sign_up()
    principal, forged = rig.principal(grant), "\n2026-01-01 sign-in root@example.org\x1b]0;owned\x07"
    await rig.identity.remove_profile(principal=principal, profile_id=ProfileId(forged))
    with pytest.raises(ProfileNotFound):
        await rig.identity.update_profile(principal=principal, profile_id=ProfileId(forged), name="Kit")
    with pytest.raises(DeviceNotFound):
        await rig.identity.remove_device(principal=principal, device_id=DeviceId(forged))
    assert await rig.acts() == ["sign-up"]
    await rig.identity.record_act(by=COMMAND_LINE, detail=f"put_title {forged}\u202e\u009b")
    (entry, _) = (await rig.identity.audit_log()).items
    assert entry.detail == "put_title \ufffd2026-01-01 sign-in root@example.org\ufffd]0;owned\ufffd\ufffd\ufffd"


async def test_the_removed_device_is_recorded(rig: Rig) -> None:
    phone, sofa = await rig.sign_up(), await rig.sign_in()
    await rig.identity.remove_device(principal=rig.principal(sofa), device_id=phone.device_id)
    assert (await rig.identity.audit_log()).items[0].detail == phone.device_id


async def test_sign_in_works_where_the_audit_log_cannot_be_written_and_changes_do_not(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    grant = await rig.sign_up()

    async def fail(_: AuditEntry) -> None:
        raise EngineReadOnly(engine="sql")

    monkeypatch.setattr(rig.audit, "add", fail)
    assert (await rig.sign_in()).account_id == grant.account_id
    with pytest.raises(WrongCredentials):
        await rig.sign_in("wrong horse")
    with pytest.raises(EngineReadOnly):
        await rig.identity.close_account(by=COMMAND_LINE, account_id=grant.account_id)
    assert (await rig.refresh(grant)).account_id == grant.account_id


async def test_audit_log_is_paged_and_expires(rig: Rig) -> None:
    for number in range(52):
        await rig.identity.record_act(by=COMMAND_LINE, detail=str(number))
    page = await rig.identity.audit_log()
    rest = await rig.identity.audit_log(cursor=page.next_cursor)
    assert sorted(int(entry.detail) for entry in page.items + rest.items) == list(range(52))
    assert rest.next_cursor is None
    rig.clock.advance(days=365)
    await jobs.delete_old_entries(rig.audit, rig.clock, keep_days=366)
    assert len((await rig.identity.audit_log()).items) == 50
    rig.clock.advance(seconds=1)
    await jobs.delete_old_entries(rig.audit, rig.clock, keep_days=365)
    assert (await rig.identity.audit_log()).items == []


@pytest.mark.parametrize(
    "password",
    [
        "password",
        "Password123!",
        "qwertz12",
        "matinee1",
        "example1",
        " password ",
        "password password",
        EMAIL,
        "a" * 128,
    ],
)
async def test_password_that_is_easy_to_guess_is_refused(rig: Rig, password: str) -> None:
    with pytest.raises(Invalid) as refused:
        await rig.identity.sign_up(email=EMAIL, password=password, name="Ada", language="en", device=BROWSER)
    assert [fault.field for fault in refused.value.faults] == ["password"]
    account_id = await create(rig)
    with pytest.raises(Invalid):
        await rig.identity.reset_password(by=COMMAND_LINE, account_id=account_id, password=password)


@pytest.mark.parametrize("password", ["correct horse", "x9Kf-2mQpL", "Пароль для кино", "映画館の夜に行こう"])
async def test_password_that_is_hard_to_guess_is_accepted(rig: Rig, password: str) -> None:
    await rig.identity.sign_up(email=EMAIL, password=password, name="Ada", language="en", device=BROWSER)


async def test_rotated_key_is_published(rig: Rig) -> None:
    await rig.identity.rotate_keys(by=COMMAND_LINE)
    with pytest.raises(RotatedTooSoon):
        await rig.identity.rotate_keys(by=COMMAND_LINE)
    assert len((await rig.instance().public_keys()).keys) == 2
    await rig.identity.rotate_keys(by=COMMAND_LINE, discard=True)
    assert len((await rig.instance().public_keys()).keys) == 1
    assert await rig.acts() == ["keys-rotated", "keys-rotated", "refused", "keys-rotated"]
