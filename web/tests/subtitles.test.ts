import { describe, expect, it } from "vitest";
import { type Line, Subtitles } from "../src/features/player/subtitles";

type Cues = Parameters<Subtitles["append"]>[0];

const cue = (startTime: number, endTime: number, payload: string, ...nested: object[]) => ({ startTime, endTime, payload, nestedCues: nested, lineBreak: false });

function show(...appended: object[][]): { subtitles: Subtitles; getLines: () => Line[] } {
  let shown: Line[] = [];
  const subtitles = new Subtitles((lines) => (shown = lines));
  subtitles.setTextVisibility(true);
  for (const cues of appended) subtitles.append(cues as unknown as Cues);
  return { subtitles, getLines: () => shown };
}

describe("subtitles", () => {
  it("make one line of a cue that segments and other cues divide", () => {
    // Two cues, 1 to 6 s and 3 to 5 s, as segments of 4 s contain them.
    const first = [cue(1, 3, "Hello"), cue(3, 4, "Hello"), cue(3, 4, "Bye")];
    const second = [cue(4, 5, "Hello"), cue(4, 5, "Bye"), cue(5, 6, "Hello")];
    const { getLines } = show(first, second, first);
    expect(getLines()).toEqual([{ start: 1, end: 6, text: "Hello" }, { start: 3, end: 5, text: "Bye" }]);
  });

  it("make one line of parts that arrive in any order", () => {
    expect(show([cue(8, 9, "a")], [cue(6, 7, "a")], [cue(7.001, 8, "a")]).getLines()).toEqual([{ start: 6, end: 9, text: "a" }]);
  });

  it("keep cues that only have the same text", () => {
    expect(show([cue(1, 2, "Yes"), cue(3, 4, "Yes")]).getLines()).toHaveLength(2);
  });

  it("keep what is outside of a removed time", () => {
    const { subtitles, getLines } = show([cue(1, 9, "long"), cue(3, 4, "short")]);
    subtitles.remove(2, 6);
    expect(getLines()).toEqual([{ start: 1, end: 2, text: "long" }, { start: 6, end: 9, text: "long" }]);
  });

  it("join the parts of a cue with markup", () => {
    const parts = [cue(1, 2, "Hello "), { ...cue(1, 2, ""), nestedCues: [cue(1, 2, "you")] }, { ...cue(1, 2, ""), lineBreak: true }, cue(1, 2, "there")];
    expect(show([cue(1, 2, "", ...parts)]).getLines()).toEqual([{ start: 1, end: 2, text: "Hello you\nthere" }]);
  });
});
