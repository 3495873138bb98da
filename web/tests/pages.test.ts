import { describe, expect, it } from "vitest";
import type { Billboard, Edge, Job, Row } from "../src/api/types";
import { isTelevision } from "../src/app/device";
import { formatCsv } from "../src/features/operator/csv";
import { listDecisions } from "../src/features/operator/decisions";
import { EMPTY, parseGenres, listReasons, deriveTitle, createIngestRequest } from "../src/features/operator/details";
import { addProgress } from "../src/features/home/progress";
import { validate } from "../src/features/sign-in/validate";

describe("signing in", () => {
  it("reports missing fields before the request", () => {
    expect(validate({ email: "ada", password: "", name: "" }, false)).toEqual({ email: "check.email", password: "check.password" });
    expect(validate({ email: "a@b", password: "short", name: " " }, true)).toEqual({ password: "check.newPassword", name: "check.name" });
    expect(validate({ email: " a@b.org ", password: "long enough", name: "Ada" }, true)).toEqual({});
  });
});

describe("the billboard", () => {
  const card = (id: string, position: number | null) => ({ title_id: id, progress: position === null ? null : { position_ms: position } });
  const billboard = (id: string) => ({ card: card(id, null), synopsis: "" }) as unknown as Billboard;
  const rows = [{ cards: [card("a", null)] }, { cards: [card("a", 5_000)] }] as unknown as Row[];

  it("has the progress of its title in the rows", () => {
    expect(addProgress(billboard("a"), rows).card.progress?.position_ms).toBe(5_000);
    expect(addProgress(billboard("b"), rows)).toEqual(billboard("b"));
  });
});

describe("a television", () => {
  it("is detected by its user agent or requested by the address", () => {
    expect(isTelevision("Mozilla/5.0 (SMART-TV; Linux; Tizen 6.0)", "", null)).toBe(true);
    expect(isTelevision("Mozilla/5.0 (X11; Linux x86_64) Chrome/140", "", null)).toBe(false);
    expect(isTelevision("Chrome", "?tv", null)).toBe(true);
    expect(isTelevision("Chrome", "", "1")).toBe(true);
    expect(isTelevision("Tizen", "?tv=0", "1")).toBe(false);
  });
});

describe("the operator console", () => {
  it("derives the title from the file name", () => {
    expect(deriveTitle("The_big-film.final.mp4")).toBe("The big film final");
    expect(parseGenres("Drama,  Science Fiction, drama,")).toEqual(["drama", "science-fiction"]);
  });

  it("creates the request when all uploads are complete", () => {
    const film = { kind: "film" as const, uploadId: "upl_1", language: "en", role: "main" };
    expect(createIngestRequest(EMPTY, [])).toBeNull();
    expect(createIngestRequest(EMPTY, [film, { kind: "audio", uploadId: null, language: "de", role: "main" }])).toBeNull();
    const request = createIngestRequest({ ...EMPTY, name: " X ", year: "1999" }, [film, { kind: "subtitles", uploadId: "upl_2", language: "de", role: "forced" }]);
    expect(request).toMatchObject({ upload_id: "upl_1", name: "X", year: 1999, title_id: null, audio: [], subtitles: [{ upload_id: "upl_2", language: "de", role: "forced" }] });
  });

  it("lists the file, the reason and the remedy of a refusal", () => {
    expect(listReasons({ file: "x.mkv", stream: "video", remedy: "Export it again.", detail: "", status: 422 })).toEqual(["x.mkv, video", "Export it again."]);
    expect(listReasons({ file: "x.mkv", remedy: "Export it again.", detail: "x.mkv: no video. Export it again." })).toEqual(["x.mkv: no video. Export it again."]);
    expect(listReasons({ faults: [{ field: "name", message: "Give it a name." }] })).toEqual(["Give it a name."]);
  });

  it("formats CSV that a spreadsheet does not execute", () => {
    expect(formatCsv(["a", "b"], [['say "hi"', 1], ["=SUM(A1)", -2]])).toBe('a,b\r\n"say ""hi""",1\r\n\'=SUM(A1),-2\r\n');
  });

  it("lists what needs a decision", () => {
    const report = { edge_id: "e", name: "edge-1", disk_used_bytes: 95, disk_limit_bytes: 100 };
    const edge = { report, health: "degraded" } as unknown as Edge;
    const job = { job_id: "j", state: "failed", file_name: "x.mov", reason: "no video" } as unknown as Job;
    expect(listDecisions([job, { ...job, state: "done" }], [edge]).map((one) => one.key)).toEqual(["now.jobFailed", "now.edgeBad", "now.diskFull"]);
    expect(listDecisions([], [{ ...edge, health: "healthy", report: { ...report, disk_used_bytes: 1 } } as Edge])).toEqual([]);
  });
});

