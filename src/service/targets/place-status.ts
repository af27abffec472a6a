/** Whose a place is, as the page and `status` show it: with what helps a person to tell whether it is the same database. Pure. */
import type { Manifest } from '../../engine/format/manifest.ts';
import type { Ownership, PlaceIdentity } from '../../engine/catalog/identity.ts';
import type { DatabaseSelf } from '../../engine/writer/self.ts';
import type { KnownBackup } from '../backups/backup-item.ts';
import type { PlaceFacts, PlaceStatus } from './shown-place.ts';
import type { TargetName } from '../../words/target-word.ts';

type OwnerStatus = Pick<PlaceStatus, 'target' | 'owner' | 'other'>;
export type WriterStatus = Pick<PlaceStatus, 'writer' | 'sparesOthersUntil'>;

const noWriter: WriterStatus = { writer: null, sparesOthersUntil: null };

/** Whose each place is, in the order in which they are shown, and who writes at those beside the folder. */
export function composePlaces(
  owners: readonly OwnerStatus[],
  writers: ReadonlyMap<TargetName, WriterStatus>,
): readonly PlaceStatus[] {
  return owners.map((owner) => ({ ...owner, ...(writers.get(owner.target) ?? noWriter) }));
}

interface PlaceLook {
  readonly target: TargetName;
  /** Null if nobody looked yet. */
  readonly identity: PlaceIdentity | null;
  readonly ownership: Ownership;
  readonly self: DatabaseSelf;
  /** The backups in that place, newest first. */
  readonly backups: readonly KnownBackup[];
  /** Facts of our newest backup anywhere. */
  readonly ownFacts: Manifest['facts'] | undefined;
}

export function toPlaceStatus({ target, identity, ownership, ...look }: PlaceLook): OwnerStatus {
  const rest = { target };
  if (identity === null || identity.complaint !== null) return { ...rest, owner: 'unknown', other: null };
  const { owner, stranger } = ownership;
  if (stranger === null) return { ...rest, owner, other: null };
  return { ...rest, owner, other: { ...stranger, ...toFacts(identity, stranger.name, look) } };
}

function toFacts(
  { record, claims }: PlaceIdentity,
  name: string,
  { self, backups, ownFacts }: Pick<PlaceLook, 'self' | 'backups' | 'ownFacts'>,
): PlaceFacts {
  const owner = claims.at(-1) ?? record;
  const newest = backups.find(({ manifest, other }) => manifest !== null && other !== undefined);
  return {
    createdAt: record && new Date(record.createdAt),
    isSameName: name === self.name,
    isSamePath: owner?.path ? owner.path === self.pathDigest : null,
    isSameMachine: owner?.machine ? owner.machine === self.machineDigest : null,
    tablesInCommon: inCommon(newest?.manifest?.facts, ownFacts),
    newestBackup: newest ? { filename: newest.name, createdAt: newest.createdAt } : null,
  };
}

function inCommon(theirs: Manifest['facts'], ours: Manifest['facts']): PlaceFacts['tablesInCommon'] {
  if (!theirs || !ours) return null;
  const names = Object.keys(theirs.tables);
  return { common: names.filter((name) => Object.hasOwn(ours.tables, name)).length, theirs: names.length };
}
