"""What may be played of a title, where and when."""

from __future__ import annotations

from datetime import datetime

from matinee.catalogue.api import Episode, NotAvailable, NotPlayable, RightsWindow, Title, TitleNotFound
from matinee.catalogue.model.rules import episode_of
from matinee.kit.ids import EpisodeId


def check_offered(title: Title, territory: str, now: datetime) -> None:
    """Raises TitleNotFound where a title is not published, NotAvailable where its rights are not open."""
    if title.state != "published":
        raise TitleNotFound(title_id=title.title_id)
    if not is_open(title.rights, territory, now):
        raise NotAvailable(title_id=title.title_id, territory=territory)


def is_open(rights: list[RightsWindow], territory: str, now: datetime) -> bool:
    """Whether one window is open. Where a territory has windows of its own, those for everywhere do not count."""
    own = [window for window in rights if window.territory == territory]
    for window in own or [window for window in rights if window.territory == "*"]:
        if (window.opens_at is None or window.opens_at <= now) and (window.closes_at is None or now < window.closes_at):
            return True
    return False


def chosen_episode(title: Title, episode_id: EpisodeId | None) -> Episode | None:
    """The episode to play, None for a film. Without a choice, the first one that can be played.

    Raises EpisodeNotFound, NotPlayable.
    """
    if episode_id is not None:
        episode = episode_of(title, episode_id)
        if episode.asset_id is None:
            raise NotPlayable(title_id=title.title_id)
        return episode
    if title.kind == "film":
        return None
    for episode in title.episodes:
        if episode.asset_id is not None:
            return episode
    raise NotPlayable(title_id=title.title_id)


def episode_after(title: Title, episode: Episode) -> Episode | None:
    """The next episode that can be played."""
    place = (episode.season_number, episode.number)
    for other in title.episodes:
        if other.asset_id is not None and (other.season_number, other.number) > place:
            return other
    return None
