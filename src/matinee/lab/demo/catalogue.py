"""The demo titles as the catalogue takes them, under ids that are the same on every machine."""

from __future__ import annotations

from typing import NamedTuple

from matinee.catalogue.api import Credit, Episode, Genre, Person, TitleDraft
from matinee.kit import ids
from matinee.kit.ids import EpisodeId, PersonId, TitleId
from matinee.lab.demo.reels import REELS
from matinee.lab.demo.titles import GENRES, TITLES, DemoTitle


class Place(NamedTuple):
    """What a reel is in the catalogue: a film, or an episode of a series."""

    title_id: TitleId
    episode_id: EpisodeId | None


def drafts() -> list[TitleDraft]:
    """Every demo title, without artwork, in the order in which their films are made."""
    return [_draft(title) for title in TITLES]


def places() -> dict[str, Place]:
    """Every reel, in the order of making, and where it belongs."""
    found = {
        slug: Place(_title_id(title), _episode_id(slug) if title.kind == "series" else None)
        for title in TITLES
        for slug in title.reels
    }
    return {slug: found[slug] for slug in REELS}


def _draft(title: DemoTitle) -> TitleDraft:
    return TitleDraft(
        title_id=_title_id(title),
        kind=title.kind,
        names=dict(title.names),
        original_language=title.original_language,
        synopses=dict(title.synopses),
        taglines=dict(title.taglines),
        year=title.year,
        maturity=title.maturity,
        genres=[Genre(genre_id=genre_id, names=dict(GENRES[genre_id])) for genre_id in title.genres],
        credits=[_credit(*credit) for credit in title.credits],
        episodes=_episodes(title),
    )


def _episodes(title: DemoTitle) -> list[Episode]:
    return [
        Episode(
            episode_id=_episode_id(slug),
            season_number=1,
            number=number,
            names=dict(REELS[slug].names),
            synopses=dict(synopses),
            duration_ms=REELS[slug].seconds * 1000,
        )
        for number, (slug, synopses) in enumerate(zip(title.reels, title.episode_synopses, strict=False), start=1)
    ]


def _credit(name: str, role: str, character: str | None) -> Credit:
    person = Person(person_id=ids.derive(PersonId, "demo", name), names={"en": name})
    return Credit(person=person, role=role, character=character)


def _title_id(title: DemoTitle) -> TitleId:
    return ids.derive(TitleId, "demo", title.names["en"])


def _episode_id(slug: str) -> EpisodeId:
    return ids.derive(EpisodeId, "demo", slug)
