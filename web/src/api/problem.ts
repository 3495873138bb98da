/** An RFC 9457 problem document of the server, or a failure in the browser. */
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

  /** Whether the same request would be refused again. */
  get isFinal(): boolean {
    return this.status === 403 || this.status === 404 || this.status === 410;
  }

  /** The trace id of the request in the server's log. */
  get trace(): string | null {
    return typeof this.facts.instance === "string" ? this.facts.instance : null;
  }
}

/** Return the messages of an `invalid` problem by field. */
export function getFaults(problem: unknown): Record<string, string> {
  if (!(problem instanceof Problem) || !Array.isArray(problem.facts.faults)) return {};
  const faults = problem.facts.faults as { field?: unknown; message?: unknown }[];
  return Object.fromEntries(faults.map((fault) => [String(fault.field ?? ""), String(fault.message ?? "")]));
}

/** Read the problem document of a response whose status is an error. */
export async function readProblem(response: Response): Promise<Problem> {
  const document = (await response.json().catch(() => null)) as Record<string, unknown> | null;
  const type = typeof document?.type === "string" ? document.type : "";
  const kind = type.split("/").pop() || `http-${response.status}`;
  return new Problem(kind, response.status, String(document?.title ?? response.statusText), document ?? {});
}

export const createOfflineProblem = () => new Problem("offline", 0, "The service cannot be reached.");
