/** What a restore meets over the database: each case through a real service, with what its plan promised. */
import { test } from 'bun:test';
import { checkRestoreCase, restoreCases } from './hard-cases-restore.ts';

for (const restoreCase of restoreCases)
  test(restoreCase.name, async () => void (await checkRestoreCase(restoreCase)), 120_000);
