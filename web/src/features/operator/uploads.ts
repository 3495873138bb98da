/** Uploads with the tus protocol; they can be paused, resumed, and continued after the page was closed. */
import { type DetailedError, Upload } from "tus-js-client";
import { client } from "../../api";
import type { Store } from "../../ui/store";

export interface UploadState {
  phase: "running" | "paused" | "complete" | "failed";
  doneBytes: number;
  totalBytes: number;
  bps: number;
  uploadId: string | null;
  reason: string;
  /** Whether a proxy in front of Matinee refused even the smallest pieces. */
  isRefusedByProxy: boolean;
}

/** A file of the upload form. */
export interface Item {
  key: number;
  kind: "film" | "audio" | "subtitles";
  upload: FileUpload;
  state: Store<UploadState>;
  language: string;
  role: string;
}

export const createUploadState = (totalBytes: number): UploadState => ({ phase: "running", doneBytes: 0, totalBytes, bps: 0, uploadId: null, reason: "", isRefusedByProxy: false });

const ENDPOINT = "/api/v1/operator/uploads";
export const CHUNK_BYTES = 16 * 1024 * 1024;
/** Smaller than the limits of common proxies; that of nginx is 1 MB by default. */
export const SMALL_CHUNK_BYTES = 512 * 1024;

/** Return the id at the end of an upload URL. */
const parseUploadId = (url: string | null): string | null => url?.split(/[?#]/)[0]?.replace(/\/+$/, "").split("/").pop() ?? null;

export class FileUpload {
  private readonly upload: Upload;
  private resumedAt = { at: 0, bytes: 0 };

  constructor(readonly file: File, private readonly store: Store<UploadState>) {
    this.upload = new Upload(file, {
      endpoint: ENDPOINT,
      chunkSize: CHUNK_BYTES,
      retryDelays: [0, 500, 1000, 2000, 4000, 8000, 15000, 30000],
      metadata: { filename: file.name, filetype: file.type },
      removeFingerprintOnSuccess: true,
      onBeforeRequest: async (request) => request.setHeader("Authorization", `Bearer ${await client.getToken()}`),
      onShouldRetry: (error) => this.shouldRetry(error),
      onProgress: (done) => this.updateProgress(done),
      onSuccess: () => this.store.set({ phase: "complete", doneBytes: file.size, uploadId: parseUploadId(this.upload.url) }),
      onError: (error) => this.store.set({ phase: "failed", reason: getReason(error), isRefusedByProxy: isProxyLimit(toFailure(error)) }),
    });
  }

  /** Continue an earlier upload of the same file, or start a new one. */
  async start(): Promise<void> {
    const earlier = await this.upload.findPreviousUploads();
    const last = earlier.at(-1);
    if (last) this.upload.resumeFromPreviousUpload(last);
    this.resume();
  }

  resume(): void {
    this.resumedAt = { at: Date.now(), bytes: this.store.get().doneBytes };
    this.store.set({ phase: "running", reason: "", isRefusedByProxy: false });
    this.upload.start();
  }

  async pause(): Promise<void> {
    await this.upload.abort();
    this.store.set({ phase: "paused" });
  }

  /** Cancel the upload and delete it on the server. */
  async cancel(): Promise<void> {
    await this.upload.abort(this.store.get().phase !== "complete").catch(() => undefined);
  }

  private shouldRetry(error: DetailedError): boolean {
    const failure = toFailure(error);
    const isLarge = (this.upload.options.chunkSize ?? 0) > SMALL_CHUNK_BYTES;
    if (needsSmallChunks(failure)) this.upload.options.chunkSize = SMALL_CHUNK_BYTES;
    return isRetried(failure, isLarge);
  }

  private updateProgress(done: number): void {
    const elapsedS = (Date.now() - this.resumedAt.at) / 1000;
    const bps = elapsedS > 0.5 ? (Math.max(0, done - this.resumedAt.bytes) * 8) / elapsedS : this.store.get().bps;
    this.store.set({ doneBytes: done, bps });
  }
}

/** A failed request of an upload; `status` is 0 if there was no response. */
export interface Failure {
  status: number;
  body: string;
}

function toFailure(error: Error): Failure {
  const response = "originalResponse" in error ? (error.originalResponse as { getStatus(): number; getBody(): string } | null) : null;
  return { status: response?.getStatus() ?? 0, body: response?.getBody() ?? "" };
}

/** Return whether a proxy in front of Matinee refused the size of a request: Matinee itself sends a problem document. */
export const isProxyLimit = ({ status, body }: Failure): boolean => status === 413 && !body.trimStart().startsWith("{");

/** Return whether a request was ended because its piece took too long to arrive. Proxies do so too, with 499 or 504. */
const isTimeout = ({ status }: Failure): boolean => status === 408 || status === 499 || status === 504;

/** Return whether to continue with small pieces. A proxy may also close the connection while it refuses a large one. */
export const needsSmallChunks = (failure: Failure): boolean => failure.status === 0 || isProxyLimit(failure) || isTimeout(failure);

/** Return whether a failed request is repeated; `isLarge` if it sent a large piece. */
export function isRetried(failure: Failure, isLarge: boolean): boolean {
  if (isProxyLimit(failure)) return isLarge;
  return failure.status < 400 || failure.status >= 500 || isTimeout(failure) || failure.status === 409 || failure.status === 423;
}

function getReason(error: Error): string {
  try {
    const document = JSON.parse(toFailure(error).body) as { title?: string; detail?: string };
    return document.detail || document.title || error.message;
  } catch {
    return error.message;
  }
}
