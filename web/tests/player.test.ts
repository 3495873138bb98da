import { describe, expect, it } from "vitest";
import { Problem } from "../src/api/problem";
import { sendRepeatedly } from "../src/features/player/heartbeats";
import { Edges, FAILED_EDGE_MS, splitUrl } from "../src/features/player/edges";
import { PlaybackMetrics } from "../src/features/player/metrics";
import { getSheetPath, findTile } from "../src/features/player/thumbnails";
import { InsecurePage, explainFailure, isEdgeFault, isSessionOver, isUnreachable, isRecoverable, getHttpStatus, describeError } from "../src/features/player/errors";

const A = { edge_id: "edg_a", base_url: "http://10.0.0.1:9001/t/alpha/" };
const B = { edge_id: "edg_b", base_url: "https://edge.example/cdn/t/beta/" };
const segment = "http://10.0.0.1:9001/t/stale/assets/ast_1/v/720p/4.m4s";

describe("edges", () => {
  it("splits a URL at its token", () => {
    expect(splitUrl(B.base_url + "assets/x/1.m4s")).toEqual({ base: "https://edge.example/cdn", token: "beta", rest: "assets/x/1.m4s" });
    expect(splitUrl("http://127.0.0.1/api/v1/playback/x/manifest/token/manifest.mpd")).toBeNull();
  });

  const choose = (edges: Edges, now: number, tried = new Set<string>()) => edges.chooseUrl(segment, now, tried);

  it("rewrites a segment URL for the best edge and its current token", () => {
    expect(choose(new Edges([A, B]), 0)).toBe("http://10.0.0.1:9001/t/alpha/assets/ast_1/v/720p/4.m4s");
  });

  it("tries an edge that failed last, for a limited time", () => {
    const edges = new Edges([A, B]);
    edges.markFailed("edg_a", 1000);
    expect(edges.listFailed(1001)).toEqual(["edg_a"]);
    expect(edges.hasFailed("edg_a", 1001)).toBe(true);
    expect(choose(edges, 1001)).toContain("edge.example");
    expect(choose(edges, 1000 + FAILED_EDGE_MS)).toContain("10.0.0.1");
  });

  it("tries every edge once before an edge again, whether or not failures were marked in between", () => {
    for (const mark of [true, false]) {
      const edges = new Edges([A, B]);
      const tried = new Set<string>();
      expect(choose(edges, 0, tried)).toContain("10.0.0.1");
      if (mark) edges.markFailed("edg_a", 0);
      expect(choose(edges, 1, tried)).toContain("edge.example");
      if (mark) edges.markFailed("edg_b", 1);
      expect(choose(edges, 2, tried)).toContain("10.0.0.1");
      expect(choose(edges, 3, tried)).toContain("edge.example");
    }
  });

  it("reports no edge whose failure was the network's, but still tries it last", () => {
    const edges = new Edges([A, B]);
    edges.markFailed("edg_a", 0);
    edges.doubtFailures();
    expect(edges.listFailed(1)).toEqual([]);
    expect(choose(edges, 1)).toContain("edge.example");
    edges.markFailed("edg_a", 2);
    expect(edges.listFailed(3)).toEqual(["edg_a"]);
  });

  it("uses renewed tokens", () => {
    const edges = new Edges([A]);
    edges.setDeliveries([{ ...A, base_url: "http://10.0.0.1:9001/t/gamma/" }]);
    expect(choose(edges, 0)).toBe("http://10.0.0.1:9001/t/gamma/assets/ast_1/v/720p/4.m4s");
  });

  it("ignores URLs that are not on an edge, and all without edges", () => {
    expect(new Edges([A]).chooseUrl("http://127.0.0.1/manifest.mpd", 0, new Set())).toBeNull();
    expect(choose(new Edges([]), 0)).toBeNull();
  });

  it("names the edge that a URL points at, whatever its token", () => {
    expect(new Edges([A, B]).findEdge(segment)).toBe("edg_a");
    expect(new Edges([A, B]).findEdge("http://elsewhere/t/x/y")).toBeNull();
  });

  it("resolves other objects of the asset", () => {
    expect(new Edges([A]).resolveUrl("assets/ast_1/thumbs-1.jpg", 0)).toBe("http://10.0.0.1:9001/t/alpha/assets/ast_1/thumbs-1.jpg");
  });
});

describe("playback metrics", () => {
  const at = (now: number, positionMs = 0) => ({ now, positionMs, droppedFrames: 3, bandwidthBps: 2_000_000.4, rendition: "720p", edgeId: "edg_a" });

  it("counts playing and rebuffering times once", () => {
    const metrics = new PlaybackMetrics(0);
    metrics.recordFirstFrame(400);
    metrics.setState("playing", 400);
    metrics.setState("rebuffering", 5_400);
    metrics.setState("playing", 6_000);
    const heartbeat = metrics.createHeartbeat(at(8_000, 7_000));
    expect(heartbeat).toMatchObject({ playing_ms: 7_000, rebuffering_ms: 600, rebuffer_count: 1, join_time_ms: 400, position_ms: 7_000, bandwidth_bps: 2_000_000, dropped_frames: 3, state: "playing" });
    expect(metrics.createHeartbeat(at(9_000))).toMatchObject({ playing_ms: 1_000, rebuffering_ms: 0, rebuffer_count: 0, join_time_ms: null, dropped_frames: 0 });
    expect(metrics.totalRebufferCount).toBe(1);
  });

  it("counts nothing while paused, and survives a clock that goes back", () => {
    const metrics = new PlaybackMetrics(1_000);
    metrics.setState("paused", 1_000);
    metrics.setState("playing", 5_000);
    expect(metrics.createHeartbeat(at(4_000))).toMatchObject({ playing_ms: 0, state: "playing" });
  });

  it("reports the error code", () => {
    expect(new PlaybackMetrics(0).createHeartbeat(at(10), "failed", "S1001")).toMatchObject({ state: "failed", error_code: "S1001" });
  });
});

describe("thumbnails", () => {
  const sheets = { media: "thumbs/$Number$.jpg", columns: 5, rows: 4, width_px: 160, height_px: 90, interval_ms: 2_000, sheets: 2 };

  it("finds the tile of a position", () => {
    expect(findTile(sheets, 0)).toEqual({ sheet: 1, x: 0, y: 0 });
    expect(findTile(sheets, 13_999)).toEqual({ sheet: 1, x: 160, y: 90 });
    expect(findTile(sheets, 40_000)).toEqual({ sheet: 2, x: 0, y: 0 });
    expect(getSheetPath(sheets, 2)).toBe("thumbs/2.jpg");
  });

  it("stays within the sheets", () => {
    expect(findTile(sheets, 9_999_999)).toEqual({ sheet: 2, x: 640, y: 270 });
    expect(findTile(sheets, -5)).toEqual({ sheet: 1, x: 0, y: 0 });
  });
});

describe("playback errors", () => {
  const shaka = (category: number, code: number, data: unknown[] = [], severity = 2) => ({ category, code, data, severity });

  it("finds the problem document of a refused licence", () => {
    const inner = shaka(1, 1001, ["http://x", 403, '{"type":"/problems/licence-refused"}']);
    expect(describeError(shaka(6, 6007, [inner]))).toEqual({ key: "player.error.drm", kind: "licence-refused", code: "S6007" });
  });

  it("distinguishes the network, the decoder and an unsupported browser", () => {
    expect(describeError(shaka(1, 1002)).key).toBe("player.error.network");
    expect(describeError(shaka(3, 3016)).key).toBe("player.error.media");
    expect(describeError(shaka(6, 6001)).key).toBe("player.error.support");
  });

  it("reports the problem of the gateway, and accepts any error", () => {
    expect(describeError(new Problem("too-mature", 403, "no", { instance: "trc_9" }))).toEqual({ key: "problem.unknown", kind: "too-mature", code: "trc_9" });
    expect(describeError(undefined).key).toBe("player.error.unknown");
    expect(describeError(new InsecurePage()).key).toBe("player.error.insecure");
  });

  it("reports the edges when the gateway responds, and the network when it does not", () => {
    const timeout = shaka(1, 1002, ["http://edge/t/x/1.m4s"]);
    expect(describeError(timeout, explainFailure(null)).kind).toBe("no-edge");
    expect(describeError(timeout, explainFailure(new Problem("offline", 0, ""))).kind).toBe("offline");
    expect(describeError(timeout, explainFailure(undefined)).kind).toBeUndefined();
    expect(describeError(shaka(1, 1001, ["u", 403, '{"type":"/problems/link-expired"}']), "offline").kind).toBe("link-expired");
  });

  it("distinguishes an ended session from an unreachable gateway", () => {
    expect(isSessionOver(new Problem("session-not-found", 404, ""))).toBe(true);
    expect(isSessionOver(new Problem("offline", 0, ""))).toBe(false);
    expect(isSessionOver(new Error("session-not-found"))).toBe(false);
  });

  it("blames an edge for failed and stalled connections and for errors, not for expired URLs and abandoned segments", () => {
    expect([shaka(1, 1002), shaka(1, 1003), shaka(1, 1001, ["u", 404]), shaka(1, 1001, ["u", 503])].every(isEdgeFault)).toBe(true);
    const others = [shaka(1, 1001, ["u", 401]), shaka(1, 1001, ["u", 403]), shaka(1, 7001), shaka(7, 7001), shaka(3, 3016), null];
    expect(others.some(isEdgeFault)).toBe(false);
  });

  it("distinguishes a gateway that answers from one that cannot be reached", () => {
    expect(isUnreachable(new Problem("offline", 0, ""))).toBe(true);
    expect(isUnreachable(new Problem("overloaded", 503, ""))).toBe(false);
    expect(isUnreachable(null)).toBe(false);
  });

  it("recovers from network errors only", () => {
    expect(isRecoverable(shaka(1, 1001))).toBe(true);
    expect(isRecoverable(shaka(6, 6007))).toBe(false);
    expect(getHttpStatus(shaka(1, 1001, ["u", 403]))).toBe(403);
    expect(getHttpStatus(shaka(1, 1002, []))).toBe(0);
  });
});

describe("heartbeats", () => {
  const heartbeat = new PlaybackMetrics(0).createHeartbeat({ now: 10, positionMs: 0, droppedFrames: 0, bandwidthBps: null, rendition: null, edgeId: null });

  async function sendTo(answers: (Problem | null)[]) {
    const sent: string[] = [], waits: number[] = [];
    let now = 10;
    const sending = sendRepeatedly(heartbeat, {
      send: ({ at, sent_at }) => {
        sent.push(`${at} ${sent_at}`);
        const problem = answers.shift();
        return problem ? Promise.reject(problem) : Promise.resolve();
      },
      wait: (ms) => { waits.push(ms); now += ms; return Promise.resolve(); },
      now: () => now,
      random: () => 1,
    });
    return { error: await sending.then(() => null, (error: unknown) => error), sent, waits };
  }

  it("are sent again after a refusal, with the time at which they are sent", async () => {
    const busy = new Problem("overloaded", 503, "busy");
    const { error, sent, waits } = await sendTo([busy, busy, null]);
    expect(error).toBeNull();
    expect(waits).toEqual([1_000, 2_000]);
    expect(sent[0]).toBe("1970-01-01T00:00:00.010Z 1970-01-01T00:00:00.010Z");
    expect(sent[2]).toBe("1970-01-01T00:00:00.010Z 1970-01-01T00:00:03.010Z");
  });

  it("are not sent for ever, nor after another failure", async () => {
    const busy = new Problem("overloaded", 503, "busy"), late = new Problem("timeout", 504, "late");
    expect(await sendTo(Array<Problem>(9).fill(busy))).toMatchObject({ error: busy, waits: [1_000, 2_000, 4_000, 8_000] });
    expect(await sendTo([late, null])).toMatchObject({ error: late, waits: [] });
  });
});
