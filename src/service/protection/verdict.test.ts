import { expect, test } from 'bun:test';
import type { Run, RunProgress } from '../../words/run.ts';
import { judge, type VerdictInput } from './verdict.ts';

const now = new Date('2024-03-01T12:00:00Z');
const minutesAgo = (minutes: number) => new Date(now.getTime() - minutes * 60_000);

const good: VerdictInput = {
  now,
  run: null,
  lastBackupRun: null,
  lastRestore: null,
  hasBackup: true,
  file: 'there',
  newestDamaged: false,
  goodAt: minutesAgo(5),
  maxAgeMs: 30 * 60_000,
  vanished: null,
  unlisted: null,
  hasLoss: false,
  writerAt: null,
  remoteFailing: false,
  notAt: null,
  scheduleEnabled: true,
  freeBytes: 10_000,
  databaseBytes: 1_000,
};
const going = (kind: RunProgress['kind']) =>
  ({
    id: '1',
    kind,
    trigger: 'manual',
    user: null,
    startedAt: now,
    backup: null,
    steps: [],
    percent: 0,
  }) satisfies RunProgress;
const ended = (result: Run['result'], endedAt = minutesAgo(1)): Run => ({
  ...({ id: '1', kind: 'backup', trigger: 'manual', user: null, plannedAt: null } as const),
  ...{ startedAt: endedAt, endedAt, backup: null, sizeBytes: null, steps: [] },
  ...(result === 'success' || result === 'unchanged'
    ? { result, error: null }
    : { result, error: { code: 'INTERNAL', message: 'it broke', hint: 'Look.' } }),
});

const writer = (kind: 'other' | 'clone') => ({ target: 's3', kind, host: 'staging', since: now, seenAt: null });

const table: [sentence: string, change: Partial<VerdictInput>, verdict: string][] = [
  ['all is well', {}, 'protected green'],
  ['a restore is going', { run: going('restore') }, 'restoring blue'],
  ['an undo is going', { run: going('undo') }, 'restoring blue'],
  ['a backup is going, although the newest is damaged', { run: going('backup'), newestDamaged: true }, 'running blue'],
  ['a restore ended within the hour', { lastRestore: ended('success', minutesAgo(59)) }, 'restored green'],
  ['a restore ended an hour ago', { lastRestore: ended('success', minutesAgo(60)) }, 'protected green'],
  ['much was lost', { hasLoss: true }, 'loss red'],
  ['much was lost, and the newest is damaged', { hasLoss: true, newestDamaged: true }, 'loss red'],
  ['much was lost, and that was restored just now', { hasLoss: true, lastRestore: ended('success') }, 'restored green'],
  ['nothing was ever backed up', { hasBackup: false, goodAt: null }, 'none grey'],
  ['the very first run failed', { hasBackup: false, goodAt: null, lastBackupRun: ended('failed') }, 'last-failed red'],
  [
    'the app has not made its database yet, and a run failed for that',
    { file: 'awaited', hasBackup: false, goodAt: null, lastBackupRun: ended('failed') },
    'none grey',
  ],
  ['the database is missing', { file: 'missing', lastBackupRun: ended('failed') }, 'missing red'],
  ['it is missing, and the good backup is too old', { file: 'missing', goodAt: minutesAgo(31) }, 'missing red'],
  ['it is missing, and no good backup is left', { file: 'missing', hasBackup: false, goodAt: null }, 'missing red'],
  ['it is missing a minute after a restore', { file: 'missing', lastRestore: ended('success') }, 'missing red'],
  ['it is missing, and a restore is going', { file: 'missing', run: going('restore') }, 'restoring blue'],
  [
    'it is missing, and nobody may list the backups',
    { file: 'missing', unlisted: { code: 'NO_PERMISSION', message: '', hint: '' } },
    'damaged red',
  ],
  ['a drill failed', { failedCheck: 'The drill failed.' }, 'check-failed amber'],
  [
    'a drill and the last backup failed',
    { failedCheck: 'It failed.', lastBackupRun: ended('failed') },
    'last-failed amber',
  ],
  ['a drill failed, and the newest is damaged', { failedCheck: 'It failed.', newestDamaged: true }, 'damaged red'],
  ['a drill failed, and S3 is away', { failedCheck: 'It failed.', remoteFailing: true }, 'check-failed amber'],
  ['the newest is damaged', { newestDamaged: true }, 'damaged red'],
  [
    'the newest is damaged, and the last good one is too old as well',
    { newestDamaged: true, goodAt: minutesAgo(31) },
    'too-old red',
  ],
  ['the newest is damaged, and none was ever good', { newestDamaged: true, goodAt: null }, 'damaged red'],
  ['the newest is no longer in the folder', { vanished: 'backup-1', lastBackupRun: ended('failed') }, 'damaged red'],
  [
    'all that there was is no longer in the folder',
    { vanished: 'backup-1', hasBackup: false, goodAt: null },
    'damaged red',
  ],
  [
    'the newest is no longer in the folder, and what is left is too old',
    { vanished: 'backup-1', goodAt: minutesAgo(31) },
    'too-old red',
  ],
  ['no good backup is left', { goodAt: null }, 'too-old red'],
  ['the good one is as old as allowed', { goodAt: minutesAgo(30) }, 'protected green'],
  [
    'the good one is too old, although the schedule is off',
    { goodAt: minutesAgo(30.1), scheduleEnabled: false },
    'too-old red',
  ],
  ['the last run failed, a good backup is young', { lastBackupRun: ended('failed') }, 'last-failed amber'],
  ['the last run was stopped by hand', { lastBackupRun: ended('stopped') }, 'protected green'],
  ['S3 can not be used', { remoteFailing: true, scheduleEnabled: false }, 's3-waiting amber'],
  ['another machine writes to S3', { writerAt: writer('other'), remoteFailing: true }, 'other-writer amber'],
  ['a clone of this machine wants to write to S3', { writerAt: writer('clone') }, 'cloned amber'],
  [
    'another machine writes to S3, and the last run failed',
    { writerAt: writer('other'), lastBackupRun: ended('failed') },
    'last-failed amber',
  ],
  ['the newest has no copy on S3', { notAt: { backup: 'backup-1', targets: ['s3'] } }, 's3-waiting amber'],
  [
    'the last run failed, and S3 can not be used',
    { remoteFailing: true, lastBackupRun: ended('failed') },
    'last-failed amber',
  ],
  [
    'a restore of the future was made before the clock went back',
    { lastRestore: ended('success', minutesAgo(-5)) },
    'protected green',
  ],
  ['a restore failed', { lastRestore: ended('failed') }, 'protected green'],
  ['the good one is of the future', { goodAt: minutesAgo(-31) }, 'too-old red'],
  ['the schedule is off', { scheduleEnabled: false, freeBytes: 0 }, 'off amber'],
  ['there is room for less than three databases', { freeBytes: 2_999 }, 'disk-low amber'],
  ['there is room for just three', { freeBytes: 3_000 }, 'protected green'],
];

for (const [sentence, change, verdict] of table) {
  test(`${sentence}: ${verdict}`, () => {
    const { code, tone } = judge({ ...good, ...change });
    expect(`${code} ${tone}`).toBe(verdict);
  });
}

test('a schedule that does not advance is said also while a run goes, and hides no damage', () => {
  const stalledSince = minutesAgo(20);
  expect(judge({ ...good, stalledSince })).toEqual({
    ...{ code: 'stalled', tone: 'red' },
    detail: expect.stringContaining('2024-03-01T11:40:00.000Z'),
  });
  expect(judge({ ...good, stalledSince, run: going('backup') }).code).toBe('stalled');
  expect(judge({ ...good, stalledSince, hasBackup: false, goodAt: null }).code).toBe('stalled');
  expect(judge({ ...good, stalledSince, newestDamaged: true }).code).toBe('damaged');
  expect(judge({ ...good, stalledSince: null }).code).toBe('protected');
});

test('what is wrong is named where code and status do not say it', () => {
  expect(judge({ ...good, vanished: 'backup-1' }).detail).toStartWith('backup-1 is no longer in the backup folder');
  const missing = (...targets: string[]) => judge({ ...good, notAt: { backup: 'backup-1', targets } }).detail;
  expect(missing('s3')).toBe('backup-1 has no copy on S3.');
  expect(missing('s3', 'offsite-eu')).toBe('backup-1 has no copy on S3 and offsite-eu.');
  expect(judge({ ...good, writerAt: writer('other') }).detail).toBe(
    'staging has been writing to S3 since 2024-03-01T12:00:00.000Z; nothing from here is stored or removed there.',
  );
  expect(judge({ ...good, writerAt: writer('clone') }).detail).toContain('copy of the other (staging)');
  expect(judge(good).detail).toBeUndefined();
});
