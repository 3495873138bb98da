/** What went wrong: an RFC 9457 problem document of the server, or what the browser itself could not do. */
export class Problem extends Error {
  readonly kind: string;
  readonly status: number;
  readonly facts: Readonly<Record<string, unknown>>;

  constructor(kind: string, status: number, title: string, facts: Record<string, unknown> = {}) {
    super(title);
    this.name = "Problem";
    this.kind = kind;
    this.status = status;
    this.facts = facts;
  }

  /** The trace id under which the server logged it. */
  get trace(): string | null {
    return typeof this.facts.instance === "string" ? this.facts.instance : null;
  }
}

/** The faults of an `invalid` problem: field → message. */
export function faultsOf(problem: unknown): Record<string, string> {
  if (!(problem instanceof Problem) || !Array.isArray(problem.facts.faults)) return {};
  const faults = problem.facts.faults as { field?: unknown; message?: unknown }[];
  return Object.fromEntries(faults.map((fault) => [String(fault.field ?? ""), String(fault.message ?? "")]));
}

/** Reads a problem out of an answer that was not a success. */
export async function problemOf(response: Response): Promise<Problem> {
  const document = (await response.json().catch(() => null)) as Record<string, unknown> | null;
  const type = typeof document?.type === "string" ? document.type : "";
  const kind = type.split("/").pop() || `http-${response.status}`;
  return new Problem(kind, response.status, String(document?.title ?? response.statusText), document ?? {});
}

export const offline = () => new Problem("offline", 0, "The service cannot be reached.");
