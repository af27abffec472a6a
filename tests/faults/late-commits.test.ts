/**
 * Between the safety backup and the replacement the app goes on committing. An undo must bring back all of it: every
 * transaction that was acknowledged before the replacement, none torn.
 */
import { expect, test } from 'bun:test';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { createServiceFromEnvironment } from '../../src/service/from-environment.ts';
import { judgeBank, makeBank, startWriter } from '../support/bank.ts';

test('an undo brings back what was committed between the safety backup and the replacement', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'velist-late-'));
  const database = join(folder, 'app.sqlite');
  const backups = join(folder, 'backups');
  const service = createServiceFromEnvironment({
    env: {
      PATH: process.env.PATH,
      DATABASE_URL: database,
      BACKUP_LOCAL_PATH: backups,
      BACKUP_STATE_PATH: join(folder, 'state.sqlite'),
    },
    write: () => {},
  });
  try {
    makeBank(database, { sizeBytes: 24 * 1024 * 1024 });
    const { filename = '' } = await service.performBackup(); // holds transaction 1 alone
    const writer = await startWriter(database, { perSecond: 400, busyTimeoutMs: 20_000 });
    const { safetyBackup } = await service.restore(filename);
    const { errors } = await writer.stop();
    expect(errors).toBe(0);

    const safety = judgeBank(join(backups, safetyBackup ?? ''));
    expect(safety.complaint).toBeNull();
    // The writer counts on where it was: its first number after the restore tells its last one before.
    expect(safety.transactions).toBe(firstAfterRestore(database) - 1);
    expect(readdirSync(backups).filter((entry) => entry.endsWith('.sqlite')).length).toBe(2);

    await service.undoRestore();
    expect(judgeBank(database).transactions).toBe(safety.transactions);
  } finally {
    await service.close();
    rmSync(folder, { recursive: true, force: true });
  }
}, 60_000);

function firstAfterRestore(path: string): number {
  const connection = new DatabaseSync(path);
  try {
    return Number(connection.prepare('SELECT min(id) AS n FROM log WHERE id > 1').get()?.['n']);
  } finally {
    connection.close();
  }
}
