"""Which titles, texts, pictures and episodes a viewer is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache
from urllib.parse import quote

import msgspec

from matinee.catalogue.api import (
    Artwork,
    Episode,
    Genre,
    RemovedEpisode,
    Title,
    choose_text,
    find_next_episode,
    is_open,
    watch_order,
)
from matinee.gateway.api import (
    Card,
    CreditView,
    EpisodeView,
    GenreView,
    Picture,
    Pictures,
    Progress,
    SeasonView,
)
from matinee.gateway.api.operator import EpisodeEntry, TitleEntry
from matinee.identity.api import Profile
from matinee.kit.ids import EpisodeId, TitleId, read_time
from matinee.kit.structs import build_from
from matinee.viewing.api import Position

NEW_FOR = timedelta(days=30)
# What is published in the first day of a profile is what it finds there, and not new to it.
FIRST_SIGHT = timedelta(days=1)
BILLBOARDS = 5


def select_picture(artwork: Sequence[Artwork], kinds: tuple[str, ...], language: str) -> Picture | None:
    """Choose a picture of the first kind available: in the language, else without text, else any."""
    for kind in kinds:
        candidates = [art for art in artwork if art.kind == kind]
        if candidates:
            art = min(candidates, key=lambda art: (art.language != language, art.language is not None))
            return Picture(url=artwork_url(art.path), width_px=art.width_px, height_px=art.height_px, colour=art.colour)
    return None


@lru_cache(1 << 14)
def artwork_url(path: str) -> str:
    """Return the URL of a picture: `public/art/…` in the object store is `/art/…` on every edge."""
    return f"/art/{quote(path.removeprefix('public/').removeprefix('art/'))}"


def to_pictures(artwork: Sequence[Artwork], language: str) -> Pictures:
    """Choose the pictures of a title or an episode. Wide pictures replace each other."""
    return Pictures(
        card=select_picture(artwork, ("card", "still", "backdrop"), language),
        poster=select_picture(artwork, ("poster",), language),
        backdrop=select_picture(artwork, ("backdrop", "still", "card"), language),
    )


def to_progress(position: Position, title: Title) -> Progress:
    """Convert a stored position in a film or an episode, which may have been removed."""
    known: list[Episode | RemovedEpisode] = [*title.episodes, *title.removed_episodes]
    episode = next((episode for episode in known if episode.episode_id == position.episode_id), None)
    return Progress(
        position_ms=position.position_ms,
        duration_ms=position.duration_ms,
        finished=position.is_finished,
        episode_id=position.episode_id,
        season_number=episode.season_number if episode else None,
        episode_number=episode.number if episode else None,
    )


def to_genre_view(genre: Genre, language: str) -> GenreView:
    """Convert a genre, with its name in the language."""
    return GenreView(genre_id=genre.genre_id, name=choose_text(genre.names, [language], "en"))


def is_new(title: Title, profile: Profile, now: datetime) -> bool:
    """Return whether a title was published recently, after the profile first saw the catalogue."""
    if title.published_at is None or now - title.published_at >= NEW_FOR:
        return False
    created_at = read_time(profile.profile_id)
    return created_at is None or title.published_at - created_at >= FIRST_SIGHT


def to_card(title: Title, language: str) -> Card:
    """Convert a title to the card of a row, without what is for one profile."""
    return Card(
        title_id=title.title_id,
        kind=title.kind,
        name=choose_text(title.names, [language], title.original_language),
        pictures=to_pictures(title.artwork, language),
        maturity=title.maturity,
        duration_ms=title.duration_ms,
        genres=[to_genre_view(genre, language) for genre in title.genres],
        year=title.year,
        tagline=choose_text(title.taglines, [language], title.original_language),
        season_count=len({episode.season_number for episode in title.episodes if episode.season_number}),
    )


def personalise(card: Card, title: Title, profile: Profile, now: datetime, progress: Progress | None = None) -> Card:
    """Return the card of a title for a profile."""
    new = is_new(title, profile, now)
    return msgspec.structs.replace(card, is_new=new, progress=progress) if new or progress else card


def is_visible(title: Title, profile: Profile, territory: str, now: datetime) -> bool:
    """Return whether a profile may see a title in a territory at a time."""
    return title.state == "published" and title.maturity <= profile.maturity and is_open(title.rights, territory, now)


def select_billboard(titles: Sequence[Title], day: date, last: Mapping[TitleId, Position]) -> Title | None:
    """Choose the title at the top of the home page: one of the newest not yet watched to the end, by the day.

    `last` is the newest position in each title.
    """
    candidates = [title for title in titles if _has_backdrop(title) and not is_watched(title, last.get(title.title_id))]
    candidates = candidates[:BILLBOARDS]
    return candidates[day.toordinal() % len(candidates)] if candidates else None


def resume_progress(title: Title, last: Position) -> Progress | None:
    """Return what "continue watching" offers after the last position; None if everything has been watched."""
    if last.episode_id is None:
        return None if last.is_finished else to_progress(last, title)
    episode = find_next_episode(title, last.episode_id, finished=last.is_finished)
    if episode is None:
        return None
    if episode.episode_id == last.episode_id:
        return to_progress(last, title)
    return Progress(
        position_ms=0,
        duration_ms=episode.duration_ms,
        episode_id=episode.episode_id,
        season_number=episode.season_number,
        episode_number=episode.number,
    )


def is_watched(title: Title, last: Position | None) -> bool:
    """Return whether a title was watched to the end: for a series, nothing is left after its last position."""
    return last is not None and resume_progress(title, last) is None


def _has_backdrop(title: Title) -> bool:
    return any(art.kind == "backdrop" for art in title.artwork)


def select_episode(title: Title, last: Position | None) -> EpisodeId | None:
    """Return what the play button of a series plays: the episode in progress, else the next, else the first."""
    if last is not None and (after := resume_progress(title, last)) is not None:
        return after.episode_id
    first = find_next_episode(title, None)
    return first.episode_id if first else None


def to_seasons(title: Title, progress: dict[EpisodeId, Progress], language: str) -> list[SeasonView]:
    """Convert the episodes of a title to the seasons of its page, specials last."""
    views: dict[int, list[EpisodeView]] = {}
    for episode in sorted(title.episodes, key=watch_order):
        views.setdefault(episode.season_number, []).append(
            EpisodeView(
                episode_id=episode.episode_id,
                number=episode.number,
                name=choose_text(episode.names, [language], title.original_language),
                synopsis=choose_text(episode.synopses, [language], title.original_language),
                duration_ms=episode.duration_ms,
                playable=episode.asset_id is not None,
                pictures=to_pictures(episode.artwork, language),
                progress=progress.get(episode.episode_id),
            )
        )
    return [SeasonView(number=number, episodes=episodes) for number, episodes in views.items()]


def to_credit_views(title: Title, language: str) -> list[CreditView]:
    """Convert the credits of a title, with names in the language."""
    return [
        CreditView(
            name=choose_text(credit.person.names, [language], title.original_language),
            role=credit.role,
            character=credit.character,
        )
        for credit in title.credits
    ]


def to_title_entry(title: Title) -> TitleEntry:
    """Return a title as the operator's list shows it."""
    episodes = [build_from(one, EpisodeEntry, playable=one.asset_id is not None) for one in title.episodes]
    playable = title.asset_id is not None or any(episode.playable for episode in episodes)
    return build_from(title, TitleEntry, episodes=episodes, playable=playable)
