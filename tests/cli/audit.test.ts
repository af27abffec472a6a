import { expect, test } from 'bun:test';
import { mkdirSync, readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { createBackups } from '../../src/fleet/from-config.ts';
import { makeDatabase, scratchFolders } from '../support/scratch.ts';
import { actingAs } from '../../src/service/audit/actor.ts';
import type { AuditEntry } from '../../src/service/model.ts';
import { runCli } from '../../src/cli/program.ts';

const newFolder = scratchFolders();

test('what commands do is recorded as done by the user of the system, and `audit` shows it, of one or of all', async () => {
  const folder = newFolder();
  mkdirSync(join(folder, 'db'));
  for (const name of ['shop', 'wiki']) makeDatabase(join(folder, `db/${name}.sqlite`));
  const lines = join(folder, 'audit.jsonl');
  // Today is still today if it gets midnight meanwhile.
  const began = new Date();
  const open = async () =>
    await createBackups(
      {
        ...{ localPath: join(folder, 'backups'), statePath: join(folder, 'state.sqlite') },
        databases: ['shop', 'wiki'].map((name) => ({ path: join(folder, `db/${name}.sqlite`) })),
      },
      { env: { PATH: process.env['PATH'], BACKUP_AUDIT_LOG: lines }, write: () => {} },
    );
  async function cli(argv: string) {
    let [stdout, stderr] = ['', ''];
    const code = await runCli(argv.trim().split(' '), {
      stdout: { write: (text) => (stdout += text) },
      stderr: { write: (text) => (stderr += text) },
      signal: new AbortController().signal,
      createService: open,
      serve: async () => {},
      now: () => began,
    });
    return { code, stdout, stderr };
  }
  const entries = async (argv: string) =>
    (JSON.parse((await cli(`audit --json ${argv}`)).stdout) as { entries: AuditEntry[] }).entries;

  expect((await cli('audit')).stdout).toBe('Nothing is recorded.\n');
  const made = JSON.parse((await cli('backup --database shop --json')).stdout) as { filename: string };
  await cli('claim --database wiki');
  await cli(`restore ${made.filename} --to ${join(folder, 'copy.sqlite')} --database shop`);
  const guard = await open();
  actingAs({ user: null, via: 'page', address: '192.0.2.7', agent: 'curl\u001b[2J' }, () =>
    guard.recordAct({ act: 'sign-in', result: 'refused', code: 'UNAUTHORIZED' }),
  );
  await guard.close();

  const short = (all: readonly AuditEntry[]) =>
    all.map(({ database, act, via, user, result }) => [database, act, via, user, result]);
  const { username } = userInfo();
  const restored = ['shop', 'restore', 'cli', username, 'done'];
  const claimed = ['wiki', 'claim', 'cli', username, 'done'];
  // Signing in belongs to no database.
  expect(short(await entries(''))).toEqual([[null, 'sign-in', 'page', null, 'refused'], restored, claimed]);
  expect(short(await entries('--database shop'))).toEqual([restored]);
  expect(short(await entries('--limit 2'))).toEqual([[null, 'sign-in', 'page', null, 'refused'], restored]);
  expect([await entries('--since 2999-01-01'), (await entries('--since 2001-01-01')).length]).toEqual([[], 3]);
  expect([(await entries('--since yesterday')).length, (await entries('--since today')).length]).toEqual([3, 3]);
  // The same goes out as lines, in the order in which it was done.
  const written = readFileSync(lines, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as AuditEntry);
  expect(short(written)).toEqual([claimed, restored, [null, 'sign-in', 'page', null, 'refused']]);
  const { stdout } = await cli('audit');
  expect(stdout).toMatch(/^TIME +DATABASE +WHO +FROM +WHAT +RESULT +ON/);
  expect(stdout).toContain('page 192.0.2.7');
  expect(stdout).not.toContain('\u001b');
  for (const wrong of ['--since whenever', '--since 2024-99-01', '--limit 0', '--limit many'])
    expect([wrong, (await cli(`audit ${wrong}`)).code]).toEqual([wrong, 2]);
});
