/**
 * Between the safety backup and the replacement the app goes on committing. An undo must bring back all of it: every
 * transaction that was acknowledged before the replacement, none torn, also when the restore was killed right after it.
 */
import { expect, test } from 'bun:test';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import { lateLogOwner } from '../../src/engine/format/names.ts';
import { Catalog } from '../../src/engine/catalog/folder-catalog.ts';
import { createServiceFromEnvironment } from '../../src/service/from-environment.ts';
import { type JournalMode, judgeBank, makeBank, startWriter } from '../support/bank.ts';
import { ask } from '../support/scratch.ts';
import type { RestoreRequest } from '../../src/engine/stories/restore-request.ts';

/** A bank of which there is one backup, with transaction 1 alone. */
async function openBank(journalMode: JournalMode) {
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
  makeBank(database, { sizeBytes: 24 * 1024 * 1024, journalMode });
  const { filename = '' } = await service.performBackup();
  return {
    database,
    backups,
    service,
    filename,
    async [Symbol.asyncDispose]() {
      await service.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

for (const journalMode of ['wal', 'delete', 'truncate', 'persist'] as const) {
  test(`an undo brings back what was committed between the safety backup and the replacement (${journalMode})`, async () => {
    await using bank = await openBank(journalMode);
    const { database, backups, service } = bank;
    const writer = await startWriter(database, { perSecond: 400, busyTimeoutMs: 20_000, journalMode });
    const { safetyBackup } = await service.restore(bank.filename);
    await untilWritten(database);
    const { errors } = await writer.stop();
    expect(errors).toBe(0);

    const safety = judgeBank(join(backups, safetyBackup ?? ''));
    expect(safety.complaint).toBeNull();
    expect(safety.transactions).toBe(lastBeforeRestore(database));
    expect(readdirSync(backups).filter((entry) => entry.endsWith('.sqlite')).length).toBe(2);

    await service.undoRestore();
    expect(judgeBank(database).transactions).toBe(safety.transactions);
  }, 120_000);
}

for (const journalMode of ['wal', 'delete'] as const) {
  test(`an app without a busy timeout is told to wait, and never sees wrong data (${journalMode})`, async () => {
    await using bank = await openBank(journalMode);
    const { database, backups, service } = bank;
    const writer = await startWriter(database, { perSecond: 400, busyTimeoutMs: 0, journalMode });
    const { safetyBackup } = await service.restore(bank.filename);
    await untilWritten(database);
    const { commits, errors, firstError } = await writer.stop();
    expect(commits).toBeGreaterThan(0);
    expect(errors === 0 || firstError === 'database is locked').toBeTrue();

    const safety = judgeBank(join(backups, safetyBackup ?? ''));
    expect(safety).toEqual({ complaint: null, transactions: lastBeforeRestore(database) });
    const { complaint, transactions } = judgeBank(database);
    // All that was committed after it is there, and nothing of what was there before.
    expect(complaint).toBe(`${transactions - safety.transactions + 1} transactions of ${transactions}`);
  }, 120_000);

  test(`a restore killed right after the replacement loses none of it: the next run adds it (${journalMode})`, async () => {
    await using bank = await openBank(journalMode);
    const { database, backups, service } = bank;
    const writer = await startWriter(database, { perSecond: 400, busyTimeoutMs: 20_000, journalMode });
    const request: RestoreRequest = {
      kind: 'restore',
      source: join(backups, bank.filename),
      sourceName: bank.filename,
      sha256: null,
      databasePath: database,
      folder: backups,
      mode: 'online',
      to: null,
      expected: null,
      user: null,
      retention: { count: 10, startBurstMs: 0 },
      lockWaitMs: 5_000,
    };
    expect(await killedRestore(request)).toBe('SIGKILL');
    await untilWritten(database);
    const { errors } = await writer.stop();
    expect(errors).toBe(0);

    const expected = lastBeforeRestore(database);
    const [late = ''] = readdirSync(backups).filter((entry) => lateLogOwner(entry) !== null);
    const first = judgeBank(join(backups, lateLogOwner(late) ?? ''));
    expect(first.complaint).toBeNull();
    expect(first.transactions).toBeLessThan(expected);
    expect(statSync(join(backups, late)).mode & 0o777).toBe(0o600);
    // The undo that was promised is there, though nobody lived to say that the restore had been made.
    expect((await service.getStatus()).undo?.restored).toBe(bank.filename);

    expect((await service.performBackup()).success).toBe(true);
    const safety = (await new Catalog(backups).list()).filter((backup) => backup.manifest?.trigger === 'safety');
    expect(safety.map((backup) => judgeBank(backup.path))).toEqual([{ complaint: null, transactions: expected }]);
    expect(readdirSync(backups).filter((entry) => lateLogOwner(entry) !== null)).toEqual([]);
    expect((await service.getStatus()).undo?.filename).toBe(safety[0]?.name);
  }, 120_000);
}

/** Resolves when the writer has committed to what was put in place: the backup has one transaction. */
async function untilWritten(path: string): Promise<void> {
  while (ask(path, 'SELECT count(*) FROM log') === 1) await Bun.sleep(5);
}

/** The writer counts on where it was: its first number after the restore tells its last one before. */
function lastBeforeRestore(path: string): number {
  const connection = new DatabaseSync(path);
  try {
    connection.exec('PRAGMA busy_timeout = 20000');
    return Number(connection.prepare('SELECT min(id) - 1 AS n FROM log WHERE id > 1').get()?.['n']);
  } finally {
    connection.close();
  }
}

async function killedRestore(request: RestoreRequest): Promise<unknown> {
  const script = fileURLToPath(new URL('./late-commits-main.ts', import.meta.url));
  const child = spawn(process.execPath, ['--config=/dev/null', '--no-env-file', script, JSON.stringify(request)], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const [, signal] = await once(child, 'exit');
  return signal;
}
