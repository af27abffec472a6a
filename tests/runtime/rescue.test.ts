/** A rescue with the SQLite of each runtime: 3.49 of the oldest Node, those of the newest Node and of Bun. */
import { expect, test } from 'bun:test';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { node22, node26 } from '../support/runtimes.ts';
import { scratchFolders } from '../support/scratch.ts';
import { mustRun } from './run.ts';

const newFolder = scratchFolders();
const main = fileURLToPath(new URL('../support/rescue-runtime-main.ts', import.meta.url));

test('rows are rescued and taken back alike, and triggers fire only if they are to, on each runtime', async () => {
  const built = join(newFolder(), 'main.mjs');
  const { success } = await Bun.build({
    entrypoints: [main],
    target: 'node',
    outdir: join(built, '..'),
    naming: 'main.mjs',
  });
  expect(success).toBe(true);
  const expected = {
    rescued: [
      ['orders 2 0', 'products 0 3', 'notes 2 0', 'customers 1 0'],
      ['312E35', '39303037313939323534373430393933', 'FF00FE'],
      [3],
    ],
    ...{ undone: 8, left: 0, isAsBefore: true, logged: [5], undoneAgain: 3 },
  };
  for (const program of [node22, node26, process.execPath]) {
    const results = JSON.parse(await mustRun(program, [built, newFolder()], newFolder()));
    expect([program, results]).toEqual([program, ['wal', 'delete'].map((mode) => ({ mode, ...expected }))]);
  }
}, 120_000);
