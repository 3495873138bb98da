import type { PlayerState } from "./state";

/** The current subtitles in the preferred style; they move away from the controls. */
export function SubtitleLines({ state, raised }: { state: PlayerState; raised: boolean }) {
  const { lines, position, preferences } = state;
  const now = lines.filter((line) => line.start <= position + 0.05 && position < line.end);
  if (!now.length) return null;
  const { size, colour, edge, background, position: place } = preferences;
  return (
    <div className={`subtitles size-${size} colour-${colour} edge-${edge} background-${background} at-${place} ${raised ? "raised" : ""}`} data-testid="subtitles" aria-hidden="true">
      {now.flatMap((line) => line.text.split("\n")).map((text, index) => <span key={index} className="subtitle">{text}</span>)}
    </div>
  );
}
