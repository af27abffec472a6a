import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { manifestOf, scratchFolders } from '../../../tests/support/scratch.ts';
import { Catalog } from './folder-catalog.ts';
import { numberBehind, planNumbers } from './renumber.ts';
import { nextSequence } from './publish.ts';

const numbered = (sequence: number) => ({ manifest: manifestOf(new Date(0), { sequence }) });

const scratch = scratchFolders();
const one = (name: string, sequence: number | null) => ({ name, manifest: { sequence } });
const plan = (...[name, here, there]: Parameters<typeof planNumbers>) => {
  const numbers = planNumbers(name, here, there);
  return numbers && Object.fromEntries(numbers);
};

test('what a target does not hold yet is numbered above what it holds, in its own order', () => {
  const here = [one('d', 5), one('c', 4), one('b', 3), one('a', 2)];
  const there = [one('a', 2), one('lost-2', 9), one('lost-1', 3)];
  expect(plan('b', here, there)).toEqual({ b: 10, c: 11, d: 12 });
  expect(plan('b', here, [one('a', 2)])).toBeNull();
  // Equal is not above.
  expect(plan('b', here, [one('lost', 3)])).toEqual({ b: 4, c: 5, d: 6 });
  // One that is far above already stays.
  expect(plan('b', [one('c', 400), one('b', 3)], [one('lost', 9)])).toEqual({ b: 10 });
});

test('a backup that comes late keeps its number, and so does one that has none', () => {
  const here = [one('c', 4), one('b', 3), one('a', 2)];
  expect(plan('b', here, [one('c', 4), one('a', 2), one('gone', 9)])).toBeNull();
  expect(plan('b', here, [one('b', 3), one('gone', 9)])).toBeNull();
  expect(plan('adopted', [one('adopted', null)], [one('lost', 9)])).toBeNull();
});

test('the next number is above all that is known, and not below the clock', () => {
  const at = (seconds: number) => new Date(seconds * 1_000);
  expect(nextSequence([], at(100))).toBe(100);
  expect(nextSequence([numbered(250)], at(100))).toBe(251);
  expect(nextSequence([numbered(250)], at(100), 900)).toBe(901);
  expect(nextSequence([numbered(250)], at(5_000), 900)).toBe(5_000);
  expect(nextSequence([], at(-5))).toBe(1);
  expect(nextSequence([numbered(Number.MAX_SAFE_INTEGER)], at(1))).toBe(Number.MAX_SAFE_INTEGER);
});

test('in the folder the numbers are changed in their manifests, and the order stays', async () => {
  const catalog = new Catalog(scratch());
  const names: string[] = [];
  for (const sequence of [2, 3, 4]) {
    const manifest = manifestOf(new Date(Date.UTC(2024, 0, sequence)), { sequence });
    writeFileSync(join(catalog.folder, manifest.name), Buffer.alloc(8192));
    await catalog.writeManifest(manifest);
    names.unshift(manifest.name);
  }
  const options = { ours: () => catalog.list(), signal: new AbortController().signal };
  expect(await numberBehind(catalog, names[1] ?? '', [one(names[2] ?? '', 2), one('lost', 70)], options)).toBe(2);
  const after = await catalog.list();
  expect(after.map(({ name }) => name)).toEqual(names);
  expect(after.map(({ manifest }) => manifest?.sequence)).toEqual([72, 71, 2]);
  expect(await numberBehind(catalog, names[0] ?? '', [one('lost', 70)], options)).toBe(0);
});

test('whatever is where, an upload ends above all that the target held, and nothing here changes places', () => {
  const numbers = fc.uniqueArray(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(numbers, numbers, fc.nat({ max: 7 }), (mine, theirs, stored) => {
      const here = mine.toSorted((a, b) => b - a).map((sequence, index) => one(`h${mine.length - index}`, sequence));
      const isStored = here.toReversed().slice(0, Math.min(stored, here.length - 1));
      const there = [...isStored, ...theirs.map((sequence) => one(`t${sequence}`, sequence))];
      const next = here[here.length - 1 - isStored.length];
      if (!next) return;
      const planned = planNumbers(next.name, here, there) ?? new Map<string, number>();
      const after = here.map(({ name, manifest }) => planned.get(name) ?? manifest.sequence ?? 0);
      expect(after).toEqual(after.toSorted((a, b) => b - a));
      expect(new Set(after).size).toBe(after.length);
      const highest = Math.max(...there.map(({ manifest }) => manifest.sequence ?? 0));
      expect(planned.get(next.name) ?? next.manifest.sequence ?? 0).toBeGreaterThan(highest);
    }),
    { seed: 20_240_402, numRuns: 500 },
  );
});
