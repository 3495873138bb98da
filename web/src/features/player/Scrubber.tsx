import { type PointerEvent, useRef, useState } from "react";
import { useText } from "../../i18n";
import { findChapter, nameChapter } from "./chapters";
import { STEP_S } from "./keys";
import type { Playback } from "./playback";
import type { PlayerState } from "./state";
import { getSheetPath, findTile } from "./thumbnails";

interface ScrubberProps {
  playback: Playback;
  state: PlayerState;
}

/** The seek bar, with a thumbnail of the position under the pointer. */
export function Scrubber({ playback, state }: ScrubberProps) {
  const text = useText();
  const bar = useRef<HTMLDivElement>(null);
  const [target, setTarget] = useState<number | null>(null);
  const dragging = useRef(false);
  const { duration } = state;
  const chapters = state.session?.chapters ?? [];
  const chapter = nameChapter(chapters, findChapter(chapters, state.position * 1000), text);
  const position = dragging.current && target !== null ? target : state.position;
  const toPercent = (seconds: number) => (duration > 0 ? Math.min(100, (seconds / duration) * 100) : 0);

  const toSeconds = (event: PointerEvent) => {
    const box = bar.current?.getBoundingClientRect();
    return box ? Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1) * duration : 0;
  };
  const seek = (seconds: number) => {
    playback.video.currentTime = Math.min(Math.max(0, seconds), Math.max(0, duration - 0.2));
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
      aria-valuetext={text.t("player.position", { position: text.formatClock(position * 1000), duration: text.formatClock(duration * 1000) }) + (chapter ? ` · ${chapter}` : "")}
      data-testid="control-seek"
      data-focus-own="left right"
      onKeyDown={(event) => {
        const step = steps[event.key];
        if (step === undefined) return;
        event.preventDefault();
        seek(playback.video.currentTime + step);
      }}
      onPointerDown={(event) => {
        event.currentTarget.setPointerCapture(event.pointerId);
        dragging.current = true;
        setTarget(toSeconds(event));
      }}
      onPointerMove={(event) => setTarget(toSeconds(event))}
      onPointerUp={(event) => {
        dragging.current = false;
        seek(toSeconds(event));
        if (event.pointerType !== "mouse") setTarget(null);
      }}
      onPointerLeave={() => !dragging.current && setTarget(null)}
    >
      <div className="scrubber-track">
        <span className="scrubber-buffered" style={{ width: `${toPercent(state.buffered)}%` }} />
        {target !== null && <span className="scrubber-target" style={{ width: `${toPercent(target)}%` }} />}
        <span className="scrubber-done" style={{ width: `${toPercent(position)}%` }} />
        {chapters.map((one) => one.start_ms > 0 && <span key={one.start_ms} className="scrubber-chapter" style={{ insetInlineStart: `${toPercent(one.start_ms / 1000)}%` }} />)}
      </div>
      <span className="scrubber-knob" style={{ insetInlineStart: `${toPercent(position)}%` }} />
      {target !== null && <Preview playback={playback} state={state} seconds={target} left={toPercent(target)} />}
    </div>
  );
}

function Preview({ playback, state, seconds, left }: ScrubberProps & { seconds: number; left: number }) {
  const text = useText();
  const sheets = state.session?.thumbnails;
  const tile = sheets && findTile(sheets, seconds * 1000);
  const chapters = state.session?.chapters ?? [];
  const chapter = nameChapter(chapters, findChapter(chapters, seconds * 1000), text);
  const url = sheets && tile && playback.edges.resolveUrl(getSheetPath(sheets, tile.sheet), Date.now());
  return (
    <span className="scrubber-preview" style={{ insetInlineStart: `clamp(6rem, ${left}%, calc(100% - 6rem))` }} aria-hidden="true">
      {sheets && tile && url && (
        <span className="scrubber-picture" style={{ width: sheets.width_px, height: sheets.height_px, backgroundImage: `url("${url}")`, backgroundPosition: `-${tile.x}px -${tile.y}px` }} />
      )}
      {chapter && <span className="scrubber-time">{chapter}</span>}
      <span className="scrubber-time">{text.formatClock(seconds * 1000)}</span>
    </span>
  );
}
