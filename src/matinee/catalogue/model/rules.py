"""Changes of a title: pure functions from the stored title to the new one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec.structs import replace

from matinee.catalogue.api import (
    Artwork,
    Asset,
    Episode,
    EpisodeNotFound,
    NotPlayable,
    RemovedEpisode,
    RightsWindow,
    Title,
    TitleDraft,
    watch_order,
)
from matinee.kit.ids import AssetId, EpisodeId
from matinee.kit.problem import Fault, Invalid
from matinee.kit.structs import build_from

# As many removed episodes are remembered as a series may have.
REMOVED_LIMIT = 5_000


def apply_draft(draft: TitleDraft, current: Title | None) -> Title:
    """Return the title a draft describes; state, assets and durations of the current title are kept."""
    known = _list_known_episodes(current) if current else {}
    episodes = [_keep_asset(episode, known.pop(episode.episode_id, None)) for episode in draft.episodes]
    episodes.sort(key=watch_order)
    if current is None:
        return build_from(draft, Title, episodes=episodes)
    if current.kind != draft.kind and get_asset_ids(current):
        raise Invalid(
            faults=[Fault("kind", f"this title already has assets as a {current.kind}, so its kind cannot change")]
        )
    edited = {name: getattr(draft, name) for name in draft.__struct_fields__}
    removed = [build_from(episode, RemovedEpisode) for episode in known.values()]
    return replace(current, **{**edited, "episodes": episodes, "removed_episodes": removed[-REMOVED_LIMIT:]})


def add_artwork(title: Title, artwork: list[Artwork], episode_id: EpisodeId | None) -> Title:
    """Add pictures to a title or to one of its episodes. Raises EpisodeNotFound."""
    if episode_id is None:
        return replace(title, artwork=_merge_artwork(title.artwork, artwork))
    episode = find_episode(title, episode_id)
    return _replace_episode(title, replace(episode, artwork=_merge_artwork(episode.artwork, artwork)))


def attach_asset(title: Title, asset: Asset, others: list[Asset]) -> Title:
    """Make an asset the one that is played; `others` are the current assets. Raises EpisodeNotFound, Invalid."""
    if asset.episode_id is None:
        if title.kind == "series":
            raise Invalid(faults=[Fault("episode_id", "a series is played by episode: name the episode of this asset")])
        title = replace(title, asset_id=asset.asset_id, duration_ms=asset.duration_ms)
    else:
        episode = find_episode(title, asset.episode_id)
        title = _replace_episode(title, replace(episode, asset_id=asset.asset_id, duration_ms=asset.duration_ms))
    current_ids = get_asset_ids(title)
    assets = [asset, *(other for other in others if other.asset_id in current_ids and other.asset_id != asset.asset_id)]
    return replace(
        title,
        audio_languages=_merge_languages([[track.language for track in one.audio] for one in assets], title),
        subtitle_languages=_merge_languages([[track.language for track in one.text] for one in assets], title),
    )


def publish(title: Title, now: datetime) -> Title:
    """Publish a title; one that is published again keeps its first date. Raises NotPlayable."""
    if not get_asset_ids(title):
        raise NotPlayable(title_id=title.title_id)
    return replace(title, state="published", published_at=title.published_at or now)


def withdraw(title: Title) -> Title:
    """Withdraw a title."""
    return replace(title, state="withdrawn")


def list_changed_aspects(current: Title | None, title: Title) -> tuple[str, ...]:
    """List what an edit of a title changed, in the terms of `events.api.TitleChanged`."""
    changed = {name for name in TitleDraft.__struct_fields__ if getattr(current, name, None) != getattr(title, name)}
    parts = {name for name in ("artwork", "episodes") if name in changed and (current or getattr(title, name))}
    return tuple(sorted(parts | ({"details"} if changed - {"artwork", "episodes"} else set())))


def merge_windows(
    rights: Sequence[RightsWindow], always: datetime, never: datetime
) -> list[tuple[str, datetime, datetime]]:
    """Return territory, opening and closing of windows, those of a territory that overlap or touch as one."""
    merged: list[tuple[str, datetime, datetime]] = []
    for territory, opens_at, closes_at in sorted(
        (window.territory, window.opens_at or always, window.closes_at or never) for window in rights
    ):
        if merged and merged[-1][0] == territory and opens_at <= merged[-1][2]:
            merged[-1] = (territory, merged[-1][1], max(merged[-1][2], closes_at))
        else:
            merged.append((territory, opens_at, closes_at))
    return merged


def get_asset_ids(title: Title) -> set[AssetId]:
    """Return the ids of the assets that are played now."""
    ids = {episode.asset_id for episode in title.episodes} | {title.asset_id}
    return {asset_id for asset_id in ids if asset_id is not None}


def find_episode(title: Title, episode_id: EpisodeId) -> Episode:
    """Find an episode of a title. Raises EpisodeNotFound."""
    for episode in title.episodes:
        if episode.episode_id == episode_id:
            return episode
    raise EpisodeNotFound(episode_id=episode_id)


def _list_known_episodes(title: Title) -> dict[EpisodeId, Episode | RemovedEpisode]:
    """List a title's episodes by id, those removed earliest first."""
    known: list[Episode | RemovedEpisode] = [*title.removed_episodes, *title.episodes]
    return {episode.episode_id: episode for episode in known}


def _keep_asset(drafted: Episode, known: Episode | RemovedEpisode | None) -> Episode:
    if known is None:
        return replace(drafted, asset_id=None, duration_ms=0)
    return replace(drafted, asset_id=known.asset_id, duration_ms=known.duration_ms)


def _replace_episode(title: Title, changed: Episode) -> Title:
    return replace(title, episodes=[changed if e.episode_id == changed.episode_id else e for e in title.episodes])


def _merge_artwork(current: list[Artwork], added: list[Artwork]) -> list[Artwork]:
    replaced = {(picture.kind, picture.language) for picture in added}
    return [picture for picture in current if (picture.kind, picture.language) not in replaced] + added


def _merge_languages(lists: list[list[str]], title: Title) -> list[str]:
    """Return each language once, the original language first, the others sorted."""
    found = {language for languages in lists for language in languages if language != "und"}
    return sorted(found, key=lambda tag: (tag != title.original_language, tag))
