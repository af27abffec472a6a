/** Hostile names against the real app with real files, sent raw: nothing is deleted and every answer is 4xx. */
import { expect, test } from 'bun:test';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startApp } from '../support/app.ts';
import { makeBank } from '../support/bank.ts';
import { hostileNamesBeside } from '../support/hostile-names.ts';

test('no hostile name deletes, reads or changes a file of the real app', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'velist-names-'));
  mkdirSync(join(folder, 'db'));
  const database = join(folder, 'db', 'dev.sqlite');
  const backups = join(folder, 'storage', 'backups');
  makeBank(database, { sizeBytes: 100_000 });
  writeFileSync(join(folder, 'storage.txt'), 'mine');
  const app = await startApp({ database, backups, environment: { BACKUP_ENABLED: 'false' } });
  try {
    const made = (await (await fetch(`${app.url}/now`, { method: 'POST' })).json()) as { filename: string };
    const before = digests(folder);
    const { port } = new URL(app.url);
    for (const name of hostileNamesBeside(made.filename)) {
      for (const [method, path] of [
        ['DELETE', `/backup/${name}`],
        ['DELETE', `/backup/${name}?target=local`],
        ['GET', `/backup/api/backups/${name}/download`],
        ['PATCH', `/backup/api/backups/${name}`],
        ['POST', `/backup/api/backups/${name}/restore`],
      ] as const) {
        const status = await statusOf(port, method, path);
        expect({ method, path: path.slice(0, 120), refused: status >= 400 && status < 500, status }).toMatchObject({
          refused: true,
        });
      }
    }
    expect(digests(folder)).toEqual(before);
  } finally {
    await app.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}, 60_000);

/** The path goes out as it is; `fetch` would tidy its dots away. */
function statusOf(port: string, method: string, path: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const asked = request(
      { host: '127.0.0.1', port, method, path, headers: { host: `localhost:${port}` } },
      (answer) => {
        answer.resume();
        answer.once('end', () => resolve(answer.statusCode ?? 0));
      },
    );
    asked.once('error', reject);
    asked.end();
  });
}

/** Digest of every file that is not the run history. */
function digests(folder: string): Record<string, string> {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(
    (path) => !path.includes('state.sqlite'),
  );
  const found: Record<string, string> = {};
  for (const path of files) {
    if (statSync(join(folder, path)).isFile())
      found[path] = createHash('sha256')
        .update(readFileSync(join(folder, path)))
        .digest('hex');
  }
  return found;
}
