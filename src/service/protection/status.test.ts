import { expect, test } from 'bun:test';
import { manifestOf } from '../../../tests/support/scratch.ts';
import type { Backup } from '../../engine/catalog/folder-catalog.ts';
import type { ErrorBody } from '../../words/errors.ts';
import { KEEP_NONE } from '../../engine/catalog/retention.ts';
import { type RemoteFacts, toBackupItem } from '../backups/backup-item.ts';
import type { UploadState } from '../state/target-state.ts';
import { composeStatus, type StatusFacts } from './status.ts';
import { settingsWith } from '../../../tests/support/settings.ts';

const now = new Date('2024-03-02T12:00:00Z');
const minutesAgo = (minutes: number) => new Date(now.getTime() - minutes * 60_000);
const unreachable = { code: 'S3_UNREACHABLE', message: 's3.example.com does not answer', hint: 'Wait.' } as const;

function made(
  minutes: number,
  change: Partial<Backup> & { readonly sizeBytes?: number; complaint?: string } = {},
): Backup {
  const { complaint = null, sizeBytes = 8_192, ...rest } = change;
  const createdAt = minutesAgo(minutes);
  const verification = { method: 'quick', at: createdAt.toISOString(), complaint } as const;
  const manifest = manifestOf(createdAt, { sizeBytes, verification });
  return {
    name: manifest.name,
    path: `backups/${manifest.name}`,
    sizeBytes,
    createdAt,
    manifest,
    fault: null,
    ...rest,
  };
}

/**
 * @param s3 what is known of the newest one at S3; null if S3 is off.
 * @param other the same of a further target; left out if there is none.
 */
function compose(
  backups: readonly Backup[],
  s3: Partial<RemoteFacts> | null,
  { other, s3Error = null, ...change }: Partial<StatusFacts> & Other = {},
) {
  const nowhere = { remote: null, upload: undefined, address: 's3://bucket/path' };
  const stored = (name: string) => ({ upload: uploaded(name, 'stored') });
  const remotes = (name: string, isNewest: boolean): RemoteFacts[] => [
    { ...nowhere, target: 's3', isEnabled: s3 !== null, ...(isNewest ? s3 : s3 && stored(name)) },
    ...(other ? [{ ...nowhere, target: 'offsite-eu', isEnabled: true, ...(isNewest ? other : stored(name)) }] : []),
  ];
  const about = {
    bucket: 'bucket',
    path: 'path',
    where: 's3://bucket/path',
    nextTryAt: null,
    error: null,
    listedAt: null,
  };
  return composeStatus({
    ...{
      now,
      backups,
      cron: null,
      nextRunAt: now,
      gapMinutes: { shortest: 10, longest: 10 },
      places: [],
      localPath: 'backups',
      disk: { diskBytes: 1e12, freeBytes: 1e9 },
      retention: { count: 10, startBurstMs: 600_000, keep: KEEP_NONE, byDefault: null },
    },
    settings: settingsWith({ s3Enabled: s3 !== null, s3Path: 'path' }),
    items: backups.map((backup, index) =>
      toBackupItem(backup, {
        ...{ isLocal: true, folder: 'backups', before: null },
        remotes: remotes(backup.name, index === 0),
      }),
    ),
    database: { name: 'shop.sqlite', path: 'shop.sqlite', exists: true, sizeBytes: 8_192, logBytes: 0, changedAt: now },
    targets: [
      { ...about, target: 's3', enabled: s3 !== null, error: s3Error },
      ...(other ? [{ ...about, target: 'offsite-eu', enabled: true }] : []),
    ],
    ...{
      run: null,
      lastRun: null,
      lastBackupRun: null,
      lastUnchangedRun: null,
      drills: () => ({ last: null, proven: null }),
      failedChecks: [],
      shownRestore: null,
      wasBackedUp: true,
      isMissing: false,
      vanished: null,
      unlisted: null,
      undo: null,
      loss: null,
    },
    isUploading: () => false,
    isBusyElsewhere: () => false,
    ...change,
  });
}

interface Other {
  readonly other?: Partial<RemoteFacts>;
  readonly s3Error?: ErrorBody | null;
}

function uploaded(backup: string, status: UploadState['status']): UploadState {
  const about = { backup, at: now };
  if (status === 'stored') return { ...about, status, sealing: 'plain' };
  return status === 'failed' ? { ...about, status, error: unreachable } : { ...about, status };
}
const upload = (status: UploadState['status']) => ({ upload: uploaded('newest', status) });
const listed = (backup: Backup, fault: string | null = null) => ({
  remote: { ...backup, sizeBytes: 8_192, fault, target: 's3', place: '' },
});

const young = made(5);
const busyElsewhere = { isBusyElsewhere: () => true };
const twoWait = {
  ...busyElsewhere,
  items: [young, made(9)].map((backup) => {
    const remote = { target: 's3', isEnabled: true, remote: null, upload: undefined, address: 's3://bucket/path' };
    return toBackupItem(backup, { isLocal: true, folder: 'backups', before: null, remotes: [remote] });
  }),
};
const table: [sentence: string, status: ReturnType<typeof compose>, verdict: string][] = [
  ['verified and young, S3 is off', compose([young], null), 'protected'],
  ['uploaded', compose([young], upload('stored')), 'protected'],
  ['seen at S3 by a listing alone', compose([young], listed(young)), 'protected'],
  ['not uploaded yet', compose([young], {}), 's3-waiting'],
  ['on its way to S3', compose([young], {}, { isUploading: (name) => name === young.name }), 'protected'],
  ['on its way by another process', compose([young], {}, busyElsewhere), 'protected'],
  ['one of two that wait, and another process uploads', compose([young, made(9)], {}, twoWait), 's3-waiting'],
  ['its upload failed, and another process uploads', compose([young], upload('failed'), busyElsewhere), 's3-waiting'],
  ['its upload failed', compose([young], upload('failed')), 's3-waiting'],
  ['its copy on S3 was removed', compose([young], upload('removed')), 's3-waiting'],
  [
    'its copy on S3 is not whole',
    compose([young], { ...upload('stored'), ...listed(young, 'its file is not there') }),
    's3-waiting',
  ],
  [
    'S3 does not answer, and all was uploaded before',
    compose([young], upload('stored'), { s3Error: unreachable }),
    's3-waiting',
  ],
  ['an error of S3 from when it was on', compose([young], null, { s3Error: unreachable }), 'protected'],
  ['stored at both targets', compose([young], upload('stored'), { other: upload('stored') }), 'protected'],
  ['stored at one of two', compose([young], upload('stored'), { other: {} }), 's3-waiting'],
  ['S3 is off, and a further target has it', compose([young], null, { other: upload('stored') }), 'protected'],
  ['nothing is there', compose([], null), 'none'],
  ['only a file without a manifest is there', compose([made(5, { manifest: null })], null), 'none'],
  ['its check found damage', compose([made(5, { complaint: 'row 1 missing' }), made(15)], null), 'damaged'],
  [
    'its file has another size than recorded',
    compose([made(5, { fault: 'the file has 5 bytes' }), made(15)], null),
    'damaged',
  ],
  ['its manifest is unreadable', compose([made(5, { manifest: null, fault: 'not JSON' }), made(15)], null), 'damaged'],
  [
    'a newer file of somebody else is not ours to judge',
    compose([made(1, { manifest: null }), made(15)], null),
    'protected',
  ],
  ['it is 31 minutes old, three intervals of ten', compose([made(31)], null), 'too-old'],
  ['it vanished', compose([made(15)], null, { vanished: young.name }), 'damaged'],
];

for (const [sentence, { verdict }, expected] of table)
  test(`the newest backup: ${sentence}: ${expected}`, () => expect(verdict.code).toBe(expected as typeof verdict.code));

test('growth is from the oldest backup of the day to the newest', () => {
  const growth = (...backups: Backup[]) => compose(backups, null).database.growthBytes;
  expect(growth()).toBeNull();
  expect(growth(made(1_441))).toBeNull();
  expect(growth(made(5))).toBe(0);
  expect(growth(made(5, { sizeBytes: 12_288 }), made(600), made(1_439, { sizeBytes: 4_096 }), made(1_441))).toBe(8_192);
  expect(growth(made(5, { sizeBytes: 4_096 }), made(600))).toBe(-4_096);
});

test('a backup counts as too old after the longest planned gap and two that did not come', () => {
  const limit = (shortest: number, longest: number) =>
    compose([], null, { gapMinutes: { shortest, longest } }).maxAgeMinutes;
  expect([limit(1, 1), limit(10, 10), limit(60, 960)]).toEqual([15, 30, 1_080]);
});
