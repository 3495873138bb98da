"""Which titles, words, pictures and episodes a viewer is presentation."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from urllib.parse import quote

from matinee.catalogue.api import Artwork, Episode, Genre, Localised, Title
from matinee.gateway.api import Card, CreditView, EpisodeView, GenreView, Picture, Pictures, Progress, SeasonView
from matinee.identity.api import Profile
from matinee.kit.ids import EpisodeId
from matinee.viewing.api import Position

NEW_FOR = timedelta(days=30)
BILLBOARDS = 5


def localised(texts: Localised, language: str, original: str = "en") -> str:
    """The text for a reader: `pt-BR`, then `pt`, then the original language, then any; empty where there is none."""
    for tag in (language, language.partition("-")[0], original, original.partition("-")[0]):
        if tag in texts:
            return texts[tag]
    return next(iter(texts.values()), "")


def picture(artwork: Sequence[Artwork], kinds: tuple[str, ...], language: str) -> Picture | None:
    """The picture of the first kind there is: in the reader's language, else one without words, else any."""
    for kind in kinds:
        fit = [art for art in artwork if art.kind == kind]
        if fit:
            art = min(fit, key=lambda art: (art.language != language, art.language is not None))
            return Picture(url=art_url(art.path), width_px=art.width_px, height_px=art.height_px, colour=art.colour)
    return None


def art_url(path: str) -> str:
    """Where an edge gives a picture out: `public/art/…` in the object store is `/art/…` on every edge."""
    return f"/art/{quote(path.removeprefix('public/').removeprefix('art/'))}"


def pictures(artwork: Sequence[Artwork], language: str) -> Pictures:
    """A title's or an episode's pictures; a wide one stands in for another wide one."""
    return Pictures(
        card=picture(artwork, ("card", "still", "backdrop"), language),
        poster=picture(artwork, ("poster",), language),
        backdrop=picture(artwork, ("backdrop", "still", "card"), language),
    )


def progress(position: Position, episodes: Sequence[Episode]) -> Progress:
    """A stored position as a card shows it."""
    episode = next((e for e in episodes if e.episode_id == position.episode_id), None)
    return Progress(
        position_ms=position.position_ms,
        duration_ms=position.duration_ms,
        finished=position.is_finished,
        episode_id=position.episode_id,
        season_number=episode.season_number if episode else None,
        episode_number=episode.number if episode else None,
    )


def genre_view(genre: Genre, language: str) -> GenreView:
    """A genre in the reader's language."""
    return GenreView(genre_id=genre.genre_id, name=localised(genre.names, language))


def card(title: Title, language: str, now: datetime, seen: Progress | None = None) -> Card:
    """A title as a row shows it."""
    return Card(
        title_id=title.title_id,
        kind=title.kind,
        name=localised(title.names, language, title.original_language),
        pictures=pictures(title.artwork, language),
        maturity=title.maturity,
        duration_ms=title.duration_ms,
        genres=[genre_view(genre, language) for genre in title.genres],
        year=title.year,
        tagline=localised(title.taglines, language, title.original_language),
        is_new=title.published_at is not None and now - title.published_at < NEW_FOR,
        season_count=len({episode.season_number for episode in title.episodes}),
        progress=seen,
    )


def visible(title: Title, profile: Profile, territory: str, now: datetime) -> bool:
    """Whether a profile may see a title here and now."""
    return title.state == "published" and title.maturity <= profile.maturity and open_in(title, territory, now)


def billboard(titles: Sequence[Title], day: date) -> Title | None:
    """The title on top of the home page: another of the newest ones every day."""
    fit = [title for title in titles if any(art.kind == "backdrop" for art in title.artwork)][:BILLBOARDS]
    return fit[day.toordinal() % len(fit)] if fit else None


def open_in(title: Title, territory: str, now: datetime) -> bool:
    """Whether one of the title's rights windows is open."""
    return any(
        window.territory in {"*", territory}
        and (window.opens_at is None or window.opens_at <= now)
        and (window.closes_at is None or now < window.closes_at)
        for window in title.rights
    )


def in_order(episodes: Sequence[Episode]) -> list[Episode]:
    """Episodes as they are watched."""
    return sorted(episodes, key=lambda episode: (episode.season_number, episode.number))


def next_episode(episodes: Sequence[Episode], after: EpisodeId | None) -> Episode | None:
    """The next episode that can be played; the first where nothing was seen, None after the last."""
    ordered = in_order(episodes)
    seen = next((place for place, episode in enumerate(ordered) if episode.episode_id == after), -1)
    return next((episode for episode in ordered[seen + 1 :] if episode.asset_id is not None), None)


def going_on(title: Title, last: Position) -> Progress | None:
    """What "continue watching" offers after the last position; None where all is seen."""
    if not last.is_finished:
        return progress(last, title.episodes)
    episode = next_episode(title.episodes, last.episode_id) if last.episode_id else None
    if episode is None:
        return None
    return Progress(
        position_ms=0,
        duration_ms=episode.duration_ms,
        episode_id=episode.episode_id,
        season_number=episode.season_number,
        episode_number=episode.number,
    )


def play_episode(title: Title, last: Position | None) -> EpisodeId | None:
    """What the play button of a series plays: where the viewer is, else the next, else the first."""
    if last is not None and (after := going_on(title, last)) is not None:
        return after.episode_id
    first = next_episode(title.episodes, None)
    return first.episode_id if first else None


def seasons(title: Title, seen: dict[EpisodeId, Progress], language: str) -> list[SeasonView]:
    """The seasons of a title page."""
    views: dict[int, list[EpisodeView]] = {}
    for episode in in_order(title.episodes):
        views.setdefault(episode.season_number, []).append(
            EpisodeView(
                episode_id=episode.episode_id,
                number=episode.number,
                name=localised(episode.names, language, title.original_language),
                synopsis=localised(episode.synopses, language, title.original_language),
                duration_ms=episode.duration_ms,
                playable=episode.asset_id is not None,
                pictures=pictures(episode.artwork, language),
                progress=seen.get(episode.episode_id),
            )
        )
    return [SeasonView(number=number, episodes=episodes) for number, episodes in sorted(views.items())]


def credit_views(title: Title, language: str) -> list[CreditView]:
    """Who made the title, names in the reader's language."""
    return [
        CreditView(
            name=localised(credit.person.names, language, title.original_language),
            role=credit.role,
            character=credit.character,
        )
        for credit in title.credits
    ]
