import type { EpisodeView, TitleScreen } from "../../api";
import { useText } from "../../i18n";
import { paths } from "../../router";
import { LinkButton } from "../../ui/Button";
import { formatEpisode, formatTimeLeft, ProgressBar } from "../../ui/Card";

interface EpisodeInSeason {
  episode: EpisodeView;
  season: number;
}

/** Find the episode that the play button plays. */
export function findEpisodeToPlay(screen: TitleScreen): EpisodeInSeason | null {
  for (const season of screen.seasons) {
    const episode = season.episodes.find((one) => one.episode_id === screen.play_episode_id);
    if (episode) return { episode, season: season.number };
  }
  return null;
}

/** The buttons to play, resume and restart, with the time left. */
export function Actions({ screen }: { screen: TitleScreen }) {
  const text = useText();
  const { t } = text;
  const { card } = screen;
  const found = findEpisodeToPlay(screen);
  const progress = found ? found.episode.progress : card.kind === "film" ? card.progress : null;
  const begun = progress && !progress.finished && progress.position_ms > 0 ? progress : null;
  const mark = found && formatEpisode(found.season, found.episode.number, text);
  const label = mark ? t(begun ? "title.resumeEpisode" : "title.playEpisode", { episode: mark }) : t(begun ? "title.resume" : "title.play");
  return (
    <div className="title-actions" data-focus="row">
      <LinkButton to={paths.watch(card.title_id, screen.play_episode_id)} variant="primary" large icon="play" data-testid="play" data-focus-first data-preload="player">{label}</LinkButton>
      {begun && <LinkButton to={paths.watch(card.title_id, screen.play_episode_id, true)} large icon="restart" data-testid="restart">{t("title.restart")}</LinkButton>}
      {begun && <span className="title-left"><ProgressBar progress={begun} />{formatTimeLeft(begun, text)}</span>}
    </div>
  );
}
