"""The methods of a Protocol: for each an argument Struct, the return type, and its marks."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator
from functools import cache
from typing import Any, TypeAlias, get_type_hints

import msgspec

from matinee.kit.tracing import Operation, SpanKind
from matinee.mesh import wire
from matinee.mesh.api import is_idempotent, long_running_limit_ms

AsyncFunction: TypeAlias = Callable[..., Awaitable[Any]]
_encoder = msgspec.json.Encoder()


class Signature:
    """One method: its name, its marks, and the codecs of its arguments and result."""

    def __init__(self, name: str, method: Callable[..., Any]) -> None:
        hints = get_type_hints(method, include_extras=True)
        self.name = name
        self.idempotent = is_idempotent(method)
        self.limit_ms = long_running_limit_ms(method)
        self._arguments = _define_arguments(name, method, hints)
        self._arguments_decoder = msgspec.json.Decoder(self._arguments)
        self._result_decoder = msgspec.json.Decoder(hints["return"])

    def encode_arguments(self, arguments: dict[str, Any]) -> bytes:
        """Encode arguments as a JSON object. Raises TypeError for a missing or an unknown name."""
        return _encoder.encode(self._arguments(**arguments))

    def decode_arguments(self, body: bytes) -> dict[str, Any]:
        """Decode arguments and fill in defaults. Raises Invalid, which names the field."""
        try:
            return msgspec.structs.asdict(self._arguments_decoder.decode(body))
        except msgspec.DecodeError as error:
            raise wire.to_invalid(error) from error

    def encode_result(self, result: Any) -> bytes:
        """Encode the result as JSON."""
        return _encoder.encode(result)

    def to_operation(self, domain: str, kind: SpanKind, **attributes: str) -> Operation:
        """Describe a call of the method in a trace."""
        names = {"rpc.system": "matinee", "rpc.service": domain, "rpc.method": self.name}
        return Operation(f"{domain}.{self.name}", kind, {**names, **attributes})

    def decode_result(self, body: bytes) -> Any:
        """Decode the result. Raises msgspec.DecodeError when it is not of the return type."""
        return self._result_decoder.decode(body)


def read_signatures(protocol: type[Any]) -> dict[str, Signature]:
    """Read every public method of a Protocol. Raises TypeError for one that cannot be called remotely."""
    return _read_signatures(protocol)  # type: ignore[arg-type]  # mypy does not see that a class can be hashed


def bind(protocol: type[Any], implement: Callable[[Signature], AsyncFunction]) -> Any:
    """Build an object with the methods of a Protocol, each implemented by a function of its signature."""
    methods = {name: staticmethod(implement(signature)) for name, signature in read_signatures(protocol).items()}
    return type(f"{protocol.__name__}Proxy", (), {"__doc__": protocol.__doc__, **methods})()


@cache
def _read_signatures(protocol: type[Any]) -> dict[str, Signature]:
    return {name: Signature(name, method) for name, method in _list_methods(protocol)}


def _list_methods(protocol: type[Any]) -> Iterator[tuple[str, Callable[..., Any]]]:
    for name, member in inspect.getmembers(protocol, inspect.isfunction):
        if name.startswith("_"):
            continue
        if not inspect.iscoroutinefunction(member):
            raise TypeError(f"{protocol.__name__}.{name} is not async")
        yield name, member


def _define_arguments(name: str, method: Callable[..., Any], hints: dict[str, Any]) -> type[msgspec.Struct]:
    _, *parameters = inspect.signature(method).parameters.values()
    if "return" not in hints:
        raise TypeError(f"{method.__qualname__} has no return annotation")
    for parameter in parameters:
        if parameter.kind is not parameter.KEYWORD_ONLY or parameter.name not in hints:
            raise TypeError(f"{method.__qualname__}: {parameter.name} is not keyword-only and annotated")
    return msgspec.defstruct(f"{name}_arguments", [_define_field(p, hints[p.name]) for p in parameters], kw_only=True)


def _define_field(parameter: inspect.Parameter, hint: Any) -> Any:
    if parameter.default is parameter.empty:
        return (parameter.name, hint)
    return (parameter.name, hint, parameter.default)
