/**
 * Closing any descriptor of the database in the app's process drops SQLite's locks there: the next visitor then deletes
 * the WAL under the app, and what the app commits afterwards is lost at the next crash. The usual recipe does that; ours
 * must not.
 */
import { expect, test } from 'bun:test';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { node22 } from '../support/runtimes.ts';

const appScript = fileURLToPath(new URL('../support/locks-app.ts', import.meta.url));

test('rows that the app commits after performBackup() and a foreign visit survive a crash', async () => {
  expect(await rowsAfterCrash('ours')).toBe(101);
});

test('the usual recipe, checkpoint and copyFile in the app, loses the same rows', async () => {
  expect(await rowsAfterCrash('recipe')).toBeLessThan(101);
});

async function rowsAfterCrash(way: 'ours' | 'recipe'): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'velist-locks-'));
  const database = join(folder, 'app.sqlite');
  const app = spawn(process.execPath, [appScript, way, database, join(folder, 'backups')], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  try {
    const lines = createInterface({ input: app.stdout });
    await once(lines, 'line');
    visit(database);
    app.stdin.write('commit\n');
    await once(lines, 'line');
    app.kill('SIGKILL');
    await once(app, 'exit');
    return countRows(database);
  } finally {
    app.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * A foreign process opens, reads and closes. Node's SQLite (3.49) and not ours: a library as new as Bun's 3.54 leaves the
 * WAL alone when it finds the shared memory still in use, and most visitors of a database are older.
 */
function visit(path: string): void {
  const visitor = `const database = new (require('node:sqlite').DatabaseSync)(${JSON.stringify(path)});
    database.prepare('SELECT count(*) FROM rows').get();
    database.close();`;
  const visited = spawnSync(node22, ['--disable-warning=ExperimentalWarning', '-e', visitor], { encoding: 'utf8' });
  expect({ status: visited.status, stderr: visited.stderr }).toEqual({ status: 0, stderr: '' });
}

function countRows(path: string): number {
  const connection = new DatabaseSync(path);
  try {
    connection.exec('PRAGMA busy_timeout = 20000');
    return Number(connection.prepare('SELECT count(*) AS n FROM rows').get()?.['n']);
  } finally {
    connection.close();
  }
}
