/** Every chooser has its rules in one table: which copies each purpose takes, and what becomes of the others. */
import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { manifestOf } from '../../../tests/support/scratch.ts';
import type { Manifest } from '../format/manifest.ts';
import { inOrder } from '../catalog/folder-catalog.ts';
import { nameBackup } from '../format/names.ts';
import type { RestorePoint } from '../../words/restore-point.ts';
import { oneOfEach, planRestore, type PlannedCopy, type PlannedPlace, type RestoreWish, replacedBy } from './plan.ts';

const now = new Date('2024-03-01T12:00:00Z');
const moment = (minutesAgo: number) => new Date(now.getTime() - minutesAgo * 60_000);
const nameOf = (minutesAgo: number) => nameBackup(moment(minutesAgo));

/** Made so many minutes ago; without a manifest where that is null. */
function copy(
  minutesAgo: number,
  { manifest, ...rest }: Partial<Omit<PlannedCopy, 'manifest'>> & { readonly manifest?: Partial<Manifest> | null } = {},
): PlannedCopy {
  const createdAt = moment(minutesAgo);
  const known = manifestOf(createdAt, { sequence: 10_000 - minutesAgo, ...manifest });
  return { name: known.name, createdAt, fault: null, manifest: manifest === null ? null : known, ...rest };
}

const encryption = (kind: 'none' | 'age') => ({ ...manifestOf(now).artifact, encryption: kind });
type Change = NonNullable<Parameters<typeof copy>[1]>;
const kinds = {
  good: () => ({}),
  safety: () => ({ manifest: { trigger: 'safety', replacedBy: 'backup-b' } }),
  'safety of an older version': () => ({ manifest: { trigger: 'safety' } }),
  'failed check': () => ({ manifest: { verification: { method: 'quick', at: '', complaint: 'page 3 is torn' } } }),
  'other size': () => ({ fault: 'it has another size than recorded' }),
  'no manifest': () => ({ manifest: null }),
  'changed since': () => ({ changedAt: now }),
  archived: () => ({ archive: 'GLACIER' }),
  plain: () => ({ manifest: { artifact: encryption('none') } }),
  others: () => ({ other: { name: 'blog.sqlite' } }),
} as const satisfies Record<string, () => Change>;
type Kind = keyof typeof kinds;
const of = (kind: Kind, minutesAgo: number) => copy(minutesAgo, kinds[kind]());

const place = (target: string, ...copies: PlannedCopy[]): PlannedPlace<PlannedCopy> => ({
  ...{ target, word: target === 's3' ? 'S3' : target, copies },
});
const plan = (wish: Partial<RestoreWish>, ...places: PlannedPlace<PlannedCopy>[]) =>
  planRestore({ point: { latest: true }, purpose: 'restore', ...wish }, places, { now });
const chosen = (wish: Partial<RestoreWish>, ...places: PlannedPlace<PlannedCopy>[]) => {
  const found = plan(wish, ...places).chosen;
  return found && `${Math.round((now.getTime() - found.copy.createdAt.getTime()) / 60_000)} ${found.target}`;
};

const wishes = {
  latest: {},
  at: { point: { at: now } },
  'first boot': { purpose: 'first-boot' },
  drill: { purpose: 'drill' },
  'known good': { purpose: 'known-good' },
  undo: { purpose: 'undo' },
} as const satisfies Record<string, Partial<RestoreWish>>;

// The newest of each kind, at a target whose copies are to be encrypted: `-` where it is passed over for the one before it.
const table: Record<Kind, Record<keyof typeof wishes, 'taken' | '-'>> = {
  good: { latest: 'taken', at: 'taken', 'first boot': 'taken', drill: 'taken', 'known good': 'taken', undo: '-' },
  safety: { latest: '-', at: 'taken', 'first boot': '-', drill: '-', 'known good': '-', undo: 'taken' },
  'safety of an older version': {
    latest: '-',
    at: 'taken',
    'first boot': '-',
    drill: '-',
    'known good': '-',
    undo: '-',
  },
  'failed check': { latest: '-', at: '-', 'first boot': '-', drill: 'taken', 'known good': '-', undo: '-' },
  'other size': { latest: '-', at: '-', 'first boot': '-', drill: 'taken', 'known good': '-', undo: '-' },
  'no manifest': { latest: '-', at: 'taken', 'first boot': '-', drill: '-', 'known good': '-', undo: '-' },
  'changed since': {
    latest: 'taken',
    at: 'taken',
    'first boot': 'taken',
    drill: 'taken',
    'known good': '-',
    undo: '-',
  },
  archived: { latest: 'taken', at: 'taken', 'first boot': 'taken', drill: '-', 'known good': 'taken', undo: '-' },
  plain: { latest: 'taken', at: 'taken', 'first boot': '-', drill: '-', 'known good': 'taken', undo: '-' },
  others: { latest: '-', at: '-', 'first boot': '-', drill: '-', 'known good': '-', undo: '-' },
};

for (const kind of Object.keys(kinds) as Kind[])
  for (const [purpose, wish] of Object.entries(wishes) as [keyof typeof wishes, Partial<RestoreWish>][])
    test(`${purpose}: the newest is ${kind}, ${table[kind][purpose] === 'taken' ? 'and taken' : 'and the one before is taken'}`, () => {
      const older =
        purpose === 'undo' ? of('safety', 9) : { ...copy(9, { manifest: { artifact: encryption('age') } }) };
      const newest = of(kind, 3);
      const sealed = { ...newest, manifest: newest.manifest && { ...newest.manifest, artifact: encryption('age') } };
      const s3 = { ...place('s3', kind === 'plain' ? newest : sealed, older), isSealed: true };
      expect(chosen(wish, s3)).toBe(table[kind][purpose] === 'taken' ? '3 s3' : '9 s3');
    });

test('a name is looked up as it is: good or not, ours or not, the copy in the folder first', () => {
  const point = { backup: nameOf(3) };
  for (const kind of Object.keys(kinds) as Kind[])
    expect([kind, chosen({ point }, place('local', of(kind, 3), copy(1)))]).toEqual([kind, '3 local']);
  expect(chosen({ point }, place('s3', copy(3)), place('local', of('failed check', 3)))).toBe('3 local');
  expect(chosen({ point }, place('s3', copy(2)))).toBe(null);
});

test('of several targets the one that can be relied on is taken: not refused, good, at hand, without trouble', () => {
  const point = { backup: nameOf(3) };
  const good = place('good', copy(3));
  const worse: PlannedPlace<PlannedCopy>[] = [
    { ...place('sealed', of('plain', 3)), isSealed: true },
    place('damaged', of('failed check', 3)),
    place('archive', of('archived', 3)),
    { ...place('troubled', copy(3)), hadError: true },
  ];
  for (const bad of worse) expect(chosen({ point }, bad, good)).toBe('3 good');
  for (const [index, bad] of worse.entries())
    expect(chosen({ point }, ...worse.slice(0, index + 1))).toBe(`3 ${bad.target}`);
  expect(chosen({ point, allowPlain: true }, ...worse.slice(0, 2))).toBe('3 sealed');
});

test('a moment means the newest that is not later, by number even if a clock went back', () => {
  const backups = place('local', copy(1), copy(5), copy(9));
  expect(chosen({ point: { at: moment(5) } }, backups)).toBe('5 local');
  expect(chosen({ point: { at: moment(6) } }, backups)).toBe('9 local');
  expect(chosen({ point: { at: moment(10) } }, backups)).toBe(null);
  const jumped = copy(8, { manifest: { sequence: 20_000 } });
  expect(chosen({ point: { at: moment(5) } }, place('local', copy(1), copy(5), jumped))).toBe('8 local');
});

test('a moment that is yet to come is said to be so', () => {
  const later = { at: new Date(now.getTime() + 1) };
  expect(plan({ point: later }, place('local', copy(1))).warnings).toEqual(['The requested moment is in the future.']);
  expect(plan({ point: { at: now } }, place('local', copy(1))).warnings).toEqual([]);
});

test('the copy in the folder stands for its backup, and a damaged one is told', () => {
  const torn = of('failed check', 3);
  const { warnings, considered } = plan({}, place('local', torn, copy(9)), place('s3', copy(3), copy(9)));
  expect(chosen({}, place('local', torn, copy(9)), place('s3', copy(3), copy(9)))).toBe('9 local');
  expect(warnings).toEqual([`${nameOf(3)} is newer and was passed over: page 3 is torn.`]);
  expect(considered.map(({ target, passedOver }) => [target, passedOver?.reason])).toEqual([
    ['local', 'damaged'],
    ['s3', 'other-copy'],
    ['local', undefined],
    ['s3', 'other-copy'],
  ]);
  const many = plan({}, place('local', of('no manifest', 1), torn, of('safety', 5), copy(9))).warnings;
  expect(many).toEqual([
    `${nameOf(1)} is newer and was passed over: it has no manifest, so nobody knows whether it is complete. So were 1 more.`,
  ]);
});

test('what is at a silent target alone is left out, and told', () => {
  const silent = { ...place('s3', copy(1), copy(9)), silent: 'time ran out' };
  const told = 'S3 could not be asked for its newest backup: time ran out.';
  const near = plan({}, place('local', copy(9)), silent);
  expect(near.chosen?.copy.name).toBe(nameOf(9));
  expect(near.warnings).toEqual([`${told} ${nameOf(1)} was seen there and is newer.`]);
  expect(plan({}, place('local', copy(0)), silent).warnings).toEqual([told]);
  expect(plan({}, silent)).toMatchObject({ chosen: null, isForeign: false, warnings: [told] });
  // Ours is there, if it could be had: that of another database is none.
  expect(chosen({ fromOther: true }, silent, place('local', of('others', 0)))).toBe(null);
  expect(chosen({}, silent, place('eu', copy(1)))).toBe('1 eu');
});

test('a backup of another database is taken if it is said, and if there is one such database and none of ours', () => {
  const blog = of('others', 3);
  const shop = copy(2, { other: { name: 'shop.sqlite' } });
  for (const purpose of ['restore', 'first-boot'] as const) {
    expect(plan({ purpose }, place('local', blog))).toMatchObject({
      ...{ chosen: null, isForeign: true, others: ['blog.sqlite'] },
    });
    expect(chosen({ purpose, fromOther: true }, place('local', blog))).toBe('3 local');
    expect(plan({ purpose, fromOther: true }, place('local', shop, blog))).toMatchObject({
      ...{ chosen: null, isForeign: true, others: ['shop.sqlite', 'blog.sqlite'] },
    });
    expect(chosen({ purpose, fromOther: true }, place('local', blog, copy(9)))).toBe('9 local');
  }
});

test('before an empty database begins, backups count that will not do', () => {
  const torn = { ...of('failed check', 3), other: { name: 'shop.sqlite' } };
  const mixed = place('local', torn, of('others', 5));
  expect(chosen({ fromOther: true }, mixed)).toBe('5 local');
  expect(plan({ purpose: 'first-boot', fromOther: true }, mixed).isForeign).toBe(true);
  const spoiled = place('local', of('failed check', 2), of('others', 5));
  expect(plan({ purpose: 'first-boot', fromOther: true }, spoiled)).toMatchObject({ chosen: null, isForeign: false });
});

test('a first boot tries each copy: newest first, the folder before the targets, what takes hours last', () => {
  const places = [
    place('ice', of('archived', 1), of('archived', 5)),
    place('s3', copy(1), of('failed check', 5)),
    place('local', copy(1), copy(9)),
  ];
  const { considered } = plan({ purpose: 'first-boot' }, ...places);
  expect(considered.map((one) => `${one.copy.name} ${one.target} ${one.passedOver?.reason ?? 'tried'}`)).toEqual([
    `${nameOf(1)} local tried`,
    `${nameOf(1)} s3 tried`,
    `${nameOf(1)} ice tried`,
    `${nameOf(5)} ice tried`,
    `${nameOf(5)} s3 damaged`,
    `${nameOf(9)} local tried`,
  ]);
});

test('a drill judges the newest at hand; one that takes hours, or is not encrypted, only where there is no other', () => {
  const drill = { purpose: 'drill' } as const;
  const iced = of('archived', 1);
  const sealed = copy(7, { manifest: { artifact: encryption('age') } });
  expect(chosen(drill, place('s3', iced, copy(7)))).toBe('7 s3');
  expect(chosen(drill, place('s3', iced))).toBe('1 s3');
  const plain = (copies: PlannedCopy[], wish: Partial<RestoreWish> = {}) =>
    chosen({ ...drill, ...wish }, { ...place('s3', ...copies), isSealed: true });
  expect(plain([of('plain', 1), sealed])).toBe('7 s3');
  expect(plain([of('plain', 1), sealed], { allowPlain: true })).toBe('1 s3');
  // It fails then, and says why.
  expect(plain([of('plain', 1)])).toBe('1 s3');
  expect(plain([of('plain', 1), sealed], { without: new Set([sealed.name]) })).toBe(null);
  expect(chosen({ ...drill, without: new Set([nameOf(1)]) }, place('local', copy(1), copy(4)))).toBe('4 local');
});

test('what a restore replaced is told by the safety backup, else by the history', () => {
  const old = of('safety of an older version', 5);
  const last = { backup: 'backup-a', startedAt: moment(6), endedAt: moment(4) };
  expect(replacedBy(old, null)).toBe(null);
  expect(replacedBy(old, last)).toBe('backup-a');
  expect(replacedBy(old, { ...last, endedAt: moment(6) })).toBe(null);
  expect(replacedBy(of('safety', 5), last)).toBe('backup-b');
  expect(replacedBy(copy(5), last)).toBe(null);
  expect(chosen({ purpose: 'undo', lastRestore: last }, place('local', copy(1), old, of('safety', 9)))).toBe('5 local');
});

// ── whatever lies there ──

const anyCopy = fc
  .record({ kind: fc.constantFrom(...(Object.keys(kinds) as Kind[])), minutesAgo: fc.integer({ min: -5, max: 30 }) })
  .map(({ kind, minutesAgo }) => of(kind, minutesAgo));
const anyPlaces = fc
  .uniqueArray(
    fc.record({
      target: fc.constantFrom('local', 's3', 'eu', 'nas'),
      copies: fc.uniqueArray(anyCopy, { selector: ({ name }) => name, maxLength: 12 }),
      silent: fc.constantFrom(null, 'time ran out'),
      isSealed: fc.boolean(),
      hadError: fc.boolean(),
    }),
    { selector: ({ target }) => target, maxLength: 4 },
  )
  .map((places) =>
    places.map((one) => ({
      ...one,
      word: one.target,
      copies: inOrder(one.copies),
      ...(one.target === 'local' && { silent: null, isSealed: false }),
    })),
  );
const anyPoint: fc.Arbitrary<RestorePoint> = fc.oneof(
  fc.constant({ latest: true } as const),
  fc.integer({ min: -6, max: 31 }).map((minutesAgo) => ({ at: moment(minutesAgo) })),
  fc.integer({ min: -5, max: 30 }).map((minutesAgo) => ({ backup: nameOf(minutesAgo) })),
);
const anyWish: fc.Arbitrary<RestoreWish> = fc.record({
  point: anyPoint,
  purpose: fc.constantFrom('restore', 'first-boot', 'drill', 'known-good', 'undo'),
  fromOther: fc.boolean(),
  allowPlain: fc.boolean(),
  without: fc.uniqueArray(fc.integer({ min: -5, max: 30 })).map((minutes) => new Set(minutes.map(nameOf))),
});

test('a plan chooses the first that will do, of ours unless told, and accounts for each copy once', () => {
  fc.assert(
    fc.property(anyWish, anyPlaces, (wish, places) => {
      const { chosen: found, considered, others, isForeign } = planRestore(wish, places, { now });
      const first = considered.find(({ passedOver }) => passedOver === null) ?? null;
      if (found !== first) expect([wish.purpose, found?.passedOver?.reason]).toEqual(['drill', 'plain']);
      const isNamed = wish.purpose === 'restore' && 'backup' in wish.point;
      if (found?.copy.other && !isNamed) expect([wish.fromOther, others]).toEqual([true, [found.copy.other.name]]);
      if (isForeign) expect(found).toBe(null);
      const lying = places.flatMap(({ target, copies }) => copies.map((one) => `${target} ${one.name}`));
      const told = considered.map((one) => `${one.target} ${one.copy.name}`);
      expect(new Set(told).size).toBe(told.length);
      expect(told.filter((one) => !lying.includes(one))).toEqual([]);
    }),
    { seed: 20_261_201, numRuns: 500 },
  );
});

test('nothing newer than the latest would do, and a later moment never means an older backup', () => {
  fc.assert(
    fc.property(anyPlaces, fc.integer({ min: -6, max: 31 }), fc.integer({ min: 0, max: 9 }), (places, ago, more) => {
      const rank = (found: PlannedCopy | undefined) =>
        found ? [...oneOfEach(places)].reverse().findIndex(({ name }) => name === found.name) : -1;
      const at = (minutesAgo: number) => plan({ point: { at: moment(minutesAgo) } }, ...places).chosen?.copy;
      expect(rank(at(ago))).toBeGreaterThanOrEqual(rank(at(ago + more)));
      const found = at(ago);
      if (found) expect(found.createdAt.getTime()).toBeLessThanOrEqual(moment(ago).getTime());

      const latest = plan({}, ...places).chosen;
      const isGood = ({ manifest, fault, other }: PlannedCopy) =>
        (manifest as Manifest | null)?.verification.complaint === null &&
        manifest?.trigger !== 'safety' &&
        fault === null &&
        !other;
      if (latest) expect(isGood(latest.copy)).toBe(true);
      const here = places.find(({ target }) => target === 'local')?.copies ?? [];
      for (const one of here.filter(isGood)) expect(rank(latest?.copy)).toBeGreaterThanOrEqual(rank(one));
    }),
    { seed: 20_261_202, numRuns: 500 },
  );
});

test('the order in which a place lists its copies changes nothing, and what is handed in stays as it is', () => {
  fc.assert(
    fc.property(anyWish, anyPlaces, (wish, places) => {
      const turned = places.map((one) => ({ ...one, copies: one.copies.toReversed() }));
      const before = JSON.stringify([wish, places]);
      const [one, two] = [planRestore(wish, places, { now }), planRestore(wish, turned, { now })];
      expect({ ...two, others: two.others.toSorted() }).toEqual({ ...one, others: one.others.toSorted() });
      expect(JSON.stringify([wish, places])).toBe(before);
    }),
    { seed: 20_261_203, numRuns: 500 },
  );
});

test('a captured moment that is nearer to the wish than any backup is meant, for the latest and for a time', () => {
  const now = new Date('2024-01-10T00:00:00Z');
  const places = [{ target: 'local', word: 'local', copies: [] }];
  const moment = { bookmark: '000000000000002a', at: new Date('2024-01-09T00:00:00Z') };
  for (const point of [{ latest: true } as const, { at: now }]) {
    expect(planRestore({ point, purpose: 'restore' }, places, { now, moment }).moment).toEqual(moment);
    expect(planRestore({ point, purpose: 'restore' }, places, { now }).moment).toBeNull();
  }
});
