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

const each = { seed: 3, count: 1, log: () => {} } as const;

test.skipIf(missing !== null)(
  'a fault at a system call of each operation loses nothing, leaves nothing, and the next run is good',
  async () => {
    const folder = realpathSync(newFolder());
    const { faults, missed, broken } = await runCalls({ ...each, operations, journalModes: null, folder });
    expect({ broken, faults, missed }).toEqual({ broken: [], faults: operations.length, missed: 0 });
  },
  240_000,
);

/** They broke a promise once. The restore meets the first four of them, the first boot the last three. */
const found = [
  'killed before at fsync app/ledger.sqlite-journal #1',
  'EIO at unlinkat backups/.staging/BACKUP.sqlite #1',
  'full at openat app/ledger.sqlite-shm #1',
  'EIO at openat app/ledger.sqlite-wal #1',
  'full at openat app/.velist-restore-R/database-journal #1',
];

test.skipIf(missing !== null)(
  'a full disk is called so where the late commits of a restore are put away',
  async () => {
    const folder = realpathSync(newFolder());
    const these = { operations: ['online'], only: ['ENOSPC at unlink backups/.late-BACKUP.sqlite #1'] } as const;
    const { faults, broken } = await runCalls({ ...each, ...these, journalModes: ['delete'], folder });
    expect({ broken, faults }).toEqual({ broken: [], faults: 1 });
  },
  240_000,
);

test.skipIf(missing !== null)(
  'no journal stays, no staging that stays fails a run, a full disk is called so, and what was placed is said',
  async () => {
    const folder = realpathSync(newFolder());
    const these = { operations: ['in-place', 'first-boot'], only: found, journalModes: ['wal'] } as const;
    const { faults, broken } = await runCalls({ ...each, ...these, folder });
    expect({ broken, faults }).toEqual({ broken: [], faults: 4 + 3 });
  },
  240_000,
);
