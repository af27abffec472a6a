import { expect, test } from 'bun:test';
import type { PlaceStatus } from '../targets/shown-place.ts';
import { plainHostOf } from '../../engine/store/s3/kind.ts';
import { s3Words } from '../../engine/store/s3/words.ts';
import type { DoctorFacts } from './facts.ts';
import { findAll, isOfWeight } from './findings.ts';
import { settingsWith } from '../../../tests/support/settings.ts';

const now = new Date('2024-03-01T12:00:00Z');
const MIB = 1024 ** 2;
const local = { target: 'local', goodAt: now, verifiedAt: now, storedAt: now, damaged: 0 } as const;
const proven = { at: now, ms: 3_200, backup: 'backup-2024-03-01T11-00-00-000Z.sqlite' };
const drilled = (result: 'proven' | 'sealed' | 'failed') => ({ at: now, result });
const error = { code: 'DB_BUSY', message: 'db/dev.sqlite was locked', hint: 'End that.' } as const;

const writer = (kind: 'other' | 'clone') => ({ kind, host: 'staging', since: now, seenAt: now });
const place = (change: Partial<PlaceStatus>): PlaceStatus => ({
  ...{ target: 's3', owner: 'ours', other: null, writer: null, sparesOthersUntil: null },
  ...change,
});

/** An app with nothing to complain about. */
const well: DoctorFacts = {
  now,
  sqlite: { sqlite: '3.54.1', hasWalResetBug: false, missesLostLocks: false },
  database: {
    ...{ path: 'db/dev.sqlite', device: 1, fileSystem: 'ext4', exists: true, isLost: false, sizeBytes: 100 * MIB },
    walBytes: 4 * MIB,
    ...{ journalMode: 'wal', replicators: [], complaint: null, doubts: [] },
  },
  folder: {
    ...{
      path: 'storage/backups',
      device: 2,
      fileSystem: 'xfs',
      mode: 0o40700,
      isWritable: true,
      openFiles: 0,
      isShared: false,
      complaint: null,
    },
    ...{ count: 10, freeBytes: 10_000 * MIB, fitting: null },
  },
  state: { path: 'storage/state.sqlite', mode: 0o100600 },
  openSecrets: [],
  settingsComplaint: null,
  credentialsComplaint: null,
  setUpConflicts: [],
  setAside: [],
  servedAs: null,
  unmergedBytes: [0, 0, 0],
  newestAt: now,
  loss: null,
  stalledSince: null,
  remarks: [],
  settings: settingsWith({ keepHourly: 24, keepDaily: 7 }),
  gapMinutes: { shortest: 10, longest: 10 },
  door: { host: '127.0.0.1', passwordLength: 20, hasToken: false },
  s3: {
    ...{ isEncrypted: false, isAlsoPublic: false, isOnSameDisk: false, plainHost: null, test: null },
    words: s3Words,
  },
  archived: [],
  targets: [],
  places: [],
  drills: { complaint: null, targets: [{ ...local, proven, drill: drilled('proven') }] },
};

type Change = { readonly [Key in keyof DoctorFacts]?: Partial<DoctorFacts[Key]> | null };

function changed(change: Change): DoctorFacts {
  const merged = Object.entries(change).map(([key, value]) => {
    const base = well[key as keyof DoctorFacts]; // its own keys
    const isRecord = typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date);
    return [key, isRecord && base !== null ? { ...(base as object), ...value } : value];
  });
  return { ...well, ...Object.fromEntries(merged) };
}

/** What is not ok, as `severity code`. */
const told = (change: Change) =>
  findAll(changed(change)).flatMap(({ code, severity }) => (severity === 'ok' ? [] : [`${severity} ${code}`]));

const loss = {
  ...{ filename: 'backup-2', at: now, beforeAt: now, before: 'backup-1', dayBefore: null, accepted: null },
  ...{ tables: [{ name: 'orders', before: 8_310, after: 0 }], usedPages: { before: 300, after: 20 } },
};
const s3On = { ...well.settings, s3Enabled: true };
const encrypted = { isEncrypted: true };

test('a password that is short, an address that is open and a bucket without https are told', () => {
  const door = (change: object) => told({ door: { ...well.door, ...change } as DoctorFacts['door'] });
  expect(door({ passwordLength: 7 })).toEqual(['problem password']);
  expect([door({ passwordLength: 8 }), door({ passwordLength: 14 })]).toEqual([['info password'], ['info password']]);
  expect([door({ passwordLength: 15 }), door({ passwordLength: null })]).toEqual([[], []]);
  expect([door({ host: '0.0.0.0' }), door({ host: '::' }), door({ host: '192.0.2.1' })]).toEqual([
    ...[['info open-address'], ['info open-address'], ['info open-address']],
  ]);
  for (const host of ['localhost', '127.0.0.1', '127.9.9.9', '::1']) expect([host, door({ host })]).toEqual([host, []]);
  // Then it does not start.
  expect(door({ host: '0.0.0.0', passwordLength: null })).toEqual([]);
  const plain = { plainHost: 'minio' };
  expect(told({ s3: plain, settings: s3On })).toContain('warning plain-http');
  expect(told({ s3: { ...plain, ...encrypted }, settings: s3On })).toContain('info plain-http');
  expect(told({ s3: plain })).toEqual([]);
  for (const [endpoint, host] of [
    ['http://minio:9000', 'minio'],
    ['http://192.0.2.1', '192.0.2.1'],
    ['http://localhost:9000', null],
    ['http://127.0.0.1:9000', null],
    ['http://[::1]:9000', null],
    ['https://s3.example.com', null],
    [null, null],
  ] as const)
    expect([endpoint, plainHostOf(endpoint)]).toEqual([endpoint, host]);
});

test('where all is well each finding says so, and nobody has to act', () => {
  const findings = findAll(well);
  expect(findings.length).toBeGreaterThan(15);
  expect(findings.every(({ severity, why, fix }) => severity === 'ok' && why === null && fix === null)).toBe(true);
  expect(new Set(findings.map(({ code }) => code)).size).toBe(findings.length);
});

const table: readonly [string, Change, readonly string[]][] = [
  ['much was lost', { loss }, ['problem loss']],
  ['the check has remarks', { remarks: ['2 rows of orders break the rule CHECK'] }, ['info check']],
  ['the database is missing', { database: { exists: false, journalMode: null } }, ['problem database']],
  ['the database is lost', { database: { exists: false, isLost: true, journalMode: null } }, ['problem database']],
  ['the database can not be opened', { database: { complaint: error, journalMode: null } }, ['problem database']],
  ['SQLite has the WAL-reset bug', { sqlite: { sqlite: '3.51.2', hasWalResetBug: true } }, ['warning sqlite-version']],
  ['SQLite misses lost locks', { sqlite: { sqlite: '3.50.7', missesLostLocks: true } }, ['info sqlite-locks']],
  [
    'others may not share the log',
    { database: { doubts: [{ kind: 'file-mount', what: 'it is', why: 'so', fix: 'this' }] } },
    ['warning sharing'],
  ],
  ['the database is in rollback mode', { database: { journalMode: 'delete' } }, ['warning journal-mode']],
  [
    'a reader holds the log',
    { unmergedBytes: [90 * MIB, 70 * MIB], database: { walBytes: 16 * MIB } },
    ['warning wal-size'],
  ],
  ['a reader left and the log was emptied', { unmergedBytes: [90 * MIB, 70 * MIB], database: { walBytes: 0 } }, []],
  ['one backup met a reader', { unmergedBytes: [90 * MIB] }, []],
  ['a reader has gone', { unmergedBytes: [0, 90 * MIB, 70 * MIB] }, []],
  ['the log was large once', { database: { walBytes: 64 * MIB } }, ['info wal-size']],
  ['Litestream is there', { database: { replicators: ['.dev.sqlite-litestream'] } }, ['warning replication']],
  ['the database is on NFS', { database: { fileSystem: 'nfs4' } }, ['problem database-disk']],
  ['the system tells no file system', { database: { fileSystem: null }, folder: { fileSystem: null } }, []],
  ['the backups are in memory', { folder: { fileSystem: 'tmpfs' } }, ['problem folder-disk']],
  ['the backups are in a container', { folder: { fileSystem: 'overlay' } }, ['warning folder-disk']],
  ['the backups are on CIFS', { folder: { fileSystem: 'cifs' } }, ['info folder-disk']],
  ['one disk has all', { folder: { device: 1 } }, ['warning same-disk']],
  ['one disk has all, and S3', { folder: { device: 1 }, settings: s3On, s3: encrypted }, []],
  ['the next backup does not fit', { folder: { freeBytes: 110 * MIB } }, ['problem free-disk']],
  ['retention comes too late', { folder: { freeBytes: 900 * MIB, count: 0 } }, ['warning free-disk']],
  [
    'what is kept for months does not fit',
    { folder: { freeBytes: 4_500 * MIB }, settings: { keepMonthly: 24 } },
    ['warning free-disk'],
  ],
  ['the backups can not be listed', { folder: { complaint: error } }, ['problem permissions']],
  ['the folder can not be made', { folder: { mode: null, isWritable: false } }, ['problem permissions']],
  ['the database is shared by a virtual machine', { database: { fileSystem: 'virtiofs' } }, ['problem database-disk']],
  ['there is no room for a restore', { folder: { freeBytes: 300 * MIB } }, ['warning free-disk']],
  [
    'the newest copy waits in an archive',
    { archived: [{ word: 'S3', storageClass: 'GLACIER', takes: '3 to 12 hours' }] },
    ['warning archive'],
  ],
  ['settings can not be read', { settingsComplaint: 'EACCES' }, ['problem settings-file']],
  ['credentials can not be used', { credentialsComplaint: 'EACCES' }, ['problem credentials-file']],
  ['a bucket of the page is a target of the app', { setUpConflicts: ['both are one place'] }, ['problem set-up']],
  ['a file was set aside', { setAside: ['.staging.unusable-12345678'] }, ['info set-aside']],
  ['others may enter the folder', { folder: { mode: 0o40755 } }, ['warning permissions']],
  ['others may write in the folder', { folder: { mode: 0o41777 } }, ['problem permissions']],
  ['others may read a secret', { openSecrets: ['/etc/app/s3.key'] }, ['warning secret-files']],
  ['the folder is read-only', { folder: { isWritable: false } }, ['problem permissions']],
  ['a backup bears rights for others', { folder: { openFiles: 1 } }, ['info permissions']],
  ['others may read the state', { state: { mode: 0o100644 } }, ['info state-permissions']],
  ['backups are served', { servedAs: { what: 'backups', folder: 'up', isCertain: true } }, ['problem served']],
  [
    'the state lies in public/',
    { servedAs: { what: 'state', folder: 'public', isCertain: false } },
    ['warning served'],
  ],
  ['the clock went back', { newestAt: new Date(now.getTime() + 6 * 60_000) }, ['warning clock']],
  ['there is no backup yet', { newestAt: null }, []],
  ['the schedule is off', { settings: { enabled: false } }, ['warning schedule']],
  ['each backup is late', { settings: { maxAgeMinutes: 10 } }, ['warning max-age']],
  [
    'the age limit forgets the night',
    { settings: { maxAgeMinutes: 60 }, gapMinutes: { longest: 960 } },
    ['warning max-age'],
  ],
  ['backups go back an hour', { settings: { keepHourly: 0, keepDaily: 0 } }, ['info history']],
  ['there is no room for the default', { folder: { fitting: 0 } }, ['info history']],
  ['there is room for some of the default', { folder: { fitting: 1 } }, []],
  [
    'the default fits, and the disk does not',
    { folder: { fitting: 35, count: 0, freeBytes: 4_500 * MIB } },
    ['warning free-disk'],
  ],
  ['the default finds little room', { folder: { fitting: 2, count: 0, freeBytes: 1_300 * MIB } }, []],
  ['hours are kept of a daily backup', { gapMinutes: { shortest: 1_440, longest: 1_440 } }, ['info keep']],
  [
    'the default meets a daily backup',
    { gapMinutes: { shortest: 1_440, longest: 1_440 }, folder: { fitting: 35 } },
    [],
  ],
  ['keys are set and S3 is off', { s3: encrypted }, ['warning encryption']],
  ['S3 is on without keys', { settings: s3On }, ['info encryption']],
  ['the bucket is public', { settings: s3On, s3: { ...encrypted, isAlsoPublic: true } }, ['warning bucket']],
  ['the assertions are gone', { drills: { complaint: error } }, ['problem drills']],
  ['a drill failed', { drills: { targets: [{ ...local, proven, drill: drilled('failed') }] } }, ['problem drills']],
  ['another machine writes there', { places: [place({ writer: writer('other') })] }, ['problem writers']],
  ['a clone wants to write there', { places: [place({ writer: writer('clone') })] }, ['problem writers']],
  ['the place was just taken over', { places: [place({ sparesOthersUntil: now })] }, ['info writers']],
  ['nobody else writes there', { places: [place({})] }, []],
  [
    'a stored backup is damaged',
    { drills: { targets: [{ ...local, proven, drill: drilled('proven'), damaged: 2 }] } },
    ['problem damaged-backups'],
  ],
  ['nobody ever drilled', { drills: { targets: [{ ...local, proven: null, drill: null }] } }, ['info drills']],
];
for (const [name, change, expected] of table) {
  test(`${name}: ${expected.join(', ') || 'nothing'}`, () => {
    expect(told(change)).toEqual([...expected]);
    for (const { severity, why, fix } of findAll(changed(change)))
      expect([why, fix].every((text) => (text === null) === (severity === 'ok'))).toBe(true);
  });
}

test('what the test of the bucket found is told with it, the worst first', () => {
  const report = { target: 's3', place: 'bucket', ok: false, ms: 1, policy: null } as const;
  const s3 = {
    ...encrypted,
    test: {
      ...report,
      findings: [
        { check: 'write', result: 'ok', message: 'written', hint: null },
        { check: 'create-only', result: 'warning', message: 'ignored', hint: 'Use one prefix each.' },
        { check: 'private', result: 'failed', message: 'the bucket is public', hint: 'Close it now.' },
      ],
    },
  } as const;
  const findings = findAll(changed({ settings: s3On, s3 }));
  expect(findings.slice(0, 2)).toEqual([
    {
      ...{ code: 's3-private', severity: 'problem', what: 'on S3: the bucket is public', fix: 'Close it now.' },
      why: 'Backups contain everything that the database contains.',
    },
    {
      ...{ code: 's3-create-only', severity: 'warning', what: 'on S3: ignored', fix: 'Use one prefix each.' },
      why: 'Uploads, restores or retention rely on it.',
    },
  ]);
  expect(findings.filter(isOfWeight)).toHaveLength(2);
});
