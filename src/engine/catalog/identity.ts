/**
 * Whose a place is, and whose each backup in it. Pure: what lies in a folder or at a target goes in, the decision comes
 * out. A place is a backup folder, or a bucket and prefix.
 *
 * A place belongs to one database: `database.json` says which. It is made with the first backup and never changed. That a
 * database was moved or renamed is said by claims, which are added to it. A folder is ours if the path of our database is
 * the one that it names last, whatever the machine: a container gets a new machine id, and its volumes stay. A target is
 * ours if it has our id.
 *
 * Early versions made no such record. Their places go by the manifests: those of one database are taken over, those
 * of several stay mixed, and each backup there belongs to the database that its manifest names.
 */
import { z } from 'zod';
import { BackupError } from '../../words/errors.ts';
import { type DatabaseSelf, idsOf } from '../writer/self.ts';
import type { Manifest } from '../format/manifest.ts';

export const RECORD_FORMAT = 'velist-backup-database/1';
export const OWNER_FORMAT = 'velist-backup-owner/1';
export const CLAIM_FORMAT = 'velist-backup-claim/1';

const id = z.string().min(1).max(200);
const digest = z.string().regex(/^[0-9a-f]{64}$/);
const name = z.string().min(1).max(1_000);
const maker = z.object({ installation: z.string(), host: z.string() });

/** `database.json` */
export const placeRecord = z.object({
  format: z.literal(RECORD_FORMAT),
  id,
  name,
  /** Digest of the resolved path of the database. */
  path: digest,
  machine: digest,
  createdAt: z.iso.datetime(),
  madeBy: maker.nullable(),
  /** The id was given while a target could not be asked for the one that it has there. */
  provisional: z.boolean().optional(),
});

/** "It is the same database": from then on the place belongs to the database at this path. */
const claim = z.object({
  id,
  name,
  /** Null for an owner of whom only manifests tell. */
  path: digest.nullable(),
  machine: digest.nullable(),
  at: z.iso.datetime(),
  user: z.string().nullable(),
  madeBy: maker.nullable(),
  /** Until then no backup from before the claim is removed: it may have been a mistake. */
  sparesUntil: z.iso.datetime().nullable(),
});

/** `owner.json` in a folder; at a target each claim is an object of its own. */
export const ownerRecord = claim.extend({ format: z.literal(OWNER_FORMAT), previous: z.array(claim) });
export const claimRecord = claim.extend({ format: z.literal(CLAIM_FORMAT) });

export type PlaceRecord = z.infer<typeof placeRecord>;
export type Claim = z.infer<typeof claim>;

/** What a place says of itself. */
export interface PlaceIdentity {
  /** Null in a place that is new, or as an older version left it. */
  readonly record: PlaceRecord | null;
  /** Oldest first; the last one says whose it is now. */
  readonly claims: readonly Claim[];
  /** Why the record can't be read, where there is one. */
  readonly complaint: string | null;
}

export const NO_IDENTITY: PlaceIdentity = { record: null, claims: [], complaint: null };

/** The other database, as a place or a manifest names it. */
interface Stranger {
  /** Null if only manifests of an older version tell of it. */
  readonly id: string | null;
  readonly name: string;
}

export interface Ownership {
  /**
   * `ours`, or ours with the first backup (`mustRecord`). `new`: of nobody. `mixed`: of several databases, of which one may
   * be ours. `foreign`: of another one.
   */
  readonly owner: 'ours' | 'new' | 'mixed' | 'foreign';
  /** The id that our new backups bear; null: one has yet to be given. */
  readonly id: string | null;
  /** Backups here that bear one of these ids are ours. */
  readonly ids: readonly string[];
  /** Backups without an id are ours if they bear one of these names. */
  readonly names: readonly string[];
  /** The record is yet to be written, by the first that writes here. */
  readonly mustRecord: boolean;
  /** Two databases of our name used this place: a backup without an id may be ours or the other's. */
  readonly isInseparable: boolean;
  /** Whose it is, if not ours. */
  readonly stranger: Stranger | null;
  /** After a claim: backups from before `from` stay until `until`. */
  readonly spares: { readonly from: Date; readonly until: Date } | null;
}

/** A backup as far as it says whose it is. */
export interface Sourced {
  readonly name: string;
  readonly manifest:
    (Pick<Manifest, 'source' | 'databaseId' | 'trigger'> & { readonly stamp?: Manifest['stamp'] }) | null;
}

/** @param backups newest first; looked at only where no record is. */
export function judgePlace(
  kind: 'folder' | 'target',
  identity: PlaceIdentity,
  self: DatabaseSelf,
  backups: readonly Sourced[],
): Ownership {
  if (identity.record === null) return judgeByManifests(self, backups);
  const { record, claims } = identity;
  if (!isOurPlace(kind, record, claims, self)) return foreign(self, strangerOf(record, claims));
  // A claim at a target bears the id that the claiming database had before.
  return ours(record, claims, self, (kind === 'folder' && claims.at(-1)?.id) || record.id);
}

function isOurPlace(
  kind: 'folder' | 'target',
  record: PlaceRecord,
  claims: readonly Claim[],
  self: DatabaseSelf,
): boolean {
  if (kind === 'folder') return (claims.at(-1)?.path ?? record.path) === self.pathDigest;
  const known = idsOf(self);
  if ([record, ...claims].some((one) => known.includes(one.id))) return true;
  // A service without an id only reads: then the name decides, so that a new machine finds what it has lost.
  if (known.length === 0) return [record, ...claims].some((one) => one.name === self.name);
  return self.isProvisional && isSameDatabase(claims.at(-1) ?? record, self);
}

/**
 * Is the database of that record or claim the one that we are? A name alone proves nothing to whoever writes: a copy of a
 * machine, or a second app of the same kind, has the same.
 */
export function isSameDatabase(
  { name, path, machine }: Pick<Claim, 'name' | 'path' | 'machine'>,
  self: DatabaseSelf,
): boolean {
  return name === self.name && path === self.pathDigest && machine === self.machineDigest;
}

function ours(record: PlaceRecord, claims: readonly Claim[], self: DatabaseSelf, itsId: string): Ownership {
  const last = claims.at(-1);
  return {
    owner: 'ours',
    id: itsId,
    ids: distinct([...[record, ...claims].map((one) => one.id), ...idsOf(self)]),
    names: distinct([...[record, ...claims].map((one) => one.name), self.name]),
    mustRecord: false,
    isInseparable: false,
    stranger: null,
    spares: last?.sparesUntil ? { from: new Date(last.at), until: new Date(last.sparesUntil) } : null,
  };
}

function foreign(self: DatabaseSelf, stranger: Stranger): Ownership {
  return { ...unrecorded(self), owner: 'foreign', mustRecord: false, stranger };
}

function strangerOf(record: PlaceRecord, claims: readonly Claim[]): Stranger {
  const { id: itsId, name: itsName } = claims.at(-1) ?? record;
  return { id: itsId, name: itsName };
}

/** What holds as long as nothing else is known. */
function unrecorded(self: DatabaseSelf): Ownership {
  return {
    owner: 'new',
    id: self.databaseId,
    ids: idsOf(self),
    names: [self.name],
    mustRecord: true,
    isInseparable: false,
    stranger: null,
    spares: null,
  };
}

function judgeByManifests(self: DatabaseSelf, backups: readonly Sourced[]): Ownership {
  const known = backups.flatMap(({ manifest }) => manifest ?? []);
  if (known.length === 0) return unrecorded(self);
  const named = known.filter(({ source }) => source.name === self.name);
  const isInseparable = isOfSeveralFiles(named.filter(({ databaseId }) => databaseId === undefined).toReversed());
  // If the record or the installation was lost, the manifests still bear the id.
  const given = distinct(named.flatMap(({ databaseId }) => databaseId ?? []));
  const lost = given.length === 1 && idsOf(self).length === 0 && !isInseparable ? given : [];
  const ids = [...idsOf(self), ...lost];
  const isOurs = ({ databaseId, source }: (typeof known)[number]) =>
    databaseId === undefined ? source.name === self.name : ids.includes(databaseId);
  const base = { ...unrecorded(self), id: lost[0] ?? self.databaseId, ids };
  const [other] = known.filter((manifest) => !isOurs(manifest));
  // A safety copy that was made here before another database was restored makes no place ours.
  const hasOurs = known.some((manifest) => isOurs(manifest) && manifest.trigger !== 'safety');
  if (other && !hasOurs) return { ...base, owner: 'foreign', mustRecord: false, stranger: toStranger(other) };
  if (other || isInseparable) return { ...base, owner: 'mixed', mustRecord: false, isInseparable };
  return { ...base, owner: 'ours' };
}

function toStranger({ databaseId, source }: Pick<Manifest, 'databaseId' | 'source'>): Stranger {
  return { id: databaseId ?? null, name: source.name };
}

/**
 * Two databases of one name took turns in one folder: the file of the first came back after that of the second. A restore
 * exchanges the file too, and a file system gives a freed number again; but then a safety backup stands right before.
 *
 * By the inode alone: the number of a disk may change with each start of the machine.
 */
export function isOfSeveralFiles(
  oldestFirst: readonly (Pick<Manifest, 'trigger'> & { readonly stamp?: Manifest['stamp'] })[],
): boolean {
  let turns = 0;
  let current: string | null = null;
  const turnsWhenLeft = new Map<string, number>();
  for (const [index, { stamp }] of oldestFirst.entries()) {
    const inode = stamp?.main.inode.split(':').at(-1);
    if (inode === undefined || inode === current) continue;
    if (current !== null) {
      turnsWhenLeft.set(current, turns);
      if (oldestFirst[index - 1]?.trigger !== 'safety') turns += 1;
    }
    current = inode;
    const before = turnsWhenLeft.get(inode);
    if (before !== undefined && turns > before) return true;
  }
  return false;
}

/** The other database that a backup is of; null for ours, and for a file that says nothing in a place that is not another's. */
export function otherOf(ownership: Ownership, { manifest }: Pick<Sourced, 'manifest'>): Stranger | null {
  const { stranger, ids, names } = ownership;
  if (stranger) {
    if (manifest === null) return stranger;
    // Made here before this database was replaced by that one, so that it can be undone.
    const isOurSafety =
      manifest.trigger === 'safety' &&
      manifest.databaseId !== undefined &&
      manifest.databaseId !== stranger.id &&
      ids.includes(manifest.databaseId);
    return isOurSafety
      ? null
      : toStranger({ ...manifest, databaseId: manifest.databaseId ?? stranger.id ?? undefined });
  }
  if (manifest === null) return null;
  const isOurs =
    manifest.databaseId === undefined ? names.includes(manifest.source.name) : ids.includes(manifest.databaseId);
  return isOurs ? null : toStranger(manifest);
}

/** Is it ours by its name alone, while another database has the same name? */
export function isDoubtful({ isInseparable }: Ownership, { manifest }: Pick<Sourced, 'manifest'>): boolean {
  return isInseparable && manifest !== null && manifest.databaseId === undefined;
}

/** What a database gets for itself where a folder of backups is another's. */
export const OWN_FOLDER = 'a folder of its own (BACKUP_LOCAL_PATH)';

interface NamedPlace {
  /** How messages name it. */
  readonly place: string;
  /** `local`, `s3` or the name of a further target. */
  readonly target: string;
  /** What this database gets for itself instead: `a prefix of its own (BACKUP_S3_PATH)`. */
  readonly own: string;
}

/** @throws BackupError FOREIGN_PLACE, BAD_CONFIG: nothing may be written or removed there for this database. */
export function requireOurs(ownership: Ownership, identity: PlaceIdentity, where: NamedPlace): void {
  requireReadable(identity, where);
  if (ownership.stranger) throw foreignPlace(ownership.stranger, identity, where);
}

export function foreignPlace(
  stranger: Stranger,
  { record, claims }: PlaceIdentity,
  { place, target, own }: NamedPlace,
): BackupError {
  const last = claims.at(-1);
  const since = last?.at ?? record?.createdAt;
  const host = (last?.madeBy ?? record?.madeBy)?.host;
  const details = [since && `since ${since}`, host && `by ${host}`].filter(Boolean).join(' ');
  const claimed = `velist-backup claim${target === 'local' ? '' : ` --target ${target}`}`;
  return new BackupError(
    'FOREIGN_PLACE',
    `${place} holds the backups of another database, ${stranger.name}${details && ` (${details})`}`,
    {
      hint: `Nothing was written or removed there. Give this database ${own}; if it is the same one, moved or renamed, say so with \`${claimed}\`.`,
    },
  );
}

/** @throws BackupError BAD_CONFIG */
export function requireReadable({ complaint }: PlaceIdentity, { place }: Pick<NamedPlace, 'place'>): void {
  if (complaint === null) return;
  throw new BackupError('BAD_CONFIG', `the owner of the backups in ${place} can't be read: ${complaint}`, {
    hint: 'Nothing was written or removed there. Put that file back from a copy, or move it away: then the manifests show whose they are.',
  });
}

function distinct<Value>(values: readonly Value[]): readonly Value[] {
  return [...new Set(values)];
}
