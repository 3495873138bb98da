"""The shape of facts, and which changes to it are additive."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias

import msgspec

from matinee.events.api import AnyFact, Fact, type_name

# The names of the facts that this version knows.
KINDS: Final = frozenset(type_name(kind) for kind in AnyFact.__args__)
Shape: TypeAlias = dict[str, dict[str, dict[str, Any]]]


def shape(facts: Iterable[type[Fact]]) -> Shape:
    """Every fact with its fields: their types as they are on the wire, and whether they must be there."""
    return {
        type_name(fact): {field.encode_name: _field(field) for field in msgspec.structs.fields(fact)}
        for fact in sorted(facts, key=type_name)
    }


def _field(field: msgspec.structs.FieldInfo) -> dict[str, Any]:
    """A field's JSON Schema: what its Python type is called may change, what is written may not."""
    described = msgspec.json.schema(field.type)
    return {"type": described, "required": field.required}


def breaks(recorded: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What is not additive between a recorded shape and today's, in words; empty when all is well.

    Facts that were written under the recorded shape are in logs for ever, and processes of that version read what
    this one writes while a deployment is being upgraded.
    """
    found = []
    for fact, fields in recorded.items():
        if fact not in now:
            found.append(f"{fact} is gone: facts in the log could not be read; keep it, unused")
            continue
        found += [line for name, field in fields.items() for line in _changed(f"{fact}.{name}", field, now[fact])]
        added = [name for name in now[fact] if name not in fields]
        found += [f"{fact}.{n} is new and has no default: give it one" for n in added if now[fact][n]["required"]]
    return found


def _changed(path: str, field: Mapping[str, Any], fields: Mapping[str, Any]) -> list[str]:
    name = path.partition(".")[2]
    if name not in fields:
        return [f"{path} is gone (or renamed): keep it, and add what is new beside it"]
    if fields[name]["type"] != field["type"]:
        return [f"{path} was {field['type']} and is {fields[name]['type']}: add a new field instead"]
    if fields[name]["required"] and not field["required"]:
        return [f"{path} lost its default: facts were written without it"]
    return []


def revision(fact: type[Fact]) -> int:
    """A number that rises with every additive change of a fact: how many fields it has."""
    return len(fact.__struct_fields__)
