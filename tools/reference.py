"""Write `docs/reference/`: settings, commands, problems and facts, from the code. `--check` only compares."""

import importlib
import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import click
import msgspec

import matinee
from matinee.app import settings
from matinee.cli import matinee as command_line
from matinee.events import api as events
from matinee.events import model as facts
from matinee.kit.problem import Problem

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "reference"
# The packages whose problems users see.
DOCUMENTED = ("kit", "drivers", "mesh", "app", "cli", "lab", *settings.DOMAINS)


def main(arguments: list[str]) -> int:
    """Write the pages, or report the outdated ones."""
    pages = {
        "settings.md": render_settings(),
        "commands.md": render_commands(),
        "problems.md": render_problems(),
        "facts.md": render_facts(),
        "facts.json": render_fact_shapes(),
    }
    if broken := facts.find_breaking_changes(read_fact_shapes(), facts.describe_facts(events.AnyFact.__args__)):
        print("changes to facts must be additive:", *broken, sep="\n  ")
        return 1
    outdated = [name for name, text in pages.items() if not has_text(FOLDER / name, text)]
    if "--check" in arguments:
        print(f"outdated: {', '.join(outdated)}; run tools/reference.py" if outdated else "up to date")
        return 1 if outdated else 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in outdated:
        (FOLDER / name).write_text(pages[name])
    return 0


def has_text(file: Path, text: str) -> bool:
    """Return whether a file exists and has this text."""
    return file.exists() and file.read_text() == text


def render_settings() -> str:
    """Render every setting with its default, by section."""
    lines = [
        "# Settings",
        "",
        "`matinee.toml`, or `MATINEE__SECTION__KEY` in the environment. `{data}` is the data directory.",
        "",
    ]
    for name, section in settings.sections_of(settings.default_settings()).items():
        doc = (type(section).__doc__ or "").strip().replace("\n    ", "\n")
        lines += [f"## [{name}]", "", doc, "", "| key | type | default |", "|---|---|---|"]
        for field, kind in get_type_hints(type(section), include_extras=True).items():
            value = getattr(section, field)
            lines.append(f"| `{field}` | {describe_type(kind)} | `{value!r}` |".replace("'", ""))
        lines.append("")
    return "\n".join(lines)


def describe_type(kind: Any) -> str:
    """Describe a type for readers."""
    for bounds in getattr(kind, "__metadata__", ()):
        return f"{describe_type(get_args(kind)[0])}, {bounds.ge} to {bounds.le}"
    return kind.__name__ if isinstance(kind, type) else str(kind).replace("typing.", "")


def render_commands() -> str:
    """Render every command with its options."""
    lines = ["# Commands", "", "Exit status: 0 success, 1 failure, 2 wrong usage.", ""]
    return "\n".join([*lines, *render_command(command_line, "matinee")])


def render_command(command: click.Command, name: str) -> Iterator[str]:
    """Yield a command's section, then those of its subcommands."""
    context = click.Context(command, info_name=name, max_content_width=100)
    yield from [f"## {name}", "", "```", command.get_help(context), "```", ""]
    if isinstance(command, click.Group):
        for child in sorted(command.list_commands(context)):
            if (found := command.get_command(context, child)) is not None and not found.hidden:
                yield from render_command(found, f"{name} {child}")


def render_problems() -> str:
    """Render every problem with its status and its members."""
    for package in DOCUMENTED:
        import_all(f"matinee.{package}")
    lines = [
        "# Problems",
        "",
        "RFC 9457 problem details; `type` is `/problems/<kind>`.",
        "",
        "| kind | status | title | members |",
        "|---|---|---|---|",
    ]
    for kind, problem in sorted(Problem.kinds.items()):
        if problem.__module__.removeprefix("matinee.").split(".")[0] in DOCUMENTED:
            own = vars(problem).get("__annotations__", {})
            members = ", ".join(f"`{name}`" for name in get_type_hints(problem) if name in own)
            lines.append(f"| `{kind}` | {problem.status} | {problem.title} | {members} |")
    return "\n".join([*lines, ""])


def import_all(package: str) -> None:
    """Import a package with all its modules, except for migration scripts."""
    folder = Path(matinee.__path__[0], *package.split(".")[1:])
    for module in pkgutil.walk_packages([str(folder)], f"{package}."):
        if "migrations" not in module.name and not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def render_facts() -> str:
    """Render every fact with its fields."""
    lines = ["# Facts", "", "The facts in the log. Changes are additive: a new field has a default.", ""]
    for fact in sorted(events.Fact.__subclasses__(), key=lambda fact: fact.__name__):
        fields = ", ".join(f"`{field.name}`" for field in msgspec.structs.fields(fact))
        lines += [f"## {fact.__name__}", "", (fact.__doc__ or "").strip(), "", fields, ""]
    return "\n".join(lines)


def read_fact_shapes() -> dict[str, Any]:
    """Return the recorded shapes of facts."""
    file = FOLDER / "facts.json"
    return msgspec.json.decode(file.read_bytes(), type=dict[str, Any]) if file.exists() else {}


def render_fact_shapes() -> str:
    """Render the current shapes of facts, for the next check that changes are additive."""
    return (
        msgspec.json.format(msgspec.json.encode(facts.describe_facts(events.AnyFact.__args__)), indent=1).decode()
        + "\n"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
