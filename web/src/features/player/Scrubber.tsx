import { type PointerEvent, useRef, useState } from "react";
import { useText } from "../../i18n";
import { STEP_S } from "./keys";
import type { Showing } from "./showing";
import type { PlayerState } from "./state";
import { sheetPath, tileAt } from "./thumbnails";

interface ScrubberProps {
  showing: Showing;
  state: PlayerState;
}

/** The bar one moves along, with the picture of where one would come to. */
export function Scrubber({ showing, state }: ScrubberProps) {
  const text = useText();
  const bar = useRef<HTMLDivElement>(null);
  const [aim, setAim] = useState<number | null>(null);
  const dragging = useRef(false);
  const { duration } = state;
  const position = dragging.current && aim !== null ? aim : state.position;
  const part = (seconds: number) => (duration > 0 ? Math.min(100, (seconds / duration) * 100) : 0);

  const at = (event: PointerEvent) => {
    const box = bar.current?.getBoundingClientRect();
    return box ? Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1) * duration : 0;
  };
  const seek = (seconds: number) => {
    showing.video.currentTime = Math.min(Math.max(0, seconds), Math.max(0, duration - 0.2));
  };
  const steps: Record<string, number> = { ArrowLeft: -STEP_S, ArrowRight: STEP_S, PageDown: -60, PageUp: 60, Home: -duration, End: duration };

  return (
    <div
      ref={bar}
      className="scrubber"
      role="slider"
      tabIndex={0}
      aria-label={text.t("player.seek")}
      aria-valuemin={0}
      aria-valuemax={Math.round(duration)}
      aria-valuenow={Math.round(position)}
      aria-valuetext={text.t("player.position", { position: text.clock(position * 1000), duration: text.clock(duration * 1000) })}
      data-testid="control-seek"
      data-focus-own="left right"
      onKeyDown={(event) => {
        const step = steps[event.key];
        if (step === undefined) return;
        event.preventDefault();
        seek(showing.video.currentTime + step);
      }}
      onPointerDown={(event) => {
        event.currentTarget.setPointerCapture(event.pointerId);
        dragging.current = true;
        setAim(at(event));
      }}
      onPointerMove={(event) => setAim(at(event))}
      onPointerUp={(event) => {
        dragging.current = false;
        seek(at(event));
        if (event.pointerType !== "mouse") setAim(null);
      }}
      onPointerLeave={() => !dragging.current && setAim(null)}
    >
      <div className="scrubber-track">
        <span className="scrubber-buffered" style={{ width: `${part(state.buffered)}%` }} />
        {aim !== null && <span className="scrubber-aim" style={{ width: `${part(aim)}%` }} />}
        <span className="scrubber-done" style={{ width: `${part(position)}%` }} />
      </div>
      <span className="scrubber-knob" style={{ insetInlineStart: `${part(position)}%` }} />
      {aim !== null && <Preview showing={showing} state={state} seconds={aim} left={part(aim)} />}
    </div>
  );
}

function Preview({ showing, state, seconds, left }: ScrubberProps & { seconds: number; left: number }) {
  const text = useText();
  const sheets = state.session?.thumbnails;
  const tile = sheets && tileAt(sheets, seconds * 1000);
  const url = sheets && tile && showing.edges.beside(sheetPath(sheets, tile.sheet), Date.now());
  return (
    <span className="scrubber-preview" style={{ insetInlineStart: `clamp(6rem, ${left}%, calc(100% - 6rem))` }} aria-hidden="true">
      {sheets && tile && url && (
        <span className="scrubber-picture" style={{ width: sheets.width_px, height: sheets.height_px, backgroundImage: `url("${url}")`, backgroundPosition: `-${tile.x}px -${tile.y}px` }} />
      )}
      <span className="scrubber-time">{text.clock(seconds * 1000)}</span>
    </span>
  );
}
