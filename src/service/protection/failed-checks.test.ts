import { expect, test } from 'bun:test';
import { manifestOf } from '../../../tests/support/scratch.ts';
import type { Run } from '../../words/run.ts';
import { type CheckedPlace, failedCheckText, failedChecks } from './failed-checks.ts';

const now = new Date('2024-03-02T12:00:00Z');
const minutesAgo = (minutes: number) => new Date(now.getTime() - minutes * 60_000);

function copy(minutes: number, complaint: string | null = null, fault: string | null = null) {
  const createdAt = minutesAgo(minutes);
  const verification = { method: 'quick', at: now.toISOString(), complaint } as const;
  const manifest = manifestOf(createdAt, { sizeBytes: 8_192, verification });
  return { ...{ name: manifest.name, path: manifest.name, sizeBytes: 8_192, createdAt }, manifest, fault };
}

function drill(backup: string, result: 'failed' | 'success'): Run {
  return {
    ...({ id: 'run', kind: 'drill', trigger: 'schedule', user: null, plannedAt: null, steps: [] } as const),
    ...{ startedAt: now, endedAt: now, backup },
    ...(result === 'success'
      ? { result, sizeBytes: 1, error: null }
      : { result, sizeBytes: null, error: { code: 'DRILL_FAILED', message: 'it failed', hint: 'Look.' } }),
  };
}

const place = (change: Partial<CheckedPlace>): CheckedPlace => ({
  ...{ target: 'local', copies: [copy(5), copy(15)], openDrill: null, lastDrill: null },
  ...change,
});
const said = (...places: CheckedPlace[]) =>
  failedChecks(places).map(({ kind, target, backup }) => `${kind} ${target} ${backup?.slice(18, 23)}`);

test('damage is found in the folder and at each target, the newest first, behind the drills', () => {
  const failed = drill(copy(5).name, 'failed');
  expect(said(place({}), place({ target: 's3' }))).toEqual([]);
  expect(
    said(
      place({ copies: [copy(5), copy(15, 'page 7 is lost'), copy(25, null, 'its manifest is unreadable')] }),
      place({ target: 's3', copies: [copy(5), copy(6, 'its digest differs')], openDrill: failed, lastDrill: failed }),
    ),
  ).toEqual(['drill s3 11-55', 'verify s3 11-54', 'verify local 11-45', 'verify local 11-35']);
});

test('what a drill found at a copy is one fault, and a manifest that a target did not show is none', () => {
  const failed = drill(copy(5).name, 'failed');
  expect(said(place({ copies: [copy(5, 'page 7')], openDrill: failed, lastDrill: failed }))).toEqual([
    'drill local 11-55',
  ]);
  expect(said(place({ target: 's3', copies: [copy(5, null, 'its manifest can’t be read')] }))).toEqual([]);
  expect(said(place({ copies: [{ ...copy(5, 'page 7'), other: { id: 'x', name: 'other.sqlite' } }] }))).toEqual([]);
});

test('what a check found at a copy stands while the target does not show its manifest', () => {
  const unread = { ...copy(5, 'page 7 is lost'), fault: 'S3 did not answer' };
  expect(failedChecks([place({ target: 's3', copies: [unread] })])).toMatchObject([{ why: 'page 7 is lost', at: now }]);
  expect(said(place({ target: 's3', copies: [{ ...unread, manifest: null }] }))).toEqual([]);
});

test('a failed drill of a backup that is gone is answered by any that passed since', () => {
  const openDrill = drill('backup-2024-01-01T00-00-00-000Z.sqlite', 'failed');
  expect(said(place({ openDrill, lastDrill: openDrill }))).toHaveLength(1);
  expect(said(place({ openDrill, lastDrill: drill(copy(15).name, 'success') }))).toEqual([]);
  const there = { openDrill: drill(copy(5).name, 'failed'), lastDrill: drill(copy(15).name, 'success') };
  expect(said(place(there))).toHaveLength(1);
});

test('each is one sentence that names the backup, the place and the reason', () => {
  const about = { target: 's3', backup: 'b.sqlite', at: now, why: 'it broke', run: null };
  expect(failedCheckText({ ...about, kind: 'drill' })).toBe('The drill of b.sqlite on S3 failed: it broke.');
  expect(failedCheckText({ ...about, kind: 'drill', backup: null })).toBe('The drill on S3 failed: it broke.');
  expect(failedCheckText({ ...about, kind: 'verify', target: 'local' })).toBe(
    'b.sqlite in the folder did not pass its last check: it broke.',
  );
});
