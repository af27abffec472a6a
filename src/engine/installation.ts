/**
 * Who we are: a random id of this installation, the databases it knows by an id, and what it holds at each target. In a
 * small file beside the run history and apart from it, so that losing the one does not lose the other.
 *
 * A machine that is set back to an older image brings an older file back, and a machine that was cloned has the same one:
 * both are told by the numbers that a target holds (`writer.ts`).
 */
import { randomUUID } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { BackupError } from './errors.ts';
import { makePrivateFolder } from './private-folder.ts';
import { takeLock } from './run-lock.ts';
import { syncFolderNow } from './sqlite/sync-folder.ts';

const heldPlace = z.object({
  /** Number of the epoch that we took there. */
  epoch: z.int().positive(),
  /** Secret of the start that took it: who has it is the writer. */
  token: z.string(),
  /** How often we renewed our heartbeat; a higher number at the target is a clone's, or from before we were set back. */
  beats: z.int().nonnegative(),
  /** False once it was released. */
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
});

export type Installation = z.infer<typeof installationSchema>;
export type HeldPlace = z.infer<typeof heldPlace>;

/** What a manifest says of who made it. */
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
 * Null where there is none yet.
 *
 * @throws BackupError BAD_CONFIG when the file is unreadable: a new id would make us a stranger at our own places.
 */
export function readInstallation(path: string): Installation | null {
  if (!existsSync(path)) return null;
  try {
    return installationSchema.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch (cause) {
    throw new BackupError('BAD_CONFIG', `${path} is unreadable`, {
      hint: 'It says which installation this is. Put it back from a copy, or move it away: then this machine counts as a new one, and removes nothing that others made for seven days.',
      cause,
    });
  }
}

/** Reads, changes and writes it, durably; made where it is missing. Processes that change it follow each other. */
export async function changeInstallation(
  path: string,
  change: (installation: Installation) => Installation,
  { now, signal = new AbortController().signal }: { readonly now: () => Date; readonly signal?: AbortSignal },
): Promise<Installation> {
  makePrivateFolder(dirname(path));
  using _lock = await takeLock(`${path}.lock`, { waitMs: LOCK_WAIT_MS, signal });
  const before = readInstallation(path);
  const after = change(before ?? newInstallation(now()));
  if (JSON.stringify(after) !== JSON.stringify(before)) write(path, after);
  return after;
}

function newInstallation(now: Date): Installation {
  const format = 'velist-backup-installation/1';
  return { format, id: randomUUID(), createdAt: now.toISOString(), databases: {}, places: {} };
}

function write(path: string, installation: Installation): void {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    writeFileSync(temporary, `${JSON.stringify(installation, null, 2)}\n`, { mode: 0o600 });
    chmodSync(temporary, 0o600); // the umask may have taken more
    const file = openSync(temporary, 'r+');
    fsyncSync(file);
    closeSync(file);
    renameSync(temporary, path);
    syncFolderNow(dirname(path));
  } catch (error) {
    throw BackupError.from(error);
  }
}
