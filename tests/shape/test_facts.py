"""Facts stay readable: what is recorded in `docs/reference/facts.json` is still there, and still the same."""

from pathlib import Path

import msgspec

from matinee.events.api import AnyFact, Fact
from matinee.events.model import count_fields, describe_facts, find_breaking_changes

RECORDED = Path(__file__).resolve().parents[2] / "docs" / "reference" / "facts.json"


class SkyLooked(Fact, frozen=True, kw_only=True, tag=True):
    """Somebody looked up."""

    colour: str
    clouds: int = 0


BEFORE = describe_facts([SkyLooked])


def changed(*fields: tuple[str, type] | tuple[str, type, object]) -> list[str]:
    """What is said of a change to these fields."""
    now = msgspec.defstruct("SkyLooked", list(fields), bases=(Fact,), frozen=True, kw_only=True, tag=True)  # type: ignore[arg-type]
    return find_breaking_changes(BEFORE, describe_facts([now]))


def test_changes_to_facts_have_been_additive() -> None:
    assert find_breaking_changes(msgspec.json.decode(RECORDED.read_bytes()), describe_facts(AnyFact.__args__)) == []


def test_what_is_added_with_a_default_is_fine_and_raises_the_revision() -> None:
    assert changed(("colour", str), ("clouds", int, 0)) == []
    assert changed(("colour", str), ("clouds", int, 0), ("stars", int, 0)) == []
    assert changed(("colour", str, ""), ("clouds", int, 0)) == []
    assert find_breaking_changes({}, BEFORE) == []
    assert count_fields(SkyLooked) == 2


def test_what_is_not_additive_is_named() -> None:
    assert find_breaking_changes(BEFORE, {}) == [
        "SkyLooked was removed: facts in the log could not be read; keep it, unused"
    ]
    for fields, words in [
        ([("colour", str)], ["SkyLooked.clouds was removed"]),
        (
            [("color", str), ("clouds", int, 0)],
            ["SkyLooked.colour was removed", "SkyLooked.color is new and"],
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
