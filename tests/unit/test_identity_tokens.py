"""Access tokens and key files, as a gateway, an attacker and a second process meet them."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from matinee.drivers.argon import Argon2
from matinee.drivers.jwt import ACTIVE_AFTER_S, Signer, Verifier
from matinee.drivers.keyfile import KeyFileUnusable
from matinee.identity.api import parse_principal
from matinee.kit.clock import ManualClock
from matinee.kit.context import Principal
from matinee.kit.problem import Overloaded, Unauthenticated


class Gate:
    """A signer and a verifier, and how often the verifier asked for the keys."""

    def __init__(self, path: Path, **more: Any) -> None:
        self.path = path
        self.clock = ManualClock()
        self.signer = Signer.open(path)
        self.asked = 0
        self.verifier: Verifier[Principal] = Verifier(
            fetch_keys=self.keys, parse_claims=parse_principal, clock=self.clock, **more
        )

    async def keys(self) -> dict[str, Any]:
        self.asked += 1
        return {"keys": Signer.open(self.path).public_keys()}

    def claims(self, **changes: Any) -> dict[str, Any]:
        now_s = int(self.clock.now().timestamp())
        times = {"iat": now_s, "exp": now_s + 600, "iss": "matinee", "aud": "matinee"}
        who = {"sub": "acc_1", "profile": None, "device": "dev_1", "sign_in": "sin_1", "roles": ["operator"]}
        return {k: v for k, v in {**times, **who, **changes}.items() if v != "absent"}


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "keys" / "signing.pem")


async def assert_refused(gate: Gate, token: str) -> None:
    with pytest.raises(Unauthenticated):
        await gate.verifier.verify(token)


async def test_token_carries_the_principal(gate: Gate) -> None:
    who = await gate.verifier.verify(gate.signer.sign(gate.claims(profile="pro_1")))
    assert who == Principal(
        account_id="acc_1", device_id="dev_1", sign_in_id="sin_1", profile_id="pro_1", roles=("operator",)
    )


async def test_cached_token_still_expires(gate: Gate) -> None:
    token = gate.signer.sign(gate.claims())
    gate.clock.advance(seconds=599)
    await gate.verifier.verify(token)
    gate.clock.advance(seconds=1)
    await assert_refused(gate, token)


@pytest.mark.parametrize(
    "changes",
    [
        *(
            {"iss": "other"},
            {"aud": "other"},
            {"exp": "absent"},
            {"sub": "absent"},
            {"iss": "absent"},
            {"aud": "absent"},
        ),
        *({"device": "absent"}, {"sign_in": 7}, {"roles": "operator"}, {"exp": 10**30}, {"exp": "soon"}, {"exp": -1}),
    ],
)
async def test_wrong_claims_are_refused(gate: Gate, changes: dict[str, Any]) -> None:
    await assert_refused(gate, gate.signer.sign(gate.claims(**changes)))


async def test_other_algorithms_and_keys_are_refused(gate: Gate, tmp_path: Path) -> None:
    public = gate.signer.public_keys()[0]
    claims, headers = gate.claims(), {"kid": public["kid"]}
    await assert_refused(gate, jwt.encode(claims, None, algorithm="none", headers=headers))
    await assert_refused(gate, jwt.encode(claims, f"{public['x']}{public['y']}", algorithm="HS256", headers=headers))
    await assert_refused(gate, jwt.encode(claims, (tmp_path / "keys/signing.pem").read_bytes(), algorithm="ES256"))
    stranger = Signer.open(tmp_path / "stranger.pem")
    await assert_refused(gate, stranger.sign(claims))
    forged = jwt.encode(claims, (tmp_path / "stranger.pem").read_bytes(), algorithm="ES256", headers=headers)
    await assert_refused(gate, forged)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_any_changed_bit_is_refused(gate: Gate, data: st.DataObject) -> None:
    parts = gate.signer.sign(gate.claims()).split(".")
    part = data.draw(st.integers(0, 2))
    raw = bytearray(urlsafe_b64decode(parts[part] + "=="))
    bit = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[bit // 8] ^= 1 << bit % 8
    parts[part] = urlsafe_b64encode(bytes(raw)).rstrip(b"=").decode()
    await assert_refused(gate, ".".join(parts))


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=200) | st.from_regex(r"[A-Za-z0-9_-]{0,40}\.[A-Za-z0-9_-]{0,40}\.[A-Za-z0-9_-]{0,40}"))
async def test_malformed_token_is_refused(gate: Gate, text: str) -> None:
    await assert_refused(gate, text)


async def test_oversized_token_is_refused_unread(gate: Gate) -> None:
    await assert_refused(gate, "x" * 10_000_000)
    assert gate.asked == 0


def age(path: Path, seconds: float) -> None:
    """Make a key file look as if it had changed that long ago."""
    changed_s = time.time() - seconds
    os.utime(path, (changed_s, changed_s))


def key_id(token: str) -> str:
    return str(jwt.get_unverified_header(token)["kid"])


async def test_new_key_signs_once_everybody_knows_it(gate: Gate) -> None:
    other = Signer.open(gate.path)  # one more process
    old = gate.signer.sign(gate.claims())
    await gate.verifier.verify(old)
    gate.signer.rotate()
    assert len(other.public_keys()) == 2
    assert key_id(other.sign(gate.claims())) == key_id(gate.signer.sign(gate.claims())) == key_id(old)
    age(gate.path, ACTIVE_AFTER_S + 1)
    assert key_id(other.sign(gate.claims())) == key_id(gate.signer.sign(gate.claims())) != key_id(old)
    gate.clock.advance(minutes=6)
    await gate.verifier.verify(other.sign(gate.claims()))
    await Gate(gate.path).verifier.verify(old)
    gate.signer.rotate()
    await assert_refused(Gate(gate.path), old)  # two rotations later its key is gone


async def test_second_rotation_waits_until_the_first_key_signs(gate: Gate) -> None:
    assert gate.signer.rotate() == 0
    assert 0 < gate.signer.rotate() <= ACTIVE_AFTER_S * 1000
    assert len(gate.signer.public_keys()) == 2


async def test_key_file_of_a_clock_that_was_ahead_delays_the_new_key_no_longer(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate.signer.rotate()
    age(gate.path, -86_400)
    assert 0 < gate.signer.rotate() <= ACTIVE_AFTER_S * 1000
    later_s = time.monotonic() + ACTIVE_AFTER_S
    monkeypatch.setattr(time, "monotonic", lambda: later_s)
    assert key_id(gate.signer.sign(gate.claims())) == gate.signer.public_keys()[-1]["kid"]
    assert gate.signer.rotate() == 0


async def test_discarding_rotation_makes_all_tokens_void(gate: Gate) -> None:
    old = gate.signer.sign(gate.claims())
    gate.signer.rotate()
    gate.signer.rotate(discard=True)
    assert len(gate.signer.public_keys()) == 1
    await gate.verifier.verify(gate.signer.sign(gate.claims()))
    await assert_refused(gate, old)


async def test_unusable_file_leaves_the_keys_in_use(gate: Gate) -> None:
    gate.signer.sign(gate.claims())
    gate.path.write_text("broken")
    assert key_id(gate.signer.sign(gate.claims())) == gate.signer.public_keys()[0]["kid"]


async def test_unknown_keys_do_not_cause_repeated_requests(gate: Gate, tmp_path: Path) -> None:
    stranger = Signer.open(tmp_path / "stranger.pem").sign(gate.claims())
    for _ in range(50):
        await assert_refused(gate, stranger)
    assert gate.asked == 1


async def test_cached_keys_are_used_while_their_source_is_unavailable(gate: Gate) -> None:
    token = gate.signer.sign(gate.claims(exp=2_000_000_000))
    verifier: Verifier[Principal] = Verifier(
        fetch_keys=gate.keys, parse_claims=parse_principal, clock=gate.clock, cache_size=0
    )
    await verifier.verify(token)
    gate.path.write_text("broken")
    gate.clock.advance(minutes=10)
    assert (await verifier.verify(token)).account_id == "acc_1"


async def test_number_of_cached_tokens_is_limited(tmp_path: Path) -> None:
    gate = Gate(tmp_path / "k.pem", cache_size=2)
    for n in range(5):
        await gate.verifier.verify(gate.signer.sign(gate.claims(sub=f"acc_{n}")))
    assert len(gate.verifier._cache) == 2


def test_key_file_is_readable_by_its_owner_only(gate: Gate) -> None:
    assert stat.S_IMODE(gate.path.stat().st_mode) == 0o600
    assert list(gate.path.parent.iterdir()) == [gate.path]
    gate.signer.rotate()
    assert stat.S_IMODE(gate.path.stat().st_mode) == 0o600
    assert list(gate.path.parent.iterdir()) == [gate.path]


def a_folder(path: Path) -> None:
    path.mkdir()


def not_pem(path: Path) -> None:
    path.write_text("hello")


def damaged_pem(path: Path) -> None:
    path.write_text("-----BEGIN PRIVATE KEY-----\naGVsbG8=\n-----END PRIVATE KEY-----\n")


@pytest.mark.parametrize("spoil", [a_folder, not_pem, damaged_pem])
def test_damaged_key_file_is_reported(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    path = tmp_path / "k.pem"
    spoil(path)
    with pytest.raises(KeyFileUnusable) as caught:
        Signer.open(path)
    assert str(path) in caught.value.detail
    assert "hello" not in caught.value.detail


def test_concurrent_processes_share_one_key(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from matinee.drivers.jwt import Signer; "
        "print(Signer.open(Path(sys.argv[1])).public_keys()[0]['kid'])"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "k.pem")]
    racers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert len({racer.communicate()[0] for racer in racers}) == 1


async def test_argon2_verifies_hashes_and_refuses_overload() -> None:
    argon = Argon2(time_cost=1, memory_kib=64, threads=1, queue_limit=0)
    hashed = await argon.hash("geheim\ud800")
    assert hashed.startswith("$argon2id$")
    assert await argon.verify(hashed, "geheim\ud800")
    assert not await argon.verify(hashed, "geheim")
    assert not await argon.verify(argon.decoy, "geheim")
    assert not await argon.verify("damaged", "geheim")
    assert Argon2(time_cost=2, memory_kib=64).needs_rehash(hashed)
    assert not argon.needs_rehash(hashed)
    crowded = Argon2(time_cost=1, memory_kib=64, threads=1, queue_limit=-1)
    with pytest.raises(Overloaded):
        await crowded.hash("x")
    argon.close()
    crowded.close()


async def test_new_keys_are_fetched_also_after_the_clock_was_set_back(gate: Gate, tmp_path: Path) -> None:
    gate.clock.advance(hours=5)
    await gate.verifier.verify(gate.signer.sign(gate.claims()))
    gate.clock.advance(hours=-5)
    gate.path = tmp_path / "keys" / "other.pem"
    await gate.verifier.verify(Signer.open(gate.path).sign(gate.claims()))
