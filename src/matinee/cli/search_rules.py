"""`matinee search synonyms` and `pins`: the rules by which editors change what viewers find."""

from __future__ import annotations

from functools import partial

import click
from msgspec import ValidationError, convert

from matinee.app.clients import Clients
from matinee.catalogue.api import Catalogue
from matinee.cli.options import call, json_option, with_settings
from matinee.cli.output import show
from matinee.kit.ids import TitleId
from matinee.mesh.hosting.settings import Settings
from matinee.search.api import Pin, RuleKind, Search, SearchRule, Synonym


@click.group()
def synonyms() -> None:
    """Words that mean others: `lotr` finds what `lord of the rings` finds, too."""


@click.group()
def pins() -> None:
    """Titles that come first for a query, such as those of a season."""


@synonyms.command("set")
@click.argument("words")
@click.argument("meanings", nargs=-1, required=True)
@with_settings
def set_synonym(settings: Settings, words: str, meanings: tuple[str, ...]) -> None:
    """Let WORDS in a query also mean each of MEANINGS, at most five; quote those of more than one word."""
    _put(settings, {"type": "Synonym", "query": words, "meanings": meanings})


@pins.command("set")
@click.argument("query")
@click.argument("title_ids", nargs=-1, required=True)
@with_settings
def set_pin(settings: Settings, query: str, title_ids: tuple[str, ...]) -> None:
    """Let TITLE_IDS, at most ten, come first for QUERY in this order, for the viewers who may find them."""
    for title_id in title_ids:
        call(settings, partial(_check_title, TitleId(title_id)))
    _put(settings, {"type": "Pin", "query": query, "title_ids": title_ids})


async def _check_title(title_id: TitleId, clients: Clients) -> None:
    """Raise TitleNotFound for an id of no title; one that is not published may be pinned."""
    await clients.get(Catalogue).title(title_id=title_id)


def _put(settings: Settings, fields: dict[str, object]) -> None:
    try:
        rule: SearchRule = convert(fields, Synonym | Pin)
    except ValidationError as error:
        raise click.UsageError(str(error)) from None
    call(settings, lambda clients: clients.get(Search).put_rule(rule=rule))


@synonyms.command("remove")
@click.argument("words")
@with_settings
def remove_synonym(settings: Settings, words: str) -> None:
    """Let WORDS mean nothing else."""
    _remove(settings, "synonym", words)


@pins.command("remove")
@click.argument("query")
@with_settings
def remove_pin(settings: Settings, query: str) -> None:
    """Let no title come first for QUERY."""
    _remove(settings, "pin", query)


def _remove(settings: Settings, kind: RuleKind, query: str) -> None:
    if not call(settings, lambda clients: clients.get(Search).remove_rule(kind=kind, query=query)):
        raise click.ClickException(f"There is no {kind} for this query.")


@synonyms.command("list")
@json_option
@with_settings
def list_synonyms(settings: Settings, json_: bool) -> None:
    """Show the synonyms."""
    rules = [rule for rule in _list(settings) if isinstance(rule, Synonym)]
    show(
        rules,
        ("words", "meanings"),
        lambda rule: (rule.query, ", ".join(rule.meanings)),
        as_json=json_,
        empty="There are no synonyms.",
    )


@pins.command("list")
@json_option
@with_settings
def list_pins(settings: Settings, json_: bool) -> None:
    """Show the pinned titles."""
    rules = [rule for rule in _list(settings) if isinstance(rule, Pin)]
    show(rules, ("query", "titles"), _pin_cells, as_json=json_, empty="No title is pinned.")


def _pin_cells(rule: Pin) -> tuple[str, str]:
    return rule.query, ", ".join(map(str, rule.title_ids))


def _list(settings: Settings) -> list[SearchRule]:
    return call(settings, lambda clients: clients.get(Search).list_rules())
