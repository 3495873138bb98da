import { describe, expect, it } from "vitest";
import { createClient } from "../src/api/client";
import { getFaults, Problem } from "../src/api/problem";
import type { Session } from "../src/api/types";

const session = (token: string): Session => ({ access_token: token, expires_in_s: 300, account_id: "acc", device_id: "dev", profile_id: null, is_adult: true, roles: [], refresh_token: null });
const json = (body: unknown, status = 200) => new Response(body === null ? null : JSON.stringify(body), { status });
const problem = (kind: string, status: number, facts = {}) => json({ type: `/problems/${kind}`, title: kind, status, ...facts }, status);

interface Call {
  path: string;
  authorization: string | null;
}

/** Create a client whose gateway is a function. */
function createGateway(answer: (call: Call, calls: Call[]) => Response | Promise<Response>, proofs: boolean[] = []) {
  const calls: Call[] = [];
  const changes: (Session | null)[] = [];
  let clock = 0;
  let lockCount = 0;
  let inside = 0;
  const client = createClient({
    fetch: async (path, init) => {
      const headers = new Headers(init?.headers);
      const call = { path: path.replace("/api/v1", ""), authorization: headers.get("Authorization") };
      calls.push(call);
      return answer(call, calls);
    },
    now: () => clock,
    runExclusive: async (task) => {
      lockCount += 1;
      inside += 1;
      expect(inside).toBe(1);
      try {
        return await task();
      } finally {
        inside -= 1;
      }
    },
    requestProof: () => Promise.resolve(proofs.shift() ?? false),
    onSessionChange: (next) => changes.push(next),
  });
  return { client, calls, changes, lockCount: () => lockCount, advance: (ms: number) => (clock += ms) };
}

const requireToken = (good: string) => (call: Call) => {
  if (call.path === "/auth/refresh") return json(session(good));
  return call.authorization === `Bearer ${good}` ? json({ ok: call.path }) : problem("unauthenticated", 401);
};

describe("the API client", () => {
  it("refreshes once after a 401 and tries again", async () => {
    const { client, calls } = createGateway(requireToken("new"));
    client.setSession(session("old"));
    expect(await client.call("GET", "/home")).toEqual({ ok: "/home" });
    expect(calls.map((call) => call.path)).toEqual(["/home", "/auth/refresh", "/home"]);
  });

  it("asks for a proof and tries again", async () => {
    const { client, calls } = createGateway((_, calls) => (calls.length === 1 ? problem("proof-required", 403) : json({ ok: true })), [true]);
    expect(await client.call("PATCH", "/profiles/p")).toEqual({ ok: true });
    expect(calls.map((call) => call.path)).toEqual(["/profiles/p", "/profiles/p"]);
  });

  it("fails where no proof is given, without a second try", async () => {
    const { client, calls } = createGateway(() => problem("proof-required", 403), [false]);
    await expect(client.call("PATCH", "/profiles/p")).rejects.toMatchObject({ kind: "proof-required" });
    expect(calls).toHaveLength(1);
  });

  it("refreshes once for many requests at the same time", async () => {
    const { client, calls, lockCount } = createGateway(requireToken("new"));
    client.setSession(session("old"));
    await Promise.all(["/a", "/b", "/c", "/d"].map((path) => client.call("GET", path)));
    expect(calls.filter((call) => call.path === "/auth/refresh")).toHaveLength(1);
    expect(lockCount()).toBe(1);
  });

  it("does not try a third time", async () => {
    const { client, calls } = createGateway((call) => (call.path === "/auth/refresh" ? json(session("new")) : problem("unauthenticated", 401)));
    client.setSession(session("old"));
    await expect(client.call("GET", "/home")).rejects.toMatchObject({ kind: "unauthenticated" });
    expect(calls).toHaveLength(3);
  });

  it("ends the sign-in when the refresh token is refused", async () => {
    const { client, changes } = createGateway((call) => problem(call.path === "/auth/refresh" ? "token-rejected" : "unauthenticated", 401));
    client.setSession(session("old"));
    await expect(client.call("GET", "/home")).rejects.toMatchObject({ kind: "token-rejected" });
    expect(client.getSession()).toBeNull();
    expect(changes.at(-1)).toBeNull();
  });

  it("keeps the sign-in while the service is unavailable", async () => {
    const { client } = createGateway((call) => (call.path === "/auth/refresh" ? problem("overloaded", 503) : problem("unauthenticated", 401)));
    client.setSession(session("old"));
    await expect(client.call("GET", "/home")).rejects.toMatchObject({ kind: "overloaded" });
    expect(client.getSession()?.access_token).toBe("old");
  });

  it("does not refresh for a wrong password", async () => {
    const { client, calls } = createGateway(() => problem("wrong-credentials", 401));
    client.setSession(session("old"));
    await expect(client.call("POST", "/auth/sign-in", { body: {} })).rejects.toMatchObject({ kind: "wrong-credentials" });
    expect(calls).toHaveLength(1);
  });

  it("refreshes a token that is about to expire", async () => {
    const { client, advance } = createGateway(requireToken("new"));
    client.setSession(session("old"));
    expect(await client.getToken()).toBe("old");
    advance(285_000);
    expect(await client.getToken()).toBe("new");
  });

  it("requests no token without a sign-in", async () => {
    const { client, calls } = createGateway(requireToken("new"));
    await expect(client.getToken()).rejects.toMatchObject({ status: 401 });
    expect(calls).toHaveLength(0);
  });

  it("reports a failed network", async () => {
    const { client } = createGateway(() => Promise.reject(new TypeError("failed")));
    await expect(client.call("GET", "/home")).rejects.toMatchObject({ kind: "offline", status: 0 });
  });

  it("returns nothing for 204, and keeps the facts of a problem", async () => {
    const { client } = createGateway((call) => (call.path === "/gone" ? json(null, 204) : problem("invalid", 422, { instance: "trc_1", faults: [{ field: "email", message: "no" }] })));
    expect(await client.call("DELETE", "/gone")).toBeUndefined();
    const error = await client.call("POST", "/x", { body: {} }).catch((failure: unknown) => failure);
    expect(error).toBeInstanceOf(Problem);
    expect((error as Problem).trace).toBe("trc_1");
    expect(getFaults(error)).toEqual({ email: "no" });
  });

  it("creates a problem for a response that is not a document", async () => {
    const { client } = createGateway(() => new Response("<html>", { status: 502 }));
    await expect(client.call("GET", "/home")).rejects.toMatchObject({ kind: "http-502", status: 502 });
  });
});
