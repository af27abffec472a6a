/**
 * What an app commits between the safety backup of a restore and the replacement itself.
 *
 * In WAL mode the pin keeps all of that in the database's log. As soon as the replacement holds the write lock, the log
 * is copied beside the safety backup: from then on a kill loses nothing, since backup and log together are the moment
 * that was replaced. Afterwards, or in the next run if there was a kill, SQLite replays the log into a copy of the safety
 * backup, and that second one takes the place of the first.
 *
 * In a rollback mode there is no log, and a pin would keep the replacement from its lock. So the pin is released, and once
 * the lock is held, which keeps everybody out, the database says by its count of commits whether there were any. If so,
 * all of it is copied beside the safety backup, and becomes the second one.
 *
 * A log that ends before its safety backup does would bring back old pages, and half a copy is none, so either gets its
 * name only when it is whole and durable.
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { lateLogName, lateLogOwner, lateLogSetAside } from '../format/names.ts';
import type { Backup, Catalog } from '../catalog/folder-catalog.ts';
import { verificationOf } from '../format/manifest.ts';
import { BackupError } from '../../words/errors.ts';
import { giveToOwnerOfFolder } from '../disk/owner.ts';
import { freeName, nextSequence, publish, Staging } from '../catalog/publish.ts';
import { syncFolderNow } from '../disk/sync-folder.ts';
import { contentBytes, readHeaderOf } from '../sqlite/header.ts';
import { asFullDisk, type PinnedDatabase } from '../sqlite/live-database.ts';
import { logBytes, openLog } from '../sqlite/log-file.ts';
import { copyWhole, replayLog, type Snapshot } from '../sqlite/snapshot.ts';
import { verifySnapshot } from '../sqlite/verify.ts';
import type { LogEnd } from '../sqlite/wal.ts';
import { type StoryContext, warnIn } from '../../words/story.ts';

const CHUNK_BYTES = 1024 * 1024;

/**
 * Keeps what the log of the pinned database holds beyond the safety backup, up to where its index ends. Synchronous: the caller holds the write lock, so
 * nothing is committed meanwhile.
 */
export function saveLateCommits(
  folder: string,
  safetyBackup: string,
  { pinned, logEnd }: { readonly pinned: PinnedDatabase; readonly logEnd: LogEnd | null },
): void {
  const end = pinned.logEndNow();
  if (end === null) throw new Error('the index of the log changes under a lock that forbids it');
  if (end.frames === 0 || (end.salts === logEnd?.salts && end.frames <= logEnd.frame)) return;
  const source = openLog(pinned.path, end);
  try {
    keep(folder, safetyBackup, source, logBytes(end, pinned.pageSize));
  } finally {
    closeSync(source);
  }
}

/**
 * Keeps the whole database as the safety backup that is made of it. Synchronous: the caller holds the lock that keeps
 * everybody out, and its main file is not yet written to.
 *
 * @param descriptor of the database; the caller's, and closed by nobody before the lock is given up.
 */
export function saveLateCopy(folder: string, safetyBackup: string, descriptor: number): void {
  keep(folder, safetyBackup, descriptor, contentBytes(descriptor));
}

function keep(folder: string, safetyBackup: string, source: number, bytes: number): void {
  // Its name is one that the next run removes.
  const temporary = join(folder, `.${safetyBackup}.late.tmp`);
  try {
    copyStart(source, temporary, bytes);
    giveToOwnerOfFolder(temporary);
    renameSync(temporary, join(folder, lateLogName(safetyBackup)));
    syncFolderNow(folder);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

/**
 * Replaces the safety backup by one that holds its late log too, or is its late copy; without either it stays. Needs the
 * folder's lock.
 *
 * @returns the name of the safety backup that is there now.
 * @throws BackupError NO_BACKUP, BAD_BACKUP, VERIFY_FAILED when the log can't be replayed into its backup.
 */
export async function mergeLateLog(catalog: Catalog, safetyBackup: string, context: StoryContext): Promise<string> {
  const log = join(catalog.folder, lateLogName(safetyBackup));
  if (!existsSync(log)) return safetyBackup;
  const first = await catalog.find(safetyBackup);
  if (first.manifest === null || first.fault !== null) {
    throw new BackupError('BAD_BACKUP', `${safetyBackup} can't be relied on: ${first.fault ?? 'it has no manifest'}`, {
      hint: 'Verify it; if it is good, adopt it.',
    });
  }
  using staging = new Staging(catalog.folder, warnIn(context));
  const { method } = first.manifest.verification;
  const snapshot = putTogether(first.path, log, staging.file);
  const verified = await verifySnapshot(snapshot, { method, now: context.now });
  // The log was written when the database was replaced.
  const moment = statSync(log).mtime;
  const name = freeName(catalog.folder, moment);
  const { sizeBytes, pageSize, pages, sha256, facts } = verified;
  const { facts: _ofFirst, ...manifest } = first.manifest;
  await publish(catalog, staging, verified, {
    ...manifest,
    ...(facts && { facts }),
    name,
    sequence: nextSequence(await catalog.list(), moment),
    createdAt: moment.toISOString(),
    database: { sizeBytes, pageSize, pages, sha256 },
    artifact: { ...manifest.artifact, file: name, sizeBytes, sha256 },
    verification: verificationOf(method, verified.verifiedAt, verified),
    stamp: null,
  });
  // The log first: without its backup it could not be replayed.
  // Not rmSync: Bun calls a full disk EFAULT there.
  unlinkSync(log);
  syncFolderNow(catalog.folder);
  await removeMerged(catalog, first, context);
  return name;
}

function putTogether(first: string, log: string, destination: string): Snapshot {
  try {
    return readHeaderOf(log) === null ? replayLog(first, log, destination) : copyWhole(log, destination);
  } catch (error) {
    throw asFullDisk(error, destination) ?? error;
  }
}

/** It stays if somebody has pinned or annotated it meanwhile, or if it can't be removed: one too many does no harm. */
async function removeMerged(catalog: Catalog, first: Backup, context: StoryContext): Promise<void> {
  const text = JSON.stringify(first.manifest);
  const isAsRead = (backups: readonly Backup[]) =>
    backups.some(({ name, manifest }) => name === first.name && JSON.stringify(manifest) === text);
  try {
    await catalog.removeIf(first, isAsRead);
  } catch (error) {
    warnIn(context)(`${first.name} stays beside a newer one that holds more: ${BackupError.from(error).message}.`);
  }
}

const hopeless: ReadonlySet<string> = new Set(['NO_BACKUP', 'BAD_BACKUP', 'VERIFY_FAILED']);

/**
 * Merges the late logs that killed restores left. Where that is impossible for now (the disk is full), the next run
 * tries again. One that can never be merged is told, once, and kept under a name that is no longer hidden: the backup that
 * is made now has nothing to do with it.
 */
export async function mergeLeftLateLogs(catalog: Catalog, context: StoryContext): Promise<void> {
  for (const entry of readdirSync(catalog.folder)) {
    const owner = lateLogOwner(entry);
    if (owner === null) continue;
    try {
      await mergeLateLog(catalog, owner, context);
    } catch (error) {
      const reason = BackupError.from(error);
      if (!hopeless.has(reason.code)) continue;
      const late = join(catalog.folder, entry);
      const isLog = readHeaderOf(late) === null;
      const kept = join(catalog.folder, lateLogSetAside(owner, isLog ? 'log' : 'database'));
      renameSync(late, kept);
      const what = isLog ? 'a SQLite log that continues from that backup' : 'a copy of the database as it was then';
      warnIn(context)(
        `What was committed after ${owner} and before a restore that was killed can't be merged: ${reason.message}. It is kept in ${kept}, ${what}.`,
      );
    }
  }
}

/** The first so many bytes, durable. Leaves `source` open. */
function copyStart(source: number, to: string, bytes: number): void {
  // Not through a link, nor over a file with a second name.
  rmSync(to, { force: true });
  const copy = openSync(to, 'wx', 0o600);
  try {
    const chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES);
    for (let done = 0; done < bytes;) {
      const length = readSync(source, chunk, 0, Math.min(CHUNK_BYTES, bytes - done), done);
      if (length === 0) throw new Error('the file became shorter while it was read');
      for (let written = 0; written < length;)
        written += writeSync(copy, chunk, written, length - written, done + written);
      done += length;
    }
    fsyncSync(copy);
  } finally {
    closeSync(copy);
  }
}
