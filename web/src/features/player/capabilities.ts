/** What this device can decode, detected once. */
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

const canDecode = (type: string) =>
  typeof MediaSource !== "undefined" ? MediaSource.isTypeSupported(type) : document.createElement("video").canPlayType(type) !== "";

const listFamilies = (table: [string, string][]) => table.filter(([, type]) => canDecode(type)).map(([family]) => family);

async function isSmooth(height: number): Promise<boolean> {
  try {
    const video = { contentType: 'video/mp4; codecs="avc1.640033"', width: Math.round((height * 16) / 9), height, bitrate: height * 5000, framerate: 30 };
    const answer = await navigator.mediaCapabilities.decodingInfo({ type: "media-source", video });
    return answer.supported && (answer.smooth || height <= 1080);
  } catch {
    return height <= 1080;
  }
}

async function detect(): Promise<Capabilities> {
  const answers = await Promise.all(HEIGHTS.map(isSmooth));
  const video = listFamilies(VIDEO);
  const audio = listFamilies(AUDIO);
  return {
    video: video.length ? video : ["avc1"],
    audio: audio.length ? audio : ["mp4a"],
    max_height_px: HEIGHTS.find((_, index) => answers[index]) ?? 720,
    max_channels: 6,
    hdr: matchMedia("(dynamic-range: high)").matches,
  };
}

let detected: Promise<Capabilities> | null = null;

export function getCapabilities(): Promise<Capabilities> {
  detected ??= detect();
  return detected;
}

/** Return whether only the browser itself can play an adaptive stream (HLS on a phone without Media Source). */
export const isNativeOnly = () => typeof MediaSource === "undefined" && !("ManagedMediaSource" in window);
