"""Recording: the searches of viewers become facts, and the facts are counted."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from msgspec.structs import replace

from matinee.events.api import Events, FactRecord, SearchEnded, new_record
from matinee.kit import ids
from matinee.kit.clock import Clock
from matinee.kit.ids import FactId, ProfileId, TitleId
from matinee.kit.problem import Fault, Invalid
from matinee.search.api import EndedSearch, IndexNotReady, QueryReport
from matinee.search.model.queries import count_queries
from matinee.search.ports import QueryLog, TextIndex

KEPT_DAYS = 30
MAX_LISTED = 1_000
# A client cannot fill the disk with random queries.
QUERIES_PER_DAY = 10_000
# So many openings are remembered, so that a viewer counts once a day for a title.
_REMEMBERED = 10_000


class Recorder:
    """Records and counts searches."""

    def __init__(
        self, *, log: QueryLog, index: TextIndex, events: Events, clock: Clock, queries_per_day: int = QUERIES_PER_DAY
    ) -> None:
        self._log = log
        self._index = index
        self._events = events
        self._clock = clock
        self._queries_per_day = queries_per_day
        self._opened: dict[tuple[date, ProfileId, TitleId], None] = {}

    async def record(self, search: EndedSearch, *, language: str, profile_id: ProfileId | None) -> None:
        """Append a search to the log of facts.

        Without an outbox: the client does not repeat a report that fails, and no state depends on it.
        """
        opened = search.opened
        fact = SearchEnded(
            profile_id=profile_id,
            query=search.query,
            language=language,
            titles=search.titles,
            people=search.people,
            genres=search.genres,
            title_ids=tuple(search.title_ids),
            corrected=search.corrected,
            partial=search.partial,
            opened_kind=opened.kind if opened else None,
            opened_id=opened.id if opened else "",
            opened_position=opened.position if opened else 0,
        )
        record = new_record(fact, key=profile_id or search.report_id, now=self._clock.now())
        # Derived with the profile, so that no client can use the id of another one's fact.
        fact_id = ids.derive(FactId, "search", profile_id or "", search.report_id)
        # The log of requests has the account beside the trace id.
        trace_id = record.trace_id if profile_id else ""
        await self._events.append(records=[replace(record, fact_id=fact_id, trace_id=trace_id)])

    async def handle(self, records: Sequence[FactRecord]) -> None:
        """Count facts."""
        days: dict[date, list[SearchEnded]] = {}
        for record in records:
            if isinstance(record.fact, SearchEnded):
                days.setdefault(record.at.date(), []).append(record.fact)
        for day, facts in sorted(days.items()):
            opened = await self._count_opened(day, facts)
            await self._log.add(day=day, queries=count_queries(facts), opened=opened, limit=self._queries_per_day)

    async def _count_opened(self, day: date, facts: Sequence[SearchEnded]) -> dict[TitleId, int]:
        """Count the titles opened that are in the index: a client may report any id.

        As far as it is remembered here, a profile counts once a day for a title. What children open counts for no
        title, since their searches have no profile.
        """
        counts: dict[TitleId, int] = {}
        for fact in facts:
            if fact.opened_kind == "title" and fact.profile_id and not self._is_repeated(day, fact, fact.profile_id):
                title_id = TitleId(fact.opened_id)
                counts[title_id] = counts.get(title_id, 0) + 1
        try:
            known = await self._index.load_about(list(counts)) if counts else {}
        except IndexNotReady:
            known = {}
        return {title_id: number for title_id, number in counts.items() if title_id in known}

    def _is_repeated(self, day: date, fact: SearchEnded, profile_id: ProfileId) -> bool:
        key = (day, profile_id, TitleId(fact.opened_id))
        if key in self._opened:
            return True
        self._opened[key] = None
        if len(self._opened) > _REMEMBERED:
            del self._opened[next(iter(self._opened))]
        return False

    async def report(self, *, days: int, limit: int) -> QueryReport:
        """Return what was searched for. Raises Invalid."""
        faults = [] if 1 <= days <= KEPT_DAYS else [Fault("days", f"from 1 to {KEPT_DAYS}")]
        faults += [] if 1 <= limit <= MAX_LISTED else [Fault("limit", f"from 1 to {MAX_LISTED}")]
        if faults:
            raise Invalid(faults=faults)
        return await self._log.report(days=days, today=self._clock.now().date(), limit=limit)

    async def remove_old(self) -> None:
        """Delete the counts of days that are not kept."""
        await self._log.remove_before(self._clock.now().date() - timedelta(days=KEPT_DAYS - 1))
