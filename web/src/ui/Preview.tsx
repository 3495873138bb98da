/** The preview of a card, shown when the pointer rests on it. */
import { type CSSProperties, type PointerEvent, useEffect } from "react";
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

function position(element: Element): CSSProperties {
  const box = element.getBoundingClientRect();
  const width = box.width * GROWTH;
  const left = Math.min(Math.max(MARGIN_PX, box.left + (box.width - width) / 2), document.documentElement.clientWidth - width - MARGIN_PX);
  return { left: left + scrollX, top: box.top + scrollY - (box.width * (GROWTH - 1) * 9) / 32, width };
}

function hidePreview(): void {
  clearTimeout(timer);
  if (preview.get().card) preview.set({ card: null });
}

/** Create the pointer handlers of a card; previews are for mice only. */
export function createPreviewHandlers(card: Card) {
  return {
    onPointerEnter: (event: PointerEvent) => {
      const from = event.currentTarget;
      if (event.pointerType !== "mouse" || !(from instanceof HTMLElement)) return;
      const art = from.querySelector(".card-art") ?? from;
      clearTimeout(timer);
      timer = window.setTimeout(() => preview.set({ card, from, style: position(art) }), HOVER_MS);
    },
    onPointerLeave: () => clearTimeout(timer),
    onPointerDown: () => clearTimeout(timer),
  };
}

/** Renders the preview. Its content is on the title page as well, so it needs no keyboard access. */
export function PreviewHost() {
  const text = useText();
  const { card, from, style } = useStore(preview);
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
    <div key={card.title_id} className="preview" style={style} aria-hidden="true" data-testid="preview" onPointerLeave={hidePreview} onClickCapture={() => from?.focus({ preventScroll: true })} onClick={hidePreview}>
      <Link to={paths.title(card.title_id)} over tabIndex={-1} className="preview-art" data-preload="player">
        <Art picture={card.pictures.backdrop ?? card.pictures.card} name={card.name} eager />
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
