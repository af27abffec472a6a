/** A short, seeded form of `captured-calls.ts`, which does the same at every call. */
import { expect, test } from 'bun:test';
import { realpathSync } from 'node:fs';
import { scratchFolders } from '../support/scratch.ts';
import { whyNotFollowed } from '../support/system-calls.ts';
import { starts } from './captured-calls-scene.ts';
import { runCapturedCalls } from './captured-calls-suite.ts';

const newFolder = scratchFolders();
const missing = whyNotFollowed();
if (missing !== null) console.warn(`not tried: ${missing}`);

test.skipIf(missing !== null)(
  'a fault at a system call of the replicator costs no captured moment and no commit, and the next run goes on',
  async () => {
    const folder = realpathSync(newFolder());
    const { faults, broken } = await runCapturedCalls({ starts, seed: 3, count: 1, folder, log: () => {} });
    expect(broken).toEqual([]);
    expect(faults).toBe(starts.length);
  },
  600_000,
);
