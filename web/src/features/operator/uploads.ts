/** Uploads by the tus protocol. They can be paused, and resumed even after the page was closed. */
import { Upload } from "tus-js-client";
import { client } from "../../api";
import { Store } from "../../ui/store";

export interface UploadState {
  phase: "running" | "paused" | "complete" | "failed";
  doneBytes: number;
  totalBytes: number;
  bps: number;
  uploadId: string | null;
  reason: string;
}

/** A file of the upload form: the film, or audio or subtitles for it. */
export interface UploadedFile {
  key: number;
  kind: "film" | "audio" | "subtitles";
  upload: FileUpload;
  state: Store<UploadState>;
  language: string;
  role: string;
}

let nextKey = 0;

export function startUpload(file: File, kind: UploadedFile["kind"], language: string): UploadedFile {
  const state = new Store(initialState(file.size));
  const upload = new FileUpload(file, state);
  upload.start().catch((error: unknown) => state.set({ phase: "failed", reason: String(error) }));
  return { key: ++nextKey, kind, upload, state, language, role: "main" };
}

const initialState = (totalBytes: number): UploadState => ({ phase: "running", doneBytes: 0, totalBytes, bps: 0, uploadId: null, reason: "" });

const ENDPOINT = "/api/v1/operator/uploads";
const CHUNK_BYTES = 16 * 1024 * 1024;

/** The upload id, which is the last part of the upload's URL. */
export const uploadIdOf = (url: string | null): string | null => url?.split(/[?#]/)[0]?.replace(/\/+$/, "").split("/").pop() ?? null;

export class FileUpload {
  private readonly upload: Upload;
  private resumed = { at: 0, bytes: 0 };

  constructor(readonly file: File, private readonly store: Store<UploadState>) {
    this.upload = new Upload(file, {
      endpoint: ENDPOINT,
      chunkSize: CHUNK_BYTES,
      retryDelays: [0, 500, 1000, 2000, 4000, 8000, 15000, 30000],
      metadata: { filename: file.name, filetype: file.type },
      removeFingerprintOnSuccess: true,
      onBeforeRequest: async (request) => request.setHeader("Authorization", `Bearer ${await client.token()}`),
      onProgress: (done) => this.onProgress(done),
      onSuccess: () => this.store.set({ phase: "complete", doneBytes: file.size, uploadId: uploadIdOf(this.upload.url) }),
      onError: (error) => this.store.set({ phase: "failed", reason: reasonOf(error) }),
    });
  }

  /** Starts the upload, or continues an earlier upload of the same file. */
  async start(): Promise<void> {
    const earlier = await this.upload.findPreviousUploads();
    const latest = earlier.at(-1);
    if (latest) this.upload.resumeFromPreviousUpload(latest);
    this.resume();
  }

  resume(): void {
    this.resumed = { at: Date.now(), bytes: this.store.get().doneBytes };
    this.store.set({ phase: "running", reason: "" });
    this.upload.start();
  }

  async pause(): Promise<void> {
    await this.upload.abort();
    this.store.set({ phase: "paused" });
  }

  /** Cancels the upload; the server deletes an incomplete file. */
  async cancel(): Promise<void> {
    await this.upload.abort(this.store.get().phase !== "complete").catch(() => undefined);
  }

  private onProgress(done: number): void {
    const seconds = (Date.now() - this.resumed.at) / 1000;
    const bps = seconds > 0.5 ? (Math.max(0, done - this.resumed.bytes) * 8) / seconds : this.store.get().bps;
    this.store.set({ doneBytes: done, bps });
  }
}

function reasonOf(error: Error): string {
  const response = "originalResponse" in error ? (error.originalResponse as { getBody(): string } | null) : null;
  try {
    const document = JSON.parse(response?.getBody() ?? "") as { title?: string; detail?: string };
    return document.detail || document.title || error.message;
  } catch {
    return error.message;
  }
}
