/**
 * Whose a folder is, read and written. Reading makes no file. The record is written whole, under a name that nobody has:
 * two databases that begin in one folder at once leave one owner.
 */
import { randomUUID } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fchmodSync,
  fsyncSync,
  linkSync,
  lstatSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  type Stats,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { giveToOwnerOfFolder } from '../disk/owner.ts';
import { BackupError, errnoCode } from '../../words/errors.ts';
import { visibleLine } from '../../words/visible-text.ts';
import type { DatabaseSelf } from '../writer/self.ts';
import { syncFolderNow } from '../disk/sync-folder.ts';
import { FOUND_FILE, OWNER_FILE, RECORD_FILE } from '../format/names.ts';
import type { Backup, Catalog } from './folder-catalog.ts';
import {
  type Claim,
  judgePlace,
  NO_IDENTITY,
  OWN_FOLDER,
  OWNER_FORMAT,
  type Ownership,
  ownerRecord,
  type PlaceIdentity,
  type PlaceRecord,
  placeRecord,
  RECORD_FORMAT,
  requireOurs,
  type Sourced,
} from './identity.ts';

const BYTES_MAX = 256 * 1024;
/** Claims that are remembered; a database moves rarely. */
const CLAIMS_MAX = 100;

/** What can't be read is a complaint and no error, because a listing must not fail for it. */
export function readFolderIdentity(folder: string): PlaceIdentity {
  try {
    const record = parseRecord(textOf(join(folder, RECORD_FILE)));
    const owner = textOf(join(folder, OWNER_FILE));
    if (owner === null) return { record, claims: [], complaint: null };
    const { format, previous, ...last } = ownerRecord.parse(JSON.parse(owner));
    return { record, claims: [...previous, last], complaint: null };
  } catch (error) {
    return { ...NO_IDENTITY, complaint: `${RECORD_FILE} or ${OWNER_FILE}: ${reasonOf(error)}` };
  }
}

/** Answers null for no record, and for what the discovery of older versions kept under that name. */
function parseRecord(text: string | null): PlaceRecord | null {
  if (text === null) return null;
  const json: unknown = JSON.parse(text);
  return isOldDiscovery(json) ? null : placeRecord.parse(json);
}

/** Says in one line why a record can't be read. A parser may quote what it read. */
export function reasonOf(error: unknown): string {
  const issue = error instanceof z.ZodError ? error.issues[0] : undefined;
  const said = error instanceof Error ? error.message : String(error);
  return visibleLine(issue ? `${issue.path.join('.') || 'it'}: ${issue.message}` : said).slice(0, 200);
}

function isOldDiscovery(json: unknown): boolean {
  return typeof json === 'object' && json !== null && 'file' in json && !('format' in json);
}

/** Null if there is none; a link is not followed. */
function textOf(path: string): string | null {
  const found = lookAt(path);
  if (found === null) return null;
  if (!found.isFile() || found.size > BYTES_MAX) throw new Error(`${path} is not a small plain file`);
  return readFileSync(path, 'utf8');
}

function lookAt(path: string): Stats | null {
  try {
    return lstatSync(path);
  } catch (error) {
    // A file in the folder's place is told by whoever lists it.
    if (errnoCode(error) === 'ENOENT' || errnoCode(error) === 'ENOTDIR') return null;
    throw error;
  }
}

export interface OwnedFolder {
  readonly ownership: Ownership;
  readonly identity: PlaceIdentity;
}

/** Looks, and writes nothing. @param backups newest first. */
export function lookAtFolder(folder: string, self: DatabaseSelf, backups: readonly Sourced[]): OwnedFolder {
  const identity = readFolderIdentity(folder);
  return { identity, ownership: judgePlace('folder', identity, self, backups) };
}

/**
 * Before anything is written or removed here. Needs the folder's lock.
 *
 * @param options.mayBeForeign a safety backup is made here although the folder is another database's.
 * @throws BackupError FOREIGN_PLACE when it is another database's, BAD_CONFIG when nobody can tell.
 */
export async function requireOwnFolder(
  catalog: Catalog,
  self: DatabaseSelf,
  { mayBeForeign = false }: { readonly mayBeForeign?: boolean } = {},
): Promise<OwnedFolder & { readonly backups: readonly Backup[] }> {
  const backups = await catalog.list();
  const found = lookAtFolder(catalog.folder, self, backups);
  const ownership = mayBeForeign ? { ...found.ownership, stranger: null } : found.ownership;
  requireOurs(ownership, found.identity, { place: `the folder ${catalog.folder}`, target: 'local', own: OWN_FOLDER });
  return { ...found, backups };
}

/**
 * Makes the folder ours where it is nobody's yet, by the backup that `publish` commits under the id that it is given. One
 * that fails leaves no folder that belongs to a database without backups. Needs the folder's lock.
 *
 * @returns the id of the database.
 */
export async function publishAsOwn(
  folder: string,
  { ownership }: OwnedFolder,
  self: DatabaseSelf,
  { now, publish }: { readonly now: Date; readonly publish: (databaseId: string) => Promise<void> },
): Promise<string> {
  const id = ownership.id ?? randomUUID();
  if (ownership.mustRecord) writeRecord(folder, toRecord(id, self, now));
  try {
    await publish(id);
  } catch (error) {
    if (ownership.mustRecord) rmSync(join(folder, RECORD_FILE), { force: true });
    throw error;
  }
  return id;
}

export function toRecord(id: string, self: DatabaseSelf, now: Date): PlaceRecord {
  return {
    format: RECORD_FORMAT,
    id,
    name: self.name,
    path: self.pathDigest,
    machine: self.machineDigest,
    createdAt: now.toISOString(),
    madeBy: self.maker,
    ...(self.isProvisional && { provisional: true }),
  };
}

export function writeRecord(folder: string, record: PlaceRecord): void {
  const path = join(folder, RECORD_FILE);
  const temporary = writeTemporary(folder, record);
  try {
    moveOldDiscovery(folder);
    try {
      linkSync(temporary, path);
    } catch (error) {
      // A file system without hard links; the folder's lock keeps others away meanwhile.
      if (errnoCode(error) === 'EEXIST' || existsSync(path)) throw ownedMeanwhile(folder);
      renameSync(temporary, path);
    }
    syncFolderNow(folder);
  } finally {
    rmSync(temporary, { force: true });
  }
}

/** Another machine has no part in the folder's lock where that is on a network file system. */
function ownedMeanwhile(folder: string): BackupError {
  return new BackupError('FOREIGN_PLACE', `another run made the folder ${folder} its own a moment ago`, {
    hint: 'Nothing was written. Try again: the answer will say whose it is.',
  });
}

/** What the discovery of older versions noted is kept, under its new name. */
function moveOldDiscovery(folder: string): void {
  const path = join(folder, RECORD_FILE);
  const text = textOf(path);
  if (text === null || !isOldDiscovery(JSON.parse(text))) return;
  if (existsSync(join(folder, FOUND_FILE))) unlinkSync(path);
  else renameSync(path, join(folder, FOUND_FILE));
}

/** Needs the folder's lock. @param claims oldest first; the last one owns the folder. */
export function writeOwner(folder: string, claims: readonly Claim[]): void {
  const last = claims.at(-1);
  if (!last) throw new Error('a folder has no owner without a claim'); // the callers add one
  const owner = { format: OWNER_FORMAT, ...last, previous: claims.slice(0, -1).slice(-CLAIMS_MAX) };
  const temporary = writeTemporary(folder, owner);
  renameSync(temporary, join(folder, OWNER_FILE));
  syncFolderNow(folder);
}

/** Writes a durable file, under a name that the next run removes if this one is killed. */
function writeTemporary(folder: string, content: object): string {
  const path = join(folder, `.backup-owner.${randomUUID()}.tmp`);
  const file = openSync(path, 'wx', 0o600);
  try {
    fchmodSync(file, 0o600); // the umask may have taken more
    giveToOwnerOfFolder(path);
    writeFileSync(file, `${JSON.stringify(content, null, 2)}\n`);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  return path;
}
