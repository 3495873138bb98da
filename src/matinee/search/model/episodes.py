"""Episodes by number: `dark s2e3`, `dark 2x03`, `dark season 2 episode 3`, in several languages."""

from __future__ import annotations

import re
from typing import NamedTuple

_SEASON = r"(?:season|staffel|saison|temporada|stagione|sezon|сезон|série|シーズン|시즌|季|(?:ال)?موسم|s|t)"
_EPISODE = r"(?:episode|épisode|episodio|capítulo|folge|bölüm|серия|эпизод|エピソード|에피소드|(?:ال)?حلقة|ep\.?|e)"
_BETWEEN = r"\s*[,.:\-]?\s*"
_PATTERNS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(?<!\w){_SEASON}\s*(?P<season>\d{{1,2}}){_BETWEEN}{_EPISODE}\s*(?P<number>\d{{1,3}})(?!\w)",
        r"(?<!\w)(?P<season>\d{1,2})x(?P<number>\d{1,3})(?!\w)",
        rf"(?<!\w)(?P<season>\d{{1,2}})\.?\s*{_SEASON}\s*,?\s*(?P<number>\d{{1,3}})\.?\s*{_EPISODE}(?!\w)",
        rf"(?<!\w){_SEASON}\s*(?P<season>\d{{1,2}})\s*第\s*(?P<number>\d{{1,3}})\s*(?:集|話|话|회|화)",
        r"시즌\s*(?P<season>\d{1,2})\s*,?\s*(?P<number>\d{1,3})\s*(?:화|회)",
        r"第\s*(?P<season>\d{1,2})\s*(?:季|期)\s*第\s*(?P<number>\d{1,3})\s*(?:集|話|话)",
        r"(?P<season>\d{1,2})기\s*(?P<number>\d{1,3})(?:화|회)",
        r"s(?P<season>\d{1,2})e(?P<number>\d{1,3})(?!\w)",
        # What is not finished, or names the season or the episode only.
        rf"(?<!\w){_SEASON}\s*(?P<season>\d{{1,2}})(?:{_BETWEEN}[^\W\d]{{1,8}})?$",
        r"第\s*(?P<season>\d{1,2})\s*(?:季|期)$",
        rf"^{_SEASON}\s*(?P<season>\d{{1,2}})\s(?=\s*\w)",
        rf"(?<!\w){_EPISODE}\s*(?P<number>\d{{1,3}})$",
    )
)


_LAST_NUMBER = re.compile(r"(?P<name>\S.*?\w{2})\s+(?P<number>\d{1,2})")


class EpisodeQuery(NamedTuple):
    """A query for a season or an episode: the rest of the text, which names the series, and the numbers given."""

    name: str
    season_number: int | None
    number: int | None


def split_number(query: str) -> tuple[str, str] | None:
    """Return the name and the number of a query that ends with one of one or two digits, such as `dark 3`.

    The name is that of a series, a series of films or a person. None for any other query.
    """
    found = _LAST_NUMBER.fullmatch(query.strip())
    return (found["name"], found["number"]) if found else None


def parse_episode(query: str) -> EpisodeQuery | None:
    """Return the name and the numbers of a query for a season or an episode; None for any other query."""
    for pattern in _PATTERNS:
        if not (found := pattern.search(query)):
            continue
        if name := f"{query[: found.start()]} {query[found.end() :]}".strip():
            numbers = found.groupdict()
            season_number, number = (int(numbers[part]) if numbers.get(part) else None for part in ("season", "number"))
            return EpisodeQuery(name, season_number, number)
    return None
