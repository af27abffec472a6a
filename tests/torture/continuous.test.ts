/** The short form of `continuous.ts`: seeded rounds, in which the replicator is killed and moments are restored. */
import { expect, setDefaultTimeout, test } from 'bun:test';
import { emptyTally, playContinuous } from './continuous-suite.ts';

setDefaultTimeout(300_000);

test.each([
  ['everything', 3],
  ['checkpoints', 4],
  ['visitors', 5],
  ['shrink', 6],
] as const)(
  '%s, seed %i: each moment that is restored is the transactions 1 to n, none older than promised',
  async (name, seed) => {
    const tally = emptyTally();
    await playContinuous(name, { seed, seconds: 4, sizeBytesMax: 2 * 1024 * 1024, tally, killChance: 0.2 });
    expect(tally.bad).toEqual([]);
    const { restores, captures, kills, commits } = tally;
    expect(Math.min(restores, captures, kills, commits)).toBeGreaterThan(0);
  },
);
