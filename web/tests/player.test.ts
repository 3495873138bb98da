import { describe, expect, it } from "vitest";
import { Problem } from "../src/api/problem";
import { Edges, SHUNNED_MS, split } from "../src/features/player/edges";
import { Meter } from "../src/features/player/meter";
import { sheetPath, tileAt } from "../src/features/player/thumbnails";
import { blame, isOver, mendable, statusOf, troubleOf } from "../src/features/player/trouble";

const A = { edge_id: "edg_a", base_url: "http://10.0.0.1:9001/t/alpha/" };
const B = { edge_id: "edg_b", base_url: "https://edge.example/cdn/t/beta/" };
const segment = "http://10.0.0.1:9001/t/stale/assets/ast_1/v/720p/4.m4s";

describe("edges", () => {
  it("takes a URL apart at its token", () => {
    expect(split(B.base_url + "assets/x/1.m4s")).toEqual({ head: "https://edge.example/cdn", token: "beta", rest: "assets/x/1.m4s" });
    expect(split("http://127.0.0.1/api/v1/playback/x/manifest/token/manifest.mpd")).toBeNull();
  });

  it("writes a segment anew for every edge and the tokens of now, best first", () => {
    expect(new Edges([A, B]).urls(segment, 0)).toEqual(["http://10.0.0.1:9001/t/alpha/assets/ast_1/v/720p/4.m4s", "https://edge.example/cdn/t/beta/assets/ast_1/v/720p/4.m4s"]);
  });

  it("puts an edge that failed last, and forgives it after a while", () => {
    const edges = new Edges([A, B]);
    edges.fail("edg_a", 1000);
    expect(edges.failed(1001)).toEqual(["edg_a"]);
    expect(edges.urls(segment, 1001)?.[0]).toContain("edge.example");
    expect(edges.urls(segment, 1001)?.[1]).toContain("10.0.0.1");
    expect(edges.urls(segment, 1000 + SHUNNED_MS)?.[0]).toContain("10.0.0.1");
  });

  it("uses fresh tokens as soon as they are there", () => {
    const edges = new Edges([A]);
    edges.renew([{ ...A, base_url: "http://10.0.0.1:9001/t/gamma/" }]);
    expect(edges.urls(segment, 0)).toEqual(["http://10.0.0.1:9001/t/gamma/assets/ast_1/v/720p/4.m4s"]);
  });

  it("leaves alone what is not on an edge, or when it knows none", () => {
    expect(new Edges([A]).urls("http://127.0.0.1/manifest.mpd", 0)).toBeNull();
    expect(new Edges([]).urls(segment, 0)).toBeNull();
  });

  it("names the edge that a URL points at, whatever its token", () => {
    expect(new Edges([A, B]).edgeOf(segment)).toBe("edg_a");
    expect(new Edges([A, B]).edgeOf("http://elsewhere/t/x/y")).toBeNull();
  });

  it("finds what lies beside the segments", () => {
    expect(new Edges([A]).beside("assets/ast_1/thumbs-1.jpg", 0)).toBe("http://10.0.0.1:9001/t/alpha/assets/ast_1/thumbs-1.jpg");
  });
});

describe("the meter", () => {
  const at = (now: number, positionMs = 0) => ({ now, positionMs, droppedFrames: 3, bandwidthBps: 2_000_000.4, rendition: "720p", edgeId: "edg_a" });

  it("counts what was played and what was waited for, once", () => {
    const meter = new Meter(0);
    meter.joined(400);
    meter.turn("playing", 400);
    meter.turn("rebuffering", 5_400);
    meter.turn("playing", 6_000);
    const heartbeat = meter.heartbeat(at(8_000, 7_000));
    expect(heartbeat).toMatchObject({ playing_ms: 7_000, rebuffering_ms: 600, rebuffer_count: 1, join_time_ms: 400, position_ms: 7_000, bandwidth_bps: 2_000_000, dropped_frames: 3, state: "playing" });
    expect(meter.heartbeat(at(9_000))).toMatchObject({ playing_ms: 1_000, rebuffering_ms: 0, rebuffer_count: 0, join_time_ms: null, dropped_frames: 0 });
    expect(meter.totalRebuffers).toBe(1);
  });

  it("counts nothing while paused, and survives a clock that goes back", () => {
    const meter = new Meter(1_000);
    meter.turn("paused", 1_000);
    meter.turn("playing", 5_000);
    expect(meter.heartbeat(at(4_000))).toMatchObject({ playing_ms: 0, state: "playing" });
  });

  it("says how it failed", () => {
    expect(new Meter(0).heartbeat(at(10), "failed", "S1001")).toMatchObject({ state: "failed", error_code: "S1001" });
  });
});

describe("thumbnails", () => {
  const sheets = { media: "thumbs/$Number$.jpg", columns: 5, rows: 4, width_px: 160, height_px: 90, interval_ms: 2_000, sheets: 2 };

  it("finds the tile of a moment", () => {
    expect(tileAt(sheets, 0)).toEqual({ sheet: 1, x: 0, y: 0 });
    expect(tileAt(sheets, 13_999)).toEqual({ sheet: 1, x: 160, y: 90 });
    expect(tileAt(sheets, 40_000)).toEqual({ sheet: 2, x: 0, y: 0 });
    expect(sheetPath(sheets, 2)).toBe("thumbs/2.jpg");
  });

  it("stays within the sheets", () => {
    expect(tileAt(sheets, 9_999_999)).toEqual({ sheet: 2, x: 640, y: 270 });
    expect(tileAt(sheets, -5)).toEqual({ sheet: 1, x: 0, y: 0 });
  });
});

describe("trouble", () => {
  const shaka = (category: number, code: number, data: unknown[] = [], severity = 2) => ({ category, code, data, severity });

  it("tells what the server said inside a refused licence", () => {
    const inner = shaka(1, 1001, ["http://x", 403, '{"type":"/problems/licence-refused"}']);
    expect(troubleOf(shaka(6, 6007, [inner]))).toEqual({ key: "player.error.drm", kind: "licence-refused", code: "S6007" });
  });

  it("knows the network, the decoder and a browser that cannot", () => {
    expect(troubleOf(shaka(1, 1002)).key).toBe("player.error.network");
    expect(troubleOf(shaka(3, 3016)).key).toBe("player.error.media");
    expect(troubleOf(shaka(6, 6001)).key).toBe("player.error.support");
  });

  it("names the problem of the gateway, and never fails itself", () => {
    expect(troubleOf(new Problem("too-mature", 403, "no", { instance: "trc_9" }))).toEqual({ key: "problem.unknown", kind: "too-mature", code: "trc_9" });
    expect(troubleOf(undefined).key).toBe("player.error.unknown");
  });

  it("blames the servers when the gateway answers, and the network when it does not", () => {
    const silent = shaka(1, 1002, ["http://edge/t/x/1.m4s"]);
    expect(troubleOf(silent, blame(null)).kind).toBe("no-edge");
    expect(troubleOf(silent, blame(new Problem("offline", 0, ""))).kind).toBe("offline");
    expect(troubleOf(silent, blame(undefined)).kind).toBeUndefined();
    expect(troubleOf(shaka(1, 1001, ["u", 403, '{"type":"/problems/link-expired"}']), "offline").kind).toBe("link-expired");
  });

  it("knows a session that is over from one that cannot be asked", () => {
    expect(isOver(new Problem("session-not-found", 404, ""))).toBe(true);
    expect(isOver(new Problem("offline", 0, ""))).toBe(false);
    expect(isOver(new Error("session-not-found"))).toBe(false);
  });

  it("mends only what is on the way", () => {
    expect(mendable(shaka(1, 1001))).toBe(true);
    expect(mendable(shaka(6, 6007))).toBe(false);
    expect(statusOf(shaka(1, 1001, ["u", 403]))).toBe(403);
    expect(statusOf(shaka(1, 1002, []))).toBe(0);
  });
});
