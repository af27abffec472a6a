/** A database whose file is gone, by the command line and beside a server that runs, each a process of its own. */
import { afterEach, beforeEach, expect, test } from 'bun:test';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BRING_BACK, NOTHING_TO_UNDO } from '../../src/service/protection/missing.ts';
import { ask, makeDatabase, scratchFolders } from '../support/scratch.ts';

const newFolder = scratchFolders();
const cliPath = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const restorePage = fileURLToPath(new URL('../../docs/restore.md', import.meta.url));

let folder: string;
const children = new Set<ChildProcess>();
const database = () => join(folder, 'data', 'app.sqlite');

beforeEach(() => {
  folder = newFolder();
  mkdirSync(dirname(database()));
});
afterEach(async () => {
  for (const child of children) {
    child.kill('SIGTERM');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  }
  children.clear();
});

function start(argv: string, more: Record<string, string> = {}): ChildProcess {
  const child = spawn(process.execPath, ['--config=/dev/null', '--no-env-file', cliPath, ...argv.split(' ')], {
    cwd: folder,
    env: {
      ...{ PATH: process.env['PATH'] ?? '', DATABASE_URL: database(), PORT: '0' },
      ...{ BACKUP_LOCAL_PATH: join(folder, 'backups'), BACKUP_STATE_PATH: join(folder, 'state.sqlite') },
      ...more,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.add(child);
  return child;
}

async function cli(argv: string, more: Record<string, string> = {}) {
  const child = start(argv, more);
  let [stdout, stderr] = ['', ''];
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const [code] = (await once(child, 'close')) as [number];
  children.delete(child);
  return { code, stdout, stderr };
}

/** Resolves when the child has said all of these. */
async function until(child: ChildProcess, ...wanted: readonly RegExp[]): Promise<string> {
  let text = '';
  const { promise, resolve } = Promise.withResolvers<string>();
  const hear = (more: string) => {
    text += more;
    if (wanted.every((pattern) => pattern.test(text))) resolve(text);
  };
  child.stdout?.setEncoding('utf8').on('data', hear);
  child.stderr?.setEncoding('utf8').on('data', hear);
  return await promise;
}

async function backUp(): Promise<void> {
  makeDatabase(database(), { rows: 100 });
  expect((await cli('backup')).code).toBe(0);
}
function lose(): void {
  for (const suffix of ['', '-wal', '-shm']) rmSync(database() + suffix, { force: true });
}
const rows = () => ask(database(), 'SELECT count(*) FROM notes');
const runs = async () => JSON.parse((await cli('status --json')).stdout).lastBackupRun;

test('status, doctor and a backup that fails say one sentence, the one of docs/restore.md, and it does what it says', async () => {
  await backUp();
  lose();
  const status = await cli('status');
  expect(status.code).toBe(1);
  expect(status.stdout).toContain('app.sqlite is missing. Newest good backup: backup-');
  for (const { stdout, stderr } of [
    status,
    await cli('backup'),
    await cli('doctor'),
    await cli('restore latest --online'),
  ])
    expect(`${stdout}${stderr}`.replaceAll(/\s+/g, ' ')).toContain(BRING_BACK);
  expect(readFileSync(restorePage, 'utf8').replaceAll(/\s+/g, ' ')).toContain(BRING_BACK);
  const [, command = ''] = /^`velist-backup ([^`]+)`/.exec(BRING_BACK) ?? [];

  const { code, stdout, stderr } = await cli(command);
  expect([code, rows()]).toEqual([0, 100]);
  expect(stderr).toContain(`now:   no file. ${NOTHING_TO_UNDO}`);
  expect(stdout).toContain(`to ${database()}, which was missing. ${NOTHING_TO_UNDO}`);
  expect((await cli('undo')).code).toBe(3);
});

test('a cron line notes it once, prunes nothing, and goes on when the file is back', async () => {
  await backUp();
  for (let round = 0; round < 2; round++) expect((await cli('backup')).code).toBe(0);
  lose();
  expect((await cli('backup')).code).toBe(1);
  const { id } = await runs();
  for (let round = 0; round < 2; round++) expect((await cli('backup')).code).toBe(1);
  expect((await runs()).id).toBe(id);
  const pruned = await cli('prune', { BACKUP_RETENTION_COUNT: '1', BACKUP_KEEP_DAILY: '0' });
  expect(pruned).toMatchObject({ code: 0, stdout: expect.stringContaining('3 kept, 0 removed') });
  makeDatabase(database(), { rows: 100 });
  expect((await cli('backup')).code).toBe(0);
  expect((await cli('status')).code).toBe(0);
});

test('a first start before the app is calm, and the backup comes with the database', async () => {
  const server = start('serve', { BACKUP_INTERVAL_MINUTES: '1' });
  await until(server, /The page is at/, /Waiting for a database/);
  const before = await cli('status --json');
  expect([before.code, JSON.parse(before.stdout).verdict]).toEqual([3, { code: 'none', tone: 'grey' }]);
  expect(JSON.parse(before.stdout).lastBackupRun).toBeNull();
  makeDatabase(database());
  await until(server, /Completed: backup-/);
  expect((await cli('status')).code).toBe(0);
});

test('beside a server that runs: it alarms, goes on when the file is brought back, and begins no empty one', async () => {
  await backUp();
  lose();
  // As on a first boot without --restore-if-missing.
  const server = start('serve', { BACKUP_INTERVAL_MINUTES: '1' });
  const said = await until(server, /The page is at (\S+)/, /Waiting for a database/);
  const [, page = ''] = /The page is at (\S+)/.exec(said) ?? [];
  const health = async () => await (await fetch(`${page}/health`)).json();
  expect(await health()).toMatchObject({ status: 'failing', verdict: 'missing' });
  expect(existsSync(database())).toBe(false);
  // Heard from now on: the server may be done before the command has ended.
  const completed = until(server, /Completed: backup-/);
  expect((await cli('restore latest --in-place')).code).toBe(0);
  await completed;
  expect([rows(), await health()]).toMatchObject([100, { status: 'ok' }]);
});

test('a first boot brings it back as before, and a file that appears meanwhile is left alone', async () => {
  await backUp();
  lose();
  expect(await cli('restore --if-missing')).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('which was missing'),
  });
  expect(rows()).toBe(100);
  lose();
  writeFileSync(database(), 'something else');
  expect((await cli('restore --if-missing')).stdout).toContain('is there; nothing was brought back');
  expect(readFileSync(database(), 'utf8')).toBe('something else');
});
