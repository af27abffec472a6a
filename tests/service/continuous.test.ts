import { expect, setDefaultTimeout, test } from 'bun:test';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { runJob } from '../../src/engine/process/run-job.ts';
import { readPause } from '../../src/engine/replication/pause.ts';
import { restReplicator } from '../../src/engine/replication/rest-replicator.ts';
import { BackupError } from '../../src/words/errors.ts';
import {
  aMoment,
  capturedShops,
  capturing,
  flip,
  order,
  segmentsEndingAt,
  texts,
  textsIn,
  untilStatus,
} from '../support/captured-shop.ts';
import { refusal } from '../support/scratch.ts';
import { startSqlProcess } from '../support/sql-process.ts';

setDefaultTimeout(120_000);
const { scratch, openService, startShop } = capturedShops();

test('off, nothing of it is there: no folder, no process, no word in the status', async () => {
  const { app, service, stream } = await startShop({ isOn: false });
  await order(app, 'one');
  await service.performBackup();
  expect([existsSync(stream), 'continuous' in (await service.getStatus())]).toEqual([false, false]);
  expect((await refusal(() => service.moments())).code).toBe('NO_MOMENT');
});

test('a moment comes back by its time, its bookmark and its mark; the latest is newer than any backup', async () => {
  const { place, app, service } = await startShop();
  await capturing(service);
  await order(app, 'one');
  const { bookmark } = await service.mark('before the second');
  await service.performBackup();
  const between = await aMoment();
  await order(app, 'two');
  await service.mark('after the second');
  for (const [name, at] of [
    ['bookmark', bookmark],
    ['mark', 'before the second'],
    ['time', between],
  ] as const) {
    const to = join(place, `${name}.sqlite`);
    const { path } = await service.restore({ at }, { mode: 'file', to });
    expect([path, textsIn(to)]).toEqual([to, ['one']]);
  }
  const to = join(place, 'latest.sqlite');
  await service.restore({ latest: true }, { mode: 'file', to });
  expect(textsIn(to)).toEqual(['one', 'two']);
  expect((await refusal(() => service.restore({ at: 'no such mark' }, { mode: 'file' }))).code).toBe('BAD_REQUEST');
  expect((await refusal(() => service.restore({ at: '00000000000000ff' }, { mode: 'file' }))).code).toBe('NO_MOMENT');
  expect((await refusal(() => service.mark('before the second'))).message).toContain('already');
  const { marks, ranges } = await service.moments();
  expect(marks.map(({ name }) => name)).toEqual(['before the second', 'after the second']);
  expect(ranges.length).toBeGreaterThan(0);
  expect(readdirSync(join(place, 'backups')).filter((name) => name.startsWith('.velist-moment'))).toEqual([]);
});

test('online, over a database in use, with a plan, a safety copy and an undo; the stream goes on', async () => {
  const { app, service } = await startShop();
  await capturing(service);
  await order(app, 'one');
  const { bookmark } = await service.mark('good');
  await order(app, 'two');
  const plan = await service.planRestore({ at: bookmark });
  expect([plan.mode, plan.backup, plan.undo]).toEqual(['online', bookmark, true]);
  const restored = await service.restore({ at: bookmark }, { mode: 'online', expected: plan.expected });
  expect([restored.mode, restored.safetyBackup !== null]).toEqual(['online', true]);
  expect(await texts(app)).toEqual(['one']);
  await order(app, 'three');
  const after = await service.mark('after');
  await service.undoRestore();
  expect(await texts(app)).toEqual(['one', 'two']);
  await service.restore({ at: after.bookmark }, { mode: 'online' });
  expect(await texts(app)).toEqual(['one', 'three']);
});

test('in place, while the app is stopped: the replicator rests, and goes on with the new file', async () => {
  const { app, service, place } = await startShop();
  await capturing(service);
  await order(app, 'one');
  await service.mark('good');
  await order(app, 'two');
  await app.close();
  await service.restore({ at: 'good' }, { mode: 'offline' });
  await untilStatus(service, ({ continuous }) => continuous?.phase === 'capturing' && continuous.concern === null);
  expect(await texts(app)).toEqual(['one']);
  expect((await app.run('PRAGMA journal_mode'))[0]).toEqual({ journal_mode: 'wal' });
  await order(app, 'three');
  await service.mark('after');
  await service.restore({ at: 'after' }, { mode: 'file', to: join(place, 'after.sqlite') });
  expect(textsIn(join(place, 'after.sqlite'))).toEqual(['one', 'three']);
});

test('paused, the app may leave WAL mode; resumed, it is captured again', async () => {
  const { app, service, place } = await startShop();
  await capturing(service);
  await order(app, 'one');
  await service.performBackup();
  service.pauseContinuous();
  const { verdict } = await untilStatus(service, ({ continuous }) => continuous?.phase === 'paused');
  expect([verdict.code, verdict.detail]).toEqual(['not-captured', expect.stringContaining('resume')]);
  expect(await app.run('PRAGMA journal_mode = DELETE')).toEqual([{ journal_mode: 'delete' }]);
  await order(app, 'two');
  expect(service.resumeContinuous()).toBe(true);
  await untilStatus(service, ({ continuous }) => continuous?.error?.code === 'UNSUPPORTED');
  await app.run('PRAGMA journal_mode = WAL');
  await capturing(service);
  await service.mark('now');
  await service.restore({ at: 'now' }, { mode: 'file', to: join(place, 'now.sqlite') });
  expect(textsIn(join(place, 'now.sqlite'))).toEqual(['one', 'two']);
});

test('a pause that somebody asks for during a restore outlives it', async () => {
  const { service, place, stream } = await startShop();
  await capturing(service);
  const { signal } = new AbortController();
  const rest = await restReplicator(join(place, 'backups'), null, { signal, now: () => new Date() });
  expect(readPause(stream)?.reason).toBe('restore');
  service.pauseContinuous();
  rest?.[Symbol.dispose]();
  expect(readPause(stream)?.reason).toBe('asked');
  await untilStatus(service, ({ continuous }) => continuous?.pause?.reason === 'asked');
});

test('another file under the name of the database is not captured until somebody says so', async () => {
  const { app, path, service } = await startShop();
  await capturing(service);
  await order(app, 'one');
  await service.performBackup();
  await app.close();
  const other = join(scratch(), 'other.sqlite');
  const maker = startSqlProcess(other);
  await maker.run('CREATE TABLE other (x)');
  await maker[Symbol.asyncDispose]();
  const { rename } = await import('node:fs/promises');
  await rename(other, path);
  const { verdict } = await untilStatus(service, ({ continuous }) => continuous?.pause?.reason === 'replaced');
  expect(verdict.detail).toContain('another file took the name');
});

test('backups of a captured database issue no checkpoint', async () => {
  const { app, service, place } = await startShop();
  await capturing(service);
  await order(app, 'one');
  const { filename = '' } = await service.performBackup();
  const manifest = JSON.parse(readFileSync(join(place, 'backups', `${filename}.json`), 'utf8'));
  expect(manifest.copy.checkpoint).toBeNull();
  expect(textsIn(join(place, 'backups', filename))).toEqual(['one']);
});

test('a backup is exactly a captured moment: a witness of the stream, and a base of what follows', async () => {
  const { app, service, place, stream } = await startShop();
  await capturing(service);
  for (let k = 0; k < 30; k++) {
    await order(app, `order ${k}`);
    if (k % 10 === 5) await app.run('PRAGMA wal_checkpoint(PASSIVE)');
    if (k % 7 === 3) await service.performBackup();
  }
  await order(app, 'last');
  await service.mark('last');
  const backups = join(place, 'backups');
  const manifests = readdirSync(backups)
    .filter((name) => /^backup-.*\.sqlite\.json$/.test(name))
    .map((name) => JSON.parse(readFileSync(join(backups, name), 'utf8')));
  expect(manifests.length).toBeGreaterThan(2);
  for (const { name, position } of manifests) {
    expect(position?.bookmark).toMatch(/^[0-9a-f]{16}$/);
    const to = join(place, `of-${name}`);
    await service.restore({ at: position.bookmark }, { mode: 'file', to });
    expect(textsIn(to)).toEqual(textsIn(join(backups, name)));
  }
  // Without a whole segment only the backups are bases; one that was changed since is none.
  for (const name of readdirSync(join(stream, 'ltx', '9'))) rmSync(join(stream, 'ltx', '9', name));
  const [first = ''] = readdirSync(join(stream, 'ltx', '0')).sort();
  rmSync(join(stream, 'ltx', '0', first));
  await service.restore({ at: 'last' }, { mode: 'file', to: join(place, 'last.sqlite') });
  expect(textsIn(join(place, 'last.sqlite'))).toEqual(await texts(app));
  const newest =
    manifests
      .map(({ name }) => String(name))
      .sort()
      .at(-1) ?? '';
  const bytes = readFileSync(join(backups, newest));
  bytes[bytes.length - 100] = (bytes[bytes.length - 100] ?? 0) ^ 1;
  writeFileSync(join(backups, newest), bytes);
  await service.restore({ at: 'last' }, { mode: 'file', to: join(place, 'again.sqlite') });
  expect(textsIn(join(place, 'again.sqlite'))).toEqual(await texts(app));
});

test('a damaged segment brings nothing back', async () => {
  const { app, service, place, stream } = await startShop();
  await capturing(service);
  await order(app, 'one');
  const { bookmark } = await service.mark('one');
  for (const segment of segmentsEndingAt(stream, bookmark)) flip(segment);
  const to = join(place, 'one.sqlite');
  expect((await refusal(() => service.restore({ at: 'one' }, { mode: 'file', to }))).code).toBe('BAD_BACKUP');
  expect(existsSync(to)).toBe(false);
});

test('a moment whose job is killed leaves nothing behind', async () => {
  const killed: string[] = [];
  const { app, service, place } = await startShop({
    runJob: async (request, options) => {
      if (request.kind !== 'moment-file') return await runJob(request, options);
      killed.push(request.to);
      writeFileSync(request.to, 'half of it');
      throw new BackupError('JOB_DIED', 'the job was killed', { hint: '' });
    },
  });
  await capturing(service);
  await order(app, 'one');
  const { bookmark } = await service.mark('one');
  expect((await refusal(() => service.planRestore({ at: bookmark }))).code).toBe('JOB_DIED');
  expect(killed.map((path) => dirname(path))).toEqual([join(place, 'backups')]);
  expect(readdirSync(join(place, 'backups')).filter((name) => name.startsWith('.velist-moment'))).toEqual([]);
});

test('a backup that is not the captured moment is told through restarts, until a later one is, or it is removed', async () => {
  // Whether the next one is taken for the same.
  let isSame = false;
  const more = {
    runJob: (async (request, options) =>
      request.kind === 'backup-moment' ? { isSame } : await runJob(request, options)) as typeof runJob,
  };
  const { app, place, service: before, stream } = await startShop(more);
  let service = before;
  await capturing(service);
  const restart = async () => {
    await service.close();
    ({ service } = openService(place, more));
    service.start();
    await capturing(service);
  };
  const concern = async () => (await service.getStatus()).continuous?.concern ?? null;
  const backUp = async (text: string) => {
    await order(app, text);
    return (await service.performBackup()).filename ?? '';
  };
  const first = await backUp('one');
  expect(await concern()).toStartWith(`${first} and the captured moment`);
  await restart();
  expect(await concern()).toStartWith(`${first} and the captured moment`);
  const { service: asked } = openService(place);
  expect((await asked.getStatus()).continuous?.concern).toStartWith(first);
  isSame = true;
  await backUp('two');
  expect(await concern()).toBeNull();
  isSame = false;
  const third = await backUp('three');
  expect(await concern()).toStartWith(third);
  await service.deleteBackup(third);
  expect(await concern()).toBeNull();
  // What can't be read any more is no good news, until the next backup is compared.
  writeFileSync(join(stream, 'untrue-backup.json'), '{');
  expect(await concern()).toStartWith('A backup and a captured moment');
  isSame = true;
  await backUp('four');
  await restart();
  expect(await concern()).toBeNull();
});

test('the stream needs no backup: whatever retention removes of them, every moment can be restored', async () => {
  const { app, service, place } = await startShop();
  await capturing(service);
  service.updateConfig({ retentionCount: 1 });
  const made: string[] = [];
  for (const name of ['one', 'two', 'three', 'four']) {
    await order(app, name);
    await service.mark(name);
    const { filename = '' } = await service.performBackup();
    made.push(filename);
  }
  const left = readdirSync(join(place, 'backups')).filter((name) => /^backup-.*\.sqlite$/.test(name));
  expect(left.length).toBeLessThan(made.length);
  for (const [index, name] of ['one', 'two', 'three', 'four'].entries()) {
    const to = join(place, `${name}.sqlite`);
    await service.restore({ at: name }, { mode: 'file', to });
    expect(textsIn(to)).toEqual(['one', 'two', 'three', 'four'].slice(0, index + 1));
  }
});
