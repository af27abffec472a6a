/** The short form of `histories.ts`. A failure prints its seed, and the shortest history that fails. */
import { expect, test } from 'bun:test';
import { failureText, type HistoryStep, runHistories, takeHistory } from './histories.ts';

const RUNS = 8;
const STEPS = 30;

/** Each lost something once. */
const found: Readonly<Record<string, readonly HistoryStep[]>> = {
  'a machine that was set back goes on sparing what another one made': [
    { do: 'backup', app: 'shop', times: 1 },
    { do: 'boot', app: 'spare' },
    { do: 'backup', app: 'spare', times: 1 },
    { do: 'roll back', app: 'shop', backups: 1 },
  ],
};

for (const [name, history] of Object.entries(found)) test(name, () => takeHistory(history));

for (const seed of [1, 2, 3])
  test(`random histories of databases, machines and places lose nothing (seed ${seed})`, async () => {
    const { failure } = await runHistories({ runs: RUNS, seed, steps: STEPS });
    expect(failure && failureText(failure, seed)).toBeNull();
  }, 600_000);
