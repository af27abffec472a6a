/** The short form of `histories.ts`; a failure prints its seed, and the shortest history that fails. */
import { expect, test } from 'bun:test';
import { failureText, runHistories } from './histories.ts';

const RUNS = 8;
const STEPS = 30;

for (const seed of [1, 2, 3])
  test(`random histories of databases, machines and places lose nothing (seed ${seed})`, async () => {
    const { failure } = await runHistories({ runs: RUNS, seed, steps: STEPS });
    expect(failure && failureText(failure)).toBeNull();
  }, 600_000);
