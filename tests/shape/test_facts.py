"""Facts stay readable: what is recorded in `docs/reference/facts.json` is still there, and still the same."""

from pathlib import Path

import msgspec

from matinee.events.api import AnyFact, Fact
from matinee.events.model import breaks, revision, shape

RECORDED = Path(__file__).resolve().parents[2] / "docs" / "reference" / "facts.json"


class SkyLooked(Fact, frozen=True, kw_only=True, tag=True):
    """Somebody looked up."""

    colour: str
    clouds: int = 0


BEFORE = shape([SkyLooked])


def changed(*fields: tuple[str, type] | tuple[str, type, object]) -> list[str]:
    """What is said of a change to these fields."""
    now = msgspec.defstruct("SkyLooked", list(fields), bases=(Fact,), frozen=True, kw_only=True, tag=True)  # type: ignore[arg-type]
    return breaks(BEFORE, shape([now]))


def test_changes_to_facts_have_been_additive() -> None:
    assert breaks(msgspec.json.decode(RECORDED.read_bytes()), shape(AnyFact.__args__)) == []


def test_what_is_added_with_a_default_is_fine_and_raises_the_revision() -> None:
    assert changed(("colour", str), ("clouds", int, 0)) == []
    assert changed(("colour", str), ("clouds", int, 0), ("stars", int, 0)) == []
    assert changed(("colour", str, ""), ("clouds", int, 0)) == []
    assert breaks({}, BEFORE) == []
    assert revision(SkyLooked) == 2


def test_what_is_not_additive_is_named() -> None:
    assert breaks(BEFORE, {}) == ["SkyLooked is gone: facts in the log could not be read; keep it, unused"]
    for fields, words in [
        ([("colour", str)], ["SkyLooked.clouds is gone"]),
        (
            [("color", str), ("clouds", int, 0)],
            ["SkyLooked.colour is gone", "SkyLooked.color is new and"],
        ),
        (
            [("colour", str), ("clouds", str, "")],
            ["SkyLooked.clouds was {'type': 'integer'} and is {'type'"],
        ),
        ([("colour", str), ("clouds", int)], ["SkyLooked.clouds lost its default"]),
        ([("colour", str), ("clouds", int, 0), ("stars", int)], ["SkyLooked.stars is new and has no default"]),
    ]:
        found = changed(*fields)  # type: ignore[arg-type]
        assert len(found) == len(words)
        assert all(line.startswith(start) for line, start in zip(found, words, strict=True))
