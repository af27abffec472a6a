import { expect, test } from 'bun:test';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ask, makeDatabase, openElsewhere, scratchFolders } from '../../../tests/support/scratch.ts';
import { missesLostLocks } from './ending.ts';
import { node22 as node } from '../../../tests/support/runtimes.ts';

const scratch = scratchFolders();

/** 22.16, with SQLite 3.49.1, which misses lost locks. */

/** An app that has lost its locks: it closed a descriptor of its own file. Each line that it reads is a row. */
const careless = `
  import { DatabaseSync } from 'node:sqlite';
  import { closeSync, openSync } from 'node:fs';
  import { createInterface } from 'node:readline';
  const [path] = process.argv.slice(1);
  const app = new DatabaseSync(path);
  app.exec("PRAGMA wal_autocheckpoint = 0; INSERT INTO notes (text) VALUES ('before')");
  closeSync(openSync(path, 'r'));
  console.log('ready');
  for await (const text of createInterface({ input: process.stdin })) {
    app.prepare('INSERT INTO notes (text) VALUES (?)').run(text);
    console.log('committed');
  }`;

/** Pins the database and ends, as each job does. */
const job = `
  import { endProcess } from ${JSON.stringify(fileURLToPath(new URL('./ending.ts', import.meta.url)))};
  import { pinDatabase } from ${JSON.stringify(fileURLToPath(new URL('./live-database.ts', import.meta.url)))};
  pinDatabase(process.argv[2], { now: () => new Date() })[Symbol.dispose]();
  endProcess(7);`;

async function bundledJob(): Promise<string> {
  const folder = scratch();
  writeFileSync(join(folder, 'job.ts'), job);
  const built = await Bun.build({ entrypoints: [join(folder, 'job.ts')], target: 'node', format: 'esm' });
  await Bun.write(join(folder, 'job.mjs'), built.outputs[0] ?? '');
  return join(folder, 'job.mjs');
}

async function visit(path: string): Promise<void> {
  const visitor = spawn(node, ['--no-warnings', await bundledJob(), path], { stdio: 'inherit' });
  expect(await once(visitor, 'exit')).toEqual([7, null]);
}

test('a job of an old library leaves the log of an app that lost its locks, and so its next rows', async () => {
  const path = join(scratch(), 'shop.sqlite');
  makeDatabase(path);
  const options = ['--no-warnings', '--input-type=module', '-e', careless, path];
  const app = spawn(node, options, { stdio: ['pipe', 'pipe', 'inherit'] });
  await once(app.stdout, 'data');
  await visit(path);
  expect(existsSync(`${path}-wal`)).toBe(true);
  app.stdin.write('after\n');
  await once(app.stdout, 'data');
  app.kill('SIGKILL');
  await once(app, 'exit');
  expect(ask(path, "SELECT count(*) FROM notes WHERE text IN ('before', 'after')")).toBe(2);
});

test('nothing stays beside a database that is at rest', async () => {
  const path = join(scratch(), 'shop.sqlite');
  makeDatabase(path);
  await visit(path);
  expect([existsSync(`${path}-wal`), existsSync(`${path}-shm`)]).toEqual([false, false]);
});

test('an app beside such a job goes on, and its files go when it ends', async () => {
  const path = join(scratch(), 'shop.sqlite');
  makeDatabase(path);
  const app = await openElsewhere(path);
  await visit(path);
  await app.ask("INSERT INTO notes (text) VALUES ('after') RETURNING id");
  await app.close();
  expect(existsSync(`${path}-wal`)).toBe(false);
  expect(ask(path, 'SELECT count(*) FROM notes')).toBe(101);
});

test('libraries that miss lost locks are known by their version', () => {
  const versions = ['3.46.1', '3.49.1', '3.50.7', '3.51.0', '3.51.3', '3.54.1', '4.0.0'];
  expect(versions.filter(missesLostLocks)).toEqual(['3.46.1', '3.49.1', '3.50.7']);
});
