/** What `early.js` requested and painted before the client was loaded. */
type Early = Record<string, Promise<Response | null> | undefined> & { isOver?: boolean };

const getEarly = () => (globalThis as { __matineeEarly?: Early }).__matineeEarly;

/** Take the answer to a request, once; `null` if it was not requested early. */
export function takeEarly(method: string, input: string): Promise<Response | null> | null {
  const early = getEarly();
  const key = `${method} ${input}`;
  const answer = early?.[key];
  if (!early || !answer) return null;
  delete early[key];
  return answer.catch(() => null);
}

/** The client waits no longer than this for the early billboard, which needs the data of the home page. */
const MAX_WAIT_MS = 800;

/** Wait until the early billboard is painted, so that evaluating the client does not delay it. */
export async function waitForEarlyPaint(): Promise<void> {
  const painted = (globalThis as { __matineePainted?: Promise<void> }).__matineePainted;
  if (painted) await Promise.race([painted, new Promise((done) => setTimeout(done, MAX_WAIT_MS))]);
}

/** Return whether the early billboard is shown. */
export const isEarlyPainted = (): boolean => document.getElementById("early") !== null;

/** Remove the early billboard, in the frame that shows what replaces it. */
export function removeEarlyPaint(): void {
  const early = getEarly();
  if (early) early.isOver = true;
  document.getElementById("early")?.remove();
}
