/** The answers that `early.js` requested before the client was loaded. */
type Early = Record<string, Promise<Response | null> | undefined>;

/** Take the answer to a request, once; `null` if it was not requested early. */
export function takeEarly(method: string, input: string): Promise<Response | null> | null {
  const early = (globalThis as { __matineeEarly?: Early }).__matineeEarly;
  const key = `${method} ${input}`;
  const answer = early?.[key];
  if (!early || !answer) return null;
  delete early[key];
  return answer.catch(() => null);
}
