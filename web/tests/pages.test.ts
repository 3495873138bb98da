import { describe, expect, it } from "vitest";
import type { Billboard, Edge, Job, Row } from "../src/api/types";
import { isTelevision } from "../src/app/device";
import { csv } from "../src/features/operator/csv";
import { decisions } from "../src/features/operator/decisions";
import { EMPTY, genresOf, reasons, titleFromFile, toIngest } from "../src/features/operator/details";
import { placed } from "../src/features/home/placed";
import { check } from "../src/features/sign-in/check";

describe("signing in", () => {
  it("asks for what is missing before the server is asked", () => {
    expect(check({ email: "nobody", password: "", name: "" }, false)).toEqual({ email: "check.email", password: "check.password" });
    expect(check({ email: "a@b", password: "short", name: " " }, true)).toEqual({ password: "check.newPassword", name: "check.name" });
    expect(check({ email: " a@b.org ", password: "long enough", name: "Ada" }, true)).toEqual({});
  });
});

describe("the billboard", () => {
  const card = (id: string, position: number | null) => ({ title_id: id, progress: position === null ? null : { position_ms: position } });
  const on = (id: string) => ({ card: card(id, null), synopsis: "" }) as unknown as Billboard;
  const rows = [{ cards: [card("a", null)] }, { cards: [card("a", 5_000)] }] as unknown as Row[];

  it("says how far one is, as the rows do", () => {
    expect(placed(on("a"), rows).card.progress?.position_ms).toBe(5_000);
    expect(placed(on("b"), rows)).toEqual(on("b"));
  });
});

describe("a television", () => {
  it("is known by its name, or by asking for it", () => {
    expect(isTelevision("Mozilla/5.0 (SMART-TV; Linux; Tizen 6.0)", "", null)).toBe(true);
    expect(isTelevision("Mozilla/5.0 (X11; Linux x86_64) Chrome/140", "", null)).toBe(false);
    expect(isTelevision("Chrome", "?tv", null)).toBe(true);
    expect(isTelevision("Chrome", "", "1")).toBe(true);
    expect(isTelevision("Tizen", "?tv=0", "1")).toBe(false);
  });
});

describe("the operator's desk", () => {
  it("begins a title with the name of its file", () => {
    expect(titleFromFile("The_big-film.final.mp4")).toBe("The big film final");
    expect(genresOf("Drama,  Science Fiction, drama,")).toEqual(["drama", "science-fiction"]);
  });

  it("waits for every upload before it asks for the job", () => {
    const film = { kind: "film" as const, uploadId: "upl_1", language: "en", role: "main" };
    expect(toIngest(EMPTY, [])).toBeNull();
    expect(toIngest(EMPTY, [film, { kind: "audio", uploadId: null, language: "de", role: "main" }])).toBeNull();
    const made = toIngest({ ...EMPTY, name: " X ", year: "1999" }, [film, { kind: "subtitles", uploadId: "upl_2", language: "de", role: "forced" }]);
    expect(made).toMatchObject({ upload_id: "upl_1", name: "X", year: 1999, title_id: null, audio: [], subtitles: [{ upload_id: "upl_2", language: "de", role: "forced" }] });
  });

  it("passes on which file was refused, why, and the remedy", () => {
    expect(reasons({ file: "x.mkv", stream: "video", remedy: "Export it again.", detail: "", status: 422 })).toEqual(["x.mkv, video", "Export it again."]);
    expect(reasons({ file: "x.mkv", remedy: "Export it again.", detail: "x.mkv: no video. Export it again." })).toEqual(["x.mkv: no video. Export it again."]);
    expect(reasons({ faults: [{ field: "name", message: "Give it a name." }] })).toEqual(["Give it a name."]);
  });

  it("writes tables that a spreadsheet reads and does not run", () => {
    expect(csv(["a", "b"], [['say "hi"', 1], ["=SUM(A1)", -2]])).toBe('a,b\r\n"say ""hi""",1\r\n\'=SUM(A1),-2\r\n');
  });

  it("says what needs a decision", () => {
    const report = { edge_id: "e", name: "edge-1", disk_used_bytes: 95, disk_limit_bytes: 100 };
    const edge = { report, health: "degraded" } as unknown as Edge;
    const job = { job_id: "j", state: "failed", file_name: "x.mov", reason: "no video" } as unknown as Job;
    expect(decisions([job, { ...job, state: "done" }], [edge]).map((one) => one.key)).toEqual(["now.jobFailed", "now.edgeBad", "now.diskFull"]);
    expect(decisions([], [{ ...edge, health: "healthy", report: { ...report, disk_used_bytes: 1 } } as Edge])).toEqual([]);
  });
});

