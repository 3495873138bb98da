import type { PlayerState } from "./state";

/** The lines of this moment, in the viewer's size, colour and edge; they make room for the controls. */
export function SubtitleLines({ state, lifted }: { state: PlayerState; lifted: boolean }) {
  const { lines, position, taste } = state;
  const now = lines.filter((line) => line.start <= position + 0.05 && position < line.end);
  if (!now.length) return null;
  return (
    <div className={`subtitles size-${taste.size} colour-${taste.colour} edge-${taste.edge} ${lifted ? "lifted" : ""}`} data-testid="subtitles" aria-hidden="true">
      {now.flatMap((line) => line.text.split("\n")).map((text, index) => <span key={index} className="subtitle">{text}</span>)}
    </div>
  );
}
