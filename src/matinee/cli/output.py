"""Output of commands: tables for people, JSON for programs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Protocol, TypeVar

import click
import msgspec
from rich.cells import cell_len

from matinee.kit.page import Page
from matinee.kit.text import is_unsafe, replace_controls

Row = TypeVar("Row")
_PAGE = 200


def show(
    rows: Collection[Row],
    headings: Sequence[str],
    to_cells: Callable[[Row], Iterable[object]],
    *,
    as_json: bool = False,
    empty: str = "",
) -> None:
    """Print rows as JSON or as a table; without rows, `empty` takes the place of the table."""
    if as_json:
        print_json(rows)
    elif rows or not empty:
        _print_table([headings, *(list(map(_to_text, to_cells(row))) for row in rows)])
    else:
        click.echo(empty)


class ReadPage(Protocol[Row]):
    """Reads a page of a list that starts at a cursor."""

    async def __call__(self, *, cursor: str | None = None, limit: int = ...) -> Page[Row]:
        """Return the page, which has at most `limit` rows."""


async def read_pages(read: ReadPage[Row], limit: int) -> tuple[list[Row], bool]:
    """Read the first rows of a list, and return whether there are more."""
    found: list[Row] = []
    cursor: str | None = None
    while True:
        page = await read(cursor=cursor, limit=min(_PAGE, limit - len(found)))
        found += page.items
        cursor = page.next_cursor
        if cursor is None or len(found) >= limit:
            return found, cursor is not None


def print_json(value: Any) -> None:
    """Print a value as JSON, in which characters that a terminal would obey are escaped."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    sys.stdout.write("".join(map(_escape, text)) + "\n")


def _escape(letter: str) -> str:
    return f"\\u{ord(letter):04x}" if letter != "\n" and is_unsafe(letter) else letter


def _print_table(lines: Sequence[Sequence[str]]) -> None:
    """Print a table, with one line for a row however wide the terminal, so that ids can be copied and rows grepped."""
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    for number, line in enumerate(lines):
        padded = (cell + " " * (width - cell_len(cell)) for cell, width in zip(line, widths, strict=True))
        click.secho("  ".join(padded).rstrip(), bold=number == 0)


def _to_text(value: object) -> str:
    return replace_controls(" ".join(str(value).splitlines()))
