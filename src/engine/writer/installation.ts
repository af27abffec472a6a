/**
 * This installation: a random id of this installation, the databases it knows by an id, and what it holds at each target. In a
 * small file beside the run history and apart from it, so that losing the one does not lose the other.
 *
 * A machine that is set back to an older image brings an older file back, and a machine that was cloned has the same one:
 * both are told by the numbers that a target holds (`writer.ts`).
 */
import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { setAside, type Warn } from '../disk/aside.ts';
import { giveToOwnerOfFolder } from '../disk/owner.ts';
import { syncFolder } from '../disk/sync-folder.ts';
import { BackupError, errnoCode, exhausted, isExhausted } from '../../words/errors.ts';
import { makePrivateFolder } from '../disk/private-folder.ts';
import { takeLock } from '../disk/lock.ts';

const heldPlace = z.object({
  /** Number of the epoch that we took there. */
  epoch: z.int().positive(),
  /** Secret of the start that took it: whichever process has it is the writer. */
  token: z.string(),
  /** How often we renewed our heartbeat; a higher number at the target is a clone's, or from before we were set back. */
  beats: z.int().nonnegative(),
  /** False once it was released, and where a command claimed it: then no process renews it. */
  isHeld: z.boolean(),
  /** Until then nothing that others made is removed there: we took over without knowing the place. */
  sparesOthersUntil: z.iso.datetime().nullable(),
});

const installationSchema = z.object({
  format: z.literal('velist-backup-installation/1'),
  id: z.string(),
  createdAt: z.iso.datetime(),
  /** Ids of databases, by the digest of their path. */
  databases: z.record(z.string(), z.string()).default({}),
  /** By address of the place: server, bucket and prefix. */
  places: z.record(z.string(), heldPlace).default({}),
  /** Tokens of epochs that were about to be taken, by address. A crash leaves one here, and the epoch is ours all the same. */
  taking: z.record(z.string(), z.string()).default({}),
});

export type Installation = z.infer<typeof installationSchema>;
export type HeldPlace = z.infer<typeof heldPlace>;

/** What a manifest says about who made it. */
export interface Maker {
  readonly installation: string;
  readonly host: string;
}

const FILE = 'velist-backup.installation.json';
const LOCK_WAIT_MS = 10_000;

/** All databases whose run history lies in one folder are of one installation. */
export function installationPath(statePath: string): string {
  return join(dirname(statePath), FILE);
}

export function makerOf({ id }: Pick<Installation, 'id'>): Maker {
  return { installation: id, host: hostname() };
}

/**
 * Null if there is none yet, and where it is damaged: whoever changes it sets it aside and begins a new one. A machine
 * with a new id counts as another one: it removes nothing that others made for seven days, and makes backups all the same.
 *
 * @throws BackupError NO_PERMISSION when another user's: a new id would make us a stranger at our own places.
 */
export function readInstallation(path: string): Installation | null {
  const text = textOf(path);
  return text === null ? null : parse(text);
}

function textOf(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    const code = errnoCode(cause);
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EISDIR') return null;
    if (isExhausted(cause)) throw exhausted(cause);
    throw new BackupError('NO_PERMISSION', `${path} can't be read (${code})`, {
      hint: 'It says which installation this is. Give it to the user who runs this process (`chown`).',
      cause,
    });
  }
}

function parse(text: string): Installation | null {
  try {
    return installationSchema.parse(JSON.parse(text));
  } catch {
    return null;
  }
}

/**
 * Reads, changes and writes it, durably; made where it is missing. Processes that change it follow each other.
 *
 * @param options.warn hears that a damaged one was set aside.
 */
export async function changeInstallation(
  path: string,
  change: (installation: Installation) => Installation,
  {
    now,
    signal = new AbortController().signal,
    warn = () => {},
  }: { readonly now: () => Date; readonly signal?: AbortSignal; readonly warn?: Warn },
): Promise<Installation> {
  makePrivateFolder(dirname(path));
  using _lock = await takeLock(`${path}.lock`, { waitMs: LOCK_WAIT_MS, signal, warn });
  const before = readInstallation(path);
  if (before === null && existsSync(path))
    warn(`${path} is damaged and was moved to ${setAside(path)}; this machine counts as a new installation.`);
  const after = change(before ?? newInstallation(now()));
  if (JSON.stringify(after) !== JSON.stringify(before)) await write(path, after);
  return after;
}

function newInstallation(now: Date): Installation {
  const format = 'velist-backup-installation/1';
  return { format, id: randomUUID(), createdAt: now.toISOString(), databases: {}, places: {}, taking: {} };
}

/** Asynchronous, because the service counts its heartbeats in the process of the app, which must not wait for a disk. */
async function write(path: string, installation: Installation): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    // What a killed process of that number left, or somebody else: it may be a link.
    await rm(temporary, { force: true });
    const file = await open(temporary, 'wx', 0o600);
    try {
      await file.chmod(0o600); // the umask may have taken more
      giveToOwnerOfFolder(temporary);
      await file.writeFile(`${JSON.stringify(installation, null, 2)}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    await syncFolder(dirname(path));
  } catch (error) {
    throw BackupError.from(error);
  }
}
