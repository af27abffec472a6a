/**
 * A run that is killed with SIGKILL at ten different moments: no half file under a backup's name, nothing listed that
 * does not verify, the live database untouched, and the next run cleans up.
 */
import { expect, test } from 'bun:test';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { isBackupName, STAGING_FOLDER } from '../../src/engine/format/names.ts';
import { Catalog } from '../../src/engine/catalog/folder-catalog.ts';
import type { JobMessage } from '../../src/engine/process/protocol.ts';
import { judgeBank, makeBank } from '../support/bank.ts';
import type { BackupRequest } from '../../src/engine/stories/backup.ts';

const jobScript = fileURLToPath(new URL('../../src/engine/process/job-main.ts', import.meta.url));
const MEGABYTES = 48;

/** Ten moments: a message of the job, and how many milliseconds after it. */
const moments: readonly { readonly after: string; readonly delayMs: number }[] = [
  { after: 'started', delayMs: 0 },
  { after: 'checkpoint', delayMs: 0 },
  { after: 'pinned', delayMs: 0 },
  { after: 'copy', delayMs: 1 },
  { after: 'bytes', delayMs: 0 },
  { after: 'verify', delayMs: 0 },
  { after: 'verify', delayMs: 15 },
  { after: 'publish', delayMs: 0 },
  { after: 'publish', delayMs: 2 },
  { after: 'prune', delayMs: 0 },
];

test('a run killed at any of ten moments leaves no half backup, and the next run cleans up', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'velist-kills-'));
  const database = join(folder, 'app.sqlite');
  const backups = join(folder, 'backups');
  try {
    makeBank(database, { sizeBytes: MEGABYTES * 1024 * 1024 });
    for (const moment of moments) {
      await killedRun(database, backups, moment);
      const catalog = new Catalog(backups);
      for (const backup of await catalog.list()) {
        expect({ moment, fault: backup.fault, manifest: backup.manifest !== null }).toEqual({
          moment,
          fault: null,
          manifest: true,
        });
        expect(judgeBank(backup.path).complaint).toBeNull();
      }
    }
    expect(await finishedRun(database, backups)).toBe('result');
    const left = readdirSync(backups).filter(
      (entry) => isBackupName(entry) && !existsSync(join(backups, `${entry}.json`)),
    );
    expect(left).toEqual([]);
    expect(readdirSync(join(backups, STAGING_FOLDER))).toEqual([]);
    expect(readdirSync(backups).filter((entry) => entry.endsWith('.tmp'))).toEqual([]);
    expect(judgeBank(database).complaint).toBeNull();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}, 60_000);

function startJob(database: string, backups: string) {
  const request: BackupRequest = {
    kind: 'backup',
    databasePath: database,
    folder: backups,
    verify: 'quick',
    trigger: 'manual',
    user: null,
    note: null,
    retention: { count: 3, startBurstMs: 60_000 },
    lockWaitMs: 5_000,
  };
  const job = spawn(process.execPath, ['--config=/dev/null', '--no-env-file', jobScript], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  job.stdin.write(`${JSON.stringify(request)}\n`);
  return job;
}

async function killedRun(database: string, backups: string, moment: (typeof moments)[number]): Promise<void> {
  const job = startJob(database, backups);
  const exited = once(job, 'exit');
  const kill = () => setTimeout(() => job.kill('SIGKILL'), moment.delayMs);
  if (moment.after === 'started') kill();
  createInterface({ input: job.stdout }).on('line', (line) => {
    const message = JSON.parse(line) as JobMessage;
    if ((message.type === 'step' ? message.name : message.type) === moment.after) kill();
  });
  await exited;
}

async function finishedRun(database: string, backups: string): Promise<string> {
  const job = startJob(database, backups);
  let last = '';
  createInterface({ input: job.stdout }).on('line', (line) => {
    last = (JSON.parse(line) as JobMessage).type;
  });
  await once(job, 'close');
  return last;
}
