import { expect, test } from 'bun:test';
import { existsSync, readFileSync, statSync, symlinkSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { join } from 'node:path';
import { openShop, scratchFolders } from '../support/scratch.ts';
import { actingAs, shortAgent } from '../../src/service/audit/actor.ts';
import { Audit, auditSink } from '../../src/service/audit/audit.ts';
import { AUDIT_KEPT } from '../../src/service/audit/audit-table.ts';
import type { BackupService } from '../../src/service/backup-service.ts';
import { openStateDatabase } from '../../src/service/state/state-database.ts';

const newFolder = scratchFolders();
const ada = { user: 'ada', via: 'page', address: '192.0.2.7', agent: 'Firefox' } as const;

/** What the record has more than before. */
async function recorded(service: BackupService, work: () => unknown): Promise<string[]> {
  const all = () => service.getAudit({ limit: 1_000 });
  const before = all().length;
  await actingAs(ada, async () => await work());
  return all()
    .slice(0, all().length - before)
    .map(({ act, user, via, address, result, code, subject, detail }) =>
      [act, user, via, address, result, code, subject, detail].map((text) => text ?? '-').join(' | '),
    );
}

test('each act leaves one record, with who did it, from where, and with what result', async () => {
  const folder = newFolder();
  await using shop = openShop(folder, { settings: { retentionCount: 2, keepHourly: 0, keepDaily: 0 } });
  const { service } = shop;
  const names: string[] = [];
  const backUp = async () => names.unshift((await service.performBackup()).filename ?? '');
  // Backups are in the run history; what retention removes nobody asked for.
  expect(await recorded(service, backUp)).toEqual([]);
  expect(await recorded(service, backUp)).toEqual([]);
  const byAda = (...rest: string[]) => ['ada | page | 192.0.2.7', ...rest].join(' | ');
  expect(await recorded(service, backUp)).toEqual([`retention | - | service | - | done | - | ${names[2]} | -`]);
  const [newest = '', older = ''] = names;
  for (const [work, expected] of [
    [() => service.updateBackup(newest, { pinned: true }), `pin | ${byAda('done | -', newest, '-')}`],
    [() => service.updateBackup(newest, { pinned: false }), `unpin | ${byAda('done | -', newest, '-')}`],
    [() => service.updateBackup(newest, { note: 'a secret note' }), `note | ${byAda('done | -', newest, '-')}`],
    [
      () => service.updateConfig({ intervalMinutes: 60 }),
      `settings | ${byAda('done | - | intervalMinutes', 'intervalMinutes was 10 and is 60')}`,
    ],
    [
      () => expect(() => service.updateConfig({ retentionCount: 0 })).toThrow(),
      `settings | ${byAda('failed | BAD_CONFIG | retentionCount', '')}`,
    ],
    [
      async () => await (await service.openBackup(newest)).stream(0, 99).cancel(),
      `download | ${byAda('done | -', newest, 'bytes 0 to 99')}`,
    ],
    [async () => await (await service.openBackup(newest)).close(), null],
    [() => service.claim(), `claim | ${byAda('done | - | -', '-')}`],
    [() => service.restore(newest, { mode: 'online' }), `restore | ${byAda('done | -', newest, 'online')}`],
    [() => service.undoRestore(), `undo | ${byAda('done | - | -', 'online')}`],
    [() => service.deleteBackup(older), `delete | ${byAda('done | -', older, '-')}`],
    [
      () => expect(service.deleteBackup('backup-2020-01-01T00-00-00-000Z.sqlite')).rejects.toThrow(),
      `delete | ${byAda('failed | NO_BACKUP | backup-2020-01-01T00-00-00-000Z.sqlite', '')}`,
    ],
    [() => service.stopRun(), null],
    [() => service.restoreIfMissing(), null],
    [() => service.prune(), null],
  ] as const) {
    const rows = await recorded(service, work);
    expect(rows.map((row) => (expected !== null && row.startsWith(expected) ? expected : row))).toEqual(
      expected === null ? [] : [expected],
    );
  }
  // Without anybody who says who acts it is the app's own code, by the name that it gives.
  await service.restore(newest, { mode: 'file', to: join(folder, 'copy.sqlite'), user: 'cron' });
  expect(service.getAudit({ limit: 1 })[0]).toMatchObject({
    act: 'restore',
    via: 'library',
    user: 'cron',
    address: null,
  });
});

test('a stopped run is recorded once, and the end of the service is nobody’s act', async () => {
  const shop = openShop(newFolder());
  await shop.service.requestBackup();
  const stopped = await recorded(shop.service, () => shop.service.stopRun());
  expect(stopped).toEqual(['stop | ada | page | 192.0.2.7 | done | - | backup | -']);
  await shop.service.requestBackup();
  expect(await recorded(shop.service, () => shop.service.stop())).toEqual([]);
  await shop[Symbol.asyncDispose]();
});

test('no row is changed, and none removed that is not beyond the limit of its kind', () => {
  const path = join(newFolder(), 'state.sqlite');
  const state = openStateDatabase(path, { warn: expect.unreachable });
  const options = { database: () => state, name: null, now: () => new Date(), warn: expect.unreachable };
  const audit = new Audit({ ...options, folder: 'f' });
  state.transaction(() => {
    for (let count = 0; count < AUDIT_KEPT.refusal + 3; count++) audit.add({ act: 'request', result: 'refused' });
    audit.add({ act: 'delete', subject: 'one' });
  });
  const count = (kind: string) =>
    Number(state.prepare('SELECT count(*) AS n FROM audit WHERE kind = ?').get(kind)?.['n']);
  // A flood of refusals pushes out refusals alone, and what one database records nothing of another.
  expect([count('refusal'), count('act')]).toEqual([AUDIT_KEPT.refusal, 1]);
  const other = new Audit({ ...options, folder: 'g' });
  state.transaction(() => {
    for (let added = 0; added < AUDIT_KEPT.refusal + 3; added++) other.add({ act: 'request', result: 'refused' });
  });
  expect([audit, other].map((one) => one.list({ limit: 100_000 }).length)).toEqual([
    AUDIT_KEPT.refusal + 1,
    AUDIT_KEPT.refusal,
  ]);
  state.close();
  const stranger = new DatabaseSync(path);
  for (const sql of [
    "UPDATE audit SET user = 'somebody else'",
    'DELETE FROM audit',
    "DELETE FROM audit WHERE kind = 'act'",
    'DELETE FROM audit WHERE id = (SELECT min(id) FROM audit)',
  ])
    expect(() => stranger.exec(sql), sql).toThrow('append-only');
  stranger.close();
});

test('no statement of ours changes the table, and one removes from it', () => {
  const root = join(import.meta.dir, '../../src');
  const sources = [...new Bun.Glob('**/*.ts').scanSync(root)].filter((file) => !file.endsWith('.test.ts'));
  const found = sources.flatMap((file) => {
    const text = readFileSync(join(root, file), 'utf8');
    return [...text.matchAll(/(UPDATE|DELETE FROM|REPLACE INTO|DROP TABLE)\s+(IF EXISTS\s+)?audit\b/g)].map(
      ([statement]) => `${file}: ${statement}`,
    );
  });
  expect(found).toEqual(['service/audit/audit.ts: DELETE FROM audit']);
});

test('a file gets one line of JSON an act, is its owner’s alone, may be rotated, and is no link', () => {
  const folder = newFolder();
  const path = join(folder, 'audit.log');
  const state = openStateDatabase(join(folder, 'state.sqlite'), { warn: expect.unreachable });
  const warnings: string[] = [];
  const options = { database: () => state, folder: null, name: 'app', now: () => new Date(0) };
  const audit = new Audit({ ...options, warn: expect.unreachable, sink: auditSink(path, expect.unreachable) });
  audit.add({ act: 'delete', subject: 'one\ntwo' }, ada);
  const [line = '', ...rest] = readFileSync(path, 'utf8').split('\n');
  expect(JSON.parse(line)).toEqual({
    ...{ time: '1970-01-01T00:00:00.000Z', level: 'info', area: 'audit', database: 'app', act: 'delete' },
    ...{ user: 'ada', via: 'page', address: '192.0.2.7', agent: 'Firefox', subject: 'one\ntwo', target: null },
    ...{ result: 'done', code: null, detail: null },
  });
  expect([rest, statSync(path).mode & 0o777]).toEqual([[''], 0o600]);

  const link = join(folder, 'link.log');
  symlinkSync(join(folder, 'elsewhere'), link);
  const linked = new Audit({
    ...options,
    warn: (text) => warnings.push(text),
    sink: auditSink(link, expect.unreachable),
  });
  linked.add({ act: 'delete' });
  linked.add({ act: 'delete' });
  expect([existsSync(join(folder, 'elsewhere')), warnings.length]).toEqual([false, 1]);
  // It is recorded all the same.
  expect(linked.list({ limit: 10 }).length).toBe(3);
  state.close();
});

test('what a client calls itself is one short line', () => {
  expect(shortAgent(`a\u001b[31m\r\nb\u202e${'x'.repeat(500)}`)).toBe(`a [31m b ${'x'.repeat(120 - 9)}`);
  expect([shortAgent(null), shortAgent(' \n ')]).toEqual([null, null]);
});
