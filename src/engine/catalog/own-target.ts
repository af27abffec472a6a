/**
 * Whose a target's prefix is, read and written. All objects here are create-only: of two databases that begin at one
 * prefix at once, one becomes the owner, and the other one reads whose it is.
 */
import { randomUUID } from 'node:crypto';
import { BackupError } from '../../words/errors.ts';
import { type DatabaseSelf, idsOf } from '../writer/self.ts';
import { bytesOf, getBytes, isNotThere, type ObjectStore } from '../store/store.ts';
import { CLAIM_PREFIX, RECORD_FILE } from '../format/names.ts';
import {
  CLAIM_FORMAT,
  type Claim,
  claimRecord,
  judgePlace,
  NO_IDENTITY,
  type Ownership,
  type PlaceIdentity,
  type PlaceRecord,
  placeRecord,
  requireOurs,
  requireReadable,
  type Sourced,
} from './identity.ts';
import { reasonOf, toRecord } from './own-folder.ts';

const BYTES_MAX = 64 * 1024;
/** Claims that are looked at, the newest; a database moves rarely. */
const CLAIMS_MAX = 100;

interface Options {
  readonly signal: AbortSignal;
}

/**
 * The record alone; whose the place is by now, `withClaims` adds.
 *
 * @throws BackupError S3_*, ABORTED
 */
async function readRecord(store: ObjectStore, { before, signal }: Asked): Promise<PlaceIdentity> {
  try {
    const bytes = await getBytes(store, RECORD_FILE, { limitBytes: BYTES_MAX, signal });
    return { ...NO_IDENTITY, record: placeRecord.parse(JSON.parse(new TextDecoder().decode(bytes))) };
  } catch (error) {
    if (isNotThere(error)) return NO_IDENTITY;
    const code = error instanceof BackupError ? error.code : 'BAD_REQUEST';
    // It is written once. Where it is not known from before, the backups there can be listed and restored all the same.
    if (code === 'S3_ARCHIVED' && before?.record) return { ...NO_IDENTITY, record: before.record };
    if (code !== 'BAD_REQUEST' && code !== 'S3_ARCHIVED') throw error;
    return { ...NO_IDENTITY, complaint: `${RECORD_FILE}: ${reasonOf(error)}` };
  }
}

/** Claims are read where what was known before does not answer whose the place is. */
interface Asked extends Options {
  /** As it was when it was looked at last. */
  readonly before: PlaceIdentity | null;
}

/** Takes one request where the record says that the place is ours and no backup there bears an unknown id. */
export async function readTargetIdentity(
  store: ObjectStore,
  self: DatabaseSelf | undefined,
  backups: readonly Sourced[],
  options: Asked,
): Promise<PlaceIdentity> {
  return await withClaims(store, await readRecord(store, options), self, backups, options);
}

/** Does the same as `readTargetIdentity` with a record that was read before. */
export async function withClaims(
  store: ObjectStore,
  identity: PlaceIdentity,
  self: DatabaseSelf | undefined,
  backups: readonly Sourced[],
  { before, signal }: Asked,
): Promise<PlaceIdentity> {
  const { record } = identity;
  if (record === null) return identity;
  const known = self === undefined ? [] : idsOf(self);
  const named = [record.id, ...backups.flatMap(({ manifest }) => manifest?.databaseId ?? [])];
  if (before?.record?.id === record.id && named.every((one) => known.includes(one)))
    return { ...identity, claims: before.claims };
  return { ...identity, claims: await readClaims(store, { signal }) };
}

/** Claims in the order of their names, the oldest first; one that can't be read is left out. */
async function readClaims(store: ObjectStore, options: Options): Promise<readonly Claim[]> {
  const keys: string[] = [];
  for await (const { key } of store.list(CLAIM_PREFIX, options)) keys.push(key);
  const claims: Claim[] = [];
  for (const key of keys.slice(-CLAIMS_MAX)) {
    const claim = await readClaim(store, key, options);
    if (claim) claims.push(claim);
  }
  return claims;
}

async function readClaim(store: ObjectStore, key: string, options: Options): Promise<Claim | null> {
  try {
    const bytes = await getBytes(store, key, { limitBytes: BYTES_MAX, ...options });
    const { format, ...claim } = claimRecord.parse(JSON.parse(new TextDecoder().decode(bytes)));
    return claim;
  } catch (error) {
    if (error instanceof BackupError && !isNotThere(error) && error.code !== 'BAD_REQUEST') throw error;
    return null;
  }
}

export interface OwnedTarget {
  readonly ownership: Ownership;
  readonly identity: PlaceIdentity;
}

/**
 * Before anything is written or removed there. The place becomes ours where it is nobody's yet.
 *
 * @param list asked only where there is no record.
 * @throws BackupError FOREIGN_PLACE, BAD_CONFIG when nobody can tell, S3_*, ABORTED.
 */
export async function requireOwnTarget(
  store: ObjectStore,
  self: DatabaseSelf,
  options: Asked & {
    readonly target: string;
    /** How messages name it. */
    readonly place: string;
    readonly now: Date;
    readonly list: () => Promise<readonly Sourced[]>;
  },
): Promise<OwnedTarget> {
  const where = { place: options.place, target: options.target, own: store.words.own };
  const found = await readTargetIdentity(store, self, [], options);
  if (found.record !== null || found.complaint !== null) {
    const ownership = judgePlace('target', found, self, []);
    requireOurs(ownership, found, where);
    return { ownership, identity: found };
  }
  const ownership = judgePlace('target', found, self, await options.list());
  requireOurs(ownership, found, where);
  if (!ownership.mustRecord) return { ownership, identity: found };
  const id = ownership.id ?? randomUUID();
  await putRecord(store, toRecord(id, { ...self, isProvisional: false }, options.now), options);
  // What is there now is the truth, also where the server ignores that it was to be created only.
  const identity = await readTargetIdentity(store, self, [], options);
  const decided = judgePlace('target', identity, { ...self, databaseId: self.databaseId ?? id }, []);
  requireOurs(decided, identity, where);
  return { ownership: decided, identity };
}

async function putRecord(store: ObjectStore, record: PlaceRecord, options: Options): Promise<void> {
  await create(store, RECORD_FILE, record, options);
}

/** Writes it where there is none. A server that knows no create-only gets a plain write; the caller reads it back. */
async function create(store: ObjectStore, key: string, content: object, { signal }: Options): Promise<void> {
  const text = `${JSON.stringify(content, null, 2)}\n`;
  const options = { signal, contentType: 'application/json' };
  try {
    await store.putIfAbsent(key, new TextEncoder().encode(text), options);
  } catch (error) {
    if (!(error instanceof BackupError) || error.code !== 'UNSUPPORTED') throw error;
    await store.put(key, bytesOf(text), options);
  }
}

/**
 * Stores the record and the claims again as they are, before a rule of the bucket removes them: in a bucket with versions
 * that makes a new version. Where nothing may be replaced they go, and the next upload writes the record anew; until then
 * the manifests say whose they are.
 */
export async function renewIdentity(
  store: ObjectStore,
  isToBeRenewed: (storedAt: Date) => boolean,
  options: Options,
): Promise<void> {
  const old: string[] = [];
  const record = await store.head(RECORD_FILE, options);
  if (record !== null && isToBeRenewed(record.modifiedAt)) old.push(RECORD_FILE);
  for await (const { key, modifiedAt } of store.list(CLAIM_PREFIX, options))
    if (isToBeRenewed(modifiedAt) && old.length <= CLAIMS_MAX) old.push(key);
  for (const key of old) {
    const bytes = await getBytes(store, key, { limitBytes: BYTES_MAX, ...options });
    await store.put(key, bytesOf(new TextDecoder().decode(bytes)), { ...options, contentType: 'application/json' });
  }
}

/** @throws BackupError BAD_CONFIG where the record can't be read, S3_*, ABORTED. */
export async function claimTarget(
  store: ObjectStore,
  { claims, record }: { readonly claims: readonly Claim[]; readonly record: PlaceRecord },
  options: Options,
): Promise<PlaceIdentity> {
  const asked = { ...options, before: null };
  const before = await readTargetIdentity(store, undefined, [], asked);
  requireReadable(before, store);
  if (before.record === null) await putRecord(store, record, options);
  for (const [index, one] of claims.entries()) {
    // Their order is that of their names.
    const stamp = `${one.at.replaceAll(':', '-').replace('.', '-')}-${index}`;
    const key = `${CLAIM_PREFIX}${stamp}-${randomUUID().slice(0, 8)}.json`;
    await create(store, key, { format: CLAIM_FORMAT, ...one }, options);
  }
  return await readTargetIdentity(store, undefined, [], asked);
}
