"""Cards of titles, made once for all viewers of a language."""

from __future__ import annotations

from matinee.catalogue.api import Title
from matinee.gateway.api import Card
from matinee.gateway.model import presentation
from matinee.kit.ids import TitleId
from matinee.kit.lru import LruCache

MAX_CARDS = 5_000


class Cards:
    """The cards that were used last, without what they have for one profile."""

    def __init__(self) -> None:
        self._made: LruCache[tuple[TitleId, str], tuple[Title, Card]] = LruCache(MAX_CARDS)

    def get(self, title: Title, language: str) -> Card:
        """Return the card of a title as it is now, in a language."""
        key = (title.title_id, language)
        made = self._made.get(key)
        if made is None or made[0] is not title:  # to compare the content costs as much as to make a card
            made = title, presentation.to_card(title, language)
            self._made.put(key, made)
        return made[1]
