import { NO_REMARKS } from '../../engine/sqlite/rules.ts';
import { expect, test } from 'bun:test';
import { assessFreshness, type FreshnessFacts, isFailing, protectionState } from './freshness.ts';
import type { BackupItem, Placement } from '../backups/shown-backup.ts';
import type { VerdictCode } from './verdict.ts';
import type { Drill, Run } from '../../words/run.ts';

const now = new Date('2024-03-01T12:00:00Z');
const minutesAgo = (minutes: number) => new Date(now.getTime() - minutes * 60_000);

function item(minutes: number, change: Partial<BackupItem> = {}): BackupItem {
  const createdAt = minutesAgo(minutes);
  return {
    filename: `backup-${createdAt.toISOString().replace(/[:.]/g, '-')}.sqlite`,
    ...{ size: 8192, createdAt, trigger: 'schedule', user: null, verified: true, foreign: false, pinned: false },
    ...{
      note: null,
      safety: false,
      sha256: null,
      pages: 2,
      pageSize: 4096,
      other: null,
      rows: null,
      changes: null,
      loss: null,
    },
    verification: { state: 'verified', method: 'quick', at: createdAt, remarks: [], ...NO_REMARKS },
    placements: [stored('local', minutes)],
    ...change,
  };
}

function stored(target: Placement['target'], minutes: number): Placement {
  return { target, status: 'stored', at: minutesAgo(minutes), error: null, where: null, sizeBytes: null };
}

const good: FreshnessFacts = {
  now,
  verdict: 'protected',
  goodAt: minutesAgo(5),
  maxAgeMs: 30 * 60_000,
  changedAt: minutesAgo(7),
  items: [item(5), item(15)],
  lastUnchangedRun: null,
  remotes: [],
  drills: () => ({ last: null, proven: null }),
  failedChecks: [],
};
const undrilled = { proven: null, drill: null, damaged: 0 };

test('each verdict, with a good backup of each age, has one of four states', () => {
  const states = (verdict: VerdictCode) =>
    (['young', 'old', 'none'] as const).map((age) => protectionState(verdict, age)).join(' ');
  for (const calm of ['protected', 'running', 'restoring', 'restored'] as const)
    expect([calm, states(calm)]).toEqual([calm, 'protected late unprotected']);
  for (const warns of [
    'none',
    'too-old',
    'damaged',
    'last-failed',
    'check-failed',
    's3-waiting',
    'off',
    'disk-low',
  ] as const)
    expect([warns, states(warns)]).toEqual([warns, 'at-risk late unprotected']);
});

test('a backup as old as allowed is young enough, and one of the far future is not', () => {
  const state = (minutes: number) => assessFreshness({ ...good, goodAt: minutesAgo(minutes) }).state;
  expect([30, 30.1, -30, -31].map(state)).toEqual(['protected', 'late', 'protected', 'late']);
  expect(assessFreshness({ ...good, goodAt: null }).state).toBe('unprotected');
});

test('health fails when nothing good is young, and when the newest is damaged', () => {
  expect(isFailing({ state: 'protected', cause: 'protected' })).toBe(false);
  expect(isFailing({ state: 'at-risk', cause: 's3-waiting' })).toBe(false);
  expect(isFailing({ state: 'at-risk', cause: 'check-failed' })).toBe(false);
  expect(isFailing({ state: 'at-risk', cause: 'damaged' })).toBe(true);
  expect(isFailing({ state: 'at-risk', cause: 'stalled' })).toBe(true);
  expect(isFailing({ state: 'late', cause: 'too-old' })).toBe(true);
  expect(isFailing({ state: 'unprotected', cause: 'none' })).toBe(true);
});

test('each place has its own newest good, verified and stored backup', () => {
  const damaged = { state: 'damaged', method: 'full', at: minutesAgo(1), detail: 'row 7' } as const;
  const items = [
    item(2, { safety: true }),
    item(3, { foreign: true, verified: false, verification: { state: 'unchecked' } }),
    item(5, { verified: false, verification: damaged }),
    item(15, {
      verification: { state: 'verified', method: 'full', at: minutesAgo(4), remarks: [], ...NO_REMARKS },
      placements: [
        stored('local', 15),
        { target: 's3', status: 'waiting', at: null, error: null, where: null, sizeBytes: null },
      ],
    }),
    item(25, { placements: [stored('s3', 20)] }),
  ];
  expect(assessFreshness({ ...good, items, remotes: ['s3'] }).targets).toEqual([
    { target: 'local', goodAt: minutesAgo(15), verifiedAt: minutesAgo(4), storedAt: minutesAgo(5), ...undrilled },
    { target: 's3', goodAt: minutesAgo(25), verifiedAt: minutesAgo(25), storedAt: minutesAgo(20), ...undrilled },
  ]);
});

test('an unchanged database renews the places that hold its newest backup, and no other', () => {
  const items = [
    item(15, { placements: [stored('local', 15)] }),
    item(25, { placements: [stored('local', 25), stored('s3', 25)] }),
  ];
  const lastUnchangedRun: Run = {
    ...{ id: '1', kind: 'backup', trigger: 'schedule', user: null, plannedAt: null, startedAt: minutesAgo(5) },
    ...{ endedAt: minutesAgo(5), result: 'unchanged', sizeBytes: null, steps: [], error: null },
    backup: items[0]?.filename ?? '',
  };
  const { targets } = assessFreshness({ ...good, items, lastUnchangedRun, remotes: ['s3'] });
  expect(targets.map(({ goodAt }) => goodAt)).toEqual([minutesAgo(5), minutesAgo(25)]);
});

test('a failed drill does not take away what an earlier one proved', () => {
  const run = (minutes: number, proof: Drill['proof']): Run => ({
    ...({ id: '1', kind: 'drill', trigger: 'schedule', user: null, plannedAt: null, steps: [] } as const),
    ...{ startedAt: minutesAgo(minutes + 1), endedAt: minutesAgo(minutes) },
    ...(proof
      ? { result: 'success', sizeBytes: 1, error: null }
      : { result: 'failed', sizeBytes: null, error: { code: 'DRILL_FAILED', message: 'it failed', hint: 'Look.' } }),
    ...{ backup: 'backup-2024-01-15T10-30-00-000Z.sqlite', drill: { target: 'local', proof, assertions: 0 } },
  });
  const told = (last: Run, proven: Run | null) =>
    assessFreshness({ ...good, drills: () => ({ last, proven }) }).targets[0];
  const proven = { at: minutesAgo(60), ms: 60_000, backup: 'backup-2024-01-15T10-30-00-000Z.sqlite' };
  expect(told(run(60, 'restored'), run(60, 'restored'))).toMatchObject({ proven, drill: { result: 'proven' } });
  expect(told(run(9, null), run(60, 'restored'))).toMatchObject({
    proven,
    drill: { at: minutesAgo(9), result: 'failed' },
  });
  expect(told(run(9, 'sealed'), null)).toMatchObject({ proven: null, drill: { result: 'sealed' } });
});

test('a failed drill stands although an older backup was proven since, and damaged copies are counted by place', () => {
  const failed = { kind: 'drill', target: 's3', backup: 'b', at: minutesAgo(9), why: 'it broke', run: '1' } as const;
  const damaged = {
    kind: 'verify',
    target: 'local',
    backup: 'a',
    at: minutesAgo(8),
    why: 'page 7',
    run: null,
  } as const;
  const { targets } = assessFreshness({ ...good, remotes: ['s3'], failedChecks: [failed, damaged, damaged] });
  expect(targets.map(({ drill, damaged: count }) => [drill, count])).toEqual([
    [null, 2],
    [{ at: minutesAgo(9), result: 'failed' }, 0],
  ]);
});

test('with nothing anywhere there is nothing to tell', () => {
  expect(assessFreshness({ ...good, verdict: 'none', goodAt: null, changedAt: null, items: [] })).toEqual({
    state: 'unprotected',
    cause: 'none',
    changedAt: null,
    targets: [{ target: 'local', goodAt: null, verifiedAt: null, storedAt: null, ...undrilled }],
  });
});
