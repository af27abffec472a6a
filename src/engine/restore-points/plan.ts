/**
 * Which backup a wish means, from which place, and why not another. Pure: what lies at each place goes in, the copies come
 * out in the order in which they are to be tried, each with the reason why it is passed over, if it is.
 *
 * Each purpose passes over what would do harm there, and nothing else (`purposes`). A person who asks for the latest wants
 * no safety backup, which holds what a restore replaced on purpose; one who asks for a moment wants what was there then,
 * also that. A first boot takes the next copy where one fails; a drill judges the newest, good or not.
 */
import { inOrder } from '../catalog/folder-catalog.ts';
import type { Manifest } from '../format/manifest.ts';
import { isPlain } from '../format/seal.ts';
import type { RestorePoint } from '../../words/restore-point.ts';

export interface PlannedCopy {
  readonly name: string;
  readonly createdAt: Date;
  /** Null for a file without a manifest. */
  readonly manifest:
    | (Pick<Manifest, 'sequence' | 'trigger' | 'replacedBy' | 'arrived'> & {
        readonly verification: Pick<Manifest['verification'], 'complaint'>;
        readonly artifact: Pick<Manifest['artifact'], 'encryption'>;
      })
    | null;
  readonly fault: string | null;
  readonly changedAt?: Date | null;
  /** The storage class that it must first be brought back from, which takes hours. */
  readonly archive?: string | null | undefined;
  /** Whose it is, if not ours. */
  readonly other?: { readonly name: string };
}

/** What lies at one place. The folder is `local`. */
export interface PlannedPlace<Copy extends PlannedCopy> {
  readonly target: string;
  /** As messages call it. */
  readonly word: string;
  /** Newest first. */
  readonly copies: readonly Copy[];
  /** Why it did not answer when it was asked; the copies are those of an earlier look then. */
  readonly silent?: string | null;
  /** What was last done there failed. */
  readonly hadError?: boolean;
  /** Copies there are to be encrypted: one that is not is taken only if somebody says so. */
  readonly isSealed?: boolean;
}

type Purpose = 'restore' | 'first-boot' | 'drill' | 'known-good' | 'undo';

export interface RestoreWish {
  readonly point: RestorePoint;
  readonly purpose: Purpose;
  /** If none is ours, those of the only other database may be taken. */
  readonly fromOther?: boolean | undefined;
  readonly allowPlain?: boolean | undefined;
  /** Names of backups that can't be had at once. */
  readonly without?: ReadonlySet<string>;
  /** Says what a safety backup was made for, if its manifest does not. */
  readonly lastRestore?: PastRestore | null;
}

interface PastRestore {
  readonly backup: string | null;
  readonly startedAt: Date;
  readonly endedAt: Date;
}

export interface ConsideredCopy<Copy> {
  readonly copy: Copy;
  readonly target: string;
  /** Null for one that will do. */
  readonly passedOver: { readonly reason: Reason; readonly why: string } | null;
}

/** What a stream of commits has for the wish: its newest moment that is not later. */
interface PlannedMoment {
  readonly bookmark: string;
  readonly at: Date;
}

interface PlannedRestore<Copy> {
  /** Set where a captured moment is nearer to the wish than any backup: then it is meant. */
  readonly moment: PlannedMoment | null;
  /** Null if none will do. */
  readonly chosen: ConsideredCopy<Copy> | null;
  /** In the order in which they are to be tried. */
  readonly considered: readonly ConsideredCopy<Copy>[];
  /** Names of the other databases whose backups are there. */
  readonly others: readonly string[];
  /** None is ours, and those of others may not be taken. */
  readonly isForeign: boolean;
  /** Whole sentences. */
  readonly warnings: readonly string[];
}

type Asked = RestoreWish & { readonly place: PlannedPlace<PlannedCopy> };
type Why = (copy: PlannedCopy, asked: Asked) => string | null;

/** Why a copy is passed over, in words that follow its name; null if the reason does not apply. */
const reasons = {
  silent: (_, { place }) => (place.silent ? `${place.word} does not answer` : null),
  // Applies to all but the best copy of a backup.
  'other-copy': () => null,
  without: ({ name }, { without }) => (without?.has(name) ? 'it was tried' : null),
  later: ({ createdAt }, { point }) => ('at' in point && createdAt > point.at ? 'it was made later' : null),
  safety: ({ manifest }) => (manifest?.trigger === 'safety' ? 'it holds what a restore replaced' : null),
  arrived: ({ manifest }) => (manifest?.arrived ? 'it came from elsewhere, and is used only by its name' : null),
  faulty: ({ fault }) => fault,
  damaged: ({ fault, manifest }) => fault ?? manifest?.verification.complaint ?? null,
  unadopted: ({ manifest, fault }) =>
    manifest === null && fault === null ? 'it has no manifest, so nobody knows whether it is complete' : null,
  changed: ({ changedAt }) => (changedAt ? 'its file was changed after it was published' : null),
  plain: (copy, { place, allowPlain }) =>
    isRefused(copy, place, allowPlain) ? 'it is not encrypted, although copies there should be' : null,
  'nothing-replaced': (copy, { lastRestore = null }) =>
    replacedBy(copy, lastRestore) === null ? 'nothing says that a restore replaced it' : null,
} as const satisfies Readonly<Record<string, Why>>;

type Reason = keyof typeof reasons;

interface Rules {
  /** The first reason that applies is given. */
  readonly passesOver: readonly Reason[];
  /** Copies of one backup are tried one after the other; else the best one stands for the backup. */
  readonly triesEachCopy?: true;
  /** What takes hours comes after all else, and not only after other copies of the same backup. */
  readonly archivedLast?: true;
  /** A copy passed over for this reason is better than none, as long as none was tried. */
  readonly lastResort?: Reason;
  /** A request that names a backup means that one, whosever it is. */
  readonly takesOthers?: true;
  /** Backups count as ours or others' even if they will not do: an empty database must not begin on top of a mix-up. */
  readonly countsAll?: true;
}

const purposes: Readonly<Record<'backup' | 'latest' | 'at' | Exclude<Purpose, 'restore'>, Rules>> = {
  backup: { passesOver: [], takesOthers: true },
  // One whose file was changed is checked against its digest before anything is done with it.
  latest: { passesOver: ['safety', 'arrived', 'damaged', 'unadopted', 'silent'] },
  at: { passesOver: ['later', 'arrived', 'damaged', 'silent'] },
  'first-boot': {
    passesOver: ['damaged', 'unadopted', 'safety', 'arrived', 'plain'],
    triesEachCopy: true,
    countsAll: true,
  },
  // Damage is what a drill is there to find; a file without a manifest is not ours.
  drill: {
    passesOver: ['without', 'unadopted', 'safety', 'arrived', 'plain'],
    archivedLast: true,
    lastResort: 'plain',
    countsAll: true,
  },
  // The recovery kit names what is good without a check.
  'known-good': { passesOver: ['damaged', 'unadopted', 'changed', 'safety', 'arrived'] },
  undo: { passesOver: ['faulty', 'nothing-replaced'] },
};

/** @returns only data: the caller turns it into words, or refuses. */
export function planRestore<Copy extends PlannedCopy>(
  wish: RestoreWish,
  places: readonly PlannedPlace<Copy>[],
  { now, moment = null }: { readonly now: Date; readonly moment?: PlannedMoment | null },
): PlannedRestore<Copy> {
  const rules = rulesOf(wish);
  const named = 'backup' in wish.point ? wish.point.backup : null;
  const judged = inTurn(wish, rules, places)
    .filter(({ copy }) => named === null || copy.name === named)
    .map((one) => judge(one, wish, rules));

  const own = judged.filter(({ copy }) => !copy.other);
  const hasOwn = own.some(({ copy, passedOver }) =>
    rules.countsAll ? (copy.manifest ?? copy.fault) : passedOver === null || passedOver.reason === 'silent',
  );
  const counted = judged.filter(({ passedOver }) => rules.countsAll || passedOver === null);
  const others = [...new Set(counted.flatMap(({ copy }) => copy.other?.name ?? []))];
  const takesOthers = rules.takesOthers || (!hasOwn && wish.fromOther === true && others.length === 1);
  const considered = takesOthers ? judged : own;

  const resort = wish.without?.size ? undefined : rules.lastResort;
  const chosen =
    considered.find(({ passedOver }) => passedOver === null) ??
    considered.find(({ passedOver }) => passedOver?.reason === resort) ??
    null;
  const told = considered.map(({ copy, place, passedOver }) => ({ copy, target: place.target, passedOver }));
  const isNearer = moment !== null && (chosen === null || moment.at > chosen.copy.createdAt);
  return {
    moment: isNearer ? moment : null,
    chosen: chosen && (told[considered.indexOf(chosen)] ?? null),
    considered: told,
    others,
    isForeign: !hasOwn && !takesOthers && others.length > 0,
    warnings: [...warningsOf(considered, chosen, places), ...futureText(wish.point, now)],
  };
}

/** The copy that stands for each backup: the one in the folder, else the best one; newest first. */
export function oneOfEach<Copy extends PlannedCopy>(places: readonly PlannedPlace<Copy>[]): readonly Copy[] {
  const [only, ...others] = places;
  if (only && others.length === 0) return only.copies;
  const wish = { point: { latest: true }, purpose: 'restore' } as const;
  return inTurn(wish, { passesOver: [] }, places).flatMap(({ copy, isBest }) => (isBest ? copy : []));
}

/** What took the place of the data in a safety backup; null if nothing tells. */
export function replacedBy(
  { createdAt, manifest }: Pick<PlannedCopy, 'createdAt' | 'manifest'>,
  last: PastRestore | null,
): string | null {
  if (manifest?.trigger !== 'safety') return null;
  if (manifest.replacedBy !== undefined) return manifest.replacedBy;
  return last !== null && createdAt >= last.startedAt && createdAt <= last.endedAt ? last.backup : null;
}

interface Placed<Copy extends PlannedCopy> {
  readonly copy: Copy;
  readonly place: PlannedPlace<Copy>;
  /** It is the best of the copies of that backup. */
  readonly isBest: boolean;
}

interface Judged<Copy extends PlannedCopy> extends Placed<Copy> {
  readonly passedOver: ConsideredCopy<Copy>['passedOver'];
}

function rulesOf({ purpose, point }: RestoreWish): Rules {
  if (purpose !== 'restore') return purposes[purpose];
  return purposes['at' in point ? 'at' : 'latest' in point ? 'latest' : 'backup'];
}

/** Newest backup first, by number; of its copies the best one first. */
function inTurn<Copy extends PlannedCopy>(
  wish: RestoreWish,
  { archivedLast }: Rules,
  places: readonly PlannedPlace<Copy>[],
): readonly Placed<Copy>[] {
  const copiesOf = new Map<string, { copy: Copy; place: PlannedPlace<Copy>; faults: number }[]>();
  for (const place of places)
    for (const copy of place.copies) {
      const copies = copiesOf.get(copy.name) ?? [];
      copiesOf.set(copy.name, [...copies, { copy, place, faults: faultsOf(copy, place, wish) }]);
    }
  for (const copies of copiesOf.values()) copies.sort((a, b) => a.faults - b.faults);
  const best = [...copiesOf.values()].flatMap(([first]) => first?.copy ?? []);
  const placed = inOrder(best).flatMap(({ name }) =>
    (copiesOf.get(name) ?? []).map(({ copy, place }, index) => ({ copy, place, isBest: index === 0 })),
  );
  const hours = ({ copy }: Placed<Copy>) => Number(Boolean(copy.archive));
  return archivedLast ? placed.toSorted((a, b) => hours(a) - hours(b)) : placed;
}

/**
 * How little a copy is to be relied on. One in the folder needs no download. Then come one at a place that answers, one
 * that is taken without a word more, a good one, one that can be read at once, one at a place that gave no trouble.
 */
function faultsOf(copy: PlannedCopy, place: PlannedPlace<PlannedCopy>, { allowPlain }: RestoreWish): number {
  if (place.target === 'local') return -1;
  const faults = [
    ...[place.silent ? 16 : 0, isRefused(copy, place, allowPlain) ? 8 : 0],
    ...[isUnproven(copy) ? 4 : 0, copy.archive ? 2 : 0, place.hadError ? 1 : 0],
  ];
  return faults.reduce((sum, fault) => sum + fault);
}

function isUnproven({ manifest, fault }: PlannedCopy): boolean {
  return manifest === null || fault !== null || manifest.verification.complaint !== null;
}

function isRefused({ manifest }: PlannedCopy, { isSealed = false }: PlannedPlace<PlannedCopy>, allowPlain = false) {
  return isSealed && !allowPlain && isPlain(manifest);
}

function judge<Copy extends PlannedCopy>(placed: Placed<Copy>, wish: RestoreWish, rules: Rules): Judged<Copy> {
  if (!placed.isBest && !rules.triesEachCopy) {
    return { ...placed, passedOver: { reason: 'other-copy', why: 'another copy of the same backup is used' } };
  }
  for (const reason of rules.passesOver) {
    const applies: Why = reasons[reason];
    const why = applies(placed.copy, { ...wish, place: placed.place });
    if (why !== null) return { ...placed, passedOver: { reason, why } };
  }
  return { ...placed, passedOver: null };
}

/** As expected, and no news. */
const isQuiet: ReadonlySet<Reason | undefined> = new Set<Reason | undefined>([
  'other-copy',
  'later',
  'safety',
  'arrived',
  'silent',
]);

/** Says which places were left out, and what is newer than the chosen backup. */
function* warningsOf<Copy extends PlannedCopy>(
  considered: readonly Judged<Copy>[],
  chosen: Judged<Copy> | null,
  places: readonly PlannedPlace<Copy>[],
): Generator<string> {
  const before = chosen === null ? considered : considered.slice(0, considered.indexOf(chosen));
  for (const place of places) {
    if (!place.silent) continue;
    const seen = before.find((one) => one.place === place && one.passedOver?.reason === 'silent');
    const newer = seen && chosen ? ` ${seen.copy.name} was seen there and is newer.` : '';
    yield `${place.word} could not be asked for its newest backup: ${place.silent}.${newer}`;
  }
  const [first, ...more] = before.filter(({ passedOver }) => passedOver !== null && !isQuiet.has(passedOver.reason));
  if (!first || !chosen) return;
  const others = more.length === 0 ? '' : ` So were ${more.length} more.`;
  yield `${first.copy.name} is newer and was passed over: ${first.passedOver?.why ?? ''}.${others}`;
}

function* futureText(point: RestorePoint, now: Date): Generator<string> {
  if ('at' in point && point.at > now) yield 'The requested moment is in the future.';
}
