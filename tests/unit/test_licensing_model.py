"""Properties of licence tokens: only the unchanged token is accepted."""

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


def assert_refused(token: str, key: bytes = KEY, now: datetime = NOW) -> LicenceRefused:
    with pytest.raises(LicenceRefused) as caught:
        model.verify_token(token, key, now)
    assert "pls_1" not in repr(caught.value)
    return caught.value


@given(
    names=st.lists(st.text(max_size=40), min_size=5, max_size=5),
    labels=st.lists(st.sampled_from(["AUDIO", "SD", "HD", "UHD"]), max_size=4),
    seconds=st.integers(1, 10**8),
)
def test_a_token_contains_its_terms(names: list[str], labels: list[Any], seconds: int) -> None:
    fields = dict(zip(("session_id", "title_id", "asset_id", "profile_id", "device_id"), names, strict=True))
    expected = terms(**fields, labels=tuple(labels), expires_at=NOW + timedelta(seconds=seconds))
    assert model.verify_token(model.sign_token(expected, KEY), KEY, NOW) == expected


@given(st.data())
def test_any_changed_bit_is_refused(data: st.DataObject) -> None:
    token = bytearray(model.sign_token(terms(), KEY).encode())
    bit = data.draw(st.integers(0, len(token) * 8 - 1))
    token[bit // 8] ^= 1 << bit % 8
    assert_refused(token.decode("latin-1"))


@given(st.data())
def test_a_truncated_or_extended_token_is_refused(data: st.DataObject) -> None:
    token = model.sign_token(terms(), KEY)
    assert_refused(token[: data.draw(st.integers(0, len(token) - 1))])
    assert_refused(token + data.draw(st.text(min_size=1, max_size=3)))
    assert_refused(data.draw(st.text(min_size=1, max_size=3)) + token)


@given(st.text(max_size=300))
def test_garbage_is_refused(text: str) -> None:
    assert_refused(text)
    assert_refused(f"1.{text}.{text}")


def test_an_oversized_token_is_refused() -> None:
    assert_refused("1." + "x" * 10_000_000)


def test_a_token_of_another_key_is_refused() -> None:
    assert_refused(model.sign_token(terms(), KEY[::-1]))


def test_a_token_expires() -> None:
    token = model.sign_token(terms(), KEY)
    model.verify_token(token, KEY, NOW + timedelta(hours=6) - timedelta(milliseconds=1))
    assert "expired" in assert_refused(token, now=NOW + timedelta(hours=6)).detail


def test_a_token_is_short() -> None:
    ids = {"session_id": "pls_", "title_id": "tit_", "asset_id": "ast_", "profile_id": "pro_", "device_id": "dev_"}
    token = model.sign_token(terms(**{field: prefix + "0" * 26 for field, prefix in ids.items()}), KEY)
    assert len(token) < 350


def new_key(label: Any, asset: str = "ast_1") -> SealedKey:
    return SealedKey(asset_id=AssetId(asset), label=label, key_id=f"{asset}{label}", sealed=b"")


def test_only_covered_and_requested_keys_of_the_asset_are_selected() -> None:
    keys = [new_key("AUDIO"), new_key("SD"), new_key("HD"), new_key("SD", "ast_2")]
    everything = {key.key_id for key in keys}
    assert model.select_keys(terms(), keys, everything) == keys[:2]
    assert model.select_keys(terms(), keys, {keys[1].key_id}) == [keys[1]]
    assert model.select_keys(terms(labels=()), keys, everything) == []


def test_a_seal_is_bound_to_asset_label_and_id() -> None:
    others = [new_key("HD"), new_key("SD", "ast_2"), msgspec.structs.replace(new_key("SD"), key_id="x")]
    assert new_key("SD").associated_data() not in {other.associated_data() for other in others}
    split = msgspec.structs.replace(new_key("SD"), asset_id=AssetId('ast_1","SD'))
    assert split.associated_data() != new_key("SD").associated_data()


@given(st.binary(min_size=16, max_size=16))
def test_key_ids_are_parsed_in_both_formats(raw: bytes) -> None:
    encoded = urlsafe_b64encode(raw).decode()
    assert model.parse_web_key_id(encoded) == model.parse_web_key_id(encoded.rstrip("=")) == raw.hex()
    assert model.parse_key_id(raw.hex().upper()) == raw.hex()
    assert model.to_web_key(raw.hex(), raw).k == encoded.rstrip("=")


@given(st.text(max_size=100))
def test_a_malformed_key_id_is_unknown(text: str) -> None:
    for parse in (model.parse_web_key_id, model.parse_key_id):
        try:
            assert len(parse(text)) == 32
        except UnknownKey as problem:
            assert len(problem.key_id.encode()) <= 64  # noqa: PT017
