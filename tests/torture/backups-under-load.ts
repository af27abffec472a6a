/**
 * Backups of a database in full use, through the running app: another process writes as fast as it can with a busy
 * timeout of 0 while the app is asked for one backup after the other over HTTP. Every backup is judged three ways.
 *
 *     bun tests/torture/backups-under-load.ts [--megabytes 500] [--backups 30]
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { parseArgs } from 'node:util';
import { judgeBank, makeBank, startWriter } from '../support/bank.ts';
import { startApp } from '../support/app.ts';

const { values } = parseArgs({
  options: {
    megabytes: { type: 'string', default: '500' },
    backups: { type: 'string', default: '30' },
    folder: { type: 'string' },
  },
});
const folder = mkdtempSync(join(values.folder ?? tmpdir(), 'velist-load-'));
const database = join(folder, 'app.sqlite');
const backups = join(folder, 'backups');
try {
  console.log(`making a bank of ${values.megabytes} MB`);
  makeBank(database, { sizeBytes: Number(values.megabytes) * 1024 * 1024 });
  const writer = await startWriter(database);
  const app = await startApp({
    database,
    backups,
    environment: { BACKUP_ENABLED: 'false', BACKUP_RETENTION_COUNT: '10' },
  });
  let good = 0;
  const count = Number(values.backups);
  for (let number = 1; number <= count; number++) {
    const before = lastTransaction(database);
    const started = performance.now();
    const answer = (await (await fetch(`${app.url}/now`, { method: 'POST' })).json()) as {
      success: boolean;
      filename?: string;
      error?: { message: string };
    };
    const tookMs = Math.round(performance.now() - started);
    if (!answer.success || !answer.filename) {
      console.log(`${number}: failed: ${answer.error?.message}`);
      continue;
    }
    const { complaint, transactions } = judgeBank(join(backups, answer.filename));
    const verdict = complaint ?? (transactions < before ? `older than its start: ${transactions} < ${before}` : 'good');
    if (verdict === 'good') good++;
    console.log(`${number}: ${verdict}, ${transactions} transactions (${before} before), ${tookMs} ms`);
  }
  await app.stop();
  const { commits, errors, firstError } = await writer.stop();
  console.log(`${good} of ${count} good; the writer made ${commits} commits, ${errors} errors ${firstError}`);
  process.exitCode = good === count && errors === 0 ? 0 : 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}

/** Read by a connection of our own; this process holds no other on that file. */
function lastTransaction(path: string): number {
  const reader = new DatabaseSync(path);
  reader.exec('PRAGMA busy_timeout = 5000');
  const last = Number(reader.prepare('SELECT max(id) AS n FROM log').get()?.['n']);
  reader.close();
  return last;
}
