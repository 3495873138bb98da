"""The command line: `matinee <noun> <verb>`; exit status 0, 1 (it failed), 2 (asked wrongly)."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

import click

from matinee.app.settings import BadSettings
from matinee.kit.problem import Invalid, Problem

# The module of each command. It is imported when the command is called: a service does not wait for what it never uses.
_WHERE = {
    "up": "deployment",
    "serve": "deployment",
    "status": "deployment",
    "targets": "deployment",
    "ingest": "titles",
    "titles": "titles",
    "jobs": "jobs",
    "accounts": "accounts",
    "events": "events",
    "stores": "stores",
    "config": "config",
    "lab": "lab",
    "dev": "lab",
}


class _Late(click.Group):
    """A group whose commands are imported one by one."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_WHERE.keys() - {"dev"})  # an earlier name of `lab`

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if (module := _WHERE.get(cmd_name)) is None:
            return None
        name = module if cmd_name == "dev" else cmd_name
        command: click.Command = getattr(importlib.import_module(f"matinee.cli.{module}"), name)
        return command


@click.group(cls=_Late, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name=None, version="0.1.0", prog_name="matinee")
def matinee() -> None:
    """Matinee: your own streaming service, from master file to picture."""


def main(words: Sequence[str] | None = None) -> int:
    """Run a command and tell its exit status; whatever was expected to go wrong is one line."""
    try:
        status = matinee.main(args=words, prog_name="matinee", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return 2
    except (click.Abort, KeyboardInterrupt):
        return 130
    except BadSettings as problem:
        return _failed(problem, 2)
    except Problem as problem:
        return _failed(problem, 1)
    except Exception as bug:
        if os.environ.get("MATINEE_DEBUG"):
            raise
        sys.stderr.write(f"matinee: a bug: {bug!r}. MATINEE_DEBUG=1 shows where.\n")
        return 1
    return status if isinstance(status, int) else 0  # what click made of an Exit


def _failed(problem: Problem, status: int) -> int:
    faults = "; ".join(f"{f.field}: {f.message}" for f in problem.faults) if isinstance(problem, Invalid) else ""
    known = {k: v for k, v in problem.facts().items() if k not in {"detail", "faults"} and v not in ("", None)}
    facts = ", ".join(f"{k.replace('_', ' ')}: {v}" for k, v in known.items())
    words = " ".join(
        part for part in (str(problem), faults, "" if problem.detail else f"({facts})" if facts else "") if part
    )
    sys.stderr.write(f"matinee: {words}\n")
    return status
