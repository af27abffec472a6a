import { expect, test } from 'bun:test';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { shownPath } from '../../src/http/shown-paths.ts';
import { RateLimits } from '../../src/http/access/rate-limits.ts';
import { startApp } from '../support/app.ts';
import { makeBank } from '../support/bank.ts';
import { answerTo, hostileRequests, password, token } from './hostile-requests.ts';

const longest = 80;

for (const hostile of hostileRequests) {
  const path = hostile.path.slice(0, longest);
  const from = JSON.stringify(hostile.headers ?? {});
  test(`${hostile.what}: ${hostile.method} ${path} ${from} is answered ${hostile.status}`, async () => {
    const answer = await answerTo(hostile);
    expect({ status: answer.status, code: answer.code }).toEqual({ status: hostile.status, code: hostile.code });
    expect(answer.body).not.toMatch(/\n\s+at |node_modules|\/src\//);
    expect(answer.body).not.toContain(token);
    expect(answer.body).not.toContain(password);
    if (hostile.status === 429) expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
    if (!['GONE', 'CONFIRM_MISMATCH'].includes(hostile.code ?? '')) expect(answer.calls).toEqual([]);
    expect(answer.headers).toMatchObject({
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
      'cross-origin-resource-policy': 'same-origin',
    });
    expect(answer.headers['content-security-policy']).toContain("frame-ancestors 'none'");
    expect(Object.keys(answer.headers).filter((name) => name.startsWith('access-control-'))).toEqual([]);
  });
}

test('a bucket fills again with time, and a clock that goes back fills nothing', () => {
  let now = 1_000_000;
  const rates = new RateLimits(() => now);
  const taken = () => {
    let count = 0;
    try {
      for (; count < 1_000; count++) rates.take('backup', null);
    } catch {
      return count;
    }
    return count;
  };
  expect(taken()).toBe(30);
  now += 6_000;
  expect(taken()).toBe(6);
  now -= 600_000;
  expect(taken()).toBe(0);
  now += 3_600_000;
  expect(taken()).toBe(30);
});

test('a path is shown as configured, below the working directory, or by its last parts', () => {
  for (const [path, shown] of [
    ['./db/dev.sqlite', './db/dev.sqlite'],
    ['../data/dev.sqlite', '../data/dev.sqlite'],
    ['/srv/app/db/dev.sqlite', './db/dev.sqlite'],
    ['/srv/apple/db/dev.sqlite', '…/db/dev.sqlite'],
    ['/srv/..app/dev.sqlite', '…/..app/dev.sqlite'],
    ['/dev.sqlite', '/dev.sqlite'],
    ['s3://bucket/prefix/x', 's3://bucket/prefix/x'],
    ['backups/database', 'backups/database'],
  ] as const)
    expect([path, shownPath(path, '/srv/app')]).toEqual([path, shown]);
});

const hidden = "its owner's (own) folder [of it]";

test('no answer of the real app has a path of the server, or a secret', async () => {
  const outer = mkdtempSync(join(tmpdir(), 'velist-shown-'));
  // The last two parts of a path may be read by everybody.
  const [folder, elsewhere] = [join(outer, hidden, 'app'), join(outer, hidden, 'storage')];
  for (const made of [folder, elsewhere]) mkdirSync(made, { recursive: true });
  const database = join(folder, 'dev.sqlite');
  makeBank(database, { sizeBytes: 50_000 });
  const app = await startApp({
    database,
    backups: join(elsewhere, 'backups'),
    environment: { BACKUP_ENABLED: 'false', BACKUP_ADMIN_PASSWORD: password, BACKUP_API_TOKEN: token },
  });
  const headers = { authorization: `Bearer ${token}` };
  const ask = async (path: string, init: RequestInit = {}) =>
    (await fetch(`${app.url}${path}`, { ...init, headers })).text();
  try {
    const { filename } = JSON.parse(await ask('/now', { method: 'POST' })) as { filename: string };
    const answers = [
      ...(await Promise.all(
        ['/api/status', '/api/config', '/api/backups', '/api/runs', '/api/activity', '/api/prune', '/metrics'].map(
          (path) => ask(path),
        ),
      )),
      await ask(`/api/backups/${filename}`),
      await ask(`/api/backups/${filename}/restore`),
      await ask('/api/targets/local/test', { method: 'POST' }),
      await ask(`/api/backups/${filename}/restore`, { method: 'POST', body: '{"confirm":"dev.sqlite"}' }),
      await ask('/api/restore/undo', { method: 'POST', body: '{"confirm":"dev.sqlite"}' }),
      await ask('/api/runs'),
      await ask(`/${filename}`, { method: 'DELETE' }),
      await ask('/api/doctor'),
      await ask('/api/drill', { method: 'POST' }),
      await ask('/api/audit'),
    ];
    const gone = await ask(`/api/backups/${filename}`);
    answers.push(gone);
    const events = (await fetch(`${app.url}/api/events`, { headers })).body?.getReader();
    let told = '';
    while (!told.includes('event: status')) told += new TextDecoder().decode((await events?.read())?.value);
    answers.push(told);
    rmSync(elsewhere, { recursive: true });
    writeFileSync(elsewhere, 'no folder');
    for (const suffix of ['', '-wal', '-shm']) rmSync(database + suffix, { force: true });
    answers.push(
      await ask('/now', { method: 'POST' }),
      ...(await Promise.all(
        ['/api/backups', '/api/status', '/api/runs', '/api/activity', '/api/doctor'].map((path) => ask(path)),
      )),
      await ask('/api/drill', { method: 'POST' }),
    );
    await events?.cancel();
    for (const answer of answers) {
      expect(answer).not.toContain(tmpdir());
      expect(answer).not.toMatch(/owner's|\[of it\]/);
      expect(answer).not.toContain(token);
      expect(answer).not.toContain(password);
    }
    expect(answers[0]).toContain('"path":"./dev.sqlite"');
    expect(gone).toContain('by token');
    expect(JSON.parse(answers[3] ?? '')).toMatchObject({ runs: [{ user: 'token' }] });
    for (const line of app.log) {
      expect(line).not.toContain(token);
      expect(line).not.toContain(password);
    }
  } finally {
    await app.stop();
    rmSync(outer, { recursive: true });
  }
}, 180_000);
