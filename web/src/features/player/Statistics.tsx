import { useEffect, useState } from "react";
import { useText } from "../../i18n";
import type { Playback } from "./playback";
import type { PlayerState } from "./state";

/** Playback statistics, toggled with the key d. */
export function Statistics({ playback, state }: { playback: Playback; state: PlayerState }) {
  const text = useText();
  const { t } = text;
  const [, render] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => render((count) => count + 1), 500);
    return () => clearInterval(timer);
  }, []);
  const stats = playback.player?.getStats();
  const { joinTimeMs, totalRebufferCount } = playback.metrics;
  const lines: [string, string][] = [
    [t("stats.rendition"), stats ? `${stats.width || "–"} × ${stats.height || "–"} · ${text.formatRate(stats.streamBandwidth || 0)}` : "–"],
    [t("stats.codecs"), stats?.currentCodecs || "–"],
    [t("stats.buffer"), `${(state.buffered - state.position).toFixed(1)} s`],
    [t("stats.bandwidth"), text.formatRate(stats?.estimatedBandwidth || 0)],
    [t("stats.edge"), playback.lastEdge ?? "–"],
    [t("stats.frames"), `${stats?.droppedFrames || 0} / ${stats?.decodedFrames || 0}`],
    [t("stats.joined"), joinTimeMs === null ? "–" : `${joinTimeMs} ms`],
    [t("stats.rebuffers"), String(totalRebufferCount)],
    [t("stats.session"), state.session?.session_id ?? "–"],
  ];
  return (
    <section className="statistics" aria-label={t("stats.title")} data-testid="statistics">
      <dl>{lines.map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}</dl>
    </section>
  );
}
