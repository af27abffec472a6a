/** A short, seeded form of `calls.ts`, which does the same at every call. */
import { expect, test } from 'bun:test';
import { realpathSync } from 'node:fs';
import { scratchFolders } from '../support/scratch.ts';
import { whyNotFollowed } from '../support/system-calls.ts';
import { operations } from './calls-scene.ts';
import { runCalls } from './calls-suite.ts';

const newFolder = scratchFolders();
const missing = whyNotFollowed();
if (missing !== null) console.warn(`not tried: ${missing}`);

test.skipIf(missing !== null)(
  'two faults at system calls of each operation lose nothing, leave nothing, and the next run is good',
  async () => {
    const { faults, missed, broken } = await runCalls({
      operations,
      journalModes: null,
      seed: 3,
      count: 2,
      folder: realpathSync(newFolder()),
      log: () => {},
    });
    expect({ broken, met: faults, missed }).toEqual({ broken: [], met: operations.length * 2, missed: 0 });
  },
  240_000,
);
