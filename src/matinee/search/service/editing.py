"""Editing: the rules by which editors change what searches find."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from matinee.kit import log
from matinee.kit.clock import Clock
from matinee.kit.problem import Fault, Invalid
from matinee.search.api import RuleKind, SearchRule, Synonym, TooManyRules
from matinee.search.model.folding import fold
from matinee.search.model.queries import KEY_LENGTH
from matinee.search.model.rules import Rules
from matinee.search.ports import RuleStore

MAX_RULES = 2_000
_READ_EVERY = timedelta(seconds=5)
_log = log.get()


class Editor:
    """The rules in a store; searches use those that were read last, at most a few seconds ago."""

    def __init__(self, *, store: RuleStore, clock: Clock, max_rules: int = MAX_RULES) -> None:
        self._store = store
        self._clock = clock
        self._max_rules = max_rules
        self._rules = Rules()
        self._read_at: datetime | None = None
        self._reading: asyncio.Task[None] | None = None

    def get_rules(self) -> Rules:
        """Return the rules as they were read last, and read them again for later searches where that is long ago."""
        age = None if self._read_at is None else self._clock.now() - self._read_at
        is_old = age is None or not timedelta() <= age < _READ_EVERY
        if is_old and (self._reading is None or self._reading.done()):
            self._reading = asyncio.create_task(self._try_to_read())
        return self._rules

    async def _try_to_read(self) -> None:
        try:
            await self._read()
        except Exception as error:  # the older rules are as good as none
            _log.warning("search.rules_not_read", error=repr(error))

    async def _read(self) -> None:
        self._read_at = self._clock.now()
        self._rules = Rules(await self._store.load())

    async def put(self, rule: SearchRule) -> None:
        """Store a rule. Raises Invalid, TooManyRules."""
        folded = fold(rule.query)[:KEY_LENGTH]
        texts = {"query": rule.query}
        if isinstance(rule, Synonym):
            texts |= {f"meanings.{place}": meaning for place, meaning in enumerate(rule.meanings)}
        if faults := [Fault(name, "must have a letter or a digit") for name, text in texts.items() if not fold(text)]:
            raise Invalid(faults=faults)
        if not await self._store.put(folded, rule, limit=self._max_rules):
            raise TooManyRules(detail=f"There are {self._max_rules} rules.")
        await self._read()

    async def remove(self, kind: RuleKind, query: str) -> bool:
        """Remove a rule; return whether there was one."""
        removed = await self._store.remove(fold(query)[:KEY_LENGTH], kind)
        await self._read()
        return removed

    async def list_rules(self) -> list[SearchRule]:
        """Return all rules."""
        return await self._store.load()
