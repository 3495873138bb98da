"""Positions and history on Cassandra.

`playback_state` has the columns of the seed, with two things other than there. `title_id` and `episode_id` are UUIDs
and not BIGINTs: our ids are UUIDs (version 7, or 8 where they are derived), which 64 bits do not hold and `timeuuid`,
being version 1, refuses; a film's episode is the UUID of zeros. And `stands` says once more, in one cell, what
`device_id`, `position_ms` and `duration_ms` say in three: it alone is read. Cassandra settles each cell by itself, by
its timestamp and then, where two are equal, by its value. Every write carries the position's own time, so that the
newest stands whatever the order of arrival; of two positions of the same millisecond, three cells could be left with
something of both, while one cell is left with the greater, and its bytes are ordered as `model.standing` is.

`viewing_history` says in which month each title and episode was last watched, one partition a profile and month, one
row a title or episode, written over again and again: it has no tombstones but those of titles taken up again in a
later month. Its row is written before the position, so that every position has one, and a row is believed only where
the position is of that month: what a race or a lost process leaves behind is never shown.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import ClassVar, Final, NamedTuple, Self
from uuid import UUID

import msgspec

from matinee.drivers.cassandra import Cassandra, Query, Row, from_uuid, to_uuid
from matinee.drivers.cassandra_outbox import CassandraOutbox, define_outbox_tables
from matinee.drivers.cassandra_schema import migrate
from matinee.drivers.engine import EngineUnavailable
from matinee.events.api import FactRecord, PositionMoved
from matinee.kit import log
from matinee.kit.clock import Clock, to_ms
from matinee.kit.ids import AccountId, DeviceId, EpisodeId, ProfileId, TitleId
from matinee.kit.problem import Fault, Invalid
from matinee.viewing import model
from matinee.viewing.api import Position
from matinee.viewing.model import Place

SCHEMA: Final = (
    """CREATE TABLE IF NOT EXISTS playback_state (
      user_id uuid, profile_id uuid, title_id uuid, episode_id uuid,
      position_ms bigint, duration_ms bigint, updated_at timestamp, device_id text,
      stands blob, months set<int> static, erased_at timestamp static,
      PRIMARY KEY ((user_id, profile_id), title_id, episode_id)
    ) WITH CLUSTERING ORDER BY (title_id DESC, episode_id DESC)
      AND compaction = {'class': 'LeveledCompactionStrategy'}""",
    """CREATE TABLE IF NOT EXISTS viewing_history (
      user_id uuid, profile_id uuid, month int, title_id uuid, episode_id uuid, updated_at timestamp,
      PRIMARY KEY ((user_id, profile_id, month), title_id, episode_id))""",
    """CREATE TABLE IF NOT EXISTS viewing_dismissal (
      user_id uuid, profile_id uuid, title_id uuid, dismissed_at timestamp,
      PRIMARY KEY ((user_id, profile_id), title_id))""",
    *define_outbox_tables("viewing"),
)
_ONE = Query(
    "SELECT title_id, episode_id, updated_at, stands FROM playback_state"
    " WHERE user_id = ? AND profile_id = ? AND title_id = ? AND episode_id = ?"
)
_TITLES = Query(
    "SELECT title_id, episode_id, updated_at, stands FROM playback_state"
    " WHERE user_id = ? AND profile_id = ? AND title_id IN ?"
)
_SOME = Query(
    "SELECT title_id, episode_id, updated_at, stands FROM playback_state"
    " WHERE user_id = ? AND profile_id = ? AND (title_id, episode_id) IN ?"
)
_HEAD = Query(
    "SELECT DISTINCT user_id, profile_id, months, erased_at FROM playback_state WHERE user_id = ? AND profile_id = ?"
)
_NEWEST = Query("SELECT MAX(updated_at) FROM playback_state WHERE user_id = ? AND profile_id = ?")
_MOVE = Query(
    "UPDATE playback_state USING TIMESTAMP ? SET months = months + ?, stands = ?, updated_at = ?, device_id = ?,"
    " position_ms = ?, duration_ms = ?"
    " WHERE user_id = ? AND profile_id = ? AND title_id = ? AND episode_id = ?"
)
_MONTH = Query(
    "SELECT title_id, episode_id, updated_at FROM viewing_history WHERE user_id = ? AND profile_id = ? AND month = ?"
)
_WATCHED = Query(
    "INSERT INTO viewing_history (user_id, profile_id, month, title_id, episode_id, updated_at)"
    " VALUES (?, ?, ?, ?, ?, ?) USING TIMESTAMP ?"
)
_LEFT = Query(
    "DELETE FROM viewing_history USING TIMESTAMP ?"
    " WHERE user_id = ? AND profile_id = ? AND month = ? AND title_id = ? AND episode_id = ?"
)
_DISMISS = Query(
    "INSERT INTO viewing_dismissal (user_id, profile_id, title_id, dismissed_at) VALUES (?, ?, ?, ?) USING TIMESTAMP ?"
)
_DISMISSED = Query("SELECT title_id, dismissed_at FROM viewing_dismissal WHERE user_id = ? AND profile_id = ?")
_ERASE_MONTHS = Query(
    "DELETE FROM viewing_history USING TIMESTAMP ? WHERE user_id = ? AND profile_id = ? AND month IN ?"
)
_ERASE_DISMISSALS = Query("DELETE FROM viewing_dismissal USING TIMESTAMP ? WHERE user_id = ? AND profile_id = ?")
_ERASE_STATE = Query("DELETE FROM playback_state USING TIMESTAMP ? WHERE user_id = ? AND profile_id = ?")
_ERASED = Query("UPDATE playback_state USING TIMESTAMP ? SET erased_at = ? WHERE user_id = ? AND profile_id = ?")

SOME: Final = 100
MONTHS_AT_ONCE: Final = 3
# How far this machine's clock may be ahead of the cluster's before positions are set back by it.
AHEAD_MS: Final = 2000
CLOCK_S: Final = 60.0
_FILM: Final = UUID(int=0)
_NO_EPISODE: Final = str(_FILM)
_encode: Final = msgspec.json.Encoder().encode
_log = log.get()


class CassandraViewingStore:
    """A `ViewingStore` on Cassandra. `outbox` holds the facts to be relayed."""

    exact_facts: ClassVar[bool] = False

    def __init__(self, cassandra: Cassandra, clock: Clock) -> None:
        self._cassandra = cassandra
        self._clock = clock
        self._ahead_ms, self._asked_at = 0, float("-inf")
        self.outbox = CassandraOutbox(cassandra, "viewing", clock)

    @classmethod
    async def open(cls, cassandra: Cassandra, clock: Clock) -> Self:
        """The store in a keyspace, its tables brought up to date."""
        await migrate(cassandra, "viewing", SCHEMA)
        return cls(cassandra, clock)

    async def save(self, position: Position, *, record: FactRecord) -> Position:
        key = _Key.of(position)
        if not self._is_in_time():
            position, record = await self._bounded(position, record)
        rows = await self._cassandra.fetch(_ONE, *key)
        cell = _stands(position)
        if rows and rows[0][2:] >= (position.updated_at, cell):  # ordered as `model.standing` is
            return _position(position.account_id, position.profile_id, rows[0])
        if not rows and await self._is_erased(key, position):
            return position
        async with self.outbox.write_ahead(_encode(record), (_WATCHED, _watched(key, position))):
            await self._cassandra.execute(_MOVE, *_moved(key, position, cell))
        if rows and _month(rows[0][2]) != _month(position.updated_at):
            await self._leave(key, rows[0][2])
        return position

    async def one(
        self, account_id: AccountId, profile_id: ProfileId, title_id: TitleId, episode_id: EpisodeId
    ) -> Position | None:
        try:
            whose = _profile(account_id, profile_id)
            key = (*whose.key, _uuid(TitleId, title_id), _uuid(EpisodeId, episode_id))
        except Invalid:
            return None
        rows = await self._cassandra.fetch(_ONE, *key)
        return _position(whose.account_id, whose.profile_id, rows[0]) if rows else None

    async def of_titles(self, account_id: AccountId, profile_id: ProfileId, title_ids: list[TitleId]) -> list[Position]:
        whose = _profile(account_id, profile_id)
        asked = [known for title_id in title_ids if (known := _known(TitleId, title_id)) is not None]
        if len(asked) <= SOME:
            rows = await self._cassandra.fetch(_TITLES, *whose.key, asked) if asked else []
        else:
            some = (asked[start : start + SOME] for start in range(0, len(asked), SOME))
            found = await asyncio.gather(*(self._cassandra.fetch(_TITLES, *whose.key, titles) for titles in some))
            rows = [row for some_rows in found for row in some_rows]
        return _newest_first([_position(account_id, profile_id, row) for row in rows])

    async def recent(
        self, account_id: AccountId, profile_id: ProfileId, *, after: Place | None, limit: int, dismissed: bool
    ) -> list[Position]:
        whose = _profile(account_id, profile_id)
        head, hidden = await asyncio.gather(self._cassandra.fetch(_HEAD, *whose.key), self._hidden(whose, dismissed))
        months = sorted((head[0][2] or ()) if head else (), reverse=True)
        if after is not None:
            months = [month for month in months if month <= _month(after.at)]

        def wanted(one: Position) -> bool:
            behind = after is None or model.place(one) < after
            return behind and not (one.title_id in hidden and one.updated_at <= hidden[one.title_id])

        found: list[Position] = []
        for start in range(0, len(months), MONTHS_AT_ONCE):
            some = months[start : start + MONTHS_AT_ONCE]
            rows = await asyncio.gather(*(self._cassandra.fetch(_MONTH, *whose.key, month) for month in some))
            for month, watched in zip(some, rows, strict=True):
                found += await self._of_month(whose, month, watched, wanted, limit - len(found))
                if len(found) >= limit:
                    return found[:limit]
        return found

    async def dismiss(self, account_id: AccountId, profile_id: ProfileId, title_id: TitleId, *, now: datetime) -> None:
        whose = _profile(account_id, profile_id)
        await self._cassandra.execute(_DISMISS, *whose.key, _uuid(TitleId, title_id), now, _stamp(now))

    async def erase(self, account_id: AccountId, profile_id: ProfileId, *, now: datetime) -> None:
        """As the port has it; what is there with a later time than `now` (clocks differ) goes too, and its time counts.

        Months are erased without asking which there are, so that what is being written just now goes as well. The
        time of the erasure is written last: where something fails before, the whole is repeated.
        """
        whose = _profile(account_id, profile_id)
        key = whose.key
        (newest,), *_ = await self._cassandra.fetch(_NEWEST, *key)
        times = [now, *((await self._hidden(whose, dismissed=False)).values()), *([newest] if newest else [])]
        erased_at = max(times)
        stamp = _stamp(erased_at)
        years = [[year * 100 + month for month in range(1, 13)] for year in _years(erased_at)]
        await asyncio.gather(*(self._cassandra.execute(_ERASE_MONTHS, stamp, *key, months) for months in years))
        await self._cassandra.execute(_ERASE_DISMISSALS, stamp, *key)
        await self._cassandra.execute_batch((_ERASE_STATE, (stamp, *key)), (_ERASED, (stamp + 1, erased_at, *key)))

    async def _is_erased(self, key: _Key, position: Position) -> bool:
        """Whether the profile was erased after a position was seen: asked only where none is there."""
        head = await self._cassandra.fetch(_HEAD, *key.whose)
        return bool(head) and head[0][3] is not None and position.updated_at <= head[0][3]

    async def _leave(self, key: _Key, seen_at: datetime) -> None:
        """Take a title out of the month that it was in: only to save the readers the look at it."""
        try:
            month = _month(seen_at)
            await self._cassandra.execute(_LEFT, _stamp(seen_at), *key.whose, month, key.title_id, key.episode_id)
        except EngineUnavailable as error:
            _log.info("viewing.month_not_left", error=repr(error))

    async def _hidden(self, whose: _Whose, dismissed: bool) -> dict[TitleId, datetime]:
        """What was dismissed, and when; nothing where it is wanted."""
        rows = [] if dismissed else await self._cassandra.fetch(_DISMISSED, *whose.key)
        return {from_uuid(TitleId, title): at for title, at in rows}

    async def _of_month(
        self, whose: _Whose, month: int, watched: list[Row], wanted: Callable[[Position], bool], limit: int
    ) -> list[Position]:
        """The positions of a month, newest first, at least `limit` of them where there are so many."""
        watched = sorted(watched, key=_row_place, reverse=True)
        found: list[Position] = []
        for start in range(0, len(watched), SOME):
            keys = [(UUID(title), UUID(episode)) for title, episode, _ in watched[start : start + SOME]]
            states = await self._cassandra.fetch(_SOME, *whose.key, keys)
            here = (_position(whose.account_id, whose.profile_id, row) for row in states)
            found = _newest_first([*found, *(one for one in here if _month(one.updated_at) == month and wanted(one))])
            rest = watched[start + SOME : start + SOME + 1]
            if len(found) >= limit and rest and model.place(found[limit - 1]) >= _row_place(rest[0]):
                break
        return found

    def _is_in_time(self) -> bool:
        """Whether this machine's clock was lately seen not to be ahead of the cluster's."""
        return self._ahead_ms <= AHEAD_MS and time.monotonic() - self._asked_at <= CLOCK_S

    async def _bounded(self, position: Position, record: FactRecord) -> tuple[Position, FactRecord]:
        """The position, its time set back where this machine's clock is ahead of the cluster's.

        `model.accepted` has seen to it that it is not ahead of this machine's clock.
        """
        if time.monotonic() - self._asked_at > CLOCK_S:
            self._asked_at = time.monotonic()
            self._ahead_ms = to_ms(self._clock.now()) - await self._cassandra.fetch_now_ms()
            if self._ahead_ms > AHEAD_MS:
                _log.warning("viewing.clock_ahead", ahead_ms=self._ahead_ms)
        if self._ahead_ms <= AHEAD_MS:
            return position, record
        latest = self._clock.now() - timedelta(milliseconds=self._ahead_ms)
        if position.updated_at <= latest:
            return position, record
        fact = record.fact
        if isinstance(fact, PositionMoved):
            fact = msgspec.structs.replace(fact, updated_at=latest)
        return msgspec.structs.replace(position, updated_at=latest), msgspec.structs.replace(record, fact=fact)


class _Whose(NamedTuple):
    """A profile, and its key."""

    account_id: AccountId
    profile_id: ProfileId
    key: tuple[UUID, UUID]


class _Key(NamedTuple):
    """A position's key."""

    user_id: UUID
    profile_id: UUID
    title_id: UUID
    episode_id: UUID

    @classmethod
    def of(cls, position: Position) -> _Key:
        return cls(
            _uuid(AccountId, position.account_id),
            _uuid(ProfileId, position.profile_id),
            _uuid(TitleId, position.title_id),
            _FILM if position.episode_id is None else _uuid(EpisodeId, position.episode_id),
        )

    @property
    def whose(self) -> tuple[UUID, UUID]:
        return (self.user_id, self.profile_id)


def _profile(account_id: AccountId, profile_id: ProfileId) -> _Whose:
    return _Whose(account_id, profile_id, (_uuid(AccountId, account_id), _uuid(ProfileId, profile_id)))


def _uuid(kind: Callable[[str], str], text: str) -> UUID:
    """The UUID of an id. Raises Invalid for what is no id of that kind."""
    try:
        return to_uuid(kind, text)
    except ValueError as error:
        raise Invalid(faults=[Fault(f"{kind.__name__[:-2].lower()}_id", "is not an id")]) from error


def _known(kind: Callable[[str], str], text: str) -> UUID | None:
    try:
        return _uuid(kind, text)
    except Invalid:
        return None


def _position(account_id: AccountId, profile_id: ProfileId, row: Row) -> Position:
    title_id, episode_id, updated_at, stands = row
    device_id, position_ms, duration_ms = _standing(stands)
    return Position(
        account_id=account_id,
        profile_id=profile_id,
        title_id=from_uuid(TitleId, title_id),
        episode_id=_episode(episode_id),
        position_ms=position_ms,
        duration_ms=duration_ms,
        updated_at=updated_at,
        device_id=device_id,
    )


def _episode(value: str) -> EpisodeId | None:
    return None if value == _NO_EPISODE else from_uuid(EpisodeId, value)


def _stands(position: Position) -> bytes:
    """Device, position and length in bytes that are ordered as `model.standing` is."""
    device = position.device_id.encode().replace(b"\0", b"\0\xff")
    return device + b"\0" + position.position_ms.to_bytes(8, "big") + position.duration_ms.to_bytes(8, "big")


def _standing(cell: bytes) -> tuple[DeviceId, int, int]:
    device = cell[:-17].replace(b"\0\xff", b"\0").decode()
    return DeviceId(device), int.from_bytes(cell[-16:-8], "big"), int.from_bytes(cell[-8:], "big")


def _watched(key: _Key, position: Position) -> tuple[object, ...]:
    at = position.updated_at
    return (*key.whose, _month(at), key.title_id, key.episode_id, at, _stamp(at))


def _moved(key: _Key, position: Position, stands: bytes) -> tuple[object, ...]:
    at = position.updated_at
    seed = (position.device_id, position.position_ms, position.duration_ms)
    return (_stamp(at), {_month(at)}, stands, at, *seed, *key)


def _stamp(at: datetime) -> int:
    """A write's timestamp: microseconds since 1970."""
    return to_ms(at) * 1000


def _month(at: datetime) -> int:
    """2026-11 is 202611."""
    return at.year * 100 + at.month


def _years(until: datetime) -> range:
    return range(model.EARLIEST.year, until.year + 1)


def _row_place(row: Row) -> Place:
    title_id, episode_id, updated_at = row
    return Place(updated_at, from_uuid(TitleId, title_id), _episode(episode_id) or "")


def _newest_first(positions: list[Position]) -> list[Position]:
    return sorted(positions, key=model.place, reverse=True) if len(positions) > 1 else positions
