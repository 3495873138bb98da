"""`matinee search`: what viewers find, and the index."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any

import click

from matinee.app.clients import Clients
from matinee.cli.options import call, json_option, with_settings
from matinee.cli.output import print_json, show
from matinee.cli.search_rules import pins, synonyms
from matinee.kit.problem import Problem
from matinee.kit.text import replace_controls
from matinee.mesh.hosting.settings import Settings
from matinee.search.api import IndexStatus, QueryCounts, QueryReport, Reason, Search, SearchResult

_POLL_INTERVAL_S = 0.2
# A rebuild that was requested begins within this time.
_BEGIN_LIMIT_S = 30.0


@click.group()
def search() -> None:
    """Find titles, people and genres, and manage the index."""


@search.command()
@click.argument("words", nargs=-1, required=True)
@click.option("--language", default="en", show_default=True, help="The viewer's language (BCP 47).")
@click.option("--territory", help="The viewer's territory [that of the deployment].")
@click.option("--maturity", type=click.IntRange(0, 18), default=18, show_default=True, help="The viewer's age.")
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True, help="The number of titles.")
@click.option("--explain", is_flag=True, help="Show how the query is read, and the parts of each score.")
@json_option
@with_settings
def query(
    settings: Settings,
    words: tuple[str, ...],
    language: str,
    territory: str | None,
    maturity: int,
    limit: int,
    explain: bool,
    json_: bool,
) -> None:
    """Search as a viewer does; the last word may be unfinished."""
    wanted: dict[str, Any] = {
        "query": " ".join(words),
        "language": language,
        "territory": territory or settings.deployment.territory,
        "maturity": maturity,
        "limit": limit,
    }
    if explain:
        explanation = call(settings, lambda clients: clients.get(Search).explain(**wanted))
        if json_:
            print_json(explanation)
            return
        click.echo(f"read as: {', '.join(explanation.forms) or 'nothing'}")
        show(explanation.reasons, ("id", "name", "form", "match", "score", "parts"), _reason_cells, as_json=False)
        return
    result = call(settings, lambda clients: clients.get(Search).find(**wanted))
    if json_:
        print_json(result)
        return
    if result.correction:
        click.echo(f"results for: {replace_controls(result.correction)}")
    rows = list(_list_hits(result))
    show(rows, ("kind", "id", "name", "match", "score"), lambda row: row, as_json=False, empty="Nothing was found.")


def _list_hits(result: SearchResult) -> Iterable[tuple[str, ...]]:
    for title in result.titles:
        yield ("title", title.title_id, title.name, title.match, f"{title.score:.3f}")
    for person in result.people:
        yield ("person", person.person_id, person.name, person.match, f"{person.score:.3f}")
    for genre in result.genres:
        yield ("genre", genre.genre_id, genre.name, genre.match, f"{genre.score:.3f}")


def _reason_cells(reason: Reason) -> tuple[str, ...]:
    parts = ", ".join(f"{name} {value:.3f}" for name, value in reason.parts.items() if value)
    return (reason.id, reason.name, reason.form, reason.match, f"{reason.score:.3f}", parts)


@search.command()
@json_option
@with_settings
def status(settings: Settings, json_: bool) -> None:
    """Show the engine, the number of names and the size of the index."""
    found = call(settings, lambda clients: clients.get(Search).get_status())
    if json_:
        print_json(found)
    else:
        click.echo(_describe(found))


@search.command()
@click.option("--wait/--no-wait", default=True, show_default=True, help="Show progress until the new index answers.")
@with_settings
def rebuild(settings: Settings, wait: bool) -> None:
    """Build the index anew beside the present one, which answers meanwhile."""
    found = call(settings, lambda clients: _rebuild(clients, wait=wait))
    click.echo(_describe(found) if wait else "The index is being built; `matinee search status` shows its progress.")


async def _rebuild(clients: Clients, *, wait: bool) -> IndexStatus:
    client = clients.get(Search)
    before = await client.get_status()
    await client.request_rebuild()
    if wait:
        click.echo("building the index…", err=True)
    started_s = time.monotonic()
    while wait:
        status = await client.get_status()
        if status.building is None and status.created_at != before.created_at:
            break
        if status.building is None and time.monotonic() - started_s > _BEGIN_LIMIT_S:
            raise Problem(
                detail="The index is not built here: another process does it, or the log of `search` says why."
            )
        await asyncio.sleep(_POLL_INTERVAL_S)
    return await client.get_status()


_REPORTED = {
    "unanswered": "Queries that found nothing",
    "abandoned": "Queries after which nothing was opened",
    "all": "The most frequent queries",
}


@search.command()
@click.option("--days", default=7, type=click.IntRange(1, 30), show_default=True, help="The last days, by UTC.")
@click.option("--kind", type=click.Choice([*_REPORTED]), help="Which queries [unanswered and abandoned].")
@click.option("--limit", default=50, type=click.IntRange(1, 1_000), show_default=True, help="The queries of a kind.")
@json_option
@with_settings
def report(settings: Settings, days: int, kind: str | None, limit: int, json_: bool) -> None:
    """Show what viewers searched for and did not find, or did not open, the most frequent first."""
    found = call(settings, lambda clients: clients.get(Search).report_queries(days=days, limit=limit))
    if json_:
        print_json(found)
        return
    total = found.total
    click.echo(
        f"{total.searches} searches: {total.unanswered} found nothing ({_format_share(total.unanswered, found)}), "
        f"{total.abandoned} opened nothing ({_format_share(total.abandoned, found)}), "
        f"{total.corrected} corrected ({_format_share(total.corrected, found)})"
    )
    for name in [kind] if kind else ["unanswered", "abandoned"]:
        click.echo(f"\n{_REPORTED[name]}:")
        _show_queries(name, found)


def _show_queries(kind: str, found: QueryReport) -> None:
    """Print the queries of a kind; the share is that of its searches in all searches."""
    rows, count = {
        "unanswered": (found.unanswered, "unanswered"),
        "abandoned": (found.abandoned, "abandoned"),
        "all": (found.frequent, "searches"),
    }[kind]

    def to_cells(row: QueryCounts) -> tuple[object, ...]:
        counts = row.counts
        share = _format_share(getattr(counts, count), found)
        return (row.query, share, counts.searches, counts.unanswered, counts.abandoned, counts.corrected)

    headings = ("query", "share", "searches", "found nothing", "opened nothing", "corrected")
    show(rows, headings, to_cells, empty="There are none.")


def _format_share(count: int, found: QueryReport) -> str:
    """Return a count as a share of all searches."""
    return f"{count / max(1, found.total.searches):.1%}"


search.add_command(synonyms)
search.add_command(pins)


@search.command()
@click.option("--titles", default=36_000, type=click.IntRange(min=1), show_default=True, help="The titles to generate.")
@click.option("--queries", default=3_000, type=click.IntRange(min=17), show_default=True, help="The queries to judge.")
@click.option("--seed", default=1, show_default=True, help="Another seed makes another catalogue and other queries.")
@click.option(
    "--engine", default="tantivy", type=click.Choice(["tantivy", "opensearch"]), show_default=True, help="The index."
)
@click.option("--parts", is_flag=True, help="Measure also without each part of search: eleven times the searches.")
@click.option("--patterns", is_flag=True, help="Show each pattern of each class.")
@json_option
def evaluate(titles: int, queries: int, seed: int, engine: str, parts: bool, patterns: bool, json_: bool) -> None:
    """Measure how well search answers queries with known answers, over a generated catalogue in ten languages.

    It needs no running deployment, but the packages of a checkout (`make develop`).
    """
    from matinee.lab.search import PARTS, render_parts, render_scores
    from matinee.lab.search.trial import evaluate_trial

    found, others = asyncio.run(
        evaluate_trial(
            titles,
            queries,
            seed,
            lambda step: click.echo(step, err=True),
            engine=engine,
            parts=PARTS if parts else (),
        )
    )
    if json_:
        print_json({"complete": found, "without": others} if parts else found)
        return
    click.echo(render_scores([*found.scores, *(found.patterns if patterns else ())]))
    if parts:
        click.echo(f"\n{render_parts(found, others)}")


def _describe(status: IndexStatus) -> str:
    if not status.version:
        return f"{status.engine}: there is no index yet; it is being built."
    building = "" if status.building is None else f"; a new one is {status.building:.0%} complete"
    size = status.size_bytes / 1e6
    return f"{status.engine}, version {status.version}: {status.names} names, {size:.1f} MB{building}"
