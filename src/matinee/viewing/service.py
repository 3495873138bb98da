"""The service of viewing."""

from __future__ import annotations

from matinee.kit.clock import Clock
from matinee.kit.ids import AccountId, EpisodeId, ProfileId, TitleId
from matinee.kit.page import Page, make_cursor
from matinee.kit.problem import Fault, Invalid
from matinee.viewing import model
from matinee.viewing.api import Position
from matinee.viewing.ports import ViewingStore

MAX_LIMIT = 200
MAX_TITLES = 1000
# Continue watching searches at most this many pages of positions.
PAGE, PAGES = 100, 20


class ViewingService:
    """Implements `Viewing` on a `ViewingStore`."""

    def __init__(self, *, store: ViewingStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def record(self, *, position: Position) -> Position:
        now = self._clock.now()
        return await self._store.save(model.normalise(position, now), now=now)

    async def get_position(
        self, *, account_id: AccountId, profile_id: ProfileId, title_id: TitleId, episode_id: EpisodeId | None = None
    ) -> Position | None:
        if episode_id is not None:
            return await self._store.find_episode(account_id, profile_id, title_id, episode_id)
        return next(iter(await self._store.list_by_titles(account_id, profile_id, [title_id])), None)

    async def list_positions(
        self, *, account_id: AccountId, profile_id: ProfileId, title_ids: list[TitleId]
    ) -> list[Position]:
        _check("title_ids", len(title_ids) <= MAX_TITLES, f"at most {MAX_TITLES}")
        return await self._store.list_by_titles(account_id, profile_id, title_ids) if title_ids else []

    async def continue_watching(
        self, *, account_id: AccountId, profile_id: ProfileId, limit: int = 20
    ) -> list[Position]:
        _check_limit(limit)
        found: list[Position] = []
        done: set[TitleId] = set()
        after: model.HistoryKey | None = None
        now = self._clock.now()
        for _ in range(PAGES):
            page = await self._store.list_recent(
                account_id, profile_id, after=after, limit=PAGE, dismissed=False, now=now
            )
            found += model.select_unfinished(page, done)
            if len(found) >= limit or len(page) < PAGE:
                break
            after = model.history_key(page[-1])
        return found[:limit]

    async def list_history(
        self,
        *,
        account_id: AccountId,
        profile_id: ProfileId,
        cursor: str | None = None,
        limit: int = 50,
        dismissed: bool = False,
    ) -> Page[Position]:
        _check_limit(limit)
        after = None if cursor is None else model.parse_cursor(cursor)
        found = await self._store.list_recent(
            account_id, profile_id, after=after, limit=limit + 1, dismissed=dismissed, now=self._clock.now()
        )
        items = found[:limit]
        next_cursor = make_cursor(*model.history_key(items[-1])) if len(found) > limit else None
        return Page(items=items, next_cursor=next_cursor)

    async def dismiss(self, *, account_id: AccountId, profile_id: ProfileId, title_id: TitleId) -> None:
        _check("title_id", 1 <= len(title_id) <= model.MAX_ID, "is not an id")
        await self._store.dismiss(account_id, profile_id, title_id, now=self._clock.now())

    async def erase(self, *, account_id: AccountId, profile_id: ProfileId) -> None:
        await self._store.erase(account_id, profile_id, now=self._clock.now())


def _check(field: str, is_valid: bool, message: str) -> None:
    if not is_valid:
        raise Invalid(faults=[Fault(field, message)])


def _check_limit(limit: int) -> None:
    _check("limit", 1 <= limit <= MAX_LIMIT, f"from 1 to {MAX_LIMIT}")
