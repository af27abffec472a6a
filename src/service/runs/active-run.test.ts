import { expect, test } from 'bun:test';
import { BackupError, type ErrorCode } from '../../words/errors.ts';
import type { RunKind, Trigger } from '../../words/run.ts';
import { ActiveRun } from './active-run.ts';

function ended(kind: RunKind, trigger: Trigger, code: ErrorCode) {
  const about = { user: null, plannedAt: null, backup: null, weights: {} };
  const run = new ActiveRun({ ...about, kind, trigger, now: () => new Date(0), onProgress: () => {} });
  return run.end(new BackupError(code, 'no', { hint: 'Look.' })).result;
}

test.each([
  ['backup', 'cli', 'BUSY', 'refused'],
  // A cron line is a schedule.
  ['backup', 'cli', 'BAD_CONFIG', 'failed'],
  ['backup', 'cli', 'FOREIGN_PLACE', 'failed'],
  ['backup', 'cli', 'DISK_FULL', 'failed'],
  ['backup', 'cli', 'DB_MISSING', 'failed'],
  ['backup', 'cli', 'UNSUPPORTED', 'failed'],
  ['backup', 'cli', 'ABORTED', 'stopped'],
  ['backup', 'manual', 'BUSY', 'refused'],
  // An app that asks for its backups by itself has no other schedule.
  ['backup', 'manual', 'BAD_CONFIG', 'failed'],
  ['backup', 'schedule', 'BUSY', 'failed'],
  ['backup', 'start', 'FOREIGN_PLACE', 'failed'],
  ['restore', 'manual', 'TARGET_EXISTS', 'refused'],
  ['restore', 'manual', 'RESTORE_IN_USE', 'refused'],
  ['restore', 'manual', 'RESTORE_SAFETY_FAILED', 'failed'],
  ['drill', 'manual', 'BUSY', 'refused'],
  ['drill', 'manual', 'DRILL_FAILED', 'failed'],
  ['drill', 'schedule', 'BAD_CONFIG', 'failed'],
  ['verify', 'manual', 'VERIFY_FAILED', 'failed'],
  ['upload', 'manual', 'BAD_CONFIG', 'failed'],
  ['upload', 'manual', 'FOREIGN_PLACE', 'failed'],
] as const)('a %s by %s that ends with %s is %s', (kind, trigger, code, result) => {
  expect(ended(kind, trigger, code)).toBe(result);
});

test('a run that a planned one joined was planned, so that it fails as that does', () => {
  const about = { user: 'ada', plannedAt: null, backup: null, weights: {} };
  const run = new ActiveRun({
    ...{ ...about, kind: 'backup', trigger: 'manual' },
    ...{ now: () => new Date(0), onProgress: () => {} },
  });
  const plannedAt = new Date(60_000);
  run.join({ user: null, plannedAt });
  const { result, plannedAt: noted, user } = run.end(new BackupError('BUSY', 'no', { hint: 'Wait.' }));
  expect([result, noted, user]).toEqual(['failed', plannedAt, 'ada']);
});
