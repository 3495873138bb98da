"""Digests, and tokens in paths: the one that was minted opens its scope, and nothing else does."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matinee.kit.hashing import mint_path_token, sha256_file, sha256_hex, verify_path_token

KEY = b"k" * 32
EXPIRES_S = 0x6A000000
ANYTHING = st.text(alphabet=st.characters(codec=None))


def good(scope: str, token: str, *, key: bytes = KEY, now_s: float = EXPIRES_S - 1) -> bool:
    return verify_path_token(key, scope, token, now_s)


def test_digests(tmp_path: Path) -> None:
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    (tmp_path / "empty").touch()
    assert sha256_hex(b"") == sha256_file(tmp_path / "empty") == empty
    (tmp_path / "large").write_bytes(b"x" * 1_000_000)
    assert sha256_file(tmp_path / "large") == sha256_hex(b"x" * 1_000_000)


@given(ANYTHING, st.integers(1, 2**47), st.binary(min_size=1))
def test_a_token_opens_its_scope_until_it_expires(scope: str, expires_at_s: int, key: bytes) -> None:
    token = mint_path_token(key, scope, expires_at_s)
    assert good(scope, token, key=key, now_s=expires_at_s - 0.5)
    assert not good(scope, token, key=key, now_s=expires_at_s)
    assert "/" not in token


@given(ANYTHING, ANYTHING)
def test_nothing_else_opens_it(scope: str, token: str) -> None:
    assert not good(scope, token)


@given(st.integers(0, 30), st.sampled_from("0123456789abcdefABCXYZ-_|=+ \x00é\udc80"))
def test_no_letter_of_it_may_change(at: int, letter: str) -> None:
    token = mint_path_token(KEY, "asset/1", EXPIRES_S)
    changed = token[:at] + letter + token[at + 1 :]
    assert good("asset/1", changed) == (changed == token)


@pytest.mark.parametrize(
    ("scope", "key"), [("asset/2", KEY), ("asset", KEY), ("asset/1/", KEY), ("asset/1", b"other"), ("asset/1", b"")]
)
def test_another_scope_or_key(scope: str, key: bytes) -> None:
    assert not good(scope, mint_path_token(KEY, "asset/1", EXPIRES_S), key=key)


def test_the_expiry_cannot_take_over_a_part_of_the_scope() -> None:
    token = mint_path_token(KEY, "a|b", EXPIRES_S)
    assert not good("b", token.replace("-", "|a-", 1))


def test_a_token_for_a_time_before_1970_opens_nothing() -> None:
    assert not good("a", mint_path_token(KEY, "a", -5), now_s=-10)
