"""Whether a title may be played, and which episode of it."""

from __future__ import annotations

from datetime import datetime

from matinee.catalogue.api import Episode, NotAvailable, NotPlayable, Title, TitleNotFound, is_open, watch_order
from matinee.catalogue.model.rules import find_episode
from matinee.kit.ids import EpisodeId


def check_available(title: Title, territory: str, now: datetime) -> None:
    """Raise TitleNotFound if a title is not published, NotAvailable if no rights window is open."""
    if title.state != "published":
        raise TitleNotFound(title_id=title.title_id)
    if not is_open(title.rights, territory, now):
        raise NotAvailable(title_id=title.title_id, territory=territory)


def choose_episode(title: Title, episode_id: EpisodeId | None) -> Episode | None:
    """Choose the episode to play, None for a film. Without `episode_id` it is the first playable one.

    Raises EpisodeNotFound, NotPlayable.
    """
    if episode_id is not None:
        episode = find_episode(title, episode_id)
        if episode.asset_id is None:
            raise NotPlayable(title_id=title.title_id)
        return episode
    if title.kind == "film":
        return None
    for episode in sorted(title.episodes, key=watch_order):
        if episode.asset_id is not None:
            return episode
    raise NotPlayable(title_id=title.title_id)


def find_next_episode(title: Title, episode: Episode) -> Episode | None:
    """Find the next playable episode."""
    later = (other for other in title.episodes if other.asset_id and watch_order(other) > watch_order(episode))
    return min(later, key=watch_order, default=None)
