"""`matinee events`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from datetime import datetime, timedelta
from typing import Any

import click
import msgspec

from matinee.app.clients import Clients
from matinee.cli.options import call, json_option, with_settings
from matinee.cli.output import print_json, show
from matinee.events.api import DeadLetter, Entry, Events, Fact, RetryResult
from matinee.kit.clock import SystemClock
from matinee.mesh.hosting.settings import Settings

WAIT_MS = 10_000
MAX_CONFIRMED = 5000
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@click.group()
def events() -> None:
    """Read the log of facts, its consumers and its dead letters."""


@events.command()
@click.option("--since", default="1h", help="The start: 30s, 10m, 1h, 7d, or a time like 2026-05-01T12:00Z [1h].")
@click.option("--types", default="", help="Only facts of these types, separated by commas.")
@click.option("--follow", "-f", is_flag=True, help="Continue until Ctrl-C.")
@json_option
@with_settings
def tail(settings: Settings, since: str, types: str, follow: bool, json_: bool) -> None:
    """Print facts since a time, oldest first; with --json one on each line."""
    moment, names = _parse_moment(since), _parse_types(types)

    async def print_entries(clients: Clients) -> None:
        async for entry in _read_entries(clients.get(Events), moment, names, follow):
            click.echo(msgspec.json.encode(entry) if json_ else _format(entry))

    call(settings, print_entries)


@events.command()
@click.option("--consumer", default="", help="Only those of one consumer.")
@click.option("--limit", default=100, type=click.IntRange(1, 5000), help="At most this many [100].")
@json_option
@with_settings
def dead(settings: Settings, consumer: str, limit: int, json_: bool) -> None:
    """List the dead letters, the facts that a consumer could not process, newest first."""
    letters = call(settings, lambda clients: clients.get(Events).list_dead_letters(limit=limit, consumer=consumer))
    headings = ("when", "consumer", "attempts", "reason", "fact", "id")
    show(letters, headings, _to_cells, as_json=json_, empty="No dead letters.")


@events.command()
@click.argument("fact_ids", nargs=-1, metavar="[ID]...")
@click.option("--consumer", default="", help="Only those of one consumer.")
@click.option("--types", default="", help="Only facts of these types, separated by commas.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask for confirmation.")
@json_option
@with_settings
def retry(settings: Settings, fact_ids: tuple[str, ...], consumer: str, types: str, yes: bool, json_: bool) -> None:
    """Deliver dead letters again, all or those of some facts, each to its consumer.

    Run this when the cause of the failures is fixed. A fact that fails again becomes a dead letter again.
    """
    names = _parse_types(types)

    async def redeliver(clients: Clients) -> RetryResult:
        if not (yes or fact_ids):
            await _confirm(clients.get(Events), consumer, names)
        return await clients.get(Events).retry_dead_letters(consumer=consumer, types=names, fact_ids=fact_ids)

    result = call(settings, redeliver)
    if json_:
        print_json(result)
    elif result.letters or result.unknown:
        click.echo("\n".join(_describe(result)))
    else:
        click.echo("No dead letters to retry.")
    if result.unknown and not result.letters:
        click.get_current_context().exit(1)


async def _confirm(events: Events, consumer: str, types: tuple[str, ...]) -> None:
    """Ask for confirmation before all dead letters are delivered. Raises click.Abort."""
    letters = await events.list_dead_letters(limit=MAX_CONFIRMED, consumer=consumer)
    if selected := [one for one in letters if not types or _type_of(one) in types]:
        click.confirm(f"Deliver {_count(selected)} again?", abort=True, err=True)


def _describe(result: RetryResult) -> Iterable[str]:
    if result.letters:
        yield f"Delivered again: {_count(result.letters)}. `matinee events dead` shows those that fail again."
    for fact_id, kind in result.unknown.items():
        yield f"{fact_id} is a {kind}, which this version of Matinee does not know: a version that does can retry it."
    if result.more:
        yield "There are more: run this again."


def _count(letters: list[DeadLetter]) -> str:
    counts = Counter((_type_of(one), one.consumer) for one in letters)
    return ", ".join(f"{count} {kind} to {consumer}" for (kind, consumer), count in sorted(counts.items()))


def _to_cells(letter: DeadLetter) -> Iterable[object]:
    fact_id = letter.entry.record.fact_id
    return f"{letter.at:%F %T}", letter.consumer, letter.tries, letter.reason, _type_of(letter), fact_id


def _type_of(letter: DeadLetter) -> str:
    return type(letter.entry.record.fact).__name__


@events.command()
@json_option
@with_settings
def lag(settings: Settings, json_: bool) -> None:
    """Show how many facts each consumer has not processed yet."""
    lags = call(settings, lambda clients: clients.get(Events).list_lags())
    empty = "There are no consumers yet."
    show(lags, ("consumer", "behind"), lambda lag: (lag.consumer, lag.behind), as_json=json_, empty=empty)


async def _read_entries(events: Events, moment: datetime, types: tuple[str, ...], follow: bool) -> AsyncIterator[Entry]:
    after = await events.find_cursor(moment=moment)
    while True:
        batch = await events.read(after=after, types=types, wait_ms=WAIT_MS if follow else 0)
        for entry in batch.entries:
            yield entry
        if not follow and batch.cursor == after:
            return
        after = batch.cursor


def _format(entry: Entry) -> str:
    record = entry.record
    fact: dict[str, Any] = msgspec.to_builtins(record.fact)
    fields = " ".join(f"{name}={value}" for name, value in fact.items() if name != "type" and value is not None)
    return f"{record.at:%F %T} {fact['type']} {fields}"


def _parse_moment(since: str) -> datetime:
    """Parse `--since`. Raises click.BadParameter."""
    if match := re.fullmatch(r"(\d{1,6})([smhd])", since):
        return SystemClock().now() - timedelta(**{_UNITS[match[2]]: int(match[1])})
    try:
        moment = datetime.fromisoformat(since)
    except ValueError:
        raise click.BadParameter(f"{since!r} is neither like 1h nor a time", param_hint="--since") from None
    return moment if moment.tzinfo else moment.astimezone()


def _parse_types(types: str) -> tuple[str, ...]:
    """Parse `--types`. Raises click.BadParameter."""
    names = tuple(name.strip() for name in types.split(",") if name.strip())
    known = {fact.__name__ for fact in Fact.__subclasses__()}
    if unknown := sorted(set(names) - known):
        raise click.BadParameter(f"no such fact: {', '.join(unknown)}", param_hint="--types")
    return names
