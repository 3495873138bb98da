/** What this device can decode, asked of the browser once. */
import type { Capabilities } from "../../api";

const VIDEO: [string, string][] = [
  ["avc1", 'video/mp4; codecs="avc1.640028"'],
  ["hvc1", 'video/mp4; codecs="hvc1.1.6.L120.90"'],
  ["vp09", 'video/mp4; codecs="vp09.00.40.08"'],
  ["av01", 'video/mp4; codecs="av01.0.08M.08"'],
];
const AUDIO: [string, string][] = [
  ["mp4a", 'audio/mp4; codecs="mp4a.40.2"'],
  ["opus", 'audio/mp4; codecs="opus"'],
];
const HEIGHTS = [2160, 1440, 1080, 720];

type Supports = (type: string) => boolean;

const supports: Supports = (type) =>
  typeof MediaSource !== "undefined" ? MediaSource.isTypeSupported(type) : document.createElement("video").canPlayType(type) !== "";

const families = (table: [string, string][], can: Supports) => table.filter(([, type]) => can(type)).map(([family]) => family);

async function smooth(height: number): Promise<boolean> {
  try {
    const video = { contentType: 'video/mp4; codecs="avc1.640033"', width: Math.round((height * 16) / 9), height, bitrate: height * 5000, framerate: 30 };
    const answer = await navigator.mediaCapabilities.decodingInfo({ type: "media-source", video });
    return answer.supported && (answer.smooth || height <= 1080);
  } catch {
    return height <= 1080;
  }
}

async function measure(): Promise<Capabilities> {
  const answers = await Promise.all(HEIGHTS.map(smooth));
  const video = families(VIDEO, supports);
  const audio = families(AUDIO, supports);
  return {
    video: video.length ? video : ["avc1"],
    audio: audio.length ? audio : ["mp4a"],
    max_height_px: HEIGHTS.find((_, index) => answers[index]) ?? 720,
    max_channels: 6,
    hdr: matchMedia("(dynamic-range: high)").matches,
  };
}

let known: Promise<Capabilities> | null = null;

export function capabilities(): Promise<Capabilities> {
  known ??= measure();
  return known;
}

/** Whether only the browser itself can play an adaptive stream here (HLS on a phone without Media Source). */
export const nativeOnly = () => typeof MediaSource === "undefined" && !("ManagedMediaSource" in window);
