"""Positions and history on Cassandra.

`playback_state` has a row for each title and episode of a profile; for a film the episode is the nil UUID. `stands`
contains `device_id`, `position_ms` and `duration_ms` in one cell, and it alone is read: Cassandra resolves each cell
separately, by timestamp and then by value. Every write carries the position's own time as timestamp, so that the newest
position wins whatever the order of arrival. Of two positions of the same millisecond, separate cells could end with
values of both; the single cell ends with the greater value, and its bytes are ordered as `model.precedence`.

`viewing_history` has a partition for each profile and month with a row for each title and episode, which is
overwritten when the title is watched again; only a title watched in a later month leaves a tombstone. The row is
written before the position, so that every position has one, and a row is ignored unless the position is in that month.
Rows left by concurrent or killed writers are therefore never returned.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Final, NamedTuple, Self
from uuid import UUID

import msgspec

from matinee.drivers.cassandra import Cassandra, Query, Row, from_uuid, to_uuid
from matinee.drivers.cassandra_schema import migrate
from matinee.drivers.engine import EngineUnavailable
from matinee.kit import log
from matinee.kit.clock import CLOCK_SKEW, Clock, to_ms
from matinee.kit.ids import AccountId, DeviceId, EpisodeId, ProfileId, TitleId
from matinee.kit.problem import Fault, Invalid
from matinee.viewing import model
from matinee.viewing.adapters.cluster_clock import ClusterClock
from matinee.viewing.api import Position
from matinee.viewing.model import HistoryKey

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
    # In place of tables that only earlier versions used: where these exist, the steps are done.
    "DROP TABLE IF EXISTS viewing_outbox",
    "DROP TABLE IF EXISTS viewing_outbox_shard",
)
_SELECT_EPISODE = Query(
    "SELECT title_id, episode_id, updated_at, stands FROM playback_state"
    " WHERE user_id = ? AND profile_id = ? AND title_id = ? AND episode_id = ?"
)
_SELECT_STORED = Query(
    "SELECT title_id, episode_id, updated_at, stands, WRITETIME(stands) FROM playback_state"
    " WHERE user_id = ? AND profile_id = ? AND title_id = ? AND episode_id = ?"
)
_SELECT_TITLES = Query(
    "SELECT title_id, episode_id, updated_at, stands FROM playback_state"
    " WHERE user_id = ? AND profile_id = ? AND title_id IN ?"
)
_SELECT_EPISODES = Query(
    "SELECT title_id, episode_id, updated_at, stands FROM playback_state"
    " WHERE user_id = ? AND profile_id = ? AND (title_id, episode_id) IN ?"
)
_SELECT_PROFILE = Query(
    "SELECT DISTINCT user_id, profile_id, months, erased_at FROM playback_state WHERE user_id = ? AND profile_id = ?"
)
_SELECT_NEWEST = Query("SELECT MAX(updated_at) FROM playback_state WHERE user_id = ? AND profile_id = ?")
_UPDATE_POSITION = Query(
    "UPDATE playback_state USING TIMESTAMP ? SET months = months + ?, stands = ?, updated_at = ?, device_id = ?,"
    " position_ms = ?, duration_ms = ?"
    " WHERE user_id = ? AND profile_id = ? AND title_id = ? AND episode_id = ?"
)
_SELECT_MONTH = Query(
    "SELECT title_id, episode_id, updated_at FROM viewing_history WHERE user_id = ? AND profile_id = ? AND month = ?"
)
_INSERT_HISTORY = Query(
    "INSERT INTO viewing_history (user_id, profile_id, month, title_id, episode_id, updated_at)"
    " VALUES (?, ?, ?, ?, ?, ?) USING TIMESTAMP ?"
)
_DELETE_HISTORY = Query(
    "DELETE FROM viewing_history USING TIMESTAMP ?"
    " WHERE user_id = ? AND profile_id = ? AND month = ? AND title_id = ? AND episode_id = ?"
)
_DISMISS = Query(
    "INSERT INTO viewing_dismissal (user_id, profile_id, title_id, dismissed_at) VALUES (?, ?, ?, ?) USING TIMESTAMP ?"
)
_SELECT_DISMISSALS = Query("SELECT title_id, dismissed_at FROM viewing_dismissal WHERE user_id = ? AND profile_id = ?")
_ERASE_MONTHS = Query(
    "DELETE FROM viewing_history USING TIMESTAMP ? WHERE user_id = ? AND profile_id = ? AND month IN ?"
)
_ERASE_DISMISSALS = Query("DELETE FROM viewing_dismissal USING TIMESTAMP ? WHERE user_id = ? AND profile_id = ?")
_ERASE_STATE = Query("DELETE FROM playback_state USING TIMESTAMP ? WHERE user_id = ? AND profile_id = ?")
_SET_ERASED_AT = Query("UPDATE playback_state USING TIMESTAMP ? SET erased_at = ? WHERE user_id = ? AND profile_id = ?")

PAGE: Final = 100
CONCURRENT_MONTHS: Final = 3
_FILM: Final = UUID(int=0)
_NO_EPISODE: Final = str(_FILM)
_log = log.get()


class CassandraViewingStore:
    """A `ViewingStore` on Cassandra."""

    def __init__(self, cassandra: Cassandra, clock: Clock) -> None:
        self._cassandra = cassandra
        self._cluster_clock = ClusterClock(cassandra, clock)

    @classmethod
    async def open(cls, cassandra: Cassandra, clock: Clock) -> Self:
        """Migrate the tables of a keyspace and return the store in it."""
        await migrate(cassandra, "viewing", SCHEMA)
        return cls(cassandra, clock)

    async def save(self, position: Position, *, now: datetime) -> Position:
        key = _Key.of(position)
        if not self._cluster_clock.is_right:
            # `model.normalise` has bounded it by this machine's clock.
            at = await self._cluster_clock.limit(position.updated_at)
            position = msgspec.structs.replace(position, updated_at=at)
        rows = await self._cassandra.fetch(_SELECT_STORED, *key)
        cell = _encode_position(position)
        is_older = bool(rows) and rows[0][2:4] >= (position.updated_at, cell)  # ordered as `model.precedence`
        if is_older and rows[0][2] <= now + CLOCK_SKEW:
            return _to_position(position.account_id, position.profile_id, rows[0][:4])
        if not rows and await self._is_erased(key, position):
            return position
        await self._cassandra.execute(_INSERT_HISTORY, *_to_history_row(key, position))
        timestamp = _to_timestamp(position.updated_at)
        if rows and rows[0][4] > timestamp:  # the stored one was ahead, and Cassandra keeps the later write
            timestamp = rows[0][4] + 1
        await self._cassandra.execute(_UPDATE_POSITION, timestamp, *_to_update(key, position, cell))
        if rows and _to_month(rows[0][2]) != _to_month(position.updated_at):
            await self._delete_history(key, rows[0][2])
        return position

    async def find_episode(
        self, account_id: AccountId, profile_id: ProfileId, title_id: TitleId, episode_id: EpisodeId
    ) -> Position | None:
        try:
            profile = _to_profile(account_id, profile_id)
            key = (*profile.key, _to_uuid(TitleId, title_id), _to_uuid(EpisodeId, episode_id))
        except Invalid:
            return None
        rows = await self._cassandra.fetch(_SELECT_EPISODE, *key)
        return _to_position(profile.account_id, profile.profile_id, rows[0]) if rows else None

    async def list_by_titles(
        self, account_id: AccountId, profile_id: ProfileId, title_ids: list[TitleId]
    ) -> list[Position]:
        profile = _to_profile(account_id, profile_id)
        uuids = [uuid for title_id in title_ids if (uuid := _find_uuid(TitleId, title_id)) is not None]
        if len(uuids) <= PAGE:
            rows = await self._cassandra.fetch(_SELECT_TITLES, *profile.key, uuids) if uuids else []
        else:
            pages = (uuids[start : start + PAGE] for start in range(0, len(uuids), PAGE))
            found = await asyncio.gather(*(self._cassandra.fetch(_SELECT_TITLES, *profile.key, page) for page in pages))
            rows = [row for page_rows in found for row in page_rows]
        return _sort([_to_position(account_id, profile_id, row) for row in rows])

    async def list_recent(
        self,
        account_id: AccountId,
        profile_id: ProfileId,
        *,
        after: HistoryKey | None,
        limit: int,
        dismissed: bool,
        now: datetime,
    ) -> list[Position]:
        profile = _to_profile(account_id, profile_id)
        state, hidden = await asyncio.gather(
            self._cassandra.fetch(_SELECT_PROFILE, *profile.key), self._find_dismissed(profile, dismissed)
        )
        months = sorted((state[0][2] or ()) if state else (), reverse=True)
        if after is not None:
            months = [month for month in months if month <= _to_month(after.at)]

        def is_listed(position: Position) -> bool:
            is_after = after is None or model.history_key(position) < after
            dismissed_at = hidden.get(position.title_id)
            return is_after and not (dismissed_at and position.updated_at <= dismissed_at <= now + CLOCK_SKEW)

        found: list[Position] = []
        for start in range(0, len(months), CONCURRENT_MONTHS):
            chunk = months[start : start + CONCURRENT_MONTHS]
            rows = await asyncio.gather(*(self._cassandra.fetch(_SELECT_MONTH, *profile.key, month) for month in chunk))
            for month, watched in zip(chunk, rows, strict=True):
                found += await self._list_month(profile, month, watched, is_listed, limit - len(found))
                if len(found) >= limit:
                    return found[:limit]
        return found

    async def dismiss(self, account_id: AccountId, profile_id: ProfileId, title_id: TitleId, *, now: datetime) -> None:
        profile = _to_profile(account_id, profile_id)
        now = await self._cluster_clock.limit(now)
        await self._cassandra.execute(_DISMISS, *profile.key, _to_uuid(TitleId, title_id), now, _to_timestamp(now))

    async def erase(self, account_id: AccountId, profile_id: ProfileId, *, now: datetime) -> None:
        """Delete all data of a profile, also positions later than `now` (clocks differ), and store the latest time.

        All months are deleted without reading which exist, so that concurrent writes are deleted too. The time of the
        erasure is written last: after a failure the caller repeats everything.
        """
        profile = _to_profile(account_id, profile_id)
        key = profile.key
        (newest,), *_ = await self._cassandra.fetch(_SELECT_NEWEST, *key)
        times = [now, *((await self._find_dismissed(profile, dismissed=False)).values()), *([newest] if newest else [])]
        erased_at = max(times)
        stamp = _to_timestamp(erased_at)
        years = [[year * 100 + month for month in range(1, 13)] for year in _list_years(erased_at)]
        await asyncio.gather(*(self._cassandra.execute(_ERASE_MONTHS, stamp, *key, months) for months in years))
        await self._cassandra.execute(_ERASE_DISMISSALS, stamp, *key)
        await self._cassandra.execute_batch(
            (_ERASE_STATE, (stamp, *key)), (_SET_ERASED_AT, (stamp + 1, erased_at, *key))
        )

    async def _is_erased(self, key: _Key, position: Position) -> bool:
        """Return whether the profile was erased after a position; asked only for a first position."""
        rows = await self._cassandra.fetch(_SELECT_PROFILE, *key.profile)
        return bool(rows) and rows[0][3] is not None and position.updated_at <= rows[0][3]

    async def _delete_history(self, key: _Key, watched_at: datetime) -> None:
        """Delete the row of an earlier month, which readers would ignore, to save them reading it."""
        try:
            month = _to_month(watched_at)
            await self._cassandra.execute(
                _DELETE_HISTORY, _to_timestamp(watched_at), *key.profile, month, key.title_id, key.episode_id
            )
        except EngineUnavailable as error:
            _log.info("viewing.history_row_not_deleted", error=repr(error))

    async def _find_dismissed(self, profile: _Profile, dismissed: bool) -> dict[TitleId, datetime]:
        """Return when titles were dismissed; nothing if dismissed titles are included."""
        rows = [] if dismissed else await self._cassandra.fetch(_SELECT_DISMISSALS, *profile.key)
        return {from_uuid(TitleId, title): at for title, at in rows}

    async def _list_month(
        self, profile: _Profile, month: int, watched: list[Row], is_listed: Callable[[Position], bool], limit: int
    ) -> list[Position]:
        """Return positions of a month, newest first: at least `limit` of them, or all."""
        watched = sorted(watched, key=_to_row_key, reverse=True)
        found: list[Position] = []
        for start in range(0, len(watched), PAGE):
            keys = [(UUID(title), UUID(episode)) for title, episode, _ in watched[start : start + PAGE]]
            states = await self._cassandra.fetch(_SELECT_EPISODES, *profile.key, keys)
            here = (_to_position(profile.account_id, profile.profile_id, row) for row in states)
            found = _sort([*found, *(p for p in here if _to_month(p.updated_at) == month and is_listed(p))])
            rest = watched[start + PAGE : start + PAGE + 1]
            if len(found) >= limit and rest and model.history_key(found[limit - 1]) >= _to_row_key(rest[0]):
                break
        return found


class _Profile(NamedTuple):
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
            _to_uuid(AccountId, position.account_id),
            _to_uuid(ProfileId, position.profile_id),
            _to_uuid(TitleId, position.title_id),
            _FILM if position.episode_id is None else _to_uuid(EpisodeId, position.episode_id),
        )

    @property
    def profile(self) -> tuple[UUID, UUID]:
        return (self.user_id, self.profile_id)


def _to_profile(account_id: AccountId, profile_id: ProfileId) -> _Profile:
    return _Profile(account_id, profile_id, (_to_uuid(AccountId, account_id), _to_uuid(ProfileId, profile_id)))


def _to_uuid(kind: Callable[[str], str], text: str) -> UUID:
    """Return the UUID of an id. Raises Invalid for text that is not an id of that kind."""
    try:
        return to_uuid(kind, text)
    except ValueError as error:
        raise Invalid(faults=[Fault(f"{kind.__name__[:-2].lower()}_id", "is not an id")]) from error


def _find_uuid(kind: Callable[[str], str], text: str) -> UUID | None:
    try:
        return _to_uuid(kind, text)
    except Invalid:
        return None


def _to_position(account_id: AccountId, profile_id: ProfileId, row: Row) -> Position:
    title_id, episode_id, updated_at, cell = row
    device_id, position_ms, duration_ms = _decode_position(cell)
    return Position(
        account_id=account_id,
        profile_id=profile_id,
        title_id=from_uuid(TitleId, title_id),
        episode_id=_to_episode(episode_id),
        position_ms=position_ms,
        duration_ms=duration_ms,
        updated_at=updated_at,
        device_id=device_id,
    )


def _to_episode(value: str) -> EpisodeId | None:
    return None if value == _NO_EPISODE else from_uuid(EpisodeId, value)


def _encode_position(position: Position) -> bytes:
    """Encode device, position and duration in bytes that are ordered as `model.precedence`."""
    device = position.device_id.encode().replace(b"\0", b"\0\xff")
    return device + b"\0" + position.position_ms.to_bytes(8, "big") + position.duration_ms.to_bytes(8, "big")


def _decode_position(cell: bytes) -> tuple[DeviceId, int, int]:
    device = cell[:-17].replace(b"\0\xff", b"\0").decode()
    return DeviceId(device), int.from_bytes(cell[-16:-8], "big"), int.from_bytes(cell[-8:], "big")


def _to_history_row(key: _Key, position: Position) -> tuple[object, ...]:
    at = position.updated_at
    return (*key.profile, _to_month(at), key.title_id, key.episode_id, at, _to_timestamp(at))


def _to_update(key: _Key, position: Position, cell: bytes) -> tuple[object, ...]:
    at = position.updated_at
    values = (position.device_id, position.position_ms, position.duration_ms)
    return ({_to_month(at)}, cell, at, *values, *key)


def _to_timestamp(at: datetime) -> int:
    """Return the timestamp of a write: microseconds since 1970."""
    return to_ms(at) * 1000


def _to_month(at: datetime) -> int:
    """Return a month as a number: 202611 for November 2026."""
    return at.year * 100 + at.month


def _list_years(until: datetime) -> range:
    return range(model.EARLIEST.year, until.year + 1)


def _to_row_key(row: Row) -> HistoryKey:
    title_id, episode_id, updated_at = row
    return HistoryKey(updated_at, from_uuid(TitleId, title_id), _to_episode(episode_id) or "")


def _sort(positions: list[Position]) -> list[Position]:
    return sorted(positions, key=model.history_key, reverse=True) if len(positions) > 1 else positions
