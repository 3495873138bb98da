"""What several commands share: the settings options, running a coroutine, printing for people or scripts."""

from __future__ import annotations

import asyncio
import functools
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from matinee.app import settings as known_settings
from matinee.app.settings import Settings

Result = TypeVar("Result")
DEFAULT_FILE = Path("matinee.toml")

config_option = click.option(
    "--config", "config_file", type=click.Path(path_type=Path, dir_okay=False), help="Settings file [matinee.toml]."
)
json_option = click.option("--json", "json_", is_flag=True, help="Print JSON, for scripts.")


def with_settings(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--config` and `--data`, and hand the command the settings they lead to.

    An option whose name is a setting's (`gateway__port`) overrides that setting.
    """

    @config_option
    @click.option("--data", help="The data directory, where all state lies [data].")
    @functools.wraps(command)
    def run(*, config_file: Path | None, data: str | None, **rest: Any) -> Any:
        said = {n.replace("__", "."): value for n, value in rest.items() if "__" in n and value is not None}
        overrides = {**said, **({"deployment.data": data} if data else {})}
        words = {name: value for name, value in rest.items() if "__" not in name}
        return command(settings=read(config_file, overrides), **words)

    return run


def read(file: Path | None, overrides: dict[str, Any]) -> Settings:
    """The settings from a file (which must exist when it was named), the environment and the command line."""
    if file is not None and not file.exists():
        raise click.UsageError(f"There is no settings file {file}.")
    return known_settings.load(file or DEFAULT_FILE, overrides=overrides)


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine to its end."""
    return asyncio.run(work)


def as_json(value: Any) -> None:
    """Print a value for a script."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")
