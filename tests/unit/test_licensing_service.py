"""`LicensingService`: keys, licences, revocation, and sealing with the key file."""

from __future__ import annotations

import asyncio
import stat
import sys
from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.stores import start_python

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
    """The service as the wiring builds it."""

    def __init__(self, vault: SqlKeyVault, folder: Path) -> None:
        self.vault = vault
        self.folder = folder
        self.clock = ManualClock()
        self.licensing = self.create_instance()

    def create_instance(self, kek: str = "kek") -> LicensingService:
        """Return another instance of the service on the same vault."""
        sealer = FileSealer.open(self.folder / kek)
        return LicensingService(vault=self.vault, sealer=sealer, token_key=bytes(range(32)), clock=self.clock)

    async def keys(self, asset_id: AssetId = FILM) -> dict[str, ContentKey]:
        keys = await self.licensing.ensure_content_keys(asset_id=asset_id, labels=("AUDIO", "SD", "HD"))
        return {key.label: key for key in keys}

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

    async def request(
        self, token: str, keys: list[str], profile_id: ProfileId = ADA, device_id: DeviceId = TV
    ) -> dict[str, str]:
        """Return the keys of a licence by key id, both in hexadecimal."""
        licence = await self.licensing.issue_clearkey_licence(
            token=token, key_ids=[to_kid(each) for each in keys], profile_id=profile_id, device_id=device_id
        )
        assert licence.type == "temporary"
        return {to_hex(each.kid): to_hex(each.k) for each in licence.keys}


def to_kid(key_id: str) -> str:
    return urlsafe_b64encode(bytes.fromhex(key_id)).rstrip(b"=").decode()


def to_hex(text: str) -> str:
    return urlsafe_b64decode(text + "==").hex()


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with Database(f"sqlite:///{tmp_path}/licensing.db") as database:
        yield Rig(await SqlKeyVault.open(database), tmp_path)


async def test_an_asset_and_label_have_one_key(rig: Rig) -> None:
    first = await rig.licensing.ensure_content_keys(asset_id=FILM, labels=("SD",))
    keys = await rig.licensing.ensure_content_keys(asset_id=FILM, labels=("HD", "SD", "AUDIO", "SD"))
    assert [key.label for key in keys] == ["HD", "SD", "AUDIO"]
    assert keys[1] == first[0]
    assert keys == await rig.create_instance().ensure_content_keys(asset_id=FILM, labels=("HD", "SD", "AUDIO"))
    everything = [*keys, *(await rig.keys(OTHER)).values()]
    assert len({key.key for key in everything}) == len({key.key_id for key in everything}) == 6
    assert all(len(bytes.fromhex(key.key)) == len(bytes.fromhex(key.key_id)) == 16 for key in everything)
    assert await rig.licensing.ensure_content_keys(asset_id=FILM, labels=()) == []


async def test_concurrent_calls_return_the_same_keys(rig: Rig) -> None:
    calls = [rig.create_instance().ensure_content_keys(asset_id=FILM, labels=("SD", "HD")) for _ in range(10)]
    answers = await asyncio.gather(*calls)
    assert all(answer == answers[0] for answer in answers)


def test_concurrent_processes_return_the_same_keys(tmp_path: Path) -> None:
    racers = [start_python(__file__, str(tmp_path)) for _ in range(3)]
    answers = {racer.communicate() for racer in racers}
    assert len(answers) == 1
    assert answers != {""}


async def test_a_licence_contains_only_covered_keys(rig: Rig) -> None:
    keys = await rig.keys()
    ids = [key.key_id for key in keys.values()]
    answer = await rig.request(await rig.token(), ids)
    assert answer == {keys[label].key_id: keys[label].key for label in ("AUDIO", "SD")}
    assert await rig.request(await rig.token(), [*ids, "f" * 32]) == answer
    assert await rig.request(await rig.token(), [keys["SD"].key_id]) == {keys["SD"].key_id: keys["SD"].key}


async def test_a_request_without_covered_keys_is_refused(rig: Rig) -> None:
    keys, others = await rig.keys(), await rig.keys(OTHER)
    token = await rig.token()
    for requested in ([keys["HD"].key_id], [others["SD"].key_id], []):
        with pytest.raises(LicenceRefused):
            await rig.request(token, requested)
    with pytest.raises(LicenceRefused):
        await rig.request(await rig.token(asset_id=OTHER), [keys["SD"].key_id])
    with pytest.raises(UnknownKey) as caught:
        await rig.request(token, ["ab" * 16])
    assert caught.value.key_id == "ab" * 16
    for garbage in ("", "x", "🎬", "A" * 1_000_000, "\ud800"):
        with pytest.raises(UnknownKey):
            await rig.licensing.issue_clearkey_licence(token=token, key_ids=[garbage], profile_id=ADA, device_id=TV)


async def test_another_profile_or_device_is_refused(rig: Rig) -> None:
    ids = [key.key_id for key in (await rig.keys()).values()]
    token = await rig.token()
    for other in (
        {"profile_id": ProfileId("pro_bob")},
        {"device_id": DeviceId("dev_phone")},
        {"device_id": DeviceId("")},
    ):
        with pytest.raises(LicenceRefused):
            await rig.request(token, ids, **other)  # type: ignore[arg-type]


async def test_a_token_expires(rig: Rig) -> None:
    keys, token = await rig.keys(), await rig.token()
    rig.clock.advance(hours=6)
    with pytest.raises(LicenceRefused):
        await rig.request(token, [keys["SD"].key_id])
    with pytest.raises(LicenceRefused):
        await rig.licensing.get_identity_key(token=token, key_id=keys["SD"].key_id)


async def test_a_revoked_session_is_refused_by_every_instance(rig: Rig) -> None:
    keys, token = await rig.keys(), await rig.token()
    other = await rig.token(session_id=PlaySessionId("pls_2"))
    for _ in range(2):
        await rig.create_instance().revoke(
            session_id=PlaySessionId("pls_1"), expires_at=rig.clock.now() + timedelta(hours=6)
        )
    with pytest.raises(LicenceRefused):
        await rig.request(token, [keys["SD"].key_id])
    with pytest.raises(LicenceRefused):
        await rig.licensing.get_identity_key(token=token, key_id=keys["SD"].key_id)
    assert await rig.request(other, [keys["SD"].key_id])


async def test_the_identity_key_format_returns_the_bytes_of_a_key(rig: Rig) -> None:
    keys, token = await rig.keys(), await rig.token()
    for key_id in (keys["SD"].key_id, keys["SD"].key_id.upper()):
        assert await rig.licensing.get_identity_key(token=token, key_id=key_id) == bytes.fromhex(keys["SD"].key)
    with pytest.raises(LicenceRefused):
        await rig.licensing.get_identity_key(token=token, key_id=keys["HD"].key_id)
    with pytest.raises(LicenceRefused):
        await rig.licensing.get_identity_key(token=token[:-1], key_id=keys["SD"].key_id)
    for garbage in ("", "zz", "f" * 32, "f" * 1_000_000, "../etc"):
        with pytest.raises(UnknownKey):
            await rig.licensing.get_identity_key(token=token, key_id=garbage)


async def test_keys_are_stored_only_sealed(rig: Rig) -> None:
    keys = await rig.keys()
    stored = b"".join(file.read_bytes() for file in rig.folder.glob("licensing.db*"))
    for key in keys.values():
        assert key.key_id.encode() in stored
        assert bytes.fromhex(key.key) not in stored
        assert key.key.encode() not in stored


async def test_another_key_file_is_reported_without_leaking_keys(rig: Rig) -> None:
    keys = await rig.keys()
    other = rig.create_instance("another-kek")
    with pytest.raises(SealBroken, match="another key-encryption key") as caught:
        await other.ensure_content_keys(asset_id=FILM, labels=("SD",))
    assert isinstance(caught.value, Problem)
    assert keys["SD"].key not in repr(caught.value)
    with pytest.raises(SealBroken):
        await other.issue_clearkey_licence(
            token=await rig.token(), key_ids=[to_kid(keys["SD"].key_id)], profile_id=ADA, device_id=TV
        )


async def test_a_sealed_key_cannot_be_moved_to_another_asset(rig: Rig) -> None:
    await rig.keys()
    moved = (await rig.vault.list_keys(asset_id=FILM))[0]
    await rig.vault.add_keys(keys=[msgspec.structs.replace(moved, asset_id=OTHER, key_id="ab" * 16)])
    with pytest.raises(SealBroken, match="altered"):
        await rig.licensing.ensure_content_keys(asset_id=OTHER, labels=(moved.label,))


async def test_keys_sealed_before_a_key_rotation_can_be_unsealed(rig: Rig) -> None:
    keys, token = await rig.keys(), await rig.token()
    with (rig.folder / "kek").open("ab") as file:
        file.write(b64encode(bytes(range(32))) + b"\n")
    rotated = rig.create_instance()
    assert {
        key.label: key for key in await rotated.ensure_content_keys(asset_id=FILM, labels=("AUDIO", "SD", "HD"))
    } == keys
    assert await rotated.get_identity_key(token=token, key_id=keys["SD"].key_id) == bytes.fromhex(keys["SD"].key)
    await rotated.ensure_content_keys(asset_id=OTHER, labels=("SD",))
    with pytest.raises(SealBroken):
        await FileSealer([b"\0" * 32]).unseal((await rig.vault.list_keys(asset_id=OTHER))[0].sealed, b"")


@pytest.mark.parametrize("content", [b"", b"\n", b"hello\n", b"aGVsbG8=\n", b"\xff" * 40])
def test_an_invalid_key_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "kek").write_bytes(content)
    with pytest.raises(KeyFileUnusable) as caught:
        FileSealer.open(tmp_path / "kek")
    assert str(tmp_path / "kek") in caught.value.detail
    assert "aGVsbG8" not in caught.value.detail


def test_the_key_file_is_readable_only_by_its_owner(tmp_path: Path) -> None:
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
    for data, associated in ((sealed, b"there"), (sealed[:-1], b"here"), (sealed[:15], b"here"), (b"", b"here")):
        with pytest.raises(SealBroken):
            await sealer.unseal(data, associated)


def test_a_weak_token_key_is_refused(rig: Rig) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        LicensingService(vault=rig.vault, sealer=FileSealer([b"\0" * 32]), token_key=b"short", clock=rig.clock)


async def test_expired_revocations_are_deleted(rig: Rig) -> None:
    await rig.licensing.revoke(session_id=PlaySessionId("pls_1"), expires_at=rig.clock.now())
    rig.clock.advance(hours=2)
    await jobs.delete_expired_revocations(rig.vault, rig.clock)
    assert await rig.vault.delete_revocations(before=rig.clock.now()) == 0


async def _race(folder: Path) -> None:
    async with Database(f"sqlite:///{folder}/licensing.db") as database:
        rig = Rig(await SqlKeyVault.open(database), folder)
        print(sorted(key.key for key in (await rig.keys()).values()))


if __name__ == "__main__":
    asyncio.run(_race(Path(sys.argv[1])))
