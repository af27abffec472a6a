/**
 * The canned states in which somebody has to decide: the database is gone, it lost much, a place is another database's,
 * another machine writes there. And what each backup holds in rows, as verification counts them.
 */
import type { Backup, BackupDiff, RestorePlan, Status } from '../../src/http/contract.ts';

export const alarmStates = [
  'missing',
  /** No good backup is known either. */
  'missing-none',
  'loss',
  /** The folder is another database's, and all facts say so. */
  'foreign-place',
  /** The folder is of the same name and tables at another path: the facts disagree. */
  'foreign-moved',
  /** S3 is another database's; the folder is ours. */
  'foreign-s3',
  'other-writer',
  'cloned',
] as const;
export type AlarmState = (typeof alarmStates)[number];

export const isAlarm = (state: string): state is AlarmState => alarmStates.some((known) => known === state);

/** What an alarm says of the whole; the rest of the status is as ever. */
export interface Alarm {
  verdict: Status['verdict'];
  exists: boolean;
  loss: Status['loss'];
  places: Status['places'];
}

const minuteMs = 60_000;
const dayMs = 24 * 60 * minuteMs;
const megabyte = 1024 * 1024;
const shop = { id: '7d0c1f6e-5a0b-4f43-9e59-3b9f4a7f2c11', name: 'shop.sqlite' };
const ours = (target: string): Status['places'][number] => ({
  target,
  owner: 'ours',
  other: null,
  writer: null,
  sparesOthersUntil: null,
});

export const noAlarm = (): Pick<Alarm, 'exists' | 'loss' | 'places'> => ({
  exists: true,
  loss: null,
  places: [ours('local'), ours('s3')],
});

/** Changes the usual backups into those of the state, and says what holds. */
export function raiseAlarm(
  state: AlarmState,
  backups: Backup[],
  { last, make }: { last: number; make: (time: number, bytes: number) => Backup },
): Alarm {
  const base = noAlarm();
  switch (state) {
    case 'missing':
    case 'missing-none':
      if (state === 'missing-none') backups.splice(0);
      return { ...base, exists: false, verdict: { code: 'missing', tone: 'red' } };
    case 'loss':
      return { ...base, ...loseOrders(backups, { last, make }), verdict: { code: 'loss', tone: 'red' } };
    case 'foreign-place':
    case 'foreign-moved': {
      const isMoved = state === 'foreign-moved';
      const other = isMoved ? { ...shop, name: 'dev.sqlite' } : shop;
      for (const backup of backups) backup.other = other;
      const facts = isMoved
        ? { isSameName: true, isSamePath: false, isSameMachine: null, tablesInCommon: { common: 42, theirs: 42 } }
        : { isSameName: false, isSamePath: false, isSameMachine: true, tablesInCommon: { common: 0, theirs: 42 } };
      return { ...base, places: [foreign('local', { other, last, ...facts })], verdict: foreignVerdict };
    }
    case 'foreign-s3': {
      const facts = { isSameName: false, isSamePath: false, isSameMachine: false, tablesInCommon: null };
      for (const backup of backups) waitForS3(backup);
      for (let hours = 1; hours < 4; hours++) {
        const backup = make(last - hours * 60 * minuteMs - 7 * minuteMs, 31 * megabyte);
        backups.push({ ...backup, other: shop, placements: backup.placements.slice(1) });
      }
      backups.sort((a, b) => (a.createdAt < b.createdAt ? 1 : -1));
      return {
        ...base,
        places: [ours('local'), foreign('s3', { other: shop, last, ...facts })],
        verdict: foreignVerdict,
      };
    }
    case 'other-writer':
    case 'cloned': {
      for (const backup of backups.slice(0, 2)) waitForS3(backup);
      const kind = state === 'cloned' ? 'clone' : 'other';
      const writer = {
        kind,
        host: kind === 'clone' ? 'web-1' : 'web-2',
        since: iso(last - 9 * minuteMs),
        seenAt: iso(last + 238_000),
      } as const;
      const code = state;
      return { ...base, places: [ours('local'), { ...ours('s3'), writer }], verdict: { code, tone: 'amber' } };
    }
  }
}

/** What verification counted in each: in a database that grows, what changed since the one before. */
export function countRows(backups: readonly Backup[]): void {
  for (const [index, backup] of backups.entries()) {
    const before = backups[index + 1];
    if (backup.foreign) continue;
    backup.rows ??= 87_426 - index * 140;
    if (before === undefined || before.foreign || backup.changes !== null) continue;
    const tables = [
      { name: 'orders', before: 8_261 - index, after: 8_310 - index },
      { name: 'users', before: 1_203, after: 1_204 },
      { name: 'sessions', before: 380, after: 377 },
    ].slice(0, [3, 2, 0, 3][index % 4]);
    backup.changes = { since: before.filename, count: index % 4 === 3 ? 5 : tables.length, tables };
  }
}

export function diffOf(a: Backup, b: Backup): BackupDiff {
  const isLoss = b.loss !== null;
  const side = (rows: number) => ({ rows, bytes: rows * 120 });
  const many = Array.from({ length: 37 }, (_, index) => ({
    name: `table_${index}`,
    change: 'same' as const,
    before: side(10),
    after: side(10),
  }));
  const differing: BackupDiff['tables'] = isLoss
    ? [
        { name: 'order_items', change: 'rows', before: side(24_901), after: side(0) },
        { name: 'orders', change: 'rows', before: side(8_310), after: side(0) },
        { name: 'audit_log', change: 'rows', before: side(51_908), after: side(51_920) },
      ]
    : [
        { name: 'orders', change: 'rows', before: side(8_261), after: side(8_310) },
        { name: 'price_list', change: 'added', before: null, after: side(40) },
        { name: 'users', change: 'schema', before: side(1_203), after: side(1_204) },
      ];
  return {
    a: a.filename,
    b: b.filename,
    tables: [...differing, ...many],
    isSameSchema: isLoss,
    usedBytes: { before: a.size, after: b.size },
  };
}

/** The plan for a place without a file, and for a backup of another database. */
export function planFor(
  plan: RestorePlan,
  { exists, other }: { exists: boolean; other: Backup['other'] },
): RestorePlan {
  if (!exists) {
    const tables = [
      ...(plan.tables ?? []).map(({ name, after }) => ({ name, now: null, after })),
      { name: 'order_items', now: null, after: 24_901 },
    ];
    return { ...plan, now: null, tables, modes: ['missing', 'offline'], mode: 'missing', undo: false };
  }
  if (other === null) return plan;
  const named = (prefix: string, many: number, rows: { now: number | null; after: number | null }) =>
    Array.from({ length: many }, (_, index) => ({ name: `${prefix}_${index}`, ...rows }));
  return {
    ...plan,
    tables: [...named('ours', 9, { now: 12, after: null }), ...named('theirs', 42, { now: null, after: 200 })],
  };
}

const foreignVerdict = { code: 'foreign-place', tone: 'amber' } as const;

function foreign(
  target: string,
  {
    other,
    last,
    ...facts
  }: { other: typeof shop; last: number } & Pick<
    NonNullable<Status['places'][number]['other']>,
    'isSameName' | 'isSamePath' | 'isSameMachine' | 'tablesInCommon'
  >,
): Status['places'][number] {
  return {
    ...ours(target),
    owner: 'foreign',
    other: {
      ...other,
      ...facts,
      createdAt: iso(last - 28 * dayMs),
      newestBackup: { filename: `backup-${iso(last).replaceAll(/[:.]/g, '-')}.sqlite`, createdAt: iso(last) },
    },
  };
}

function loseOrders(
  backups: Backup[],
  { last, make }: { last: number; make: (time: number, bytes: number) => Backup },
): Pick<Alarm, 'loss'> {
  const [newest, before] = backups;
  if (newest === undefined || before === undefined) return { loss: null };
  const dayBefore = make(last - 10 * minuteMs - dayMs, 13.9 * megabyte);
  backups.splice(
    backups.findIndex(({ createdAt }) => createdAt < dayBefore.createdAt),
    0,
    dayBefore,
  );
  const tables = [
    { name: 'order_items', before: 24_901, after: 0 },
    { name: 'orders', before: 8_310, after: 0 },
  ].reverse();
  const loss = {
    before: before.filename,
    dayBefore: dayBefore.filename,
    tables,
    usedPages: { before: 3_622, after: 2_488 },
    accepted: null,
  };
  const changes = { since: before.filename, count: 2, tables };
  Object.assign(newest, { size: 2_500 * 4096, rows: 54_215, loss, changes });
  return { loss: { ...loss, filename: newest.filename, at: newest.createdAt, beforeAt: before.createdAt } };
}

function waitForS3(backup: Backup): void {
  backup.placements = backup.placements.map((copy) =>
    copy.target === 's3' ? { ...copy, status: 'waiting', at: null, where: null, sizeBytes: null } : copy,
  );
}

const iso = (time: number) => new Date(time).toISOString();
