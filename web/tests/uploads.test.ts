import { describe, expect, it } from "vitest";
import { isProxyLimit, isRetried, needsSmallChunks } from "../src/features/operator/uploads";

const PROXY = { status: 413, body: "<html><h1>413 Request Entity Too Large</h1></html>" };
const OWN = { status: 413, body: '{"type":"/problems/too-large"}' };
const BROKEN = { status: 0, body: "" };

describe("uploads", () => {
  it("sends small pieces after a proxy refused a large one, or closed the connection", () => {
    expect([PROXY, OWN, BROKEN, { status: 503, body: "" }].map(needsSmallChunks)).toEqual([true, false, true, false]);
    expect(isRetried(PROXY, true)).toBe(true);
  });

  it("sends small pieces after a large one took too long", () => {
    for (const status of [408, 499, 504]) {
      const failure = { status, body: "Client Closed Request" };
      expect([needsSmallChunks(failure), isRetried(failure, true), isRetried(failure, false)]).toEqual([true, true, true]);
    }
  });

  it("names the proxy if it refuses small pieces too", () => {
    expect(isRetried(PROXY, false)).toBe(false);
    expect([PROXY, OWN].map(isProxyLimit)).toEqual([true, false]);
  });

  it("repeats what may succeed later", () => {
    const retried = [0, 408, 409, 423, 500, 503].map((status) => isRetried({ status, body: "" }, true));
    expect(retried).toEqual([true, true, true, true, true, true]);
    expect([400, 401, 404].map((status) => isRetried({ status, body: "" }, true))).toEqual([false, false, false]);
    expect(isRetried(OWN, true)).toBe(false);
  });
});
