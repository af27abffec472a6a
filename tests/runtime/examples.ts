/**
 * The apps under `examples/`, installed beside the packed package as their `package.json` says, started by the command
 * that stands there, and used by HTTP and from a terminal as a person would.
 */
import { afterEach, beforeAll, describe, expect, test } from 'bun:test';
import type { ChildProcess } from 'node:child_process';
import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { ask } from '../support/scratch.ts';
import { begin, end, type Ended, mustRun, root, run } from './run.ts';
import { node22 } from '../support/runtimes.ts';

const PATIENCE_MS = 600_000;
const folders = ['drizzle', 'elysia', 'fastify', 'hono', 'kysely', 'python-sidecar'];
/** Whoever tried an example in its folder has these there; the tests begin without. */
const leftByARun = /^(node_modules|db|storage|package-lock\.json|.*\.sqlite(-\w+)?)$/;
const password = 'a long one for tests';
const asAdmin = { authorization: `Basic ${btoa(`admin:${password}`)}` };

interface Place {
  readonly tarball: string;
  readonly newFolder: () => string;
}

interface Manifest {
  readonly scripts: { readonly start: string };
  readonly dependencies: Record<string, string>;
}

/** @param place where the package was packed; asked when the tests run. */
export function exampleApps(place: () => Place): void {
  /** All examples beside each other, above them one `node_modules`. */
  let desk: string;
  const running: ChildProcess[] = [];

  beforeAll(async () => {
    desk = place().newFolder();
    const dependencies: Record<string, string> = {};
    for (const name of folders) {
      cpSync(join(root, 'examples', name), join(desk, name), {
        recursive: true,
        filter: (path) => !leftByARun.test(basename(path)),
      });
      for (const [dependency, version] of Object.entries(manifestOf(name).dependencies)) {
        const other = dependencies[dependency] ?? version;
        if (other !== version) throw new Error(`${dependency} is asked for in two versions: ${other} and ${version}`);
        dependencies[dependency] = version;
      }
    }
    dependencies['velist-backup'] = `file:${place().tarball}`;
    await Bun.write(join(desk, 'package.json'), JSON.stringify({ private: true, type: 'module', dependencies }));
    // With all of the environment: it says how the registry is reached.
    await mustRun('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts'], desk, process.env);
  }, PATIENCE_MS);

  afterEach(async () => {
    for (const child of running.splice(0)) await end(child);
  });

  /** Starts a program in the folder of an example, and waits for the line that says it is ready. */
  const start = (name: string, command: readonly string[], ready: RegExp) =>
    begin(command, { cwd: join(desk, name), env: environment() }, { ready, running });

  const startApp = (name: string) => start(name, startCommand(name), /listening on (\S+)/);
  const cli = (name: string, ...args: string[]): Promise<Ended> =>
    run(node22, [velistBackup(), ...args], { cwd: join(desk, name), env: { DATABASE_URL: 'app.sqlite' } });
  const velistBackup = () => join(desk, 'node_modules/.bin/velist-backup');

  function startCommand(name: string): readonly string[] {
    const [program = '', ...args] = manifestOf(name).scripts.start.split(' ');
    if (program === 'bun') return [process.execPath, ...args];
    return program === 'node' ? [node22, ...args] : [node22, velistBackup(), ...args];
  }

  /** What each app with a page must do, once its user is let in by `admin`. */
  async function proveBackups(name: string, origin: string, admin: Record<string, string>): Promise<void> {
    // The app's own first backup, by its schedule. The note comes after it, into the next.
    while ((await backupsAt(origin, admin)).length === 0) await Bun.sleep(20);
    await keepNote(origin);
    const page = await fetch(`${origin}/backup/`, { headers: admin });
    expect([page.status, await page.text()]).toEqual([200, expect.stringContaining('<title>')]);
    const made = await fetch(`${origin}/backup/now`, { method: 'POST', headers: admin });
    const { success, filename }: { success: boolean; filename: string } = await made.json();
    expect([made.status, success]).toEqual([200, true]);
    const download = await fetch(`${origin}/backup/api/backups/${filename}/download`, { headers: admin });
    const copy = join(place().newFolder(), 'copy.sqlite');
    await Bun.write(copy, await download.bytes());
    expect([name, ask(copy, "SELECT group_concat(text) FROM notes WHERE text = 'kept'")]).toEqual([name, 'kept']);
    const noted = await fetch(`${origin}/backup/api/backups/${filename}`, {
      method: 'PATCH',
      headers: { ...admin, 'content-type': 'application/json' },
      body: JSON.stringify({ note: 'by hand', pinned: true }),
    });
    expect(await noted.json()).toMatchObject({ note: 'by hand', pinned: true });
    const { runs }: { runs: { kind: string; user: string | null }[] } = await (
      await fetch(`${origin}/backup/api/runs`, { headers: admin })
    ).json();
    expect(runs.filter(({ kind }) => kind === 'backup').map(({ user }) => user)).toContain('admin');
  }

  async function keepNote(origin: string, note: object = { text: 'kept' }): Promise<void> {
    const answer = await fetch(`${origin}/notes`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(note),
    });
    expect([answer.status, await answer.text()]).toEqual([200, expect.stringContaining('kept')]);
  }

  describe('the examples', () => {
    test(
      'each folder is one of them, stands in their README, and compiles strictly',
      async () => {
        const found = readdirSync(join(root, 'examples'), { withFileTypes: true });
        expect(
          found
            .filter((entry) => entry.isDirectory())
            .map(({ name }) => name)
            .sort(),
        ).toEqual(folders);
        const readme = readFileSync(join(root, 'examples/README.md'), 'utf8');
        for (const name of folders) expect(readme).toContain(`](${name})`);
        const tsc = join(root, 'node_modules/typescript/bin/tsc');
        const flags = '--strict --noEmit --module preserve --target es2023 --skipLibCheck --allowImportingTsExtensions';
        const types = ['--typeRoots', join(root, 'node_modules/@types'), '--types', 'bun'];
        const files = ['elysia/src/bootstrap.ts', 'hono/app.ts', 'drizzle/app.ts'];
        const ended = await run(process.execPath, [tsc, ...flags.split(' '), ...types, ...files], { cwd: desk });
        expect(ended.stdout + ended.stderr).toBe('');
      },
      PATIENCE_MS,
    );

    test(
      "elysia: the app's login guards the page, and a member may only look",
      async () => {
        const origin = await startApp('elysia');
        const door = await fetch(`${origin}/backup/`, { redirect: 'manual' });
        expect([door.status, door.headers.get('location')]).toEqual([302, '/login']);
        for (const path of ['api/status', 'api/backups', 'metrics'])
          expect([path, (await fetch(`${origin}/backup/${path}`)).status]).toEqual([path, 403]);
        expect((await fetch(`${origin}/backup/now`, { method: 'POST' })).status).toBe(403);

        expect((await signIn(origin, 'admin', 'wrong')).status).toBe(401);
        const admin = await session(origin, 'admin', password);
        await proveBackups('elysia', origin, admin);
        const member = await session(origin, 'mia', 'mia, a member');
        expect((await fetch(`${origin}/backup/`, { headers: member })).status).toBe(200);
        expect((await fetch(`${origin}/backup/api/status`, { headers: member })).status).toBe(200);
        expect((await fetch(`${origin}/backup/now`, { method: 'POST', headers: member })).status).toBe(403);
        // Twenty at once are not one: the right password comes too late.
        await Promise.all(Array.from({ length: 20 }, () => signIn(origin, 'admin', 'wrong')));
        expect((await signIn(origin, 'admin', password)).status).toBe(401);
        expect((await fetch(`${origin}/backup/api/status`, { headers: member })).status).toBe(200);
      },
      PATIENCE_MS,
    );

    for (const name of ['hono', 'fastify'])
      test(
        `${name}: its basic authentication guards the page`,
        async () => {
          const origin = await startApp(name);
          for (const path of ['/backup', '/backup/', '/backup/api/status', '/backup/now']) {
            expect([path, (await fetch(origin + path)).status]).toEqual([path, 401]);
            expect([path, (await fetch(origin + path, { method: 'POST' })).status]).toEqual([path, 401]);
          }
          await proveBackups(name, origin, asAdmin);
          expect(await (await fetch(`${origin}/notes`)).json()).toMatchObject([{ text: 'kept' }]);
          const wrong = { authorization: `Basic ${btoa('admin:wrong')}` };
          await Promise.all(Array.from({ length: 20 }, () => fetch(`${origin}/backup/`, { headers: wrong })));
          expect((await fetch(`${origin}/backup/`, { headers: asAdmin })).status).toBe(401);
        },
        PATIENCE_MS,
      );

    test(
      'drizzle: a backup before each pending migration, and the way back from a bad one is the command it names',
      async () => {
        const journal = join(desk, 'drizzle/migrations/meta/_journal.json');
        const whole: { entries: object[] } = JSON.parse(readFileSync(journal, 'utf8'));
        const write = (entries: readonly object[]) => writeFileSync(journal, JSON.stringify({ ...whole, entries }));
        write(whole.entries.slice(0, 1));
        // The app is started as it was before the second migration, whose column its schema knows: it writes by SQL.
        const first = await startApp('drizzle');
        expect((await fetch(`${first}/nothing`)).status).toBe(404);
        await stopAll();
        const database = join(desk, 'drizzle/app.sqlite');
        ask(database, "INSERT INTO authors VALUES (1, 'ada') RETURNING id");
        ask(database, "INSERT INTO notes VALUES (1, 1, 'old') RETURNING id");

        write(whole.entries);
        const origin = await startApp('drizzle');
        await keepNote(origin, { author: 'bob', text: 'kept' });
        expect(await (await fetch(`${origin}/notes`)).json()).toMatchObject([
          { text: 'old', pinned: false },
          { text: 'kept' },
        ]);
        await stopAll();
        expect(await pinnedBackups('drizzle')).toEqual([expect.objectContaining({ note: 'before a migration' })]);

        // Foreign keys are not enforced while it runs, as in most apps: rows lose their parent.
        writeFileSync(join(desk, 'drizzle/migrations/0002_bad.sql'), 'DELETE FROM `authors`;');
        write([...whole.entries, { idx: 2, version: '6', when: 1772323200000, tag: '0002_bad', breakpoints: true }]);
        const [program = '', ...args] = startCommand('drizzle');
        const failed = await run(program, args, { cwd: join(desk, 'drizzle'), env: environment() });
        expect([failed.code, failed.stderr]).toEqual([1, expect.stringMatching(/2 rows of \S+ without parent/)]);
        const [, command = ''] = /velist-backup (restore \S+ --online)/.exec(failed.stderr) ?? [];
        expect(ask(database, 'SELECT count(*) FROM authors')).toBe(0);
        expect(await cli('drizzle', ...command.split(' '))).toMatchObject({ code: 0 });
        expect(ask(database, 'SELECT group_concat(name) FROM authors')).toBe('ada,bob');
        write(whole.entries);
        expect(await (await fetch(`${await startApp('drizzle')}/notes`)).json()).toHaveLength(2);
      },
      PATIENCE_MS,
    );

    test(
      'kysely: a migration that fails is taken back at once, and the app that has not started says so',
      async () => {
        const origin = await startApp('kysely');
        await keepNote(origin);
        await stopAll();
        const file = join(desk, 'kysely/migrations.js');
        const good = readFileSync(file, 'utf8');
        const bad = `'0003-bad': { up: async (db) => { await db.deleteFrom('notes').execute(); throw new Error('no such luck'); } },`;
        writeFileSync(file, good.replace(/};\n$/, `  ${bad}\n};\n`));
        const [program = '', ...args] = startCommand('kysely');
        const failed = await run(program, args, { cwd: join(desk, 'kysely'), env: environment() });
        expect([failed.code, failed.stderr]).toEqual([
          1,
          expect.stringMatching(/the migration failed: no such luck; the state before it was restored/),
        ]);
        expect(ask(join(desk, 'kysely/app.sqlite'), 'SELECT group_concat(text) FROM notes')).toBe('kept');
        writeFileSync(file, good);
        expect(await (await fetch(await startApp('kysely'))).json()).toMatchObject([{ text: 'kept', length: 4 }]);
      },
      PATIENCE_MS,
    );

    test(
      'python-sidecar: backups beside a writer in Python, to a file, and over the database while it writes',
      async () => {
        if (!Bun.which('python3')) throw new Error('This example needs python3: apt-get install python3');
        const name = 'python-sidecar';
        const database = join(desk, name, 'app.sqlite');
        await start(name, ['python3', 'app.py'], /(writing) to/);
        // It notes the time for the first time a moment later.
        while (Number(ask(database, 'SELECT count(*) FROM notes')) === 0) await Bun.sleep(20);
        const page = await start(name, startCommand(name), /page is at (\S+)/);
        const made = await fetch(`${page}/now`, { method: 'POST' });
        expect(await made.json()).toMatchObject({ success: true });
        expect(await cli(name, 'restore', 'latest', '--to', 'copy.sqlite')).toMatchObject({ code: 0 });
        const rows = Number(ask(join(desk, name, 'copy.sqlite'), 'SELECT count(*) FROM notes'));
        expect(rows).toBeGreaterThan(0);
        const count = `import sqlite3; print(sqlite3.connect("copy.sqlite").execute("SELECT count(*) FROM notes").fetchone()[0])`;
        expect(await mustRun('python3', ['-c', count], join(desk, name))).toBe(`${rows}\n`);

        ask(database, 'DELETE FROM notes WHERE id <= 1 RETURNING id');
        expect(await cli(name, 'restore', 'latest', '--online')).toMatchObject({ code: 0 });
        expect(ask(database, 'SELECT min(id) FROM notes')).toBe(1);
        const after = Number(ask(database, 'SELECT max(id) FROM notes'));
        while (Number(ask(database, 'SELECT max(id) FROM notes')) <= after) await Bun.sleep(50);
      },
      PATIENCE_MS,
    );
  });

  async function stopAll(): Promise<void> {
    for (const child of running.splice(0)) expect(await end(child)).toBe(0);
  }

  async function pinnedBackups(name: string): Promise<readonly object[]> {
    const { backups }: { backups: { pinned: boolean }[] } = JSON.parse((await cli(name, 'list', '--json')).stdout);
    return backups.filter(({ pinned }) => pinned);
  }

  function environment(): Record<string, string> {
    return {
      PATH: process.env['PATH'] ?? '',
      HOME: desk,
      PORT: '0',
      ADMIN_PASSWORD: password,
      MEMBER_PASSWORD: 'mia, a member',
    };
  }
}

function manifestOf(name: string): Manifest {
  return JSON.parse(readFileSync(join(root, 'examples', name, 'package.json'), 'utf8'));
}

async function backupsAt(origin: string, headers: Record<string, string>): Promise<readonly object[]> {
  const { backups }: { backups: object[] } = await (await fetch(`${origin}/backup/api/backups`, { headers })).json();
  return backups;
}

function signIn(origin: string, name: string, secret: string): Promise<Response> {
  const body = new URLSearchParams({ name, password: secret });
  return fetch(`${origin}/login`, { method: 'POST', body, redirect: 'manual' });
}

async function session(origin: string, name: string, secret: string): Promise<Record<string, string>> {
  const answer = await signIn(origin, name, secret);
  const [cookie = ''] = answer.headers.getSetCookie();
  expect([answer.status, cookie]).toEqual([302, expect.stringMatching(/^session=.*HttpOnly/)]);
  return { cookie: cookie.split(';')[0] ?? '' };
}
