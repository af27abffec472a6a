/** Asks many databases, and lets others have their turn in between: a thousand answers take a tenth of a second. */
import { setImmediate as nextTurn } from 'node:timers/promises';

const IN_A_ROW = 32;

/** In their order. */
export async function inTurns<One, Answer>(all: readonly One[], ask: (one: One) => Promise<Answer>): Promise<Answer[]> {
  const answers: Answer[] = [];
  for (let from = 0; from < all.length; from += IN_A_ROW) {
    if (from > 0) await nextTurn();
    answers.push(...(await Promise.all(all.slice(from, from + IN_A_ROW).map(ask))));
  }
  return answers;
}
