"""`RuleStore` in SQL: one row for each rule."""

from __future__ import annotations

from functools import partial
from typing import Any, Self

import msgspec
from sqlalchemy import (
    Column,
    Connection,
    MetaData,
    String,
    Table,
    Text,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)

from matinee.drivers.sql import Database
from matinee.search.api import Pin, RuleKind, SearchRule, Synonym

_metadata = MetaData()
_rules = Table(
    "search_rule",
    _metadata,
    Column("kind", String(10), primary_key=True),
    Column("folded", String(200), primary_key=True),
    Column("rule", Text, nullable=False),
)
_r = _rules.c
_SELECT = select(_r.rule).order_by(_r.kind, _r.folded)
_COUNT = select(func.count()).select_from(_rules)
_THIS = (_r.kind == bindparam("of_kind")) & (_r.folded == bindparam("of_folded"))
_SELECT_THIS = select(_r.kind).where(_THIS).with_for_update()
_UPDATE = update(_rules).where(_THIS).values(rule=bindparam("new_rule"))
_DELETE = delete(_rules).where(_THIS)
_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Synonym | Pin)


class SqlRuleStore:
    """The rules of the editors."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    async def open(cls, database: Database) -> Self:
        """Migrate the tables of search and return the store in it."""
        await database.migrate("matinee.search.adapters:migrations", "search")
        return cls(database)

    async def put(self, folded: str, rule: SearchRule, *, limit: int) -> bool:
        return await self._database.write(partial(_put, folded, rule, limit), retry_on_conflict=True)

    async def remove(self, folded: str, kind: RuleKind) -> bool:
        key = {"of_kind": kind, "of_folded": folded}
        return await self._database.write(lambda connection: connection.execute(_DELETE, key).rowcount > 0)

    async def load(self) -> list[SearchRule]:
        rows = await self._database.read(lambda connection: connection.execute(_SELECT).scalars().all())
        return [_decoder.decode(row) for row in rows]


def _put(folded: str, rule: SearchRule, limit: int, connection: Connection) -> bool:
    key = {"of_kind": _get_kind(rule), "of_folded": folded}
    text = msgspec.json.encode(rule).decode()
    if connection.execute(_SELECT_THIS, key).first() is not None:
        connection.execute(_UPDATE, {**key, "new_rule": text})
    elif connection.execute(_COUNT).scalar_one() >= limit:
        return False
    else:
        connection.execute(insert(_rules), {"kind": key["of_kind"], "folded": folded, "rule": text})
    return True


def _get_kind(rule: SearchRule) -> RuleKind:
    return "synonym" if isinstance(rule, Synonym) else "pin"
