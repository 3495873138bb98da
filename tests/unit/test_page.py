"""Cursors of pages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matinee.kit.clock import from_ms
from matinee.kit.page import make_cursor, parse_cursor
from matinee.kit.problem import Invalid


@given(st.integers(min_value=0, max_value=7_000_000_000_000), st.text(max_size=40))
def test_cursor_round_trips(at_ms: int, name: str) -> None:
    at = from_ms(at_ms)
    assert parse_cursor(make_cursor(at, name), 1) == (at, [name])


@pytest.mark.parametrize("cursor", ["", "!", "ü", "e30", "WzEsMl0", "Wy0xLFsieCJdXQ", "WzEsW11d", "x" * 400])
def test_invalid_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_cursor(cursor, 1)
    assert [fault.field for fault in caught.value.faults] == ["cursor"]
