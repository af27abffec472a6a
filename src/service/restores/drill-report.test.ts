import { expect, test } from 'bun:test';
import { BackupError, type ErrorCode } from '../../words/errors.ts';
import { ActiveRun } from '../runs/active-run.ts';
import { toDrill } from './drill-report.ts';

const about = { kind: 'drill', trigger: 'manual', user: null, plannedAt: null, backup: null, weights: {} } as const;

test.each([
  ['BUSY', 'refused'],
  ['BAD_CONFIG', 'refused'],
  ['DRILL_FAILED', 'failed'],
  ['DISK_FULL', 'failed'],
  ['ABORTED', 'stopped'],
] satisfies [ErrorCode, string][])('a drill that ends with %s is %s', (code, result) => {
  const run = new ActiveRun({ ...about, now: () => new Date(0), onProgress: () => {} });
  const error = new BackupError(code, 'no', { hint: 'Look.' });
  expect(toDrill('local', run.end(error))).toMatchObject({ result, error: { code } });
});
