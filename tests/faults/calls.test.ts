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

const each = { seed: 3, count: 2, log: () => {} } as const;

test.skipIf(missing !== null)(
  'two faults at system calls of each operation lose nothing, leave nothing, and the next run is good',
  async () => {
    const folder = realpathSync(newFolder());
    const { faults, missed, broken } = await runCalls({ ...each, operations, journalModes: null, folder });
    expect({ broken, faults, missed }).toEqual({ broken: [], faults: operations.length * 2, missed: 0 });
  },
  240_000,
);

/** They broke a promise once. */
const found = {
  publish: 'EIO at unlinkat backups/.staging/BACKUP.sqlite #1',
  'in-place': 'full at openat app/ledger.sqlite-shm #1',
  'first-boot': 'EIO at openat app/ledger.sqlite-wal #1',
} as const;

test.skipIf(missing !== null)(
  'a staging that stays fails no run; a full disk is called so; a first boot says what was placed',
  async () => {
    const folder = realpathSync(newFolder());
    const these = { operations: operations.filter((name) => name in found), only: Object.values(found) };
    const { faults, broken } = await runCalls({ ...each, ...these, journalModes: ['wal'], folder });
    expect({ broken, faults }).toEqual({ broken: [], faults: these.only.length });
  },
  240_000,
);
