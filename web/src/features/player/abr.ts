/** The adaptation of the quality to the network, as a part of Shaka Player. */
import type shaka from "shaka-player/dist/shaka-player.dash-es2021";
import { chooseMargin, REPLACE_MARGIN_S, shouldAbandon, shouldKeep } from "./adaptation";
import { BufferedQuality } from "./quality";
import { abortRequest, type Player, type Shaka } from "./shaka";
import { Throughput } from "./throughput";

type Request = shaka.extern.Request;
type Context = shaka.extern.RequestContext;
type Variant = shaka.extern.Variant;
type Switch = (variant: Variant, clearBuffer?: boolean, safeMargin?: number) => void;

interface Transfer {
  context: Context | undefined;
  totalBytes: number;
  loadedBytes: number;
  /** When the request was sent, or the last bytes came. */
  at: number;
  isAbandoned: boolean;
}

/** How often the transfers in progress are checked. */
const CHECK_MS = 250;
/** A transfer without bytes for so long was aborted before it began. */
const LOST_MS = 20_000;
/** A response that is complete this soon comes from the browser's cache. */
const CACHED_MS = 5;
/** A lower quality is chosen for a share of the throughput, because that is falling. */
const FALLING = 0.5;

/** The measurements for the player, and what they need from it. */
export interface Adaptation {
  /** The measured throughput in bits per second; `null` before enough was transferred. */
  measureBps: () => number | null;
  /** Record that a segment is requested. */
  onRequest: (request: Request, context: Context | undefined) => void;
}

const getField = <T>(event: Event, name: string) => (event as unknown as Record<string, unknown>)[name] as T;
const getBytes = (bandwidth: number, context: Context | undefined) =>
  context?.segment ? (bandwidth * (context.segment.getEndTime() - context.segment.getStartTime())) / 8 : 0;

const getRemainingBytes = ({ totalBytes, loadedBytes }: Transfer) => Math.max(0, totalBytes - loadedBytes);

/** Let a player adapt to the network: `onProgress` is called when bytes arrive. */
export function adaptToNetwork(shaka: Shaka, player: Player, onProgress: () => void = () => undefined): Adaptation {
  // The base class keeps to the size of the picture and to what the device decodes without dropping frames.
  class NetworkAdaptation extends shaka.abr.SimpleAbrManager implements Adaptation {
    private readonly throughput = new Throughput();
    private readonly quality = new BufferedQuality();
    private readonly transfers = new Map<Request, Transfer>();
    private video: HTMLMediaElement | null = null;
    private switchTo: Switch | null = null;
    private isAdapting = false;
    private caution = 1;
    private checks = 0;

    override init(switchCallback: Switch, disableStreamCallback: unknown): void {
      // The base class suggests nothing: it would raise the quality again while that falls.
      super.init(() => undefined, disableStreamCallback);
      this.switchTo = switchCallback;
      clearInterval(this.checks);
      this.checks = window.setInterval(() => this.check(), CHECK_MS);
    }

    override stop(): void {
      super.stop();
      clearInterval(this.checks);
      this.switchTo = null;
      this.isAdapting = false;
    }

    override enable(): void {
      this.isAdapting = true;
      super.enable();
    }

    override disable(): void {
      this.isAdapting = false;
      super.disable();
    }

    override setMediaElement(video: HTMLMediaElement): void {
      super.setMediaElement(video);
      this.video = video;
    }

    measureBps(): number | null {
      return this.throughput.estimateBps(Date.now());
    }

    override getBandwidthEstimate(): number {
      return (this.measureBps() ?? (super.getBandwidthEstimate() as number)) * this.caution;
    }

    onRequest(request: Request, context: Context | undefined): void {
      const at = Date.now();
      this.throughput.begin(request, at);
      const totalBytes = getBytes(context?.stream?.bandwidth ?? 0, context);
      this.transfers.set(request, { context, totalBytes, loadedBytes: 0, at, isAbandoned: false });
    }

    onHeaders(request: Request, headers: Record<string, string>): void {
      const transfer = this.transfers.get(request);
      if (!transfer) return;
      this.throughput.recordLatency(request, Date.now());
      transfer.totalBytes = Number(headers["content-length"]) || transfer.totalBytes;
    }

    override segmentDownloaded(_deltaMs: number, bytes: number, _allowSwitch: boolean, request?: Request): void {
      const now = Date.now();
      onProgress();
      const transfer = request && this.transfers.get(request);
      if (!transfer || now - (request.requestStartTime ?? 0) < CACHED_MS) return;
      transfer.loadedBytes += bytes;
      transfer.at = now;
      this.throughput.addBytes(bytes, now);
    }

    /** End a transfer; a segment that was loaded completely is going to be appended. */
    onEnd(request: Request, isComplete: boolean): void {
      const transfer = this.transfers.get(request);
      this.throughput.end(request, Date.now());
      this.transfers.delete(request);
      const { stream, segment } = transfer?.context ?? {};
      if (isComplete && segment && stream?.type === "video") this.quality.add(segment.getStartTime(), segment.getEndTime(), stream.bandwidth ?? 0);
    }

    private get position(): number {
      return this.video?.currentTime ?? 0;
    }

    private getBufferedEnd(): number {
      const ranges = player.getBufferedInfo().video.filter((one) => one.start <= this.position + 0.1);
      return Math.max(this.position, ...ranges.map((one) => one.end));
    }

    /** Abandon a segment of video that would come too late. */
    private check(): void {
      for (const [request, { at }] of this.transfers) if (Date.now() - at > LOST_MS) this.onEnd(request, false);
      const throughputBps = this.measureBps();
      if (!this.isAdapting || throughputBps === null) return;
      const [request, loading] = [...this.transfers].find(([, { context }]) => context?.stream?.type === "video" && context.segment) ?? [];
      if (!request || !loading || loading.isAbandoned) return;
      const remainingBytes = [...this.transfers.values()].map(getRemainingBytes).reduce((sum, one) => sum + one);
      const lower = this.chooseLower();
      const lowerBytes = getBytes(lower.video?.bandwidth ?? 0, loading.context);
      if ((lower.video?.bandwidth ?? 0) >= (loading.context?.stream?.bandwidth ?? 0)) return;
      if (!shouldAbandon({ segmentBytes: getRemainingBytes(loading), remainingBytes, lowerBytes, throughputBps, bufferedS: this.getBufferedEnd() - this.position })) return;
      loading.isAbandoned = true;
      this.switchTo?.(lower);
      abortRequest(request);
    }

    private chooseLower(): Variant {
      this.caution = FALLING;
      const lower = this.chooseVariant();
      this.caution = 1;
      return lower;
    }

    /** Choose the quality of the next segment, and of what is loaded again because the network has become faster. */
    onAppended(): void {
      if (!this.isAdapting || this.measureBps() === null) return;
      const next = this.chooseVariant();
      const current = player.getVariantTracks().find((track) => track.active);
      const end = this.getBufferedEnd();
      if (current && next.bandwidth < current.bandwidth && shouldKeep(end - this.position)) return;
      const start = this.position + REPLACE_MARGIN_S * Math.max(1, this.video?.playbackRate ?? 1);
      const margin = chooseMargin(this.quality.findBelow(next.video?.bandwidth ?? 0, start, end), this.position, end);
      if (margin === null || !current || next.bandwidth < current.bandwidth) this.switchTo?.(next);
      else this.switchTo?.(next, true, margin);
    }
  }

  const adaptation = new NetworkAdaptation();
  player.addEventListener("downloadheadersreceived", (event) => adaptation.onHeaders(getField(event, "request"), getField(event, "headers")));
  player.addEventListener("downloadcompleted", (event) => adaptation.onEnd(getField(event, "request"), true));
  player.addEventListener("downloadfailed", (event) => adaptation.onEnd(getField(event, "request"), false));
  player.addEventListener("segmentappended", (event) => {
    // Shaka Player schedules its next request after this event, and would never send it if the buffer were cleared here.
    if (getField(event, "contentType") === "video") queueMicrotask(() => adaptation.onAppended());
  });
  player.configure("abrFactory", () => adaptation);
  return adaptation;
}
