"""How a title changes: from the title that stands to the title that is to stand."""

from __future__ import annotations

from datetime import datetime

from msgspec.structs import replace

from matinee.catalogue.api import (
    Artwork,
    Asset,
    Episode,
    EpisodeNotFound,
    NotPlayable,
    Title,
    TitleDraft,
)
from matinee.kit.ids import AssetId, EpisodeId
from matinee.kit.problem import Fault, Invalid


def from_draft(draft: TitleDraft, standing: Title | None) -> Title:
    """The title a draft describes; what the operator does not say (state, assets, durations) stays."""
    title = Title(**{name: getattr(draft, name) for name in draft.__struct_fields__})
    if standing is None:
        return replace(title, episodes=_in_order([_with_asset(e, None) for e in draft.episodes]))
    if standing.kind != draft.kind and asset_ids(standing):
        raise Invalid(faults=[Fault("kind", f"this title has assets as a {standing.kind}: it stays one")])
    known = {episode.episode_id: episode for episode in standing.episodes}
    return replace(
        title,
        state=standing.state,
        published_at=standing.published_at,
        asset_id=standing.asset_id,
        duration_ms=standing.duration_ms,
        audio_languages=standing.audio_languages,
        subtitle_languages=standing.subtitle_languages,
        episodes=_in_order([_with_asset(e, known.get(e.episode_id)) for e in draft.episodes]),
    )


def with_artwork(title: Title, artwork: list[Artwork], episode_id: EpisodeId | None) -> Title:
    """The title with pictures added to it or to an episode. Raises EpisodeNotFound."""
    if episode_id is None:
        return replace(title, artwork=_merged(title.artwork, artwork))
    episode = episode_of(title, episode_id)
    return _with_episode(title, replace(episode, artwork=_merged(episode.artwork, artwork)))


def with_asset(title: Title, asset: Asset, others: list[Asset]) -> Title:
    """The title with an asset as the one that is played; `others` are its current assets. Raises EpisodeNotFound."""
    if asset.episode_id is None:
        if title.kind == "series":
            raise Invalid(faults=[Fault("episode_id", "a series is played by episode: say which one this is")])
        title = replace(title, asset_id=asset.asset_id, duration_ms=asset.duration_ms)
    else:
        episode = episode_of(title, asset.episode_id)
        title = _with_episode(title, replace(episode, asset_id=asset.asset_id, duration_ms=asset.duration_ms))
    current = asset_ids(title)
    together = [asset, *(other for other in others if other.asset_id in current and other.asset_id != asset.asset_id)]
    return replace(
        title,
        audio_languages=_languages([[track.language for track in one.audio] for one in together], title),
        subtitle_languages=_languages([[track.language for track in one.text] for one in together], title),
    )


def published(title: Title, now: datetime) -> Title:
    """The title on offer; a title offered again keeps its first date. Raises NotPlayable."""
    if not asset_ids(title):
        raise NotPlayable(title_id=title.title_id)
    return replace(title, state="published", published_at=title.published_at or now)


def withdrawn(title: Title) -> Title:
    """The title no longer on offer."""
    return replace(title, state="withdrawn")


def asset_ids(title: Title) -> set[AssetId]:
    """The assets that are played now."""
    ids = {episode.asset_id for episode in title.episodes} | {title.asset_id}
    return {asset_id for asset_id in ids if asset_id is not None}


def episode_of(title: Title, episode_id: EpisodeId) -> Episode:
    """An episode of a title. Raises EpisodeNotFound."""
    for episode in title.episodes:
        if episode.episode_id == episode_id:
            return episode
    raise EpisodeNotFound(episode_id=episode_id)


def _with_asset(said: Episode, known: Episode | None) -> Episode:
    if known is None:
        return replace(said, asset_id=None, duration_ms=0)
    return replace(said, asset_id=known.asset_id, duration_ms=known.duration_ms)


def _with_episode(title: Title, changed: Episode) -> Title:
    return replace(title, episodes=[changed if e.episode_id == changed.episode_id else e for e in title.episodes])


def _in_order(episodes: list[Episode]) -> list[Episode]:
    return sorted(episodes, key=lambda episode: (episode.season_number, episode.number))


def _merged(standing: list[Artwork], added: list[Artwork]) -> list[Artwork]:
    replaced = {(picture.kind, picture.language) for picture in added}
    return [picture for picture in standing if (picture.kind, picture.language) not in replaced] + added


def _languages(lists: list[list[str]], title: Title) -> list[str]:
    """Every language once, the original first, the others by tag."""
    found = {language for languages in lists for language in languages if language != "und"}
    return sorted(found, key=lambda tag: (tag != title.original_language, tag))
