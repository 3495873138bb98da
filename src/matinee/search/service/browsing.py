"""Browsing: the titles in the order of their names, by initials."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from matinee.kit.clock import Clock, from_ms
from matinee.kit.ids import TitleId
from matinee.kit.lru import LruCache
from matinee.kit.page import Page, make_cursor, parse_cursor
from matinee.kit.problem import Fault, Invalid
from matinee.search.model.documents import Audience
from matinee.search.model.fields import make_initial_term
from matinee.search.model.initials import choose_language, normalise, sort_initials
from matinee.search.ports import NameQuery, TextIndex

MAX_LIMIT: Final = 100
# Further titles of an initial are left out.
MAX_TITLES: Final = 10_000
_KEPT_FOR = timedelta(minutes=1)
_KEPT_LISTS, _KEPT_INITIALS = 60, 1_000
# So many titles of an initial are looked at for one that the viewer may find.
_SOUGHT = 4
# Cursors begin with a time, which these lists do not have.
_NO_TIME = from_ms(0)


class _Listed(NamedTuple):
    """A title of a list, which is sorted by the first two fields."""

    key: str
    title_id: TitleId
    audience: Audience


class Browser:
    """The lists of titles by initials; those that were used last are in memory, for a minute."""

    def __init__(self, *, index: TextIndex, clock: Clock) -> None:
        self._index = index
        self._clock = clock
        self._lists = LruCache[tuple[str, str], tuple[datetime, list[_Listed]]](_KEPT_LISTS)
        self._initials = LruCache[tuple[str, str, int], tuple[datetime, list[str]]](_KEPT_INITIALS)

    async def list_initials(self, *, language: str, territory: str, maturity: int) -> list[str]:
        """Return the initials of the titles that a viewer may find."""
        language, now = choose_language(language), self._clock.now()
        key = (language, territory, maturity)
        kept = self._initials.get(key)
        if kept is not None and timedelta() <= now - kept[0] < _KEPT_FOR:
            return kept[1]
        viewer = NameQuery(forms=(), territory=territory, maturity=maturity, now=now, limit=_SOUGHT)
        every = await self._index.list_initials(language)
        found = await asyncio.gather(*(self._has_titles(language, initial, viewer) for initial in every))
        initials = sort_initials({initial for initial, has in zip(every, found, strict=True) if has}, language)
        self._initials.put(key, (now, initials))
        return initials

    async def _has_titles(self, language: str, initial: str, viewer: NameQuery) -> bool:
        term = make_initial_term(language, initial)
        if await self._index.list_about("initials", term, viewer=viewer):
            return True
        # The index looks at a few titles only where rights windows decide.
        listed = await self._read(language, initial, viewer.now)
        return any(each.audience.includes(viewer.territory, viewer.maturity, viewer.now) for each in listed)

    async def browse(
        self, *, initial: str, language: str, territory: str, maturity: int, cursor: str | None, limit: int
    ) -> Page[TitleId]:
        """Return the titles of an initial that a viewer may find now, after a cursor. Raises Invalid."""
        if len(initial) != 1:
            raise Invalid(faults=[Fault("initial", "must be one character")])
        if not 1 <= limit <= MAX_LIMIT:
            raise Invalid(faults=[Fault("limit", f"from 1 to {MAX_LIMIT}")])
        after = parse_cursor(cursor, 2)[1] if cursor else None
        now = self._clock.now()
        listed = await self._read(choose_language(language), normalise(initial), now)
        start = bisect_right(listed, tuple(after), key=lambda each: (each.key, each.title_id)) if after else 0
        found: list[_Listed] = []
        for each in listed[start:]:
            if not each.audience.includes(territory, maturity, now):
                continue
            if len(found) == limit:
                last = found[-1]
                next_cursor = make_cursor(_NO_TIME, last.key, last.title_id)
                return Page(items=[one.title_id for one in found], next_cursor=next_cursor)
            found.append(each)
        return Page(items=[one.title_id for one in found])

    async def _read(self, language: str, initial: str, now: datetime) -> Sequence[_Listed]:
        """Return the titles of an initial in the order of their names."""
        kept = self._lists.get((language, initial))
        if kept is not None and timedelta() <= now - kept[0] < _KEPT_FOR:
            return kept[1]
        term = make_initial_term(language, initial)
        about = await self._index.list_about("initials", term, limit=MAX_TITLES)
        # Most titles have the same audience, which takes more memory than the rest.
        same: dict[Audience, Audience] = {}
        listed = [
            _Listed(each.get_place(language).key, TitleId(each.owner), same.setdefault(each.audience, each.audience))
            for each in about
        ]
        listed.sort(key=lambda each: (each.key, each.title_id))
        self._lists.put((language, initial), (now, listed))
        return listed
