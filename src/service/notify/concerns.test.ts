import { expect, test } from 'bun:test';
import { createFakeService } from '../../../tests/http/fake-service.ts';
import type { ErrorCode } from '../../words/errors.ts';
import type { Freshness } from '../protection/freshness.ts';
import type { Status } from '../protection/shown-status.ts';
import type { Run, RunTotal } from '../../words/run.ts';
import { assessSituation, type Concern, changeSince, type SituationFacts } from './concerns.ts';

const now = new Date('2024-03-01T12:00:00Z');
const minutesAgo = (minutes: number) => new Date(now.getTime() - minutes * 60_000);
const plain = await createFakeService().getStatus();
const refused = { code: 'S3_DENIED', message: 'S3 refused the key', hint: 'Check it.' } as const;

function status(freshness: Partial<Freshness>, change: Partial<Status> = {}): Status {
  return { ...plain, serverTime: now, freshness: { ...plain.freshness, ...freshness }, ...change };
}

function ended(result: Run['result'], message = 'the disk is full', code: ErrorCode = 'DISK_FULL'): Run {
  return {
    ...({ id: '1', kind: 'backup', trigger: 'schedule', user: null, plannedAt: null } as const),
    ...{ startedAt: now, endedAt: now, backup: null, sizeBytes: null, steps: [] },
    ...(result === 'success' || result === 'unchanged'
      ? { result, error: null }
      : { result, error: { code, message, hint: 'Look.' } }),
  };
}

const success: RunTotal = { kind: 'backup', trigger: 'start', result: 'success', count: 1, sizeBytes: 1 };
const facts = (change: Partial<SituationFacts>): SituationFacts => ({
  ...{ status: status({}), lastRuns: [ended('success')], totals: [success] },
  ...change,
});
const concernsOf = (change: Partial<SituationFacts>) => assessSituation(facts(change)).concerns;

test('each concern has its state of affairs, and all may be there at once', () => {
  expect(concernsOf({})).toEqual([]);
  expect(concernsOf({ status: status({ state: 'at-risk', cause: 'damaged' }) })).toEqual(['damaged']);
  expect(concernsOf({ status: status({ state: 'late', cause: 'too-old' }) })).toEqual(['stale']);
  expect(concernsOf({ status: status({ state: 'late', cause: 'damaged' }), lastRuns: [ended('failed')] })).toEqual([
    ...(['damaged', 'stale', 'failed'] as const),
  ]);
  for (const cause of ['off', 'disk-low', 's3-waiting'] as const)
    expect([cause, concernsOf({ status: status({ state: 'at-risk', cause }) })]).toEqual([cause, []]);
});

test('a missing database is one concern, whatever it makes fail, and before and after it there is none', () => {
  const found = ended('failed', 'there is no file', 'DB_MISSING');
  const missing = { cause: 'missing', state: 'late' } as const;
  expect(concernsOf({ status: status(missing), lastRuns: [found, ended('success')] })).toEqual(['missing']);
  expect(assessSituation(facts({ status: status(missing), lastRuns: [found] })).error?.code).toBe('DB_MISSING');
  // What failed before it has not been mended by it.
  expect(concernsOf({ status: status(missing), lastRuns: [found, ended('failed')] })).toEqual(['missing', 'failed']);
  expect(concernsOf({ lastRuns: [found, ended('success')] })).toEqual([]);
  const first = { status: status({ state: 'unprotected', cause: 'none' }), lastRuns: [found], totals: [] };
  expect(concernsOf(first)).toEqual([]);
});

test('a loss is a concern as long as it is shown, told with what was lost', () => {
  const loss = {
    ...{ filename: 'backup-2', at: now, beforeAt: minutesAgo(10), before: 'backup-1', dayBefore: null, accepted: null },
    ...{ tables: [{ name: 'orders', before: 8_310, after: 0 }], usedPages: { before: 300, after: 20 } },
  };
  const situation = assessSituation(facts({ status: status({ state: 'at-risk', cause: 'loss' }, { loss }) }));
  expect(situation.concerns).toEqual(['loss']);
  const { message } = changeSince([], situation);
  expect(message).toMatchObject({ event: 'loss', loss: { filename: 'backup-2', before: 'backup-1' } });
  expect(message?.['text']).toStartWith(
    'Much was lost in dev.sqlite: orders had 8,310 rows at 2024-03-01 11:50 UTC and has 0 since 2024-03-01 12:00 UTC. ' +
      'The state before is kept in backup-1 until somebody confirms that it was intended.',
  );
});

test('an unchanged run mends a failure', () => {
  expect(concernsOf({ lastRuns: [ended('unchanged'), ended('failed')] })).toEqual([]);
  expect(concernsOf({ lastRuns: [] })).toEqual([]);
});

test('before the very first backup nothing is missing; afterwards an empty folder is', () => {
  const empty = status({ state: 'unprotected', cause: 'none' });
  expect(concernsOf({ status: empty, totals: [] })).toEqual([]);
  expect(concernsOf({ status: empty, totals: [{ ...success, result: 'failed' }] })).toEqual([]);
  expect(concernsOf({ status: empty })).toEqual(['stale']);
});

test('a drill that failed is a concern until one succeeds', () => {
  const drilled = (result: 'proven' | 'sealed' | 'failed') =>
    concernsOf({
      status: status({
        targets: [
          {
            target: 'local',
            goodAt: now,
            verifiedAt: now,
            storedAt: now,
            proven: null,
            drill: { at: now, result },
            damaged: 0,
          },
        ],
      }),
    });
  expect([drilled('failed'), drilled('sealed'), drilled('proven')]).toEqual([['drill'], [], []]);
});

test('a stored backup that failed its check is a concern, and the newest one only as what is damaged', () => {
  const found = (cause: 'check-failed' | 'damaged') => {
    const target = { target: 's3', goodAt: now, verifiedAt: now, storedAt: now, proven: null, drill: null, damaged: 2 };
    return facts({ status: status({ state: 'at-risk', cause, targets: [target] }) });
  };
  expect(assessSituation(found('check-failed')).concerns).toEqual(['check']);
  expect(changeSince([], assessSituation(found('check-failed'))).message?.['text']).toStartWith(
    'A stored backup of dev.sqlite did not pass its check (S3). The list of backups says which.',
  );
  expect(assessSituation(found('damaged')).concerns).toEqual(['damaged']);
});

test('S3 is a concern when uploads fail and what is there is too old, not at the first failure', () => {
  const about = {
    path: 'path',
    where: 's3://bucket/path',
    stored: 9,
    nextTryAt: null,
    listedAt: null,
    enabled: true,
    waiting: 2,
    error: refused,
  };
  const offsite = (goodAt: Date | null, change: Partial<Status['targets'][number]> = {}) =>
    concernsOf({
      status: status(
        {
          targets: [{ target: 's3', goodAt, verifiedAt: null, storedAt: null, proven: null, drill: null, damaged: 0 }],
        },
        { targets: [{ ...about, target: 's3', bucket: 'bucket', ...change }] },
      ),
    });
  expect(offsite(minutesAgo(29))).toEqual([]);
  expect(offsite(minutesAgo(31))).toEqual(['offsite']);
  expect(offsite(null)).toEqual(['offsite']);
  expect(offsite(null, { error: null })).toEqual([]);
  expect(offsite(null, { waiting: 0 })).toEqual([]);
  expect(offsite(null, { enabled: false })).toEqual([]);

  const ends = (goodAt: Date | null, change: Partial<Status['targets'][number]>) => {
    const target = { target: 's3', goodAt, verifiedAt: null, storedAt: null, proven: null, drill: null, damaged: 0 };
    const present = status(
      { targets: [target] },
      { targets: [{ ...about, target: 's3', bucket: 'bucket', ...change }] },
    );
    return changeSince(['offsite'], assessSituation(facts({ status: present }))).message?.event ?? null;
  };
  // One of several went through: the others are still to come.
  expect(ends(minutesAgo(31), { error: null })).toBeNull();
  expect(ends(minutesAgo(29), { error: null })).toBe('recovered');
  expect(ends(minutesAgo(31), { error: null, waiting: 0 })).toBe('recovered');
});

test('staleness that a running backup is about to end is not said, and one that was said does not end by that', () => {
  const run = (minutes: number): Status['run'] => ({
    ...{ id: '1', kind: 'backup', trigger: 'start', user: null, backup: null, steps: [], percent: 0 },
    startedAt: minutesAgo(minutes),
  });
  const late = { state: 'late', cause: 'too-old' } as const;
  const change = (said: readonly Concern[], minutes: number) => {
    const { message, ...rest } = changeSince(
      said,
      assessSituation(facts({ status: status(late, { run: run(minutes) }) })),
    );
    return [rest.said, message?.event ?? null];
  };
  expect(change([], 1)).toEqual([[], null]);
  expect(change(['stale'], 1)).toEqual([['stale'], null]);
  expect(change([], 31)).toEqual([['stale'], 'stale']);
});

test('what begins is said, what goes on is not, and so is each end', () => {
  const steps: [said: Concern[], present: Partial<SituationFacts>, event: Concern | 'recovered' | null][] = [
    [[], {}, null],
    [[], { lastRuns: [ended('failed')] }, 'failed'],
    [['failed'], { lastRuns: [ended('failed')] }, null],
    [['failed'], { lastRuns: [ended('failed')], status: status({ state: 'late', cause: 'too-old' }) }, 'stale'],
    [['stale', 'failed'], { lastRuns: [ended('failed')], status: status({ state: 'late', cause: 'too-old' }) }, null],
    [['stale', 'failed'], { lastRuns: [ended('failed')] }, 'recovered'],
    [['stale', 'failed'], {}, 'recovered'],
  ];
  for (const [said, present, event] of steps)
    expect([said, changeSince(said, assessSituation(facts(present))).message?.event ?? null]).toEqual([said, event]);
});

test('a concern that ends is said though another one stays, and which is which', () => {
  const target = { target: 'local', goodAt: now, verifiedAt: now, storedAt: now, proven: null, damaged: 0 } as const;
  const drill = status({ targets: [{ ...target, drill: { at: now, result: 'failed' } }] });
  const texts = ([['stale', 'drill'], ['drill'], ['drill', 'offsite']] as Concern[][]).map((said) => {
    const { message } = changeSince(said, assessSituation(facts({ status: drill })));
    return (
      message && [
        message.event,
        message['ended'],
        message['concerns'],
        String(message['text']).split('\n').slice(0, -1),
      ]
    );
  });
  const still = 'Still open: a failed rehearsal of a restore.';
  expect(texts).toEqual([
    ['recovered', ['stale'], ['drill'], ['Solved: backups that are too old.', still]],
    null,
    ['recovered', ['offsite'], ['drill'], ['Solved: failing uploads.', still]],
  ]);
  const { message } = changeSince(['stale'], assessSituation(facts({ lastRuns: [ended('failed')] })));
  expect(message).toMatchObject({ event: 'failed', ended: ['stale'] });
  expect(message?.['text']).toMatch(/^The backup of .* failed: .*\nSolved: backups that are too old\.\n/);
});

test('a message names no folder, no password and calls nobody', () => {
  const message = 'no space in /srv/app/storage/backups; https://ada:s3cret@s3.example.com/<!channel>';
  const change = changeSince([], assessSituation(facts({ lastRuns: [ended('failed', message)] })));
  const text = JSON.stringify(change.message);
  expect(text).toContain('no space in backups; https://s3.example.com/!channel');
  expect(text).not.toMatch(/srv|s3cret|<|ada:/);
  expect(change.message).toMatchObject({ allowed_mentions: { parse: [] } });
  const inside = ended('failed', 'secret sauce', 'INTERNAL');
  expect(JSON.stringify(changeSince([], assessSituation(facts({ lastRuns: [inside] }))).message)).not.toContain(
    'sauce',
  );
});
