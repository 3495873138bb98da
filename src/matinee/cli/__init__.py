"""The command line: `matinee <noun> <verb>`; exit status 0, 1 (failed), 2 (usage)."""

from __future__ import annotations

import gc
import importlib
import math
import os
import sys
from collections.abc import Sequence

import click

from matinee import __version__
from matinee.app.extras import describe_missing
from matinee.kit.problem import Invalid, Problem
from matinee.mesh.hosting.settings import BadSettings

# The module of each command. It is imported when the command is called, so that a service does not import the others.
_MODULES = {
    "up": "deployment",
    "serve": "serve",
    "status": "deployment",
    "targets": "deployment",
    "ingest": "titles",
    "titles": "titles",
    "jobs": "jobs",
    "accounts": "accounts",
    "keys": "accounts",
    "events": "events",
    "stores": "stores",
    "schedules": "schedules",
    "search": "search",
    "trace": "trace",
    "config": "config",
    "lab": "lab",
}
_EARLIER_NAMES = {"dev": "lab"}


class _LazyGroup(click.Group):
    """A group that imports each command when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        name = _EARLIER_NAMES.get(cmd_name, cmd_name)
        return _import_command(name) if name in _MODULES else None


def _import_command(name: str) -> click.Command:
    """Import a command, without looking for garbage meanwhile, which takes a tenth of the time."""
    gc.disable()
    try:
        command: click.Command = getattr(importlib.import_module(f"matinee.cli.{_MODULES[name]}"), name)
    finally:
        gc.freeze()
        gc.enable()
    return command


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(version=__version__, prog_name="matinee")
def matinee() -> None:
    """Matinee: your own streaming service, from master file to picture."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status. An expected failure is reported in one line.

    Files that this process and its children create are readable by their owner only.
    """
    os.umask(0o077)
    try:
        status = matinee.main(args=arguments, prog_name="matinee", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return 2
    except (click.Abort, KeyboardInterrupt):
        return 130
    except Problem as problem:
        return _fail(problem)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("matinee"):
            return _fail(describe_missing(error.name))
        if isinstance(error, OSError) and error.filename:  # a path of the command line or of a setting
            return _fail(Problem(detail=f"{error.filename}: {error.strerror}."))
        if isinstance(error, UnicodeEncodeError):  # its text would be the whole input, which may be a password
            return _fail(Problem(detail="An argument or the standard input is not valid UTF-8."))
        if os.environ.get("MATINEE_DEBUG"):
            raise
        sys.stderr.write(f"matinee: a bug: {error!r}. MATINEE_DEBUG=1 shows where.\n")
        return 1
    return status if isinstance(status, int) else 0  # click returns the status of an Exit


def _fail(problem: Problem) -> int:
    sys.stderr.write(f"matinee: {_describe(problem)}\n")
    return 2 if isinstance(problem, BadSettings) else 1


def _describe(problem: Problem) -> str:
    if isinstance(problem, Invalid) and problem.faults:
        return "; ".join(
            f"{fault.field}: {fault.message}" if fault.field else fault.message for fault in problem.faults
        )
    if problem.detail:
        return problem.detail
    facts = {name: value for name, value in problem.facts().items() if name != "detail" and value not in ("", None)}
    if wait_ms := facts.pop("retry_after_ms", 0):
        return f"{problem}. Try again in {math.ceil(wait_ms / 1000)} s."
    listed = ", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in facts.items())
    return f"{problem} ({listed})" if listed else str(problem)
