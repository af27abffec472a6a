import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { manifestOf } from '../../../tests/support/scratch.ts';
import { judgePlace, NO_IDENTITY, otherOf, type Ownership } from './identity.ts';
import { toRecord } from './own-folder.ts';
import { planOwnRetention } from './own-retention.ts';
import type { RetentionPolicy } from './retention.ts';
import { selfOf } from '../writer/self.ts';

const now = new Date('2024-03-01T12:00:00Z');
const policy: RetentionPolicy = { count: 1, startBurstMs: 1 };
const self = { ...selfOf('/srv/shop.sqlite'), databaseId: 'shop-id' };
const ours = judgePlace('folder', { ...NO_IDENTITY, record: toRecord('shop-id', self, now) }, self, []);

function backup(minutesAgo: number, { name = 'shop.sqlite', databaseId }: { name?: string; databaseId?: string } = {}) {
  const createdAt = new Date(now.getTime() - minutesAgo * 60_000);
  const source = { name, journalMode: 'wal' };
  const manifest = manifestOf(createdAt, databaseId === undefined ? { source } : { source, databaseId });
  return { name: manifest.name, createdAt, manifest, fault: null };
}

const removedOf = (backups: readonly ReturnType<typeof backup>[], ownership: Ownership | null) =>
  planOwnRetention(backups, policy, { now, ownership }).removed.map((entry) => entry.backup);

test('backups of another database are no part of the plan: they take nobody’s place, and stay', () => {
  const [newer, older] = [backup(2), backup(4)];
  const others = [backup(1, { name: 'blog.sqlite' }), backup(3, { databaseId: 'blog-id' })];
  const [first, second] = others;
  if (!first || !second) throw new Error('both are there');
  const plan = planOwnRetention([first, newer, second, older], policy, { now, ownership: ours });
  expect(plan.removed.map((entry) => entry.backup)).toEqual([older]);
  expect(plan.kept.map((entry) => entry.reasons[0])).toEqual([
    'of another database: blog.sqlite',
    'newest verified backup',
    'of another database: shop.sqlite',
  ]);
  // Without a database to ask for, all are.
  expect(removedOf([first, newer, second, older], null)).toEqual([newer, second, older]);
});

test('what may be another’s, what a claim took over, and what was forgotten is held, each with its reason', () => {
  const backups = [backup(1, { databaseId: 'shop-id' }), backup(2, { databaseId: 'shop-id' }), backup(3)];
  const mixed: Ownership = { ...ours, owner: 'mixed', isInseparable: true };
  expect(removedOf(backups, mixed)).toEqual(backups.slice(1, 2));
  const spares = { from: new Date(now.getTime() - 90_000), until: new Date(now.getTime() + 1_000) };
  expect(removedOf(backups, { ...ours, spares })).toEqual([]);
  expect(removedOf(backups, { ...ours, spares: { ...spares, until: now } })).toEqual(backups.slice(1));
  const isForgotten = (name: string) => name === backups[1]?.name;
  const plan = planOwnRetention(backups, policy, { now, ownership: ours, isForgotten });
  expect(plan.removed.map((entry) => entry.backup)).toEqual(backups.slice(2));
  expect(plan.kept.at(-1)?.reasons[0]).toContain('does not remember it');
});

test('whatever lies in a place, only backups of this database are removed, and one good one of it stays', () => {
  const any = fc.record({
    minutes: fc.integer({ min: 1, max: 500 }),
    name: fc.constantFrom('shop.sqlite', 'blog.sqlite'),
    databaseId: fc.constantFrom('shop-id', 'blog-id', undefined),
  });
  fc.assert(
    fc.property(fc.uniqueArray(any, { maxLength: 20, selector: ({ minutes }) => minutes }), (drawn) => {
      const backups = drawn
        .toSorted((a, b) => a.minutes - b.minutes)
        .map(({ minutes, name, databaseId }) => backup(minutes, databaseId ? { name, databaseId } : { name }));
      const removed = removedOf(backups, ours);
      for (const one of removed) expect(otherOf(ours, one)).toBeNull();
      const own = backups.filter((one) => otherOf(ours, one) === null);
      expect(removed).toEqual(own.slice(1));
    }),
    { seed: 20_240_403, numRuns: 300 },
  );
});
