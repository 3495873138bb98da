import { useState } from "react";
import type { EpisodeView, TitleScreen } from "../../api";
import { useText } from "../../i18n";
import { Link, paths } from "../../router";
import { Art } from "../../ui/Art";
import { ProgressBar } from "../../ui/Card";
import { Choice } from "../../ui/Field";
import { Icon } from "../../ui/icons";
import { findEpisodeToPlay } from "./Actions";

/** The episodes by season, with their progress. */
export function Seasons({ screen }: { screen: TitleScreen }) {
  const { t } = useText();
  const [number, setNumber] = useState(() => findEpisodeToPlay(screen)?.season ?? screen.seasons[0]?.number ?? 1);
  const season = screen.seasons.find((one) => one.number === number) ?? screen.seasons[0];
  return (
    <section className="title-section" aria-label={t("title.episodes")}>
      <h2>{t("title.episodes")}</h2>
      {screen.seasons.length > 1 && <Choice label={t("title.seasons")} value={number} options={screen.seasons.map((one) => ({ value: one.number, label: one.number ? t("title.season", { number: one.number }) : t("title.specials") }))} onChange={setNumber} />}
      <ol className="episodes" data-focus="column">
        {season?.episodes.map((episode) => <li key={episode.episode_id}><Episode titleId={screen.card.title_id} name={screen.card.name} episode={episode} /></li>)}
      </ol>
    </section>
  );
}

function Episode({ titleId, name, episode }: { titleId: string; name: string; episode: EpisodeView }) {
  const text = useText();
  const { progress } = episode;
  const body = (
    <>
      <span className="episode-number">{episode.number}</span>
      <span className="episode-art">
        <Art picture={episode.pictures.card ?? episode.pictures.backdrop} name={episode.name || name} bare />
        {episode.playable && <span className="episode-play"><Icon name="play" size="1.75rem" /></span>}
        {progress && progress.position_ms > 0 && <ProgressBar progress={progress.finished ? { ...progress, position_ms: progress.duration_ms } : progress} />}
      </span>
      <span className="episode-text">
        <span className="episode-name">{episode.name || text.t("title.episodes")}</span>
        <span className="episode-line">{episode.playable ? text.formatDuration(episode.duration_ms) : text.t("title.soon")}{progress?.finished && ` · ${text.t("card.watched")}`}</span>
        <span className="episode-synopsis">{episode.synopsis}</span>
      </span>
    </>
  );
  if (!episode.playable) return <span className="episode unavailable">{body}</span>;
  return <Link className="episode" to={paths.watch(titleId, episode.episode_id)} data-testid="episode" data-focus-id={`episode:${episode.episode_id}`} data-episode-id={episode.episode_id} data-preload="player">{body}</Link>;
}
