"""Changes to facts are additive: the shapes recorded in `docs/reference/facts.json` can still be read."""

from pathlib import Path

import msgspec

from matinee.events.api import AnyFact, Fact
from matinee.events.model import count_fields, describe_facts, find_breaking_changes

RECORDED = Path(__file__).resolve().parents[2] / "docs" / "reference" / "facts.json"


class SkyObserved(Fact, frozen=True, kw_only=True, tag=True):
    """A sky was observed."""

    colour: str
    clouds: int = 0


BEFORE = describe_facts([SkyObserved])


def find_breaks(*fields: tuple[str, type] | tuple[str, type, object]) -> list[str]:
    """Return the problems of a change to these fields."""
    now = msgspec.defstruct("SkyObserved", list(fields), bases=(Fact,), frozen=True, kw_only=True, tag=True)  # type: ignore[arg-type]
    return find_breaking_changes(BEFORE, describe_facts([now]))


def test_facts_changed_only_additively() -> None:
    assert find_breaking_changes(msgspec.json.decode(RECORDED.read_bytes()), describe_facts(AnyFact.__args__)) == []


def test_new_field_with_a_default_is_accepted_and_raises_the_revision() -> None:
    assert find_breaks(("colour", str), ("clouds", int, 0)) == []
    assert find_breaks(("colour", str), ("clouds", int, 0), ("stars", int, 0)) == []
    assert find_breaks(("colour", str, ""), ("clouds", int, 0)) == []
    assert find_breaking_changes({}, BEFORE) == []
    assert count_fields(SkyObserved) == 2


def test_other_changes_are_named() -> None:
    assert find_breaking_changes(BEFORE, {}) == [
        "SkyObserved was removed: facts in the log could not be read; keep it, unused"
    ]
    for fields, starts in [
        ([("colour", str)], ["SkyObserved.clouds was removed"]),
        (
            [("color", str), ("clouds", int, 0)],
            ["SkyObserved.colour was removed", "SkyObserved.color is new and"],
        ),
        (
            [("colour", str), ("clouds", str, "")],
            ["SkyObserved.clouds was {'type': 'integer'} and is {'type'"],
        ),
        ([("colour", str), ("clouds", int)], ["SkyObserved.clouds lost its default"]),
        ([("colour", str), ("clouds", int, 0), ("stars", int)], ["SkyObserved.stars is new and has no default"]),
    ]:
        found = find_breaks(*fields)  # type: ignore[arg-type]
        assert len(found) == len(starts)
        assert all(line.startswith(start) for line, start in zip(found, starts, strict=True))
