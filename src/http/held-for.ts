/** What strangers may ask is not worked out anew for each of them. */
export const WORD_HOLDS_MS = 1_000;

/** The answer of `ask`, shared by all who want it meanwhile and for a moment afterwards; a failure is not kept. */
export function heldFor<Answer>(
  ms: number,
  ask: () => Promise<Answer>,
  nowMs: () => number = () => performance.now(),
): () => Promise<Answer> {
  let held: { readonly answer: Promise<Answer>; readonly atMs: number } | null = null;
  return () => {
    if (held && Math.abs(nowMs() - held.atMs) < ms) return held.answer;
    const asked = { answer: ask(), atMs: nowMs() };
    held = asked;
    asked.answer.catch(() => {
      if (held === asked) held = null;
    });
    return asked.answer;
  };
}
