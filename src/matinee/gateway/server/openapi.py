"""The public API as an OpenAPI 3.1 document, read off the handlers."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler

REFERENCES = "#/components/schemas/{name}"
_PATH_PARAMETER = re.compile(r"\{(\w+):\w+\}")
_PROBLEM = {
    "type": "object",
    "title": "ProblemDocument",
    "description": "RFC 9457; the facts of a problem are further members.",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
    },
    "required": ["type", "title", "status"],
    "additionalProperties": True,
}


@functools.cache
def document() -> bytes:
    """The document as indented JSON."""
    from matinee.gateway.server import routes  # they know this module, too: the document has an address

    groups = [
        (routes.OPEN, "anyone"),
        (routes.SIGNED_IN, "signed in"),
        (routes.WATCHING, "profile"),
        (routes.OPERATING, "operator"),
    ]
    handlers = [(handler, who) for group, who in groups for handler in group]
    schemas = _Schemas([handler for handler, _ in handlers])
    paths: dict[str, dict[str, Any]] = {}
    for handler, who in handlers:
        for path in handler.paths:
            plain = routes.BASE + _PATH_PARAMETER.sub(r"{\1}", path)
            for method in sorted(handler.http_methods):
                paths.setdefault(plain, {})[method.lower()] = _operation(handler, who, path, schemas)
    return msgspec.json.format(msgspec.json.encode(_whole(paths, schemas)), indent=2) + b"\n"


def _whole(paths: dict[str, Any], schemas: _Schemas) -> dict[str, Any]:
    return {
        "openapi": "3.1.0",
        "info": {"title": "Matinee", "version": "1", "description": "The public API of a streaming service."},
        "paths": paths,
        "components": {
            "schemas": {**schemas.components(), "ProblemDocument": _PROBLEM},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def _operation(handler: HTTPRouteHandler, who: str, path: str, schemas: _Schemas) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": _camel(handler.fn.__name__),
        "summary": (handler.fn.__doc__ or "").strip().split("\n", 1)[0],
        "tags": [handler.fn.__module__.rpartition(".")[2]],
        "parameters": list(_parameters(handler, path, schemas)),
        "responses": _responses(handler, schemas),
    }
    if who != "anyone":
        operation["security"] = [{"bearer": []}]
    if (asked := _body(handler)) is not None:
        operation["requestBody"] = {
            "required": not _optional(asked),
            "content": {"application/json": {"schema": schemas.of(_bare(asked))}},
        }
    return operation


def _responses(handler: HTTPRouteHandler, schemas: _Schemas) -> dict[str, Any]:
    problem = {"schema": {"$ref": REFERENCES.format(name="ProblemDocument")}}
    answered: dict[str, Any] = {"description": "Done." if _answer(handler) is None else "The answer."}
    if (content := handler.opt.get("content")) is not None:
        answered["content"] = {content: {"schema": {"type": "string", "format": "binary"}}}
    elif (kind := _answer(handler)) is not None:
        answered["content"] = {"application/json": {"schema": schemas.of(kind)}}
    return {
        str(handler.status_code): answered,
        "default": {"description": "A problem.", "content": {"application/problem+json": problem}},
    }


def _parameters(handler: HTTPRouteHandler, path: str, schemas: _Schemas) -> Iterator[dict[str, Any]]:
    in_path = _PATH_PARAMETER.findall(path)
    for name, kind in _hints(handler).items():
        if name in in_path:
            yield {"name": name, "in": "path", "required": True, "schema": schemas.of(kind)}
        elif name not in {"request", "data", "return"}:
            known_as, bare = _query(name, kind)
            yield {"name": known_as, "in": "query", "required": False, "schema": schemas.of(bare)}
    for name, required in handler.opt.get("headers", {}).items():
        yield {"name": name, "in": "header", "required": required, "schema": {"type": "string"}}


class _Schemas:
    """JSON Schemas of everything that is sent or answered, by msgspec.

    What we only answer has every member always; what may be sent has its defaults left out by those who send.
    """

    def __init__(self, handlers: list[HTTPRouteHandler]) -> None:
        asked = [_bare(kind) for handler in handlers if (kind := _body(handler)) is not None]
        answered = [kind for handler in handlers if (kind := _answer(handler)) is not None]
        sent = set(_components(asked))
        self._known = _components([*asked, *answered])
        for name, schema in self._known.items():
            _tidy(schema, answered_only=name not in sent)

    def components(self) -> dict[str, Any]:
        return {_plain(name): _renamed(schema) for name, schema in sorted(self._known.items())}

    def of(self, kind: Any) -> Any:
        (schema,), _ = msgspec.json.schema_components([kind], ref_template=REFERENCES)
        return _renamed(schema)


def _components(kinds: list[Any]) -> dict[str, Any]:
    return msgspec.json.schema_components(kinds, ref_template=REFERENCES)[1]


def _tidy(schema: dict[str, Any], *, answered_only: bool) -> None:
    schema.pop("title", None)
    properties = schema.get("properties", {})
    if answered_only and properties:
        schema["required"] = list(properties)
    for member in properties.values():
        member.pop("default", None)


def _plain(name: str) -> str:
    """`Page_Job_` → `JobPage`."""
    generic, _, item = name.strip("_").partition("_")
    return f"{item}{generic}" if item else generic


def _renamed(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {key: _reference(value) if key == "$ref" else _renamed(value) for key, value in schema.items()}
    return [_renamed(item) for item in schema] if isinstance(schema, list) else schema


def _reference(reference: str) -> str:
    stem, _, name = reference.rpartition("/")
    return f"{stem}/{_plain(name)}"


def _hints(handler: HTTPRouteHandler) -> dict[str, Any]:
    return get_type_hints(handler.fn, include_extras=True)


def _query(name: str, kind: Any) -> tuple[str, Any]:
    """A query parameter's name on the wire, and its kind."""
    if get_origin(kind) is not Annotated:
        return name, _bare(kind)
    bare, parameter = get_args(kind)
    return parameter.name or name, _bare(bare)


def _body(handler: HTTPRouteHandler) -> Any:
    return _hints(handler).get("data", handler.opt.get("body"))


def _answer(handler: HTTPRouteHandler) -> Any:
    kind = _hints(handler).get("return")
    if get_origin(kind) is Response:
        (kind,) = get_args(kind)
    return None if kind in {type(None), None, bytes} else kind


def _optional(kind: Any) -> bool:
    return type(None) in get_args(kind)


def _bare(kind: Any) -> Any:
    """A kind without its None."""
    rest = [part for part in get_args(kind) if part is not type(None)]
    return rest[0] if _optional(kind) and len(rest) == 1 else kind


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
