"""The domains: each package of Matinee with a `domain.py`, those that others need first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import matinee
from matinee.mesh.hosting.domain import Domain


def _discover() -> dict[str, Domain[Any]]:
    files = [file for root in matinee.__path__ for file in Path(root).glob("*/domain.py")]
    found: list[Domain[Any]] = [import_module(f"matinee.{file.parent.name}.domain").DOMAIN for file in sorted(files)]
    by_protocol = {domain.protocol: domain for domain in found}
    needed = {domain.name: [by_protocol[protocol].name for protocol in domain.needs] for domain in found}
    by_name = {domain.name: domain for domain in found}
    return {name: by_name[name] for name in TopologicalSorter(needed).static_order()}


DOMAINS: Final[Mapping[str, Domain[Any]]] = _discover()
PROTOCOLS: Final[Mapping[str, type[Any]]] = {
    name: domain.protocol for name, domain in DOMAINS.items() if domain.protocol is not None
}


def needs(target: str) -> list[str]:
    """Return the names of the domains that a target calls."""
    return [name for name, protocol in PROTOCOLS.items() if protocol in DOMAINS[target].needs]


def required_by(targets: tuple[str, ...]) -> Iterator[Domain[Any]]:
    """Yield the domains that targets are or call."""
    names = {*targets, *(name for target in targets for name in needs(target))}
    return (domain for name, domain in DOMAINS.items() if name in names)
