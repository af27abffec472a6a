/** On Node, from the sources: Bun reads `.env` by itself. */
import { expect, test } from 'bun:test';
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeDatabase, scratchFolders } from '../support/scratch.ts';
import { node26 as node } from '../support/runtimes.ts';

const newFolder = scratchFolders();
const at = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));

function run(folder: string, args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const { status, stdout, stderr } = spawnSync(node, args, { cwd: folder, env, encoding: 'utf8' });
  return { status, stdout, stderr };
}
const cli = (folder: string, args: string, env?: Readonly<Record<string, string>>) =>
  run(folder, [at('src/cli/main.ts'), ...args.split(' ')], env);

test('the program has its settings from .env, and what stands in the environment wins', () => {
  const folder = newFolder();
  makeDatabase(join(folder, 'app.sqlite'));
  writeFileSync(
    join(folder, '.env'),
    '\uFEFFDATABASE_URL=file:./app.sqlite\r\nBACKUP_LOCAL_PATH="./from file"\r\nBACKUP_RETENTION_COUNT=4\r\n',
  );
  expect(cli(folder, 'backup --quiet')).toEqual({ status: 0, stdout: '', stderr: '' });
  const { stdout } = cli(folder, 'status --json', { BACKUP_RETENTION_COUNT: '5' });
  expect(JSON.parse(stdout)).toMatchObject({
    database: { path: './app.sqlite', exists: true },
    local: { path: './from file', count: 1, keep: 5 },
  });
});

test('a slip in .env is told as one in the environment', () => {
  const folder = newFolder();
  writeFileSync(join(folder, '.env'), 'BACKUP_INTERVALL_MINUTES=5\nS3_BUKCET=ours\n');
  const { status, stderr } = cli(folder, 'list');
  expect(status).toBe(2);
  expect(stderr).toContain('BACKUP_INTERVALL_MINUTES: unknown setting; did you mean BACKUP_INTERVAL_MINUTES?');
  expect(stderr).toContain('S3_BUKCET: unknown setting; did you mean S3_BUCKET?');
  expect(stderr).toContain('in the environment or in .env');
});

test('a configuration file finds it in process.env', () => {
  const folder = newFolder();
  writeFileSync(join(folder, '.env'), 'OUR_FOLDER=./chosen\n');
  writeFileSync(
    join(folder, 'velist-backup.config.mjs'),
    'export default { path: "app.sqlite", localPath: process.env.OUR_FOLDER };',
  );
  expect(JSON.parse(cli(folder, 'status --json').stdout).local.path).toBe('./chosen');
});

test("an app's own process.env stays as it is", () => {
  const folder = newFolder();
  writeFileSync(join(folder, '.env'), 'BACKUP_LOCAL_PATH=./chosen\n');
  const app = `import { backupService } from '${at('src/index.ts')}';
    console.log(backupService.getConfig().localPath, process.env.BACKUP_LOCAL_PATH);`;
  expect(run(folder, ['--input-type=module', '-e', app])).toEqual({
    ...{ status: 0, stdout: './chosen undefined\n' },
    stderr: expect.not.stringContaining('Error'),
  });
});

test('one that can not be read is told once and stops nothing', () => {
  const folder = newFolder();
  mkdirSync(join(folder, '.env'));
  mkdirSync(join(folder, 'storage/backups'), { recursive: true });
  const { status, stderr } = cli(folder, 'list');
  expect([status, stderr.match(/\.env in the working directory can't be read/g)?.length]).toEqual([0, 1]);
});
