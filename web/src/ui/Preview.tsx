/** The preview of a card, shown when the pointer rests on it. */
import { type CSSProperties, type PointerEvent, useEffect, useLayoutEffect, useRef, useState } from "react";
import { createPortal } from "react-dom";
import type { Card } from "../api";
import { useText } from "../i18n";
import { Link, paths } from "../router";
import { Art } from "./Art";
import { listFacts, formatTimeLeft, Maturity, ProgressBar } from "./Card";
import { Icon } from "./icons";
import { Store, useStore } from "./store";
import "./preview.css";

const HOVER_MS = 500;
const GROWTH = 1.42;
const MARGIN_PX = 12;

interface PreviewState {
  card: Card | null;
  /** The element of the card, which gets the focus back. */
  from: HTMLElement | null;
  style: CSSProperties;
}

const preview = new Store<PreviewState>({ card: null, from: null, style: {} });
let timer = 0;
/** The card under the pointer, whose preview opens soon. */
let pending: Element | null = null;

function position(element: Element): CSSProperties {
  const box = element.getBoundingClientRect();
  const width = box.width * GROWTH;
  const left = Math.min(Math.max(MARGIN_PX, box.left + (box.width - width) / 2), document.documentElement.clientWidth - width - MARGIN_PX);
  return { left: left + scrollX, top: box.top + scrollY - (box.width * (GROWTH - 1) * 9) / 32, width };
}

function cancelPreview(): void {
  clearTimeout(timer);
  pending = null;
}

function hidePreview(): void {
  cancelPreview();
  if (preview.get().card) preview.set({ card: null });
}

/** Create the pointer handlers of a card; previews are for mice only. */
export function createPreviewHandlers(card: Card) {
  return {
    // A move and not the entry, so that a card which was scrolled below the pointer has its preview too.
    onPointerMove: (event: PointerEvent) => {
      const from = event.currentTarget;
      if (event.pointerType !== "mouse" || !(from instanceof HTMLElement) || pending === from) return;
      const art = from.querySelector(".card-art") ?? from;
      cancelPreview();
      pending = from;
      timer = window.setTimeout(() => preview.set({ card, from, style: position(art) }), HOVER_MS);
    },
    onPointerLeave: cancelPreview,
    onPointerDown: () => clearTimeout(timer),
  };
}

/** Plays a muted preview in a video element; returns how to stop it. */
export type PreviewPlayer = (video: HTMLVideoElement, card: Card) => () => void;

/** Move a preview that reaches below or above the window into view. */
function keepInView(element: HTMLElement): void {
  const header = document.querySelector<HTMLElement>(".header")?.offsetHeight ?? 0;
  const lowest = scrollY + innerHeight - MARGIN_PX - element.offsetHeight;
  const highest = scrollY + header + MARGIN_PX;
  element.style.top = `${Math.max(highest, Math.min(lowest, Number.parseFloat(element.style.top)))}px`;
}

const wantsStill = () => matchMedia("(prefers-reduced-motion: reduce)").matches || (navigator as { connection?: { saveData?: boolean } }).connection?.saveData === true;

/** Renders the preview. Its content is on the title page as well, so it needs no keyboard access. */
export function PreviewHost({ onPlay }: { onPlay: PreviewPlayer }) {
  const text = useText();
  const { card, from, style } = useStore(preview);
  const frame = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    if (card && frame.current) keepInView(frame.current);
  }, [card]);
  useEffect(() => {
    if (!card) return;
    const onMove = ({ target }: Event) => target instanceof Node && !frame.current?.contains(target) && !from?.contains(target) && hidePreview();
    addEventListener("pointermove", onMove, { passive: true });
    return () => removeEventListener("pointermove", onMove);
  }, [card, from]);
  useEffect(() => {
    addEventListener("scroll", hidePreview, { passive: true, capture: true });
    addEventListener("popstate", hidePreview);
    return () => {
      hidePreview();
      removeEventListener("scroll", hidePreview, { capture: true });
      removeEventListener("popstate", hidePreview);
    };
  }, []);
  if (!card) return null;
  const { progress } = card;
  const begun = progress && !progress.finished && progress.position_ms > 0 ? progress : null;
  return createPortal(
    <div key={card.title_id} ref={frame} className="preview" style={style} aria-hidden="true" data-testid="preview" onPointerLeave={hidePreview} onClickCapture={() => from?.focus({ preventScroll: true })} onClick={hidePreview}>
      <Link to={paths.title(card.title_id)} over tabIndex={-1} className="preview-art" data-preload="player">
        <Art picture={card.pictures.backdrop ?? card.pictures.card} name={card.name} eager />
        {!wantsStill() && <PreviewVideo card={card} onPlay={onPlay} />}
        {begun && <ProgressBar progress={begun} />}
      </Link>
      <div className="preview-text">
        <div className="preview-actions">
          <Link to={paths.watch(card.title_id, progress?.episode_id)} tabIndex={-1} className="preview-play" data-preload="player"><Icon name="play" size="1.15rem" />{text.t(begun ? "title.resume" : "title.play")}</Link>
          <Link to={paths.title(card.title_id)} over tabIndex={-1} className="icon-button preview-more"><Icon name="down" size="1.2rem" /></Link>
        </div>
        <p className="preview-name">{card.name}</p>
        <p className="preview-facts"><Maturity age={card.maturity} /> {begun ? formatTimeLeft(begun, text) : listFacts(card, text).join(" · ")}</p>
        {card.tagline && <p className="preview-line">{card.tagline}</p>}
      </div>
    </div>,
    document.body,
  );
}

/** The video, shown above the picture as soon as it plays. */
function PreviewVideo({ card, onPlay }: { card: Card; onPlay: PreviewPlayer }) {
  const video = useRef<HTMLVideoElement>(null);
  const [isPlaying, setIsPlaying] = useState(false);
  useEffect(() => (video.current ? onPlay(video.current, card) : undefined), [card.title_id, onPlay]);
  return <video ref={video} className={`preview-video ${isPlaying ? "shown" : ""}`} muted playsInline tabIndex={-1} data-testid="preview-video" onPlaying={() => setIsPlaying(true)} onEnded={() => setIsPlaying(false)} />;
}
