/**
 * A second folder in hard cases: two names for one folder, two machines, a file system without hard links, a disk that is
 * read-only or full, a writer that is killed. Mounts need root.
 */
import { afterEach, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { createStorage, storageOptionsFrom } from '../../src/app/features/_core/storage/index.ts';
import { loadEnvironment } from '../../src/config/env.ts';
import { createBackups } from '../../src/fleet/from-config.ts';
import { FOLDER_MARK } from '../../src/engine/store/folder/kind.ts';
import { openTarget } from '../../src/engine/store/kinds.ts';
import { must } from '../faults/hard-cases.ts';
import { newDisk, openWithDisk } from '../support/disk.ts';
import { knowDatabase, type Machine, machine } from '../support/many-machines.ts';
import { canRefuseLinks, withoutHardLinks } from '../support/no-hard-links.ts';
import { keysOf } from '../support/objects.ts';
import { ask, makeDatabase, openShop, refusal, scratchFolders } from '../support/scratch.ts';

setDefaultTimeout(120_000);

const newFolder = scratchFolders();
const isRoot = process.getuid?.() === 0;
const mounted: string[] = [];
const running: ChildProcess[] = [];
afterEach(async () => {
  for (const child of running.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  for (const path of mounted.splice(0).toReversed()) must('umount', ['--lazy', path]);
});

function mount(path: string, ...options: readonly string[]): void {
  mkdirSync(path, { recursive: true });
  must('mount', [...options, path]);
  mounted.push(path);
}

const backupsIn = (path: string) => readdirSync(path).filter((name) => name.startsWith('backup-'));

describe('one folder under two names is one folder', () => {
  const refused = (folder: string, path: string) =>
    refusal(async () => {
      await using shop = openShop(folder, {
        form: null,
        targets: [{ kind: 'folder', name: 'nas', path, retentionCount: null }],
      });
      await shop.service.getStatus();
    });

  test('of the backups: by a link, by dots, and below a link', async () => {
    const folder = newFolder();
    mkdirSync(join(folder, 'backups', 'below'), { recursive: true });
    symlinkSync(join(folder, 'backups'), join(folder, 'link'));
    for (const path of ['link', 'link/below', 'elsewhere/../backups', 'backups/./below/new'])
      expect([path, (await refused(folder, `${folder}/${path}`)).code]).toEqual([path, 'BAD_CONFIG']);
  });

  test.if(isRoot)('of the backups, by a bind mount', async () => {
    const folder = newFolder();
    mkdirSync(join(folder, 'backups'));
    mount(join(folder, 'nas'), '--bind', join(folder, 'backups'));
    expect((await refused(folder, join(folder, 'nas'))).message).toContain('are one inside the other');
    expect((await refused(folder, join(folder, 'nas', 'below'))).code).toBe('BAD_CONFIG');
  });

  test('of another target, in one service and among databases', async () => {
    const folder = newFolder();
    const disk = newDisk(folder);
    symlinkSync(disk.path, join(folder, 'link'));
    const target = { kind: 'folder', retentionCount: null } as const;
    const twice = await refusal(async () => {
      await using shop = openShop(folder, {
        form: null,
        targets: [
          { ...target, name: 'nas', path: disk.path },
          { ...target, name: 'disk', path: join(folder, 'link') },
        ],
      });
      await shop.service.getStatus();
    });
    expect(twice.message).toContain('the targets nas and disk are one place');

    for (const name of ['shop', 'blog']) makeDatabase(join(folder, `${name}.sqlite`));
    const usb = (path: string) => ({ targets: { usb: { kind: 'folder' as const, path } } });
    const shared = await refusal(() =>
      createBackups(
        {
          databases: [
            { name: 'shop', path: join(folder, 'shop.sqlite'), ...usb(disk.path) },
            { name: 'blog', path: join(folder, 'blog.sqlite'), ...usb(join(folder, 'link')) },
          ],
        },
        {
          env: { PATH: process.env['PATH'] ?? '', BACKUP_ENABLED: 'false', BACKUP_LOCAL_PATH: join(folder, 'backups') },
        },
      ),
    );
    expect(shared.message).toContain('shop');
  });

  test('of what the app serves: the doctor warns, and the storage refuses it', async () => {
    const folder = newFolder();
    const disk = newDisk(folder);
    await using shop = openShop(folder, {
      served: { folders: [folder], buckets: [] },
      targets: [{ kind: 'folder', name: 'nas', path: disk.path, retentionCount: null }],
    });
    const { findings } = await shop.service.diagnose();
    expect(findings.find(({ code }) => code === 'public-target')).toMatchObject({ severity: 'problem' });
    const env = {
      ...{
        DATABASE_URL: '/srv/db/app.sqlite',
        BACKUP_LOCAL_PATH: '/srv/backups',
        BACKUP_STATE_PATH: '/srv/state.sqlite',
      },
      ...{ BACKUP_FOLDER_PATH: disk.path, LOCAL_STORAGE_PATH: folder },
    };
    const error = await refusal(() => createStorage(storageOptionsFrom(loadEnvironment(env))));
    expect([error.code, error.message]).toEqual(['BAD_CONFIG', expect.stringContaining(disk.path)]);
  });
});

interface Answer {
  readonly stored: boolean;
  readonly code: string | null;
}

/** A machine as a process; all of a test have one database, as after a copy of a server. */
function start({ env }: Machine, wrap = (command: readonly string[]): readonly string[] => command) {
  const main = fileURLToPath(new URL('../support/folder-machine-main.ts', import.meta.url));
  const [program = '', ...args] = wrap([process.execPath, main]);
  const child = spawn(program, args, { env, stdio: ['pipe', 'pipe', 'inherit'] });
  running.push(child);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    async backUp(): Promise<Answer> {
      child.stdin.write('\n');
      return JSON.parse(String((await lines.next()).value));
    },
    async end(): Promise<void> {
      child.stdin.end();
      await once(child, 'exit');
    },
  };
}

describe.each([
  ['', (command: readonly string[]) => command, true],
  [', where the file system has no hard links', withoutHardLinks, canRefuseLinks],
] as const)('two machines at one folder%s', (_, wrap, isPossible) => {
  test.if(isPossible)('that begin at once: one of them writes, and the other follows when it has ended', async () => {
    const root = newFolder();
    const disk = newDisk(root);
    const databaseId = randomUUID();
    const machines = ['first', 'second'].map((name) => {
      const made = machine(join(root, name), {
        // Without a schedule each has the one backup that it is asked for.
        env: { BACKUP_FOLDER_PATH: disk.path, BACKUP_INTERVAL_MINUTES: '600', BACKUP_ENABLED: 'false' },
      });
      knowDatabase(databaseId, { statePath: made.env['BACKUP_STATE_PATH'] ?? '', databasePath: made.database });
      return { made, process: start(made, wrap) };
    });
    const answers = await Promise.all(machines.map(({ process }) => process.backUp()));
    expect(answers.toSorted((a, b) => Number(b.stored) - Number(a.stored))).toEqual([
      { stored: true, code: null },
      { stored: false, code: 'PLACE_TAKEN' },
    ]);
    const [writer, other] = machines.toSorted((a) => (answers[machines.indexOf(a)]?.stored ? -1 : 1));
    const before = backupsIn(disk.path);
    expect(before.length).toBe(2);
    // It does not even try; what the writer stores is its own.
    ask(other?.made.database ?? '', "INSERT INTO notes VALUES (NULL, 'other') RETURNING 1");
    expect(await other?.process.backUp()).toMatchObject({ stored: false });
    expect(backupsIn(disk.path)).toEqual(before);
    for (const { process } of [writer, other].flatMap((one) => one ?? [])) await process.end();
    // A new start asks at once; one that runs asks once a tick.
    const follower = other && start(other.made, wrap);
    // Both may have made their first backup in one millisecond: then its name is taken there, and that is said.
    const followed = await follower?.backUp();
    expect([followed?.stored, [null, 'TARGET_EXISTS'].includes(followed?.code ?? null)]).toEqual([true, true]);
    const makers = backupsIn(disk.path).flatMap((name) =>
      name.endsWith('.json') ? JSON.parse(readFileSync(join(disk.path, name), 'utf8')).madeBy.installation : [],
    );
    expect(new Set(makers).size).toBe(2);
    expect(before.filter((name) => !backupsIn(disk.path).includes(name))).toEqual([]);
    await follower?.end();
  });

  test.if(isPossible)('the self-test says what holds there', async () => {
    const root = newFolder();
    const disk = newDisk(root);
    const cli = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
    const [program = '', ...args] = wrap([process.execPath, cli, 'test-target', 'folder', '--json']);
    const child = spawn(program, args, {
      env: machine(join(root, 'here'), { env: { BACKUP_FOLDER_PATH: disk.path } }).env,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [text] = await Promise.all([
      new Response(child.stdout as unknown as ReadableStream).text(),
      once(child, 'exit'),
    ]);
    const { findings, ok } = JSON.parse(text);
    const isWeak = wrap === withoutHardLinks;
    expect([ok, findings.find(({ check }: { check: string }) => check === 'create-only')?.result]).toEqual([
      true,
      isWeak ? 'warning' : 'ok',
    ]);
    expect(readdirSync(disk.path)).toEqual([FOLDER_MARK]);
  });
});

test.if(isRoot)('a read-only disk is said to be one, and what waits goes there later', async () => {
  const folder = newFolder();
  const disk = { path: join(folder, 'nas') };
  mount(disk.path, '-t', 'tmpfs', 'tmpfs');
  writeFileSync(join(disk.path, FOLDER_MARK), '');
  await using shop = openWithDisk(folder, disk);
  const first = await shop.service.performBackup();
  expect(first).toMatchObject({ uploaded: { nas: true } });
  must('mount', ['-o', 'remount,ro', disk.path]);
  expect(await shop.service.performBackup()).toMatchObject({ success: true, uploaded: { nas: false } });
  const { targets } = await shop.service.getStatus();
  expect(targets[0]?.error).toMatchObject({
    code: 'NO_PERMISSION',
    message: `folder ${disk.path} can't be written: its file system is read-only`,
  });
  const to = join(folder, 'back.sqlite');
  await shop.service.restore(first.filename ?? '', { from: 'nas', to });
  expect(ask(to, 'SELECT count(*) FROM notes')).toBe(100);
  must('mount', ['-o', 'remount,rw', disk.path]);
  expect(await shop.service.performBackup()).toMatchObject({ uploaded: { nas: true } });
  expect(backupsIn(disk.path).length).toBe(6);
});

test.if(isRoot)(
  'a full disk leaves no half of a copy, fails no local backup, and loses none that is there',
  async () => {
    const folder = newFolder();
    const disk = { path: join(folder, 'nas') };
    mount(disk.path, '-t', 'tmpfs', '-o', 'size=3m', 'tmpfs');
    writeFileSync(join(disk.path, FOLDER_MARK), '');
    await using shop = openShop(folder, {
      form: { rows: 10_000 },
      targets: [{ kind: 'folder', name: 'nas', path: disk.path, retentionCount: null }],
    });
    let stored: string[] = [];
    for (let round = 0; round < 6; round++) {
      const made = await shop.service.performBackup();
      expect(made.success).toBe(true);
      if (!made.uploaded?.['nas']) break;
      stored = backupsIn(disk.path);
    }
    expect(stored.length).toBeGreaterThanOrEqual(2);
    const { targets } = await shop.service.getStatus();
    expect(targets[0]?.error).toMatchObject({ code: 'DISK_FULL', message: `the disk of folder ${disk.path} is full` });
    expect(backupsIn(disk.path)).toEqual(stored);
    expect(readdirSync(disk.path).filter((name) => name.endsWith('.part'))).toEqual([]);
  },
);

test('what a writer that is killed leaves is in no listing, and is swept', async () => {
  const folder = newFolder();
  const disk = newDisk(folder);
  const kinds = new URL('../../src/engine/store/kinds.ts', import.meta.url).href;
  const program = `
    const { openTarget } = await import(${JSON.stringify(kinds)});
    const store = openTarget({ kind: 'folder', path: process.argv[1] }, 'shop');
    await store.put('backup-1', (async function* () {
      yield Buffer.from('half');
      console.log('half');
      await new Promise((resolve) => setTimeout(resolve, 600_000));
    })(), { ifAbsent: true });`;
  const child = spawn(process.execPath, ['--no-env-file', '-e', program, disk.path], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  running.push(child);
  await once(child.stdout, 'data');
  child.kill('SIGKILL');
  await once(child, 'exit');
  const [left = ''] = readdirSync(join(disk.path, 'shop'));
  expect(left).toMatch(/^\.velist-.*\.part$/);
  const store = openTarget({ kind: 'folder', path: disk.path }, 'shop');
  expect([await keysOf(store), await store.head('backup-1')]).toEqual([[], null]);
  const dayMs = 86_400_000;
  const sweep = () => store.sweepUploads({ olderThan: new Date(Date.now() - dayMs), isOurs: () => true });
  expect(await sweep()).toBe(0);
  utimesSync(join(disk.path, 'shop', left), new Date(0), new Date(0));
  expect(await sweep()).toBe(1);
  expect(readdirSync(join(disk.path, 'shop'))).toEqual([]);
});
