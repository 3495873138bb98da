/** Rows and grids of cards. A row renders only the visible cards and one screen on either side. */
import { type ReactNode, useEffect, useLayoutEffect, useRef, useState } from "react";
import type { Card as CardData } from "../api";
import { useText } from "../i18n";
import { Link } from "../router";
import { CardSkeleton, TitleCard } from "./Card";
import { IconButton } from "./Button";
import { Icon } from "./icons";
import { createPreviewHandlers } from "./Preview";
import "./row.css";

/** The scroll position of each row, restored on return. */
const scrollPositions = new Map<string, number>();

interface Window {
  first: number;
  last: number;
}

/** Find the cards to render for a scroll position; `pitch` is the width of a card and its gap. */
function findWindow(left: number, width: number, pitch: number, count: number): Window {
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
          return <TitleCard key={card.title_id} card={card} place={id} eager={eager && index < 6} hover={createPreviewHandlers(card)} />;
        }}
      </Strip>
    </section>
  );
}

/** The last card of a row, which leads to the whole genre. */
function AllCard({ place, name, to }: { place: string; name: string; to: string }) {
  const { t } = useText();
  return (
    <Link className="card all-card" to={to} data-focus-id={`${place}:all`} aria-label={`${t("row.all")}: ${name}`}>
      <span className="card-art"><span>{t("row.all")}</span><Icon name="right" size="1.1em" /></span>
    </Link>
  );
}

/** Return -1 for right-to-left text, where scroll positions are negative, else 1. */
const getDirectionSign = (element: HTMLElement) => (getComputedStyle(element).direction === "rtl" ? -1 : 1);

interface StripProps {
  id: string;
  name: string;
  count: number;
  children: (index: number) => ReactNode;
}

function Strip({ id, name, count, children }: StripProps) {
  const { t } = useText();
  const strip = useRef<HTMLUListElement>(null);
  const [state, setState] = useState({ left: scrollPositions.get(id) ?? 0, width: 0, pitch: 0, maxLeft: 0 });

  useLayoutEffect(() => {
    const element = strip.current;
    if (!element) return;
    const measure = () => {
      const style = getComputedStyle(element);
      const card = element.querySelector("li")?.clientWidth ?? 0;
      const pitch = card + Number.parseFloat(style.columnGap || "0");
      const next = { left: Math.abs(element.scrollLeft), width: element.clientWidth, pitch, maxLeft: element.scrollWidth - element.clientWidth };
      scrollPositions.set(id, next.left);
      setState((old) => (isSame(old, next) ? old : next));
    };
    element.scrollLeft = (scrollPositions.get(id) ?? 0) * getDirectionSign(element);
    measure();
    element.addEventListener("scroll", measure, { passive: true });
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => {
      element.removeEventListener("scroll", measure);
      observer.disconnect();
    };
  }, [id, count]);

  const { first, last } = findWindow(state.left, state.width, state.pitch, count);
  const scrollPage = (by: number) => strip.current?.scrollBy({ left: by * getDirectionSign(strip.current) * Math.max(state.pitch, Math.floor(state.width / state.pitch) * state.pitch), behavior: "smooth" });
  return (
    <div className="strip-frame">
      {state.left > 8 && <IconButton className="pager previous" icon="left" label={t("row.previous", { name })} tabIndex={-1} onClick={() => scrollPage(-1)} />}
      <ul ref={strip} className="strip" data-focus="row">
        {Array.from({ length: last - first }, (_, offset) => (
          <li key={first + offset} style={{ gridColumn: first + offset + 1 }}>{children(first + offset)}</li>
        ))}
        {last < count && <li aria-hidden="true" style={{ gridColumn: count }} />}
      </ul>
      {state.left < state.maxLeft - 8 && <IconButton className="pager next" icon="right" label={t("row.next", { name })} tabIndex={-1} onClick={() => scrollPage(1)} />}
    </div>
  );
}

type StripState = { left: number; width: number; pitch: number; maxLeft: number };

/** Return whether two states render the same: a scroll within one card changes nothing. */
function isSame(a: StripState, b: StripState): boolean {
  const at = (s: StripState) => (s.pitch > 0 ? Math.floor(s.left / s.pitch) : 0);
  const ends = (s: StripState) => `${s.left > 8} ${s.left < s.maxLeft - 8}`;
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

/** Cards in a grid; more are loaded when its end is near. */
export function Grid({ place, cards, onMore }: { place: string; cards: CardData[]; onMore?: () => void }) {
  const end = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (!end.current || !onMore) return;
    const observer = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && onMore(), { rootMargin: "600px" });
    observer.observe(end.current);
    return () => observer.disconnect();
  }, [onMore]);
  return (
    <>
      <ul className="grid" data-focus="grid">
        {cards.map((card, index) => <li key={card.title_id}><TitleCard card={card} place={place} eager={index < 6} first={index === 0} /></li>)}
      </ul>
      <div ref={end} />
    </>
  );
}
