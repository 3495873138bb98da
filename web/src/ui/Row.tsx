/** A row of cards that pages by screenfuls. Only the cards in sight and a screen to either side are there. */
import { type ReactNode, useEffect, useLayoutEffect, useRef, useState } from "react";
import type { Card as CardData } from "../api";
import { useText } from "../i18n";
import { Link } from "../router";
import { CardSkeleton, TitleCard } from "./Card";
import { IconButton } from "./Button";
import { Icon } from "./icons";
import { previewing } from "./Preview";
import "./row.css";

/** Where each row was left, for the next visit. */
const places = new Map<string, number>();

interface Window {
  first: number;
  last: number;
}

/** The cards to draw for a scroll position; `pitch` is a card with its gap. */
export function windowOf(left: number, width: number, pitch: number, count: number): Window {
  if (pitch <= 0) return { first: 0, last: Math.min(count, 12) };
  const screen = Math.ceil(width / pitch);
  const at = Math.floor(left / pitch);
  return { first: Math.max(0, at - screen), last: Math.min(count, at + 2 * screen + 1) };
}

interface RowProps {
  id: string;
  name: string;
  cards: CardData[];
  to?: string;
  eager?: boolean;
}

export function Row({ id, name, cards, to, eager }: RowProps) {
  const { t } = useText();
  return (
    <section className="row" aria-label={name}>
      <h2 className="row-name">
        {to ? <Link to={to} data-focus-skip className="row-link">{name}<span className="row-all">{t("row.all")}<Icon name="right" size="0.8em" /></span></Link> : name}
      </h2>
      <Strip id={id} name={name} count={cards.length + (to ? 1 : 0)}>
        {(index) => {
          const card = cards[index];
          if (!card) return <AllCard place={id} name={name} to={to ?? ""} />;
          return <TitleCard key={card.title_id} card={card} place={id} eager={eager && index < 6} hover={previewing(card)} />;
        }}
      </Strip>
    </section>
  );
}

/** The end of a row that has more: where a remote control finds the whole genre. */
function AllCard({ place, name, to }: { place: string; name: string; to: string }) {
  const { t } = useText();
  return (
    <Link className="card all-card" to={to} data-focus-id={`${place}:all`} aria-label={`${t("row.all")}: ${name}`}>
      <span className="card-art"><span>{t("row.all")}</span><Icon name="right" size="1.1em" /></span>
    </Link>
  );
}

/** Where writing runs from right to left, so do rows, and their scroll positions are negative. */
const along = (element: HTMLElement) => (getComputedStyle(element).direction === "rtl" ? -1 : 1);

interface StripProps {
  id: string;
  name: string;
  count: number;
  children: (index: number) => ReactNode;
}

function Strip({ id, name, count, children }: StripProps) {
  const { t } = useText();
  const strip = useRef<HTMLUListElement>(null);
  const [state, setState] = useState({ left: places.get(id) ?? 0, width: 0, pitch: 0, room: 0 });

  useLayoutEffect(() => {
    const element = strip.current;
    if (!element) return;
    const measure = () => {
      const style = getComputedStyle(element);
      const card = element.querySelector("li")?.clientWidth ?? 0;
      const pitch = card + Number.parseFloat(style.columnGap || "0");
      const next = { left: Math.abs(element.scrollLeft), width: element.clientWidth, pitch, room: element.scrollWidth - element.clientWidth };
      places.set(id, next.left);
      setState((old) => (same(old, next) ? old : next));
    };
    element.scrollLeft = (places.get(id) ?? 0) * along(element);
    measure();
    element.addEventListener("scroll", measure, { passive: true });
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => {
      element.removeEventListener("scroll", measure);
      observer.disconnect();
    };
  }, [id, count]);

  const { first, last } = windowOf(state.left, state.width, state.pitch, count);
  const page = (by: number) => strip.current?.scrollBy({ left: by * along(strip.current) * Math.max(state.pitch, Math.floor(state.width / state.pitch) * state.pitch), behavior: "smooth" });
  return (
    <div className="strip-frame">
      {state.left > 8 && <IconButton className="pager previous" icon="left" label={t("row.previous", { name })} tabIndex={-1} onClick={() => page(-1)} />}
      <ul ref={strip} className="strip" data-focus="row">
        {Array.from({ length: last - first }, (_, offset) => (
          <li key={first + offset} style={{ gridColumn: first + offset + 1 }}>{children(first + offset)}</li>
        ))}
        {last < count && <li aria-hidden="true" style={{ gridColumn: count }} />}
      </ul>
      {state.left < state.room - 8 && <IconButton className="pager next" icon="right" label={t("row.next", { name })} tabIndex={-1} onClick={() => page(1)} />}
    </div>
  );
}

type State = { left: number; width: number; pitch: number; room: number };

/** A scroll within the same card changes nothing that is drawn. */
function same(a: State, b: State): boolean {
  const at = (s: State) => (s.pitch > 0 ? Math.floor(s.left / s.pitch) : 0);
  const ends = (s: State) => `${s.left > 8} ${s.left < s.room - 8}`;
  return a.pitch === b.pitch && a.width === b.width && at(a) === at(b) && ends(a) === ends(b);
}

export function RowSkeleton() {
  return (
    <section className="row" aria-hidden="true">
      <span className="skeleton line row-name" style={{ width: "12rem", height: "1.2em" }} />
      <div className="strip-frame">
        <ul className="strip">{Array.from({ length: 7 }, (_, index) => <li key={index}><CardSkeleton /></li>)}</ul>
      </div>
    </section>
  );
}

/** Cards in a grid, with more to come when its end is near. */
export function Grid({ place, cards, more }: { place: string; cards: CardData[]; more?: () => void }) {
  const end = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (!end.current || !more) return;
    const observer = new IntersectionObserver((seen) => seen.some((one) => one.isIntersecting) && more(), { rootMargin: "600px" });
    observer.observe(end.current);
    return () => observer.disconnect();
  }, [more]);
  return (
    <>
      <ul className="grid" data-focus="grid">
        {cards.map((card, index) => <li key={card.title_id}><TitleCard card={card} place={place} eager={index < 6} first={index === 0} /></li>)}
      </ul>
      <div ref={end} />
    </>
  );
}
