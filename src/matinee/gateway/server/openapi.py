"""The public API as an OpenAPI 3.1 document, made by Litestar's generator.

The generator describes handlers, but not docstrings of Structs, problem documents, or that a response always has every
member of its schema. These are added here.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec
from litestar import Litestar
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.spec import Components, Schema, SecurityScheme
from litestar.plugins import OpenAPISchemaPlugin
from litestar.typing import FieldDefinition

from matinee.gateway.server.routes import api_router

if TYPE_CHECKING:
    from litestar._openapi.schema_generation import SchemaCreator

_PROBLEM_SCHEMA = {
    "type": "object",
    "description": "An RFC 9457 problem document. Each type of problem has further members.",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string", "description": "The trace id."},
    },
    "required": ["type", "title", "status"],
    "additionalProperties": True,
}
_PROBLEM_RESPONSE = {
    "description": "A problem.",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}},
}
# `Page[Job]` is `Page_matinee.encoding.api.Job_` for Litestar, `JobPage` for us.
_GENERIC_NAME = re.compile(rb"(\w+)_[\w.]*?(\w+)_(?=\")")
_REFERENCE = re.compile(rb'"#/components/schemas/(\w+)"')


@functools.cache
def build_document() -> bytes:
    """Build the document as indented JSON."""
    app = Litestar(route_handlers=[api_router()], openapi_config=_build_config(), plugins=[_StructSchemas()])
    generated = msgspec.json.encode(app.openapi_schema.to_schema())
    document = msgspec.json.decode(_GENERIC_NAME.sub(rb"\2\1", generated))
    for path in document["paths"].values():
        for operation in path.values():
            _complete_operation(operation)
    _complete_schemas(document)
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def _build_config() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="Matinee",
        version="1",
        description="The public API of a streaming service.",
        use_handler_docstrings=True,
        operation_id_creator=lambda handler, _method, _path: _to_camel_case(handler.handler_name),
        components=Components(
            security_schemes={"bearer": SecurityScheme(type="http", scheme="bearer", bearer_format="JWT")}
        ),
    )


class _StructSchemas(OpenAPISchemaPlugin):
    """Describes Structs with their docstrings and without defaults, which clients leave to the server."""

    def is_plugin_supported_field(self, field_definition: FieldDefinition) -> bool:
        return not field_definition.is_union and field_definition.is_subclass_of(msgspec.Struct)

    def to_openapi_schema(self, field_definition: FieldDefinition, schema_creator: SchemaCreator) -> Schema:
        hints = field_definition.get_type_hints(include_extras=True, resolve_generics=True)
        fields = msgspec.structs.fields(field_definition.type_)
        schema = schema_creator.create_component_schema(
            field_definition,
            required=[field.encode_name for field in fields if field.required],
            property_fields={
                field.encode_name: FieldDefinition.from_annotation(hints[field.name], name=field.encode_name)
                for field in fields
            },
        )
        schema.description = inspect.getdoc(field_definition.type_)
        return schema


def _complete_operation(operation: dict[str, Any]) -> None:
    operation["summary"] = operation.pop("description").partition("\n")[0]
    operation.pop("deprecated", None)
    operation["responses"] = {
        status: _complete_response(response) for status, response in operation["responses"].items() if int(status) < 400
    } | {"default": _PROBLEM_RESPONSE}
    for parameter in operation.get("parameters", []):
        parameter["schema"] = _without_null(parameter["schema"])
        for name in ("deprecated", "allowEmptyValue", "allowReserved"):
            parameter.pop(name, None)
    if (body := operation.get("requestBody")) is not None:
        (content,) = body["content"].values()
        schema = _without_null(content["schema"])
        body["required"], content["schema"] = schema == content["schema"], schema


def _complete_response(response: dict[str, Any]) -> dict[str, Any]:
    del response["headers"]
    for media_type, content in list(response.get("content", {}).items()):
        if content["schema"].get("type") == "null":
            del response["content"]
        elif media_type != "application/json":
            content["schema"]["format"] = "binary"
    return response


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a value that may be absent but not null."""
    if "oneOf" in schema:
        (schema,) = (option for option in schema["oneOf"] if option.get("type") != "null")
    if isinstance(schema.get("type"), list):
        (kind,) = (kind for kind in schema["type"] if kind != "null")
        schema = {**schema, "type": kind, "enum": [value for value in schema["enum"] if value is not None]}
    return schema


def _complete_schemas(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    sent = set(_list_references([operation.get("requestBody") for operation in operations], schemas))
    for name, schema in schemas.items():
        del schema["title"]  # the same as its name
        if name not in sent and "properties" in schema:
            schema["required"] = list(schema["properties"])
    schemas["ProblemDocument"] = _PROBLEM_SCHEMA


def _list_references(part: Any, schemas: dict[str, Any]) -> Iterator[str]:
    """Yield the names of schemas that a part of the document uses, directly or indirectly."""
    known: set[str] = set()
    pending = [part]
    while pending:
        names = {name.decode() for name in _REFERENCE.findall(msgspec.json.encode(pending.pop()))} - known
        known |= names
        pending += [schemas[name] for name in names]
    yield from known


def _to_camel_case(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
