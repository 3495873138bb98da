"""Licensing as a player, a curious neighbour and an operator with the wrong key file meet it."""

from __future__ import annotations

import asyncio
import stat
import subprocess
import sys
from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from matinee.drivers.keyfile import KeyFileUnusable
from matinee.drivers.sql import Database
from matinee.drivers.vault import FileSealer, SealBroken
from matinee.kit.clock import ManualClock
from matinee.kit.ids import AssetId, DeviceId, PlaySessionId, ProfileId, TitleId
from matinee.kit.problem import Problem
from matinee.licensing import jobs
from matinee.licensing.adapters.sql import SqlKeyVault
from matinee.licensing.api import ContentKey, LicenceRefused, LicenceTerms, UnknownKey
from matinee.licensing.service import LicensingService

FILM, OTHER = AssetId("ast_film"), AssetId("ast_other")
ADA, TV = ProfileId("pro_ada"), DeviceId("dev_tv")


class Rig:
    """The service, put together as the wiring does it."""

    def __init__(self, vault: SqlKeyVault, folder: Path) -> None:
        self.vault = vault
        self.folder = folder
        self.clock = ManualClock()
        self.licensing = self.instance()

    def instance(self, kek: str = "kek") -> LicensingService:
        """One more process of the service on the same vault."""
        sealer = FileSealer.open(self.folder / kek)
        key = sealer.derive_key("licence-tokens")
        return LicensingService(vault=self.vault, sealer=sealer, token_key=key, clock=self.clock)

    async def keys(self, asset_id: AssetId = FILM) -> dict[str, ContentKey]:
        made = await self.licensing.content_keys(asset_id=asset_id, labels=("AUDIO", "SD", "HD"))
        return {key.label: key for key in made}

    async def token(self, **changes: Any) -> str:
        plain = LicenceTerms(
            session_id=PlaySessionId("pls_1"),
            title_id=TitleId("tit_1"),
            asset_id=FILM,
            profile_id=ADA,
            device_id=TV,
            labels=("AUDIO", "SD"),
            expires_at=self.clock.now() + timedelta(hours=6),
        )
        return await self.licensing.grant(terms=msgspec.structs.replace(plain, **changes))

    async def ask(
        self, token: str, keys: list[str], profile_id: ProfileId = ADA, device_id: DeviceId = TV
    ) -> dict[str, str]:
        """What is answered, as hexadecimal key by hexadecimal key id."""
        licence = await self.licensing.clearkey(
            token=token, key_ids=[kid(one) for one in keys], profile_id=profile_id, device_id=device_id
        )
        assert licence.type == "temporary"
        return {raw(one.kid): raw(one.k) for one in licence.keys}


def kid(key_id: str) -> str:
    return urlsafe_b64encode(bytes.fromhex(key_id)).rstrip(b"=").decode()


def raw(text: str) -> str:
    return urlsafe_b64decode(text + "==").hex()


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with Database(f"sqlite:///{tmp_path}/licensing.db") as database:
        yield Rig(await SqlKeyVault.open(database), tmp_path)


async def test_the_same_asset_and_label_the_same_key(rig: Rig) -> None:
    first = await rig.licensing.content_keys(asset_id=FILM, labels=("SD",))
    keys = await rig.licensing.content_keys(asset_id=FILM, labels=("HD", "SD", "AUDIO", "SD"))
    assert [key.label for key in keys] == ["HD", "SD", "AUDIO"]
    assert keys[1] == first[0]
    assert keys == await rig.instance().content_keys(asset_id=FILM, labels=("HD", "SD", "AUDIO"))
    everything = [*keys, *(await rig.keys(OTHER)).values()]
    assert len({key.key for key in everything}) == len({key.key_id for key in everything}) == 6
    assert all(len(bytes.fromhex(key.key)) == len(bytes.fromhex(key.key_id)) == 16 for key in everything)
    assert await rig.licensing.content_keys(asset_id=FILM, labels=()) == []


async def test_makers_that_race_get_the_same_keys(rig: Rig) -> None:
    makers = [rig.instance().content_keys(asset_id=FILM, labels=("SD", "HD")) for _ in range(10)]
    answers = await asyncio.gather(*makers)
    assert all(answer == answers[0] for answer in answers)


def test_processes_that_race_get_the_same_keys(tmp_path: Path) -> None:
    racers = [subprocess.Popen([sys.executable, __file__, str(tmp_path)], stdout=subprocess.PIPE) for _ in range(3)]
    answers = {racer.communicate()[0] for racer in racers}
    assert len(answers) == 1
    assert answers != {b""}


async def test_a_licence_has_the_covered_keys_and_withholds_the_others(rig: Rig) -> None:
    keys = await rig.keys()
    ids = [key.key_id for key in keys.values()]
    answer = await rig.ask(await rig.token(), ids)
    assert answer == {keys[label].key_id: keys[label].key for label in ("AUDIO", "SD")}
    assert await rig.ask(await rig.token(), [*ids, "f" * 32]) == answer
    assert await rig.ask(await rig.token(), [keys["SD"].key_id]) == {keys["SD"].key_id: keys["SD"].key}


async def test_where_nothing_is_covered_nothing_is_answered(rig: Rig) -> None:
    keys, others = await rig.keys(), await rig.keys(OTHER)
    token = await rig.token()
    for asked in ([keys["HD"].key_id], [others["SD"].key_id], []):
        with pytest.raises(LicenceRefused):
            await rig.ask(token, asked)
    with pytest.raises(LicenceRefused):
        await rig.ask(await rig.token(asset_id=OTHER), [keys["SD"].key_id])
    with pytest.raises(UnknownKey) as caught:
        await rig.ask(token, ["ab" * 16])
    assert caught.value.key_id == "ab" * 16
    for garbage in ("", "x", "🎬", "A" * 1_000_000, "\ud800"):
        with pytest.raises(UnknownKey):
            await rig.licensing.clearkey(token=token, key_ids=[garbage], profile_id=ADA, device_id=TV)


async def test_another_profile_or_device_is_refused(rig: Rig) -> None:
    ids = [key.key_id for key in (await rig.keys()).values()]
    token = await rig.token()
    for who in (
        {"profile_id": ProfileId("pro_bob")},
        {"device_id": DeviceId("dev_phone")},
        {"device_id": DeviceId("")},
    ):
        with pytest.raises(LicenceRefused):
            await rig.ask(token, ids, **who)  # type: ignore[arg-type]


async def test_a_token_ends(rig: Rig) -> None:
    keys, token = await rig.keys(), await rig.token()
    rig.clock.advance(hours=6)
    with pytest.raises(LicenceRefused):
        await rig.ask(token, [keys["SD"].key_id])
    with pytest.raises(LicenceRefused):
        await rig.licensing.identity_key(token=token, key_id=keys["SD"].key_id)


async def test_a_revoked_session_gets_nothing_anywhere(rig: Rig) -> None:
    keys, token = await rig.keys(), await rig.token()
    other = await rig.token(session_id=PlaySessionId("pls_2"))
    for _ in range(2):
        await rig.instance().revoke(session_id=PlaySessionId("pls_1"), expires_at=rig.clock.now() + timedelta(hours=6))
    with pytest.raises(LicenceRefused):
        await rig.ask(token, [keys["SD"].key_id])
    with pytest.raises(LicenceRefused):
        await rig.licensing.identity_key(token=token, key_id=keys["SD"].key_id)
    assert await rig.ask(other, [keys["SD"].key_id])


async def test_hls_gets_one_key_s_bytes(rig: Rig) -> None:
    keys, token = await rig.keys(), await rig.token()
    for key_id in (keys["SD"].key_id, keys["SD"].key_id.upper()):
        assert await rig.licensing.identity_key(token=token, key_id=key_id) == bytes.fromhex(keys["SD"].key)
    with pytest.raises(LicenceRefused):
        await rig.licensing.identity_key(token=token, key_id=keys["HD"].key_id)
    with pytest.raises(LicenceRefused):
        await rig.licensing.identity_key(token=token[:-1], key_id=keys["SD"].key_id)
    for garbage in ("", "zz", "f" * 32, "f" * 1_000_000, "../etc"):
        with pytest.raises(UnknownKey):
            await rig.licensing.identity_key(token=token, key_id=garbage)


async def test_no_key_is_kept_in_clear(rig: Rig) -> None:
    keys = await rig.keys()
    kept = b"".join(file.read_bytes() for file in rig.folder.glob("licensing.db*"))
    for key in keys.values():
        assert key.key_id.encode() in kept
        assert bytes.fromhex(key.key) not in kept
        assert key.key.encode() not in kept


async def test_a_lost_key_file_is_told_and_nothing_leaks(rig: Rig) -> None:
    keys = await rig.keys()
    stranger = rig.instance("another-kek")
    with pytest.raises(SealBroken, match="another key-encryption key") as caught:
        await stranger.content_keys(asset_id=FILM, labels=("SD",))
    assert isinstance(caught.value, Problem)
    assert keys["SD"].key not in repr(caught.value)
    with pytest.raises(LicenceRefused):
        await stranger.clearkey(token=await rig.token(), key_ids=[kid(keys["SD"].key_id)], profile_id=ADA, device_id=TV)


async def test_a_sealed_key_moved_to_another_place_does_not_open(rig: Rig) -> None:
    await rig.keys()
    one = (await rig.vault.keys(asset_id=FILM))[0]
    await rig.vault.keep(keys=[msgspec.structs.replace(one, asset_id=OTHER, key_id="ab" * 16)])
    with pytest.raises(SealBroken, match="altered"):
        await rig.licensing.content_keys(asset_id=OTHER, labels=(one.label,))


async def test_a_new_key_encryption_key_opens_what_the_old_one_sealed(rig: Rig) -> None:
    keys, token = await rig.keys(), await rig.token()
    with (rig.folder / "kek").open("ab") as file:
        file.write(b64encode(bytes(range(32))) + b"\n")
    renewed = rig.instance()
    assert {key.label: key for key in await renewed.content_keys(asset_id=FILM, labels=("AUDIO", "SD", "HD"))} == keys
    assert await renewed.identity_key(token=token, key_id=keys["SD"].key_id) == bytes.fromhex(keys["SD"].key)
    await renewed.content_keys(asset_id=OTHER, labels=("SD",))
    with pytest.raises(SealBroken):
        await FileSealer([b"\0" * 32]).unseal((await rig.vault.keys(asset_id=OTHER))[0].sealed, b"")


@pytest.mark.parametrize("spoilt", [b"", b"\n", b"hello\n", b"aGVsbG8=\n", b"\xff" * 40])
def test_a_spoilt_key_file_is_named(tmp_path: Path, spoilt: bytes) -> None:
    (tmp_path / "kek").write_bytes(spoilt)
    with pytest.raises(KeyFileUnusable) as caught:
        FileSealer.open(tmp_path / "kek")
    assert str(tmp_path / "kek") in caught.value.detail
    assert "aGVsbG8" not in caught.value.detail


def test_the_key_file_is_its_owner_s_alone(tmp_path: Path) -> None:
    FileSealer.open(tmp_path / "deep" / "kek")
    assert stat.S_IMODE((tmp_path / "deep" / "kek").stat().st_mode) == 0o600


async def test_any_changed_bit_breaks_the_seal() -> None:
    sealer = FileSealer([bytes(range(32))])
    sealed = await sealer.seal(b"0123456789abcdef", b"here")
    assert await sealer.unseal(sealed, b"here") == b"0123456789abcdef"
    for bit in range(len(sealed) * 8):
        changed = bytearray(sealed)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SealBroken):
            await sealer.unseal(bytes(changed), b"here")
    for broken, place in ((sealed, b"there"), (sealed[:-1], b"here"), (sealed[:15], b"here"), (b"", b"here")):
        with pytest.raises(SealBroken):
            await sealer.unseal(broken, place)


def test_derived_keys_differ_by_purpose() -> None:
    sealer = FileSealer([bytes(range(32))])
    assert sealer.derive_key("a") == sealer.derive_key("a") != sealer.derive_key("b")
    assert len(sealer.derive_key("a")) == 32


def test_a_weak_token_key_is_refused(rig: Rig) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        LicensingService(vault=rig.vault, sealer=FileSealer([b"\0" * 32]), token_key=b"short", clock=rig.clock)


class Shaky:
    """A vault that is away at the first call."""

    def __init__(self, vault: SqlKeyVault) -> None:
        self._vault = vault
        self._calls = 0
        self.dropped: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def forget(self, *, before: Any) -> int:
        self._calls += 1
        if self._calls == 1:
            raise ConnectionError
        dropped = await self._vault.forget(before=before)
        if not self.dropped.done():
            self.dropped.set_result(dropped)
        return dropped


async def test_the_job_goes_on_after_a_failure(rig: Rig) -> None:
    await rig.licensing.revoke(session_id=PlaySessionId("pls_1"), expires_at=rig.clock.now())
    rig.clock.advance(hours=2)
    shaky = Shaky(rig.vault)
    job = asyncio.create_task(jobs.forget_revocations(shaky, rig.clock, every_s=0))  # type: ignore[arg-type]
    assert await shaky.dropped == 1
    job.cancel()


async def _race(folder: Path) -> None:
    async with Database(f"sqlite:///{folder}/licensing.db") as database:
        rig = Rig(await SqlKeyVault.open(database), folder)
        print(sorted(key.key for key in (await rig.keys()).values()))


if __name__ == "__main__":
    asyncio.run(_race(Path(sys.argv[1])))
