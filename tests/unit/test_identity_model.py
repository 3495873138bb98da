"""The rules of identity, by example and by property."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matinee.identity import model
from matinee.identity.api import DeviceInfo, LastProfile, Profile, ProfileNotFound, TokenRejected, TooManyProfiles
from matinee.identity.model import Attempts, RefreshToken, SignIn, StoredProfile, validation
from matinee.kit import ids
from matinee.kit.ids import AccountId, DeviceId, ProfileId, SignInId
from matinee.kit.problem import Invalid

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GRACE = timedelta(seconds=10)
LIFETIME = timedelta(days=30)
GOOD = {"email": "ada@example.org", "password": "correct horse", "name": "Ada", "language": "en"}


def faulty(**changes: str) -> set[str]:
    try:
        validation.check_sign_up(**{**GOOD, **changes})
    except Invalid as problem:
        return {fault.field for fault in problem.faults if fault.message}
    return set()


@pytest.mark.parametrize(
    "email",
    [
        "ada@example.org",
        " Ada.L+films@Example.ORG ",
        "a@localhost",
        "ada@bücher.example",
        "日本@example.jp",
        "o'x@a.b.c",
    ],
)
def test_valid_address_is_accepted(email: str) -> None:
    assert faulty(email=email) == set()


@pytest.mark.parametrize(
    "email",
    [
        *("", "@", "ada", "ada@", "@example.org", "a b@example.org", "ada@exa mple.org", "ada@-x.org", "ada@x..org"),
        *("ada@example.org.", "a@b@c@", f"{'a' * 65}@example.org", f"ada@{'a' * 64}.org", "a\n@b.c", "\ud800@b.c,"),
        *("de\u200bmo@b.c", "de\u202emo@b.c", "a\x9b31mred@b.c", "\ue000@b.c", "de\U000e0041mo@b.c"),
        f"ada@{'.'.join(['a' * 60] * 5)}",
    ],
)
def test_invalid_address_is_refused(email: str) -> None:
    assert faulty(email=email) == {"email"}


def test_equivalent_spellings_normalize_to_one_address() -> None:
    assert validation.normalize_email(" ADA@Bücher.example\n") == validation.normalize_email(
        "ada@xn--bcher-kva.example"
    )
    assert validation.normalize_email("ａｄａ@example.org") == "ada@example.org"


@pytest.mark.parametrize("password", ["12345678", "x" * 128, "        ", "pässwörd", "🎬🎬🎬🎬🎬🎬🎬🎬"])
def test_valid_password_is_accepted(password: str) -> None:
    assert faulty(password=password) == set()


@pytest.mark.parametrize("password", ["", "1234567", "x" * 129, "x" * 1_000_000, "\ud800" * 8])
def test_password_of_wrong_length_is_refused(password: str) -> None:
    assert faulty(password=password) == {"password"}


def test_all_faults_are_reported_together() -> None:
    assert faulty(email="x", password="x", name=" ", language="englisch!") == {"email", "password", "name", "language"}


@pytest.mark.parametrize("name", ["A", "Åsa", "👨‍👩‍👧", "x" * 40, " Ada Lovelace "])
def test_valid_name_is_accepted(name: str) -> None:
    assert faulty(name=name) == set()


@pytest.mark.parametrize("name", ["", "  ", "x" * 41, "a\x00b", "a\nb", "\u200d", "\u202e", "\ud800"])
def test_unprintable_name_is_refused(name: str) -> None:
    assert faulty(name=name) == {"name"}


@given(st.text())
def test_checks_accept_any_text_as_input(text: str) -> None:
    for field in GOOD:
        assert faulty(**{field: text}) <= {field}


def test_faults_of_a_profile_are_named() -> None:
    with pytest.raises(Invalid) as caught:
        validation.check_profile(name="", avatar="../x", language="", maturity=99, pin="12")
    assert {fault.field for fault in caught.value.faults} == {"name", "avatar", "language", "maturity", "pin"}
    validation.check_profile(pin="")
    validation.check_profile(name="A", avatar="ember", language="pt-BR", maturity=0, pin="0000")


def test_unusable_device_name_is_replaced() -> None:
    assert validation.clean_device_name(DeviceInfo(name=" TV\x1b[2J\u202e ")) == "TV[2J"
    assert validation.clean_device_name(DeviceInfo(name="\n\t")) == "Unknown device"
    assert len(validation.clean_device_name(DeviceInfo(name="x" * 999))) == 80


def stored_profile(name: str, **more: object) -> StoredProfile:
    plain = {"avatar": "ember", "language": "en", **more}
    return StoredProfile(
        profile=Profile(profile_id=ProfileId(f"pro_{name}"), account_id=AccountId("acc_1"), name=name, **plain)  # type: ignore[arg-type]
    )


def test_account_has_one_to_eight_profiles() -> None:
    profiles = tuple(stored_profile(str(n)) for n in range(7))
    profiles = model.add_profile(profiles, stored_profile("8th"))
    with pytest.raises(TooManyProfiles):
        model.add_profile(profiles, stored_profile("9th"))
    assert model.remove_profile(profiles, ProfileId("pro_none")) == profiles
    for one in profiles[1:]:
        profiles = model.remove_profile(profiles, one.profile.profile_id)
    with pytest.raises(LastProfile):
        model.remove_profile(profiles, profiles[0].profile.profile_id)


def test_maturity_of_kids_profile_is_limited() -> None:
    (child,) = model.add_profile((), stored_profile("c", kids=True))
    assert child.profile.maturity == model.KIDS_MATURITY
    (older,) = model.change_profile((child,), child.profile.profile_id, None, {"maturity": 18})
    assert older.profile.maturity == model.KIDS_MATURITY
    (grown,) = model.change_profile((child,), child.profile.profile_id, None, {"maturity": 18, "kids": False})
    assert grown.profile.maturity == 18


def test_pin_is_set_kept_and_removed() -> None:
    (one,) = model.change_profile((stored_profile("a"),), ProfileId("pro_a"), "hash", {})
    assert one.profile.has_pin
    assert model.change_profile((one,), ProfileId("pro_a"), None, {"name": "B"})[0].pin_hash == "hash"
    assert not model.change_profile((one,), ProfileId("pro_a"), "", {})[0].profile.has_pin
    with pytest.raises(ProfileNotFound):
        model.change_profile((one,), ProfileId("pro_b"), None, {})


def token(secret: bytes = b"s" * 32, handle: bytes = b"h" * 16) -> RefreshToken:
    return RefreshToken(sign_in_id=ids.derive(SignInId, "one"), handle=handle, secret=secret)


def family(now: datetime = NOW) -> SignIn:
    return SignIn(
        sign_in_id=token().sign_in_id,
        account_id=AccountId("acc_1"),
        device_id=DeviceId("dev_1"),
        handle=model.hash_secret(token().handle),
        live=(model.hash_secret(token().secret),),
        turned_at=now,
        expires_at=now + LIFETIME,
    )


def turn(sign_in: SignIn, handed: bytes, fresh: bytes, after_s: float) -> SignIn | None:
    now = NOW + timedelta(seconds=after_s)
    return model.rotate(sign_in, token(handed), model.hash_secret(fresh), now, grace=GRACE, lifetime=LIFETIME)


@given(st.binary(min_size=16, max_size=16), st.binary(min_size=32, max_size=32))
def test_refresh_token_round_trips(handle: bytes, secret: bytes) -> None:
    assert model.parse_refresh_token(token(secret, handle).encode()) == token(secret, handle)


@given(st.text(max_size=120))
def test_malformed_refresh_token_is_refused(text: str) -> None:
    with pytest.raises(TokenRejected):
        model.parse_refresh_token(text)


def test_refresh_token_has_one_valid_text_form() -> None:
    text = token().encode()
    twins = [text[:-1] + chr(ord(text[-1]) + 1), text + "=", text + "==", f" {text}", text[:-1], text + "A"]
    for twin in twins:
        with pytest.raises(TokenRejected):
            model.parse_refresh_token(twin)


def test_token_is_valid_once_and_then_its_successor() -> None:
    second = turn(family(), b"s" * 32, b"2", 100)
    assert second
    assert turn(second, b"2", b"3", 200)
    assert second.expires_at == NOW + timedelta(seconds=100) + LIFETIME


def test_two_tabs_within_the_grace_period_both_succeed() -> None:
    second = turn(family(), b"s" * 32, b"2a", 100)
    both = turn(second, b"s" * 32, b"2b", 109) if second else None
    assert both
    assert len(both.live) == 2
    assert turn(both, b"2a", b"3", 200)
    assert turn(both, b"2b", b"3", 200)


def test_reused_token_revokes_the_family() -> None:
    second = turn(family(), b"s" * 32, b"2", 100)
    assert second
    assert turn(second, b"s" * 32, b"x", 110) is None
    third = turn(second, b"2", b"3", 101)
    assert third
    assert turn(third, b"s" * 32, b"x", 101) is None  # its successor was used: no grace


def test_reuse_is_found_after_a_clock_that_was_ahead() -> None:
    second = turn(family(), b"s" * 32, b"2", 7200)
    assert second
    assert turn(second, b"s" * 32, b"x", 100) is None


def test_token_of_another_family_revokes_nothing() -> None:
    with pytest.raises(TokenRejected):
        model.rotate(family(), token(handle=b"x" * 16), b"", NOW, grace=GRACE, lifetime=LIFETIME)


def test_expired_token_is_rejected() -> None:
    with pytest.raises(TokenRejected):
        turn(family(), b"s" * 32, b"2", LIFETIME.total_seconds())


def test_number_of_concurrent_rotations_is_limited() -> None:
    now: SignIn | None = turn(family(), b"s" * 32, b"0", 1)
    for n in range(1, model.SIBLING_LIMIT):
        assert now
        now = turn(now, b"s" * 32, bytes([n]), 1)
    assert now
    with pytest.raises(TokenRejected):
        turn(now, b"s" * 32, b"x", 1)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=30))
def test_only_valid_tokens_and_recent_siblings_rotate(steps: list[tuple[int, int]]) -> None:
    """Whatever is handed in, in whatever order: a spent token never yields a new one after the grace."""
    issued = [b"s" * 32]
    sign_in = family()
    now_s = 0
    for pick, wait_s in steps:
        now_s += wait_s
        handed = issued[pick % len(issued)]
        live = model.hash_secret(handed) in sign_in.live
        twin = model.hash_secret(handed) in sign_in.spent and now_s - (sign_in.turned_at - NOW).total_seconds() < 10
        if twin and not live and len(sign_in.live) == model.SIBLING_LIMIT:
            return
        issued.append(b"%d" % len(issued))
        turned = turn(sign_in, handed, issued[-1], now_s)
        assert (turned is not None) == (live or twin)
        if turned is None:
            return
        sign_in = turned


def test_failed_attempts_are_delayed_and_expire() -> None:
    attempts: Attempts | None = None
    waits = []
    for _ in range(20):
        attempts = model.add_attempt(attempts, NOW)
        waits.append(model.get_wait_ms("pin:1", attempts, NOW))
    assert waits[:5] == [0, 0, 0, 0, 1000]
    assert waits[5:8] == [2000, 4000, 8000]
    assert waits[-1] == 900_000
    assert model.get_wait_ms("pin:1", attempts, NOW + timedelta(minutes=15)) == 0
    assert model.get_wait_ms("email:1", attempts, NOW) == 0
    assert model.get_wait_ms("pin:1", attempts, NOW - timedelta(hours=5)) == 0  # the clock was ahead
    assert model.get_wait_ms("email:1", Attempts(count=500, last_at=NOW), NOW) == 60_000
    assert model.add_attempt(attempts, NOW + timedelta(hours=1, seconds=1)).count == 1
