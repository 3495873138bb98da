"""What commands share: options, the settings, and calls to a running deployment."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, TypeVar

import click

from matinee.app.clients import Clients, open_clients
from matinee.app.settings import load
from matinee.mesh.hosting.settings import Settings

Opened = TypeVar("Opened")
Result = TypeVar("Result")
DEFAULT_FILE = Path("matinee.toml")


class PathType(click.Path):
    """The path of a file or folder. An empty one is refused: it would be the working directory."""

    def __init__(self, *, exists: bool = False, file_okay: bool = True, dir_okay: bool = True) -> None:
        super().__init__(path_type=Path, exists=exists, file_okay=file_okay, dir_okay=dir_okay)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return a path."""
        if not str(value).strip():
            self.fail("The path must not be empty.", param, ctx)
        return super().convert(value, param, ctx)


config_option = click.option(
    "--config",
    "config_file",
    type=PathType(exists=True, dir_okay=False),
    help="Settings file [matinee.toml].",
)
data_option = click.option("--data", help="The data directory, which holds all state [data].")
json_option = click.option("--json", "json_", is_flag=True, help="Print JSON, for scripts.")


def with_settings(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--config` and `--data`, and pass the settings to the command.

    An option named like a setting (`gateway__port`) overrides that setting.
    """

    @config_option
    @data_option
    @functools.wraps(command)
    def run(*, config_file: Path | None, data: str | None, **options: Any) -> Any:
        overrides = {n.replace("__", "."): value for n, value in options.items() if "__" in n and value is not None}
        if data is not None:
            overrides["deployment.data"] = data
        arguments = {name: value for name, value in options.items() if "__" not in name}
        return command(settings=load(config_file or DEFAULT_FILE, overrides=overrides), **arguments)

    return run


def call(settings: Settings, work: Callable[[Clients], Awaitable[Result]]) -> Result:
    """Connect to the running deployment and do some work with its clients."""
    return run_with(open_clients(settings), work)


def run_with(context: AbstractAsyncContextManager[Opened], work: Callable[[Opened], Awaitable[Result]]) -> Result:
    """Open a context and do some work with its value."""

    async def run() -> Result:
        async with context as opened:
            return await work(opened)

    return asyncio.run(run())
