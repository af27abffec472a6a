import { expect, test } from 'bun:test';
import type { Backup } from '../../http/contract.ts';
import { densityOf, fitsFilter, foldSafety, foldWords, historyChips } from './history-days.ts';

const zone = 'Europe/Berlin';
const now = Date.parse('2026-11-22T14:00:00Z');

function made(minutes: number, change: Partial<Backup> = {}, targets: readonly string[] = ['local', 's3']): Backup {
  const createdAt = new Date(now - minutes * 60_000).toISOString();
  const copy = { status: 'stored', at: createdAt, error: null, where: null, sizeBytes: null } as const;
  return {
    ...{ filename: `b${minutes}`, size: 14_889_984, createdAt, trigger: 'schedule', user: null, verified: true },
    verification: { state: 'verified', method: 'quick', at: createdAt, content: [], unchecked: [], remarks: [] },
    ...{ foreign: false, pinned: false, note: null, safety: false, sha256: null, pages: null, pageSize: null },
    ...{ other: null, rows: null, changes: null, loss: null },
    placements: targets.map((target) => ({ ...copy, target })),
    ...change,
  };
}
const safety = (minutes: number, change: Partial<Backup> = {}) => made(minutes, { safety: true, ...change });
const every = (minutes: number, count: number) => Array.from({ length: count }, (_, index) => made(index * minutes));

test('chips are those that show something, with how many', () => {
  const backups = [
    ...[made(1), made(2, { pinned: true, note: 'before the move' }), made(3, {}, ['s3']), made(4, {}, ['s3'])],
    safety(5, { note: 'before restore' }),
  ];
  expect(historyChips(backups).map(({ label, count }) => `${label} ${count}`)).toEqual([
    ...['All 5', 'Pinned 1', 'Safety copies 1', 'Marked 1', 'Only in S3 2'],
  ]);
  expect(historyChips([made(1)]).map(({ id }) => id)).toEqual(['all']);
  expect(historyChips([made(1, {}, ['s3']), made(2, {}, ['offsite'])]).at(-1)?.label).toBe('Only elsewhere');
  expect(historyChips([made(1, {}, ['folder'])]).at(-1)?.label).toBe('Only in the second folder');
  const waiting = made(1, { placements: [{ ...made(1).placements[1], status: 'waiting' } as Backup['placements'][0]] });
  expect(fitsFilter(waiting, 'elsewhere')).toBe(false);
});

test('a day says its rhythm if it has one', () => {
  expect(densityOf(every(60, 5))).toBe('one per hour');
  expect(densityOf(every(10, 9))).toBe('one every 10 min');
  expect(densityOf(every(1, 9))).toBe('one per minute');
  expect(densityOf(every(240, 6))).toBe('one every 4 hours');
  expect(densityOf(every(60, 3))).toBeNull();
  // Half of the day is thinned.
  expect(densityOf([...every(10, 6), ...[120, 180, 240, 300].map((minutes) => made(minutes))])).toBeNull();
  expect(densityOf([...every(60, 5), safety(1), safety(2), made(3, { pinned: true })])).toBe('one per hour');
});

test('safety copies that follow each other are folded; one alone, and a pinned one, are rows', () => {
  const names = (backups: readonly Backup[]) =>
    foldSafety(backups.map((backup) => ({ backup }))).map((item) =>
      'folded' in item ? item.folded.map(({ backup }) => backup.filename) : item.backup.filename,
    );
  expect(names([made(1), safety(2), safety(3), made(4), safety(5)])).toEqual(['b1', ['b2', 'b3'], 'b4', 'b5']);
  expect(names([safety(1), safety(2, { pinned: true }), safety(3), safety(4)])).toEqual(['b1', 'b2', ['b3', 'b4']]);
  expect(names([])).toEqual([]);
});

test('a fold says how many, when, how much, and until when', () => {
  const folded = [51, 54, 56, 58].map((minutes) => ({ backup: safety(minutes) }));
  expect(foldWords(folded, { zone, now })).toEqual({
    title: '4 safety copies',
    more: '14:02 to 14:09 · 56.8 MB · made before a restore · removed on 22 December',
  });
});
