"""Whether a title may be played, and which episode of it."""

from __future__ import annotations

from datetime import datetime

from matinee.catalogue.api import (
    Episode,
    NotAvailable,
    NotPlayable,
    Title,
    TitleNotFound,
    find_next_episode,
    is_open,
)
from matinee.catalogue.model.rules import find_episode
from matinee.kit.ids import EpisodeId


def check_available(title: Title, territory: str, now: datetime) -> None:
    """Raise TitleNotFound if a title is not published, NotAvailable if no rights window is open."""
    if title.state != "published":
        raise TitleNotFound(title_id=title.title_id)
    if not is_open(title.rights, territory, now):
        raise NotAvailable(title_id=title.title_id, territory=territory)


def choose_episode(
    title: Title,
    episode_id: EpisodeId | None,
    last_episode_id: EpisodeId | None = None,
    *,
    last_finished: bool = False,
) -> Episode | None:
    """Choose the episode to play, None for a film.

    Without `episode_id` it is the one after the last watched episode, else the first playable one.

    Raises EpisodeNotFound, NotPlayable.
    """
    if episode_id is not None:
        episode = find_episode(title, episode_id)
        if episode.asset_id is None:
            raise NotPlayable(title_id=title.title_id)
        return episode
    if title.kind == "film":
        return None
    following = find_next_episode(title, last_episode_id, finished=last_finished) or find_next_episode(title, None)
    if following is None:
        raise NotPlayable(title_id=title.title_id)
    return following
