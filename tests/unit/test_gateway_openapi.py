"""The API's description is what the web client's types are made of: it must be the API that is served."""

from __future__ import annotations

from pathlib import Path

import msgspec

from matinee.gateway import api
from matinee.gateway.server import openapi

ROOT = Path(__file__).parents[2]


def test_the_written_document_is_up_to_date() -> None:
    written = (ROOT / "web/openapi.json").read_bytes()
    assert written == openapi.document(), "python -m matinee.gateway.server.openapi > web/openapi.json"


def test_every_route_of_the_table_is_described() -> None:
    described = msgspec.json.decode(openapi.document())["paths"]
    table = [line.split()[:2] for line in (api.__doc__ or "").splitlines() if line.startswith("    ") and "/" in line]
    promised = {(verb, path.partition("?")[0].rstrip(",")) for verb, path in table if verb.isupper()}
    served = {(verb.upper(), path.removeprefix("/api/v1")) for path in described for verb in described[path]}
    assert {route for route in promised if route not in served} == set()


def test_ids_of_operations_are_unique_and_plain() -> None:
    described = msgspec.json.decode(openapi.document())["paths"]
    names = [operation["operationId"] for path in described.values() for operation in path.values()]
    assert len(names) == len(set(names))
    assert all(name.isidentifier() for name in names)


def test_what_is_only_answered_has_all_its_members() -> None:
    schemas = msgspec.json.decode(openapi.document())["components"]["schemas"]
    assert set(schemas["Card"]["required"]) == set(schemas["Card"]["properties"])
    assert schemas["SignUp"]["required"] == ["email", "password", "name", "device"]
