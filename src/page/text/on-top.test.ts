import { expect, test } from 'bun:test';
import type { Backup } from '../../http/contract.ts';
import { keptOnTop, onTopWords } from './on-top.ts';

const megabyte = 1024 * 1024;
const now = Date.parse('2026-11-22T10:34:18.000Z');

function backup(minutesAgo: number, megabytes: number, change: Partial<Backup> = {}): Backup {
  const at = new Date(now - minutesAgo * 60_000).toISOString();
  const size = megabytes * megabyte;
  const known = { target: 'local', status: 'stored', at, error: null, where: '', sizeBytes: size } as const;
  const filename = `backup-${at.replaceAll(/[:.]/g, '-')}.sqlite`;
  // Only these parts of a backup are looked at.
  const made: Partial<Backup> = { filename, size, createdAt: at, placements: [known], other: null, loss: null };
  return { ...made, safety: false, pinned: false, ...change } as Backup;
}

test('safety copies, pinned ones and what an alarm keeps are counted, of this database and on this disk', () => {
  const usedPages = { before: 2, after: 1 };
  const loss = { before: backup(10, 20).filename, dayBefore: null, tables: [], usedPages, accepted: null };
  const onTop = keptOnTop(
    [
      backup(0, 10, { loss }),
      backup(10, 20),
      backup(20, 10),
      backup(30, 40, { safety: true }),
      backup(40, 30, { pinned: true }),
      backup(50, 900, { pinned: true, other: { id: null, name: 'shop.sqlite' } }),
      backup(60, 900, { pinned: true, placements: [] }),
    ],
    now,
  );
  expect(onTop).toEqual({ safety: 1, pinned: 1, kept: 1, bytes: 90 * megabyte });
  expect(onTopWords(onTop)).toEqual(['1 safety copy', '1 pinned backup', '1 backup kept for an alarm']);
  expect(onTopWords(keptOnTop([], now))).toEqual([]);
});
