/**
 * The order of the calls that make a backup durable, as the system sees it: a power cut between any two of them leaves
 * the backups of before, and a new one only as a whole.
 */
import { expect, test } from 'bun:test';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isBackupName } from '../../src/engine/format/names.ts';
import { areMissing } from '../support/programs.ts';
import { makeDatabase, scratchFolders } from '../support/scratch.ts';
import { startJob } from '../support/torture-jobs.ts';
import type { BackupRequest } from '../../src/engine/stories/backup.ts';

const scratch = scratchFolders();
const CALLS = 'fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat';

/** Each call on a file of the backup folder, in its order; locks left out. */
async function backUpTraced(databasePath: string, folder: string): Promise<readonly string[]> {
  const trace = join(scratch(), 'trace');
  const request: BackupRequest = {
    kind: 'backup',
    databasePath,
    folder,
    verify: 'quick',
    trigger: 'manual',
    user: null,
    note: null,
    retention: { count: 2, startBurstMs: 60_000 },
    lockWaitMs: 0,
  };
  const strace = ['strace', '-f', '-y', '-s', '4096', '-o', trace, '-e', `trace=${CALLS}`];
  expect(await startJob(request, () => {}, strace).ended).toMatchObject({ error: null, result: expect.anything() });
  return readFileSync(trace, 'utf8')
    .split('\n')
    .flatMap((line) => {
      const call = /^\d+ +(fsync|fdatasync|rename|unlink)(?:at2?)?\((.*)/.exec(line);
      const paths = [...(call?.[2] ?? '').matchAll(/["<]([^">]*)[">]/g)].map(([, path = '']) => path);
      const ours = paths.filter((path) => path.startsWith(folder) && !/\.lock/.test(path));
      const what = call?.[1]?.replace('fdatasync', 'fsync');
      return ours.length > 0 ? [[what, ...ours.map((path) => path.slice(folder.length))].join(' ')] : [];
    });
}

test.skipIf(areMissing(['strace']))(
  'each step is durable before the next begins, and older backups go last',
  async () => {
    const database = join(scratch(), 'shop.sqlite');
    makeDatabase(database, { rows: 1_000 });
    const folder = join(scratch(), 'backups');
    await backUpTraced(database, folder);
    const [old = ''] = readdirSync(folder).filter(isBackupName);
    await backUpTraced(database, folder);
    const calls = await backUpTraced(database, folder);
    const name = readdirSync(folder).filter(isBackupName).toSorted().at(-1) ?? '';
    // The staging folder is made anew by each run, and goes whenever it likes.
    const begin = calls.findIndex((call) => call.startsWith('rename ') || call.includes(old));
    const lasting = calls.slice(begin).filter((call) => !call.startsWith('unlink /.staging'));
    const named = lasting.map((call) =>
      call
        .replaceAll(name, 'NEW')
        .replaceAll(old, 'OLD')
        .replaceAll(/run-\d+/g, 'run')
        .replaceAll(/\.[-0-9a-f]{36}\.tmp/g, '.tmp'),
    );
    expect(named).toEqual([
      'rename /.staging/run /.staging/NEW',
      'fsync /.staging',
      'fsync /.staging/NEW/snapshot.sqlite',
      'rename /.staging/NEW/snapshot.sqlite /NEW',
      'fsync ',
      'fsync /.NEW.tmp',
      'rename /.NEW.tmp /NEW.json',
      'fsync ',
      'unlink /OLD',
      'unlink /OLD.json',
      'fsync ',
    ]);
  },
);
