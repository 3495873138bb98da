import { useEffect, useState } from "react";
import { useText } from "../../i18n";
import type { Showing } from "./showing";
import type { PlayerState } from "./state";

/** Figures for the curious: press d. */
export function Statistics({ showing, state }: { showing: Showing; state: PlayerState }) {
  const text = useText();
  const { t } = text;
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => tick((count) => count + 1), 500);
    return () => clearInterval(timer);
  }, []);
  const stats = showing.player?.getStats();
  const { joinedIn, totalRebuffers } = showing.meter;
  const lines: [string, string][] = [
    [t("stats.rendition"), stats ? `${stats.width || "–"} × ${stats.height || "–"} · ${text.rate(stats.streamBandwidth || 0)}` : "–"],
    [t("stats.codecs"), stats?.currentCodecs || "–"],
    [t("stats.buffer"), `${(state.buffered - state.position).toFixed(1)} s`],
    [t("stats.bandwidth"), text.rate(stats?.estimatedBandwidth || 0)],
    [t("stats.edge"), showing.lastEdge ?? "–"],
    [t("stats.frames"), `${stats?.droppedFrames || 0} / ${stats?.decodedFrames || 0}`],
    [t("stats.joined"), joinedIn === null ? "–" : `${joinedIn} ms`],
    [t("stats.rebuffers"), String(totalRebuffers)],
    [t("stats.session"), state.session?.session_id ?? "–"],
  ];
  return (
    <section className="statistics" aria-label={t("stats.title")} data-testid="statistics">
      <dl>{lines.map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}</dl>
    </section>
  );
}
