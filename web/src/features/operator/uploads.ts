/** Uploads with the tus protocol; they can be paused, resumed, and continued after the page was closed. */
import { Upload } from "tus-js-client";
import { client } from "../../api";
import type { Store } from "../../ui/store";

export interface UploadState {
  phase: "running" | "paused" | "complete" | "failed";
  doneBytes: number;
  totalBytes: number;
  bps: number;
  uploadId: string | null;
  reason: string;
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

export const createUploadState = (totalBytes: number): UploadState => ({ phase: "running", doneBytes: 0, totalBytes, bps: 0, uploadId: null, reason: "" });

const ENDPOINT = "/api/v1/operator/uploads";
const CHUNK_BYTES = 16 * 1024 * 1024;

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
      onProgress: (done) => this.updateProgress(done),
      onSuccess: () => this.store.set({ phase: "complete", doneBytes: file.size, uploadId: parseUploadId(this.upload.url) }),
      onError: (error) => this.store.set({ phase: "failed", reason: getReason(error) }),
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
    this.store.set({ phase: "running", reason: "" });
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

  private updateProgress(done: number): void {
    const elapsedS = (Date.now() - this.resumedAt.at) / 1000;
    const bps = elapsedS > 0.5 ? (Math.max(0, done - this.resumedAt.bytes) * 8) / elapsedS : this.store.get().bps;
    this.store.set({ doneBytes: done, bps });
  }
}

function getReason(error: Error): string {
  const response = "originalResponse" in error ? (error.originalResponse as { getBody(): string } | null) : null;
  try {
    const document = JSON.parse(response?.getBody() ?? "") as { title?: string; detail?: string };
    return document.detail || document.title || error.message;
  } catch {
    return error.message;
  }
}
