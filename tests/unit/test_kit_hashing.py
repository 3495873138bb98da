"""Digests, and path tokens that grant access to their scope only."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matinee.kit.hashing import (
    digest_schema,
    fingerprint_file,
    mint_path_token,
    sha256_file,
    sha256_hex,
    verify_path_token,
)

KEY = b"k" * 32
EXPIRES_S = 0x6A000000
ANY_TEXT = st.text(alphabet=st.characters(codec=None))


def verify(scope: str, token: str, *, key: bytes = KEY, now_s: float = EXPIRES_S - 1) -> bool:
    return verify_path_token(key, scope, token, now_s)


def test_digests_of_bytes_and_files_agree(tmp_path: Path) -> None:
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    (tmp_path / "empty").touch()
    assert sha256_hex(b"") == sha256_file(tmp_path / "empty") == empty
    (tmp_path / "large").write_bytes(b"x" * 1_000_000)
    assert sha256_file(tmp_path / "large") == sha256_hex(b"x" * 1_000_000)


def test_each_schema_has_its_own_digest() -> None:
    def define(docstring: str, **fields: tuple[type, object]) -> type:
        return msgspec.defstruct(
            "Page", [(name, *field) for name, field in fields.items()], namespace={"__doc__": docstring}
        )

    first = digest_schema(define("A page.", title=(str, "")))
    assert digest_schema(define("A page of text.", title=(str, ""))) == first
    changed = [{"title": (int, 0)}, {"title": (str, "none")}, {"name": (str, "")}, {"title": (str, ""), "n": (int, 0)}]
    assert len({first, *(digest_schema(define("A page.", **fields)) for fields in changed)}) == 5


@given(ANY_TEXT, st.integers(1, 2**47), st.binary(min_size=1))
def test_a_token_is_valid_for_its_scope_until_it_expires(scope: str, expires_at_s: int, key: bytes) -> None:
    token = mint_path_token(key, scope, expires_at_s)
    assert verify(scope, token, key=key, now_s=expires_at_s - 0.5)
    assert not verify(scope, token, key=key, now_s=expires_at_s)
    assert "/" not in token


@given(ANY_TEXT, ANY_TEXT)
def test_other_text_is_not_a_token(scope: str, token: str) -> None:
    assert not verify(scope, token)


@given(st.integers(0, 30), st.sampled_from("0123456789abcdefABCXYZ-_|=+ \x00é\udc80"))
def test_a_changed_token_is_refused(at: int, letter: str) -> None:
    token = mint_path_token(KEY, "asset/1", EXPIRES_S)
    changed = token[:at] + letter + token[at + 1 :]
    assert verify("asset/1", changed) == (changed == token)


@pytest.mark.parametrize(
    ("scope", "key"), [("asset/2", KEY), ("asset", KEY), ("asset/1/", KEY), ("asset/1", b"other"), ("asset/1", b"")]
)
def test_another_scope_or_key_is_refused(scope: str, key: bytes) -> None:
    assert not verify(scope, mint_path_token(KEY, "asset/1", EXPIRES_S), key=key)


def test_the_expiry_cannot_absorb_part_of_the_scope() -> None:
    token = mint_path_token(KEY, "a|b", EXPIRES_S)
    assert not verify("b", token.replace("-", "|a-", 1))


def test_a_token_that_expires_before_1970_is_refused() -> None:
    assert not verify("a", mint_path_token(KEY, "a", -5), now_s=-10)


def test_fingerprint_differs_by_size_and_content(tmp_path: Path) -> None:
    def fingerprint(content: bytes) -> str:
        (tmp_path / "file").write_bytes(content)
        return fingerprint_file(tmp_path / "file")

    large = bytes(range(256)) * 40_000
    contents = [b"", b"a", b"b", b"a" * 65_536, large, large[:-1] + b"a", large + b"a", b"a" + large[1:]]
    prints = [fingerprint(content) for content in contents]
    assert len(set(prints)) == len(contents)
    assert prints == [fingerprint(content) for content in contents]
