import type { ComponentProps, ReactNode } from "react";
import type { Card as CardData, Progress } from "../api";
import { type Translator, useText } from "../i18n";
import { Link, paths } from "../router";
import { Art } from "./Art";
import "./card.css";

export const getShare = (progress: Progress) =>
  progress.duration_ms > 0 ? Math.min(1, progress.position_ms / progress.duration_ms) : 0;

/** List the known facts of a title: `2024`, `1 hr 24 min`, `Drama`. */
export function listFacts(card: CardData, text: Translator, genres = 2): string[] {
  const length =
    card.kind === "series"
      ? card.season_count > 0 && text.t("card.seasons", { count: card.season_count })
      : card.duration_ms > 0 && text.formatDuration(card.duration_ms);
  const facts = [card.year && String(card.year), length, ...card.genres.slice(0, genres).map((genre) => genre.name)];
  return facts.filter((fact): fact is string => Boolean(fact));
}

export const formatEpisode = (season: number, episode: number, text: Translator) => text.t("card.episode", { season, episode });

/** Format the episode that progress is in, or that is next; `null` for a film and for what is finished. */
export function formatMark(progress: Progress | null | undefined, text: Translator): string | null {
  if (!progress || progress.finished || progress.season_number == null || progress.episode_number == null) return null;
  return formatEpisode(progress.season_number, progress.episode_number, text);
}

export function formatTimeLeft(progress: Progress, text: Translator): string {
  return text.t("card.left", { time: text.formatDuration(progress.duration_ms - progress.position_ms) });
}

export function Maturity({ age }: { age: number }) {
  const { t } = useText();
  return (
    <span className="maturity" aria-label={age > 0 ? t("card.ageLabel", { age }) : t("card.everyone")}>
      {age > 0 ? t("card.age", { age }) : t("card.everyone")}
    </span>
  );
}

export function ProgressBar({ progress }: { progress: Progress }) {
  return (
    <span className="progress" aria-hidden="true">
      <span style={{ inlineSize: `${Math.max(3, getShare(progress) * 100)}%` }} />
    </span>
  );
}

interface CardProps {
  card: CardData;
  /** The list that has the card; part of its focus id. */
  place: string;
  eager?: boolean;
  first?: boolean;
  /** The name and the line below it, where they are not those of the card. */
  name?: ReactNode;
  note?: ReactNode;
  onOpen?: () => void;
  /** The pointer handlers of a preview. */
  hover?: Pick<ComponentProps<typeof Link>, "onPointerMove" | "onPointerLeave" | "onPointerDown">;
}

/** A title in a row or a grid; it opens the title page as an overlay. */
export function TitleCard({ card, place, eager, first, name, note, onOpen, hover }: CardProps) {
  const text = useText();
  const { progress } = card;
  const begun = progress && !progress.finished && progress.position_ms > 0;
  const mark = formatMark(progress, text);
  const line = mark && !begun ? [text.t("card.next", { episode: mark })] : begun ? [mark, formatTimeLeft(progress, text)].filter(Boolean) : listFacts(card, text, 1);
  return (
    <Link
      {...hover}
      className="card"
      to={paths.title(card.title_id)}
      over
      data-testid="title-card"
      data-title-id={card.title_id}
      data-focus-id={`${place}:${card.title_id}`}
      data-focus-first={first ? "" : undefined}
      draggable={false}
      onClick={onOpen}
    >
      <span className="card-art">
        <Art picture={card.pictures.card ?? card.pictures.backdrop} name={card.name} eager={eager} />
        {card.is_new && !progress && <span className="badge">{text.t("card.new")}</span>}
        {begun && <ProgressBar progress={progress} />}
      </span>
      <span className="card-name">{name ?? card.name}</span>
      <span className="card-line">{note ?? line.join(" · ")}</span>
      {begun && <span className="visually-hidden">{text.t("card.progress", { percent: Math.round(getShare(progress) * 100) })}</span>}
    </Link>
  );
}

export function CardSkeleton() {
  return (
    <span className="card skeleton-card" aria-hidden="true">
      <span className="card-art skeleton" />
      <span className="card-name skeleton line" />
      <span className="card-line skeleton line short" />
    </span>
  );
}
