"""Licence tokens, by property: nothing but the very token opens anything."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matinee.kit.ids import AssetId, DeviceId, PlaySessionId, ProfileId, TitleId
from matinee.licensing import model
from matinee.licensing.api import LicenceRefused, LicenceTerms, UnknownKey
from matinee.licensing.model import SealedKey

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY = bytes(range(32))


def terms(**changes: Any) -> LicenceTerms:
    plain = LicenceTerms(
        session_id=PlaySessionId("pls_1"),
        title_id=TitleId("tit_1"),
        asset_id=AssetId("ast_1"),
        profile_id=ProfileId("pro_1"),
        device_id=DeviceId("dev_1"),
        labels=("AUDIO", "SD"),
        expires_at=NOW + timedelta(hours=6),
    )
    return msgspec.structs.replace(plain, **changes)


def refused(token: str, key: bytes = KEY, now: datetime = NOW) -> LicenceRefused:
    with pytest.raises(LicenceRefused) as caught:
        model.opened(token, key, now)
    assert "pls_1" not in repr(caught.value)
    return caught.value


@given(
    names=st.lists(st.text(max_size=40), min_size=5, max_size=5),
    labels=st.lists(st.sampled_from(["AUDIO", "SD", "HD", "UHD"]), max_size=4),
    seconds=st.integers(1, 10**8),
)
def test_a_token_says_its_terms(names: list[str], labels: list[Any], seconds: int) -> None:
    fields = dict(zip(("session_id", "title_id", "asset_id", "profile_id", "device_id"), names, strict=True))
    said = terms(**fields, labels=tuple(labels), expires_at=NOW + timedelta(seconds=seconds))
    assert model.opened(model.minted(said, KEY), KEY, NOW) == said


@given(st.data())
def test_any_changed_bit_is_refused(data: st.DataObject) -> None:
    token = bytearray(model.minted(terms(), KEY).encode())
    bit = data.draw(st.integers(0, len(token) * 8 - 1))
    token[bit // 8] ^= 1 << bit % 8
    refused(token.decode("latin-1"))


@given(st.data())
def test_any_cut_or_added_letter_is_refused(data: st.DataObject) -> None:
    token = model.minted(terms(), KEY)
    refused(token[: data.draw(st.integers(0, len(token) - 1))])
    refused(token + data.draw(st.text(min_size=1, max_size=3)))
    refused(data.draw(st.text(min_size=1, max_size=3)) + token)


@given(st.text(max_size=300))
def test_garbage_is_refused(text: str) -> None:
    refused(text)
    refused(f"1.{text}.{text}")


def test_an_endless_token_is_refused() -> None:
    refused("1." + "x" * 10_000_000)


def test_a_token_of_another_key_is_refused() -> None:
    refused(model.minted(terms(), KEY[::-1]))


def test_a_token_ends_at_its_time() -> None:
    token = model.minted(terms(), KEY)
    model.opened(token, KEY, NOW + timedelta(hours=6) - timedelta(milliseconds=1))
    assert "expired" in refused(token, now=NOW + timedelta(hours=6)).detail


def test_a_token_is_short() -> None:
    ids = {"session_id": "pls_", "title_id": "tit_", "asset_id": "ast_", "profile_id": "pro_", "device_id": "dev_"}
    token = model.minted(terms(**{field: prefix + "0" * 26 for field, prefix in ids.items()}), KEY)
    assert len(token) < 350


def sealed(label: Any, asset: str = "ast_1") -> SealedKey:
    return SealedKey(asset_id=AssetId(asset), label=label, key_id=f"{asset}{label}", sealed=b"")


def test_only_covered_and_asked_keys_of_the_asset_open() -> None:
    keys = [sealed("AUDIO"), sealed("SD"), sealed("HD"), sealed("SD", "ast_2")]
    everything = {key.key_id for key in keys}
    assert model.covered(terms(), keys, everything) == keys[:2]
    assert model.covered(terms(), keys, {keys[1].key_id}) == [keys[1]]
    assert model.covered(terms(labels=()), keys, everything) == []


def test_a_seal_is_bound_to_asset_label_and_id() -> None:
    others = [sealed("HD"), sealed("SD", "ast_2"), msgspec.structs.replace(sealed("SD"), key_id="x")]
    assert sealed("SD").bound_to() not in {other.bound_to() for other in others}
    split = msgspec.structs.replace(sealed("SD"), asset_id=AssetId('ast_1","SD'))
    assert split.bound_to() != sealed("SD").bound_to()


@given(st.binary(min_size=16, max_size=16))
def test_key_ids_read_in_both_spellings(raw: bytes) -> None:
    spelled = urlsafe_b64encode(raw).decode()
    assert model.key_id_of(spelled) == model.key_id_of(spelled.rstrip("=")) == raw.hex()
    assert model.checked_key_id(raw.hex().upper()) == raw.hex()
    assert model.web_key(raw.hex(), raw).k == spelled.rstrip("=")


@given(st.text(max_size=100))
def test_what_is_no_key_id_is_unknown(text: str) -> None:
    for read in (model.key_id_of, model.checked_key_id):
        try:
            assert len(read(text)) == 32
        except UnknownKey as problem:
            assert len(problem.key_id.encode()) <= 64  # noqa: PT017
