/**
 * Every command of the README and the documentation, typed as it stands there: page by page, from the top, in a folder
 * of its own with a database in WAL mode, a bucket and a backup. What a command needs that this machine can't give, or
 * would take hours, has its stand-in below, with the reason.
 */
import { beforeAll, describe, expect, test } from 'bun:test';
import { spawnSync } from 'node:child_process';
import { chmodSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openBucket } from '../support/bucket.ts';
import { makeDatabase, scratchFolders } from '../support/scratch.ts';
import { commandsOf, type } from './typing.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const newFolder = scratchFolders();
const PATIENCE_MS = 120_000;
const PATIENCE_PER_COMMAND_MS = 10_000;
const backupOfDocs = 'backup-2026-01-15T10-30-00-000Z.sqlite';
const bucket = 'docs';

const standIns: readonly { readonly command: RegExp; readonly instead: string; readonly why: string }[] = [
  { command: /^npm ci && npm test$/, instead: 'true', why: 'this test is part of it; `.ci/run` types it' },
  { command: /^npm ci && /, instead: '', why: 'would replace the packages that are running; `.ci/run` types it' },
  { command: /^npm install velist-backup$/, instead: 'true', why: 'tests/runtime installs the packed package' },
  {
    command: /^(npx bun bench\/run\.ts --only) \S+$/,
    instead: '$1 idle --megabytes 20 --seconds 1 --rounds 1 --report "$HOME/report"',
    why: 'takes many minutes',
  },
  {
    command: /^aws s3api /,
    instead: 'true',
    why: 'wants a bucket with versions; tests/deep/append-only does it in one',
  },
  { command: /--at "yesterday 18:00"/, instead: '--at 2100-01-01', why: 'there was no backup yesterday' },
  { command: / restore \.\/NAME /, instead: 'true', why: 'what `aws` would have fetched' },
  { command: /exec node app\.js$/, instead: 'true', why: 'stands for the app of the reader' },
  { command: /^npx bun tests\/e2e\/ui-shots\.ts .*/, instead: 'true', why: 'tests/e2e walks through the same scenes' },
  {
    command: /^(npx bun tests\/torture\/backups-under-load\.ts)$/,
    instead: '$1 --megabytes 20 --backups 2',
    why: 'takes minutes',
  },
];

/** What `doctor` and `status` say by their code: backups and database are on one disk here, and uploads may still wait. */
const otherCodes: readonly { readonly command: RegExp; readonly codes: readonly number[] }[] = [
  { command: / (doctor|status)\b/, codes: [0, 1, 5] },
  // Nothing was lost here, and the backup that the pages name was made by hand and counted by nobody.
  { command: / (accept-loss|diff)\b/, codes: [0, 2] },
  // No commits are captured there.
  { command: / drill --at\b/, codes: [0, 3] },
];

const { server } = await openBucket(bucket);
let programs: string;

beforeAll(async () => {
  programs = newFolder();
  const cli = `exec '${process.execPath}' '${join(root, 'src/cli/main.ts')}' "$@"`;
  program('velist-backup', cli);
  // The package is not installed in the folder; `npx` finds the program of this repository.
  program('npx', `if [ "$1" = bun ]; then shift; cd '${root}' && exec '${process.execPath}' "$@"; fi; exec "$@"`);
  // `npm run` reads the package of the folder that it is called in.
  const npm = spawnSync('which', ['npm'], { encoding: 'utf8' }).stdout.trim();
  program('npm', `exec '${npm}' --prefix '${root}' "$@"`);
});

const pages = ['README.md', ...readdirSync(join(root, 'docs')).map((name) => `docs/${name}`)].filter((name) =>
  name.endsWith('.md'),
);

for (const page of [...pages, 'docs/benchmarks/README.md']) {
  const commands = commandsOf(readFileSync(join(root, page), 'utf8'));
  if (commands.length === 0) continue;
  test(
    `${page}: ${commands.length} commands do what they say`,
    async () => {
      const desk = await setTable(page);
      for (const command of commands) {
        const { code, output } = await typeHere(command, desk);
        const codes = otherCodes.find((other) => other.command.test(command))?.codes ?? [0];
        expect({ command, code: codes.includes(code) ? 'right' : code, output }).toEqual({
          command,
          code: 'right',
          output: expect.any(String),
        });
      }
    },
    PATIENCE_MS + commands.length * PATIENCE_PER_COMMAND_MS,
  );
}

describe('the files that the documentation shows', () => {
  const sidecar = readFileSync(join(root, 'docs/sidecar.md'), 'utf8');

  test('the unit is one that systemd takes', () => {
    const folder = newFolder();
    const unit = join(folder, 'velist-backup.service');
    writeFileSync(unit, blockOf(sidecar, 'ini', '[Unit]').replaceAll(/\/srv\/app\S*velist-backup/g, '/bin/true'));
    const { stderr, error } = spawnSync('systemd-analyze', ['verify', '--man=no', unit], { encoding: 'utf8' });
    if (error) throw new Error('systemd-analyze is missing: apt-get install systemd');
    expect(stderr.split('\n').filter((line) => line.includes('velist-backup.service'))).toEqual([]);
  });
});

function blockOf(text: string, language: string, begin: string): string {
  const blocks = [...text.matchAll(/^```(\w+)\n([\s\S]*?)^```/gm)];
  const block = blocks.find(([, name, content]) => name === language && content?.startsWith(begin))?.[2];
  if (block === undefined) throw new Error(`there is no ${language} that begins with ${begin}`);
  return block;
}

interface Desk {
  readonly folder: string;
  readonly environment: Record<string, string>;
}

/** A folder with what the pages take for granted. */
async function setTable(page: string): Promise<Desk> {
  const folder = newFolder();
  const environment: Record<string, string> = {
    PATH: `${programs}:${process.env['PATH']}`,
    HOME: folder,
    NODE_ENV: 'production',
    PORT: '0',
    DATABASE_URL: join(folder, 'app.sqlite'),
    BACKUP_LOCAL_PATH: join(folder, 'storage/backups'),
    BACKUP_STATE_PATH: join(folder, 'storage/state.sqlite'),
    BACKUP_S3_ENABLED: 'true',
    BACKUP_S3_PATH: page.replaceAll(/\W/g, '-'),
    S3_BUCKET: bucket,
    S3_REGION: server.region,
    S3_ENDPOINT: server.endpoint,
    S3_ACCESS_KEY: server.accessKeyId,
    S3_SECRET_KEY: server.secretAccessKey,
  };
  makeDatabase(join(folder, 'app.sqlite'));
  makeDatabase(join(folder, 'shop-copy.sqlite'), { rows: 40 });
  const desk = { folder, environment };
  for (const command of ['velist-backup backup', 'velist-backup restore latest --online', sealedCopy]) {
    const { code, output } = await typeHere(command, desk);
    if (code !== 0) throw new Error(`${command} ended with ${code}: ${output}`);
  }
  return desk;
}

/** The backup that the pages name by hand, here and as it lies on S3. */
const sealedCopy = [
  `cp app.sqlite ${backupOfDocs}`,
  'age-keygen -o key.txt',
  `zstd -q -c ${backupOfDocs} | age -e -i key.txt > ${backupOfDocs}.zst.age`,
  `mv ${backupOfDocs} storage/backups/`,
].join(' && ');

function typeHere(command: string, desk: Desk): Promise<{ code: number; output: string }> {
  const standIn = standIns.find((one) => one.command.test(command));
  return type(command, { ...desk, typed: standIn && command.replace(standIn.command, standIn.instead) });
}

function program(name: string, script: string): void {
  writeFileSync(join(programs, name), `#!/bin/sh\n${script}\n`);
  chmodSync(join(programs, name), 0o755);
}
