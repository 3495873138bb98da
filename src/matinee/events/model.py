"""The shape of facts, and which changes to it are additive."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias

import msgspec

from matinee.events.api import AnyFact, Fact, type_name

FACT_TYPES: Final = frozenset(type_name(fact) for fact in AnyFact.__args__)
# The stored name of a fact by its class name and by its stored name, which differ for a renamed fact.
TYPE_NAMES: Final = {name: type_name(fact) for fact in AnyFact.__args__ for name in (fact.__name__, type_name(fact))}
Shape: TypeAlias = dict[str, dict[str, dict[str, Any]]]


def describe_facts(facts: Iterable[type[Fact]]) -> Shape:
    """Return every fact with its fields: their encoded types, and whether they are required."""
    return {
        type_name(fact): {field.encode_name: _describe_field(field) for field in msgspec.structs.fields(fact)}
        for fact in sorted(facts, key=type_name)
    }


def _describe_field(field: msgspec.structs.FieldInfo) -> dict[str, Any]:
    """Return a field's JSON Schema: its Python type may be renamed, its encoding must not change."""
    return {"type": msgspec.json.schema(field.type), "required": field.required}


def find_breaking_changes(recorded: Mapping[str, Any], current: Mapping[str, Any]) -> list[str]:
    """Return a message for each change between two shapes that is not additive.

    Facts of the recorded shape remain in logs for ever, and during an upgrade processes of the earlier version read
    facts of the current shape.
    """
    found = []
    for fact, fields in recorded.items():
        if fact not in current:
            found.append(f"{fact} was removed: facts in the log could not be read; keep it, unused")
            continue
        found += [line for name, field in fields.items() for line in _compare(f"{fact}.{name}", field, current[fact])]
        added = [name for name in current[fact] if name not in fields]
        found += [f"{fact}.{n} is new and has no default: add one" for n in added if current[fact][n]["required"]]
    return found


def _compare(path: str, field: Mapping[str, Any], fields: Mapping[str, Any]) -> list[str]:
    name = path.partition(".")[2]
    if name not in fields:
        return [f"{path} was removed or renamed: keep it, and add the new field beside it"]
    if fields[name]["type"] != field["type"]:
        return [f"{path} was {field['type']} and is {fields[name]['type']}: add a new field instead"]
    if fields[name]["required"] and not field["required"]:
        return [f"{path} lost its default: stored facts lack the field"]
    return []


def count_fields(fact: type[Fact]) -> int:
    """Return the number of fields of a fact, which serves as its revision: every additive change raises it."""
    return len(fact.__struct_fields__)
