import { expect, test } from 'bun:test';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { openElsewhere, scratchFolders } from '../../../tests/support/scratch.ts';
import type { ErrorCode } from '../../words/errors.ts';
import type { Run, RunOutcome } from '../../words/run.ts';
import { RunHistory } from './run-history.ts';

const scratch = scratchFolders();
const succeeded: RunOutcome = { result: 'success', sizeBytes: 8192, error: null };
const failed = (message: string, code: ErrorCode = 'DB_DAMAGED'): RunOutcome => ({
  ...{ result: 'failed', sizeBytes: null, error: { code, message, hint: '' } },
});

function run(id: string, change: Partial<Omit<Run, 'result' | 'sizeBytes' | 'error'>> = {}, outcome = succeeded): Run {
  const at = new Date('2024-03-01T12:00:00Z');
  return {
    ...{
      id,
      kind: 'backup',
      trigger: 'schedule',
      user: 'ada',
      plannedAt: at,
      startedAt: at,
      endedAt: at,
    },
    backup: 'backup-2024-03-01T12-00-00-000Z.sqlite',
    steps: [{ name: 'copy', state: 'done', ms: 3, bytesDone: 1, bytesTotal: 1 }],
    ...change,
    ...outcome,
  };
}

function open(path: string, folder = 'backups') {
  const warnings: string[] = [];
  return { history: new RunHistory(path, { warn: (message) => warnings.push(message), folder }), warnings };
}

test('a run reads back as it was, newest first, also after a restart', () => {
  const path = join(scratch(), 'below', 'state.sqlite');
  const first = run('1');
  const second = run('2', { backup: null, plannedAt: null, user: null }, failed('full', 'DISK_FULL'));
  const { history } = open(path);
  history.add(first);
  history.add(second);
  history.close();
  const again = open(path);
  expect(again.history.list({ limit: 10 })).toEqual([second, first]);
  expect(again.history.list({ limit: 1 })).toEqual([second]);
  expect(again.history.list({ limit: 10, result: 'success' })).toEqual([first]);
  expect(again.history.list({ limit: 10, kind: 'restore' })).toEqual([]);
  expect(again.warnings).toEqual([]);
  again.history.close();
});

test('folders that share a state do not see each other’s runs; those from before folders were noted are everybody’s', () => {
  const path = join(scratch(), 'state.sqlite');
  const old = new RunHistory(path, { warn: () => {} });
  old.add(run('old'));
  old.close();
  const [{ history: one }, { history: other }] = [open(path), open(path, 'elsewhere')];
  one.add(run('1', { plannedAt: new Date(0) }));
  one.addRemoval({ backup: 'gone', at: run('1').endedAt, why: 'by retention' });
  other.add(run('2', {}, failed('damaged')));
  expect(one.list({ limit: 10 }).map(({ id }) => id)).toEqual(['1', 'old']);
  expect(other.list({ limit: 10 }).map(({ id }) => id)).toEqual(['2', 'old']);
  expect(one.backupRunsSince(new Date(0)).map(({ id }) => id)).toEqual(['old', '1']);
  expect(one.lastJudgement(['DB_DAMAGED'])?.id).toBe('1');
  expect([one.firstPlannedAt(), other.firstPlannedAt()]).toEqual([new Date(0), run('old').plannedAt]);
  expect(one.removal('gone')).toEqual({ backup: 'gone', at: run('1').endedAt, why: 'by retention' });
  expect([other.removal('gone'), other.removed(new Date(0)).size]).toEqual([null, 0]);
  one.close();
  other.close();
});

test('a state from an earlier version is taken over', () => {
  const path = join(scratch(), 'state.sqlite');
  const database = new DatabaseSync(path);
  database.exec(`CREATE TABLE runs (
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, trigger TEXT NOT NULL, user TEXT, planned_at INTEGER,
    started_at INTEGER NOT NULL, ended_at INTEGER NOT NULL, result TEXT NOT NULL, backup TEXT, size_bytes INTEGER,
    steps TEXT NOT NULL, error TEXT);
    INSERT INTO runs VALUES ('old', 'backup', 'start', NULL, NULL, 1, 2, 'success', NULL, NULL, '[]', NULL)`);
  database.close();
  const { history, warnings } = open(path);
  expect([history.list({ limit: 10 }).map(({ id }) => id), warnings]).toEqual([['old'], []]);
  history.close();
});

test('a run that is forgotten stays counted, so that totals never fall', () => {
  const path = join(scratch(), 'state.sqlite');
  const { history } = open(path);
  const totalOf = (result: Run['result']) => history.totals().find((total) => total.result === result);
  let before = 0;
  for (let day = 0; day < 200; day++) {
    const endedAt = new Date(Date.UTC(2024, 0, 1 + day));
    history.add(run(`${day}`, { endedAt }, day % 10 === 0 ? failed('damaged') : succeeded));
    const count = history.totals().reduce((sum, total) => sum + total.count, 0);
    expect(count).toBe(before + 1);
    before = count;
  }
  expect(history.list({ limit: 1_000 }).length).toBe(91);
  const planned = { kind: 'backup', trigger: 'schedule' } as const;
  expect(totalOf('failed')).toEqual({ ...planned, result: 'failed', count: 20, sizeBytes: 0 });
  expect(totalOf('success')).toEqual({ ...planned, result: 'success', count: 180, sizeBytes: 180 * 8192 });
  history.close();
  const again = open(path);
  expect(again.history.totals().reduce((sum, total) => sum + total.count, 0)).toBe(200);
  again.history.close();
});

test('a run that another process records and forgets between two looks is counted', () => {
  const path = join(scratch(), 'state.sqlite');
  const [a, b] = [open(path).history, open(path).history];
  const count = (history: RunHistory) => history.totals().reduce((sum, total) => sum + total.count, 0);
  a.add(run('first', { endedAt: new Date('2024-03-01T00:00:00Z') }));
  expect(count(a)).toBe(1);
  b.add(run('before the clock was set', { endedAt: new Date(0) }));
  b.add(run('now', { endedAt: new Date('2024-03-01T00:10:00Z') }));
  expect([count(a), count(b)]).toEqual([3, 3]);
  a.close();
  b.close();
});

test('runs are kept for 90 days', () => {
  const { history } = open(join(scratch(), 'state.sqlite'));
  history.add(run('old', { endedAt: new Date('2024-01-01T00:00:00Z') }));
  history.add(run('new', { endedAt: new Date('2024-03-31T00:00:01Z') }));
  expect(history.list({ limit: 10 }).map(({ id }) => id)).toEqual(['new']);
  history.close();
});

test('a damaged file is moved aside and begun anew, and the log says where it is', () => {
  const path = join(scratch(), 'state.sqlite');
  writeFileSync(path, 'junk '.repeat(1_000));
  const { history, warnings } = open(path);
  history.add(run('1'));
  expect(history.list({ limit: 10 }).length).toBe(1);
  history.close();
  const aside = readdirSync(dirname(path)).find((name) => name.startsWith('state.sqlite.damaged-'));
  expect(warnings).toEqual([expect.stringContaining(String(aside))]);
});

test('where no file can be, the history is kept in memory and the log says so', () => {
  const folder = scratch();
  writeFileSync(join(folder, 'file'), '');
  mkdirSync(join(folder, 'state.sqlite'));
  for (const path of [join(folder, 'file', 'state.sqlite'), join(folder, 'state.sqlite')]) {
    const { history, warnings } = open(path);
    history.add(run('1'));
    expect(history.list({ limit: 10 }).length).toBe(1);
    expect(warnings).toEqual([expect.stringContaining('kept in memory')]);
    history.close();
  }
});

test('a history that can not be written just now warns and goes on', async () => {
  const path = join(scratch(), 'state.sqlite');
  const { history, warnings } = open(path);
  const other = await openElsewhere(path);
  await other.ask('BEGIN IMMEDIATE');
  history.add(run('1'));
  expect(warnings.length).toBe(1);
  await other.kill();
  history.add(run('2'));
  expect(history.list({ limit: 10 }).map(({ id }) => id)).toEqual(['2']);
  history.close();
});

test('a failed drill stays open until the same backup or a newer one is proven there', () => {
  const { history } = open(join(scratch(), 'state.sqlite'));
  const name = (hour: number) => `backup-2024-03-01T${hour}-00-00-000Z.sqlite`;
  let count = 0;
  const drill = (
    hour: number,
    proof: 'restored' | 'sealed' | null,
    code: ErrorCode = 'DRILL_FAILED',
    target = 'local',
  ) => {
    const about = { kind: 'drill', backup: name(hour), drill: { target, proof, assertions: 0 } } as const;
    history.add(run(`${++count}`, about, proof === null ? failed('it failed', code) : succeeded));
    return history.openDrill('local')?.backup ?? null;
  };
  expect(history.openDrill('local')).toBeNull();
  expect(drill(11, 'restored')).toBeNull();
  expect(drill(12, null)).toBe(name(12));
  // Another one works: that says nothing of this one.
  expect(drill(11, 'restored')).toBe(name(12));
  expect(drill(10, null)).toBe(name(10));
  expect(drill(11, 'restored')).toBe(name(12));
  expect(drill(13, 'restored', undefined, 's3')).toBe(name(12));
  expect(drill(13, 'sealed')).toBeNull();
  // A check that was given up says nothing of the backup.
  expect(drill(14, null, 'CHECK_GAVE_UP')).toBe(name(14));
  expect(drill(13, 'restored')).toBeNull();
  history.close();
});

test('runs that were stopped or refused tell nothing of the backups, and the chart knows no refused one', () => {
  const { history } = open(join(scratch(), 'state.sqlite'));
  const ends = (result: 'stopped' | 'refused'): RunOutcome => ({ ...failed('no', 'BUSY'), result }) as RunOutcome;
  history.add(run('1'));
  history.add(run('2', {}, ends('stopped')));
  history.add(run('3', {}, ends('refused')));
  expect(history.list({ limit: 9 }).map(({ result }) => result)).toEqual(['refused', 'stopped', 'success']);
  expect(history.list({ limit: 9, telling: true }).map(({ result }) => result)).toEqual(['success']);
  expect(history.backupRunsSince(new Date(0)).map(({ result }) => result)).toEqual(['success', 'stopped']);
  history.close();
});

test('what is held of the history is never older than what another process recorded', async () => {
  const path = join(scratch(), 'state.sqlite');
  const history = new RunHistory(path, { warn: expect.unreachable });
  history.add(run('one', { kind: 'backup' }));
  const last = () => history.list({ limit: 1, kind: 'backup' })[0]?.id;
  expect([last(), last()]).toEqual(['one', 'one']);
  const program = `
    import { DatabaseSync } from 'node:sqlite';
    const state = new DatabaseSync(process.argv[1]);
    state.exec("UPDATE runs SET id = 'another'");`;
  const { status } = spawnSync(process.execPath, ['--config=/dev/null', '--no-env-file', '-e', program, path]);
  expect(status).toBe(0);
  await Promise.resolve();
  expect(last()).toBe('another');
  // And of our own at once.
  history.add(run('two', { kind: 'backup' }));
  expect(last()).toBe('two');
  history.close();
});
