"""Optional dependencies: which extra provides a module, and the problem that one is not installed."""

from __future__ import annotations

import importlib.util
from typing import Final

from matinee.kit.problem import Problem

# The modules of the extra `distributed`: the clients of engines.
DISTRIBUTED: Final = ("acsylla", "asyncmy", "botocore", "confluent_kafka", "greenlet", "opensearchpy", "redis")


class ExtraMissing(Problem, status=500):
    """A package that Matinee needs for these settings is not installed."""


def check_distributed() -> None:
    """Check that the extra `distributed` is installed. Raises ExtraMissing."""
    for module in DISTRIBUTED:
        if importlib.util.find_spec(module) is None:
            raise describe_missing(module)


def describe_missing(module: str) -> ExtraMissing:
    """Return the problem that a module is not installed."""
    extra = "distributed" if module.partition(".")[0] in DISTRIBUTED else "dev"
    remedy = 'make up ARGS="--profile distributed"' if extra == "distributed" else "make develop"
    return ExtraMissing(
        detail=f"The package of {module!r} is not installed: pip install 'matinee[{extra}]', or in a checkout {remedy}."
    )
