"""Write `docs/reference/`: settings, commands, problems, facts, read from the code. `--check` only compares."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

import click
import msgspec

from matinee.app import settings, targets
from matinee.app.wiring import domains, doors, fabric, host
from matinee.cli import matinee
from matinee.drivers import objects
from matinee.events import api as events
from matinee.events import model as facts
from matinee.gateway import server
from matinee.kit.problem import Problem

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "reference"
LOADED = (objects, domains, doors, fabric, host, server, targets)


def main(words: list[str]) -> int:
    """Write the pages, or say which are out of date."""
    pages = {
        "settings.md": settings_page(),
        "commands.md": commands_page(),
        "problems.md": problems_page(),
        "facts.md": facts_page(),
        "facts.json": facts_shape(),
    }
    if broken := facts.breaks(recorded(), facts.shape(events.AnyFact.__args__)):
        print("changes to facts must be additive:", *broken, sep="\n  ")
        return 1
    stale = [name for name, text in pages.items() if not same(FOLDER / name, text)]
    if "--check" in words:
        print(f"out of date: {', '.join(stale)}; write them by tools/reference.py" if stale else "up to date")
        return 1 if stale else 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in stale:
        (FOLDER / name).write_text(pages[name])
    return 0


def same(file: Path, text: str) -> bool:
    """Whether a page says this already."""
    return file.exists() and file.read_text() == text


def settings_page() -> str:
    """Every setting with its default, by section."""
    lines = [
        "# Settings",
        "",
        "`matinee.toml`, or `MATINEE__SECTION__KEY` in the environment. `{data}` is the data directory.",
        "",
    ]
    defaults = settings.Settings()
    for section, kind in get_type_hints(settings.Settings).items():
        lines += [
            f"## [{section}]",
            "",
            (kind.__doc__ or "").strip().replace("\n    ", "\n"),
            "",
            "| key | type | default |",
            "|---|---|---|",
        ]
        for field in msgspec.structs.fields(kind):
            value = getattr(getattr(defaults, section), field.name)
            lines.append(f"| `{field.name}` | {type_name(field.type)} | `{value!r}` |".replace("'", ""))
        lines.append("")
    return "\n".join(lines)


def type_name(kind: Any) -> str:
    """A type for people."""
    return kind.__name__ if isinstance(kind, type) else str(kind).replace("typing.", "")


def commands_page() -> str:
    """Every command with its options."""
    return "\n".join(
        ["# Commands", "", "Exit status: 0 done, 1 it failed, 2 asked wrongly.", "", *command(matinee, "matinee")]
    )


def command(one: click.Command, name: str) -> Iterator[str]:
    """A command's section, then its subcommands'."""
    context = click.Context(one, info_name=name, max_content_width=100)
    yield from [f"## {name}", "", "```", one.get_help(context), "```", ""]
    if isinstance(one, click.Group):
        for child in sorted(one.list_commands(context)):
            if (found := one.get_command(context, child)) is not None:
                yield from command(found, f"{name} {child}")


def problems_page() -> str:
    """Every problem with its status and its members."""
    lines = [
        "# Problems",
        "",
        "RFC 9457 problem details; `type` is `/problems/<kind>`.",
        "",
        "| kind | status | title | members |",
        "|---|---|---|---|",
    ]
    for kind, problem in sorted(Problem.kinds.items()):
        if problem.__module__.startswith("matinee."):
            members = ", ".join(
                f"`{name}`" for name in get_type_hints(problem) if name in vars(problem).get("__annotations__", {})
            )
            lines.append(f"| `{kind}` | {problem.status} | {problem.title} | {members} |")
    return "\n".join([*lines, ""])


def facts_page() -> str:
    """Every fact with its fields."""
    lines = ["# Facts", "", "What stands in the log. Changes are additive: a new field has a default.", ""]
    for fact in sorted(events.Fact.__subclasses__(), key=lambda f: f.__name__):
        fields = ", ".join(f"`{field.name}`" for field in msgspec.structs.fields(fact))
        lines += [f"## {fact.__name__}", "", (fact.__doc__ or "").strip(), "", fields, ""]
    return "\n".join(lines)


def recorded() -> dict[str, Any]:
    """The shape that facts had when it was last recorded."""
    file = FOLDER / "facts.json"
    return msgspec.json.decode(file.read_bytes(), type=dict[str, Any]) if file.exists() else {}


def facts_shape() -> str:
    """Today's shape of facts, for the next check that changes are additive."""
    return msgspec.json.format(msgspec.json.encode(facts.shape(events.AnyFact.__args__)), indent=1).decode() + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
