"""`matinee events`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from datetime import datetime, timedelta
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Table

from matinee.app.settings import Settings
from matinee.app.wiring import clients
from matinee.cli.options import as_json, json_option, run, with_settings
from matinee.events.api import DeadLetter, Entry, Events, Fact, Lag, RetryResult
from matinee.kit.clock import SystemClock

WAIT_MS = 10_000
MANY = 5000
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@click.group()
def events() -> None:
    """The log of facts."""


@events.command()
@click.option("--since", default="1h", help="From when: 30s, 10m, 1h, 7d, or a time like 2026-05-01T12:00Z [1h].")
@click.option("--types", default="", help="Only these facts, by commas.")
@click.option("--follow", "-f", is_flag=True, help="Go on until Ctrl-C.")
@json_option
@with_settings
def tail(settings: Settings, since: str, types: str, follow: bool, json_: bool) -> None:
    """Facts since a time, oldest first; with --json one a line."""
    moment = _moment(since)
    names = _types(types)

    async def show() -> None:
        async with clients(settings) as deployment:
            async for entry in _entries(deployment.events, moment, names, follow):
                click.echo(msgspec.json.encode(entry) if json_ else _line(entry))

    run(show())


@events.command()
@click.option("--consumer", default="", help="Only those of one consumer.")
@click.option("--limit", default=100, type=click.IntRange(1, 5000), help="How many, at most [100].")
@json_option
@with_settings
def dead(settings: Settings, consumer: str, limit: int, json_: bool) -> None:
    """Facts that a consumer gave up on, newest first, and why."""

    async def ask() -> list[DeadLetter]:
        async with clients(settings) as deployment:
            return await deployment.events.list_dead_letters(limit=limit, consumer=consumer)

    found = run(ask())
    if json_:
        as_json(found)
        return
    table = Table("when", "consumer", "tries", "why", "fact", "id", box=None, header_style="bold")
    table.columns[-1].no_wrap = True
    for one in found:
        fact_id = one.entry.record.fact_id
        table.add_row(f"{one.at:%F %T}", one.consumer, str(one.tries), one.reason, _kind(one), fact_id)
    Console().print(table if found else "No dead letters.")


@events.command()
@click.argument("fact_ids", nargs=-1, metavar="[ID]...")
@click.option("--consumer", default="", help="Only those of one consumer.")
@click.option("--types", default="", help="Only these facts, by commas.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@json_option
@with_settings
def retry(settings: Settings, fact_ids: tuple[str, ...], consumer: str, types: str, yes: bool, json_: bool) -> None:
    """Hand dead letters over once more: those named by their facts' ids, or all; each to the consumer it is of.

    Do so when what made them fail is mended. What fails again is a dead letter again.
    """
    names = _types(types)

    async def ask() -> RetryResult:
        async with clients(settings) as deployment:
            if not (yes or fact_ids):
                await _confirm(deployment.events, consumer, names)
            return await deployment.events.retry_dead_letters(consumer=consumer, types=names, fact_ids=fact_ids)

    done = run(ask())
    if json_:
        as_json(done)
    elif not (done.letters or done.unknown):
        click.echo("No dead letters to retry.")
    for line in [] if json_ else _told(done):
        click.echo(line)
    if done.unknown and not done.letters:
        click.get_current_context().exit(1)


async def _confirm(events: Events, consumer: str, types: tuple[str, ...]) -> None:
    """Ask whether all that wait are meant. Raises click.Abort."""
    waiting = [
        one for one in await events.list_dead_letters(limit=MANY, consumer=consumer) if not types or _kind(one) in types
    ]
    if waiting:
        click.confirm(f"Hand over {_summed(waiting)}?", abort=True, err=True)


def _told(done: RetryResult) -> Iterable[str]:
    """What was done, for a terminal."""
    if done.letters:
        yield f"Handed over: {_summed(done.letters)}. `matinee events dead` shows what fails again."
    for fact_id, kind in done.unknown.items():
        yield f"{fact_id} is a {kind}, which this version of Matinee does not know: it waits for one that does."
    if done.more:
        yield "More wait: run this again."


def _summed(letters: list[DeadLetter]) -> str:
    counted = Counter((_kind(one), one.consumer) for one in letters)
    return ", ".join(f"{count} {kind} to {consumer}" for (kind, consumer), count in sorted(counted.items()))


def _kind(letter: DeadLetter) -> str:
    return type(letter.entry.record.fact).__name__


@events.command()
@json_option
@with_settings
def lag(settings: Settings, json_: bool) -> None:
    """How many facts each consumer has still before it."""

    async def ask() -> list[Lag]:
        async with clients(settings) as deployment:
            return await deployment.events.list_lags()

    found = run(ask())
    if json_:
        as_json(found)
        return
    table = Table("consumer", "behind", box=None, header_style="bold")
    for one in found:
        table.add_row(one.consumer, str(one.behind))
    Console().print(table if found else "Nobody has followed the log yet.")


async def _entries(events: Events, moment: datetime, types: tuple[str, ...], follow: bool) -> AsyncIterator[Entry]:
    after = await events.find_cursor(moment=moment)
    while True:
        batch = await events.read(after=after, types=types, wait_ms=WAIT_MS if follow else 0)
        for entry in batch.entries:
            yield entry
        if not follow and batch.cursor == after:
            return
        after = batch.cursor


def _line(entry: Entry) -> str:
    record = entry.record
    said: dict[str, Any] = msgspec.to_builtins(record.fact)
    fields = " ".join(f"{name}={value}" for name, value in said.items() if name != "type" and value is not None)
    return f"{record.at:%F %T} {said['type']} {fields}"


def _moment(since: str) -> datetime:
    """The time that was said. Raises click.BadParameter."""
    if said := re.fullmatch(r"(\d{1,6})([smhd])", since):
        return SystemClock().now() - timedelta(**{_UNITS[said[2]]: int(said[1])})
    try:
        moment = datetime.fromisoformat(since)
    except ValueError:
        raise click.BadParameter(f"{since!r} is neither like 1h nor a time", param_hint="--since") from None
    return moment if moment.tzinfo else moment.astimezone()


def _types(types: str) -> tuple[str, ...]:
    """The facts that were named. Raises click.BadParameter."""
    names = tuple(name.strip() for name in types.split(",") if name.strip())
    known = {fact.__name__ for fact in Fact.__subclasses__()}
    if strangers := sorted(set(names) - known):
        raise click.BadParameter(f"no such fact: {', '.join(strangers)}", param_hint="--types")
    return names
