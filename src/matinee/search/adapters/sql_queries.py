"""`QueryLog` in SQL: one row for each day and query, and one for each day and title that was opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from functools import partial
from typing import Any, Self

from sqlalchemy import (
    Column,
    Connection,
    Date,
    Integer,
    MetaData,
    RowMapping,
    String,
    Table,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)

from matinee.drivers.sql import Database
from matinee.kit.ids import TitleId
from matinee.search.api import QueryCounts, QueryReport, SearchCounts
from matinee.search.model.queries import KEY_LENGTH

_GATHER_S = 1.0
# The row of a day that counts the queries beyond the limit.
_REST = ""
_COUNTS = ("searches", "unanswered", "abandoned", "corrected")
_metadata = MetaData()
_queries = Table(
    "search_query",
    _metadata,
    Column("day", Date, primary_key=True),
    Column("folded", String(KEY_LENGTH), primary_key=True),
    Column("query", String(200), nullable=False),
    *(Column(name, Integer, nullable=False) for name in _COUNTS),
)
_opened = Table(
    "search_opened",
    _metadata,
    Column("day", Date, primary_key=True),
    Column("title_id", String(40), primary_key=True),
    Column("openings", Integer, nullable=False),
)
_q, _o = _queries.c, _opened.c
_SUMS = [func.coalesce(func.sum(_q[name]), 0).label(name) for name in _COUNTS]
_TOTAL = select(*_SUMS).where(_q.day >= bindparam("since"))
_COUNT_DAY = select(func.count()).select_from(_queries).where(_q.day == bindparam("day"), _q.folded != _REST)


class SqlQueryLog:
    """The queries and openings of each day."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    async def open(cls, database: Database) -> Self:
        """Migrate the tables of a database and return the log in them."""
        await database.migrate("matinee.search.adapters:migrations", "search")
        return cls(database)

    async def add(
        self, *, day: date, queries: Mapping[str, QueryCounts], opened: Mapping[TitleId, int], limit: int
    ) -> None:
        work = partial(_add, day, queries, opened, limit)
        await self._database.write(work, retry_on_conflict=True, gather_s=_GATHER_S)

    async def report(self, *, days: int, today: date, limit: int) -> QueryReport:
        return await self._database.read(partial(_report, days, today - timedelta(days=days - 1), limit))

    async def list_opened(self, *, since: date, limit: int) -> list[tuple[date, TitleId, int]]:
        statement = select(_o.day, _o.title_id, _o.openings).where(_o.day >= since)
        statement = statement.order_by(_o.openings.desc(), _o.day.desc(), _o.title_id).limit(limit)
        rows = await self._database.read(lambda connection: connection.execute(statement).all())
        return [(day, TitleId(title_id), openings) for day, title_id, openings in rows]

    async def remove_before(self, day: date) -> None:
        def remove(connection: Connection) -> None:
            connection.execute(delete(_queries).where(_q.day < day))
            connection.execute(delete(_opened).where(_o.day < day))

        await self._database.write(remove)


def _add(
    day: date, queries: Mapping[str, QueryCounts], opened: Mapping[TitleId, int], limit: int, connection: Connection
) -> None:
    known = _lock_known(_queries, _q.folded, day, [_REST, *queries], connection)
    new = [key for key in queries if key not in known]
    free = max(0, limit - connection.execute(_COUNT_DAY, {"day": day}).scalar_one()) if new else 0
    dropped = frozenset(new[free:])
    rows: dict[str, dict[str, Any]] = {}
    for folded, query in queries.items():
        key = _REST if folded in dropped else folded
        row = rows.setdefault(key, {"query": query.query if key else "", **dict.fromkeys(_COUNTS, 0)})
        for name in _COUNTS:
            row[name] += getattr(query.counts, name)
    _add_rows(_queries, _q.folded, day, rows, known, _COUNTS, connection)
    openings: dict[str, dict[str, Any]] = {title_id: {"openings": number} for title_id, number in opened.items()}
    known = _lock_known(_opened, _o.title_id, day, list(openings), connection)
    _add_rows(_opened, _o.title_id, day, openings, known, ("openings",), connection)


def _lock_known(
    table: Table, key: Column[str], day: date, keys: Sequence[str], connection: Connection
) -> frozenset[str]:
    """Return those of the keys that a day has rows of, which stay locked."""
    statement = select(key).where(table.c.day == day, key.in_(sorted(keys))).order_by(key).with_for_update()
    return frozenset(connection.execute(statement).scalars()) if keys else frozenset()


def _add_rows(
    table: Table,
    key: Column[str],
    day: date,
    rows: Mapping[str, Mapping[str, Any]],
    known: frozenset[str],
    counts: Sequence[str],
    connection: Connection,
) -> None:
    """Add counts to the rows that are known, and insert the others.

    Sorted, so that concurrent writers lock the rows in one order.
    """
    columns = table.c
    add = (
        update(table)
        .where(columns.day == bindparam("of_day"), key == bindparam("of_key"))
        .values({name: columns[name] + bindparam(f"new_{name}") for name in counts})
    )
    added = [
        {"of_day": day, "of_key": name, **{f"new_{count}": rows[name][count] for count in counts}}
        for name in sorted(rows)
        if name in known
    ]
    inserted = [{"day": day, key.name: name, **rows[name]} for name in sorted(rows) if name not in known]
    if added:
        connection.execute(add, added)
    if inserted:
        connection.execute(insert(table), inserted)


def _report(days: int, since: date, limit: int, connection: Connection) -> QueryReport:
    total = connection.execute(_TOTAL, {"since": since}).mappings().one()
    return QueryReport(
        days=days,
        total=_to_counts(total),
        unanswered=_list_by("unanswered", since, limit, connection),
        abandoned=_list_by("abandoned", since, limit, connection),
        frequent=_list_by("searches", since, limit, connection),
    )


def _list_by(count: str, since: date, limit: int, connection: Connection) -> list[QueryCounts]:
    """Return the queries with most searches of a kind."""
    amount = func.sum(_q[count])
    statement = (
        select(func.max(_q.query).label("query"), *_SUMS)
        .where(_q.day >= since, _q.folded != _REST)
        .group_by(_q.folded)
        .having(amount > 0)
        .order_by(amount.desc(), _q.folded)
        .limit(limit)
    )
    rows = connection.execute(statement).mappings()
    return [QueryCounts(query=row["query"], counts=_to_counts(row)) for row in rows]


def _to_counts(row: RowMapping) -> SearchCounts:
    return SearchCounts(**{name: int(row[name]) for name in _COUNTS})
