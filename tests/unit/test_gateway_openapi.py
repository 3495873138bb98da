"""The description of the API, from which the types of the web client are generated."""

from __future__ import annotations

from pathlib import Path

import msgspec

from matinee.gateway import api
from matinee.gateway.server import openapi

ROOT = Path(__file__).parents[2]


def test_stored_document_is_up_to_date() -> None:
    written = (ROOT / "web/openapi.json").read_bytes()
    assert written == openapi.build_document(), "run python -m matinee.gateway.server > web/openapi.json"


def test_every_documented_route_is_described() -> None:
    described = msgspec.json.decode(openapi.build_document())["paths"]
    table = [line.split()[:2] for line in (api.__doc__ or "").splitlines() if line.startswith("    ") and "/" in line]
    documented = {(verb, path.partition("?")[0].rstrip(",")) for verb, path in table if verb.isupper()}
    described_routes = {(verb.upper(), path.removeprefix("/api/v1")) for path in described for verb in described[path]}
    assert {route for route in documented if route not in described_routes} == set()


def test_operation_ids_are_unique_identifiers() -> None:
    described = msgspec.json.decode(openapi.build_document())["paths"]
    names = [operation["operationId"] for path in described.values() for operation in path.values()]
    assert len(names) == len(set(names))
    assert all(name.isidentifier() for name in names)


def test_responses_have_all_members() -> None:
    schemas = msgspec.json.decode(openapi.build_document())["components"]["schemas"]
    assert set(schemas["Card"]["required"]) == set(schemas["Card"]["properties"])
    assert schemas["SignUp"]["required"] == ["email", "password", "name", "device"]
