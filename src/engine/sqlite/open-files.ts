/**
 * Finds out which processes have a database open. In a rollback-journal mode an idle app holds no lock, and neither
 * does one in WAL mode that has opened the file but not read yet. SQLite can't see them, /proc can.
 */
import { existsSync, fstatSync, readdirSync, readFileSync, readlinkSync, realpathSync, statSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { BackupError, errnoCode } from '../../words/errors.ts';
import { isOpenHereAlone } from './lease.ts';
import { isOnNetwork, isOnOwnDisk } from './network.ts';
import { askNearest } from './nearest.ts';
import { realPathOfFile } from './real-path.ts';
import { sideFiles } from './stamp.ts';

export interface OpenFiles {
  /** Other processes that have the database or a file beside it open. */
  readonly by: readonly Holder[];
  /** Why there may be others; null if every process that could have it open was looked at. */
  readonly unseen: Unseen | null;
}

interface Holder {
  readonly pid: number;
  /** The name of its program, as the kernel has it: up to 15 letters. Its arguments may hold secrets. */
  readonly name: string;
}

/**
 * - `no-proc`: this system has no /proc;
 * - `container`: this process sees those of its own container alone;
 * - `permission`: some processes, as those of other users, don't show us what they have open;
 * - `network`: other machines reach the file too.
 */
export type Unseen = 'no-proc' | 'container' | 'permission' | 'network';

/** Finds who else has the database at this path open, or still works on the file that was there before. */
export function whoHasOpen(databasePath: string): OpenFiles {
  if (!existsSync('/proc/self/fd')) return { by: [], unseen: 'no-proc' };
  const files = filesOf(databasePath);
  const by: Holder[] = [];
  let isDenied = false;
  for (const pid of processes()) {
    if (pid === process.pid) continue;
    const found = look(pid, files);
    if (found === 'denied') isDenied = true;
    if (found === 'open') by.push({ pid, name: nameOf(pid) });
  }
  return { by, unseen: unseen(databasePath, isDenied) };
}

/** Does any process have a descriptor on this file, as far as /proc shows? Null if there is no /proc (not on Linux). */
export function isOpenSomewhere(path: string): boolean | null {
  if (!existsSync('/proc/self/fd')) return null;
  const file = { names: new Set<string>(), ...identitiesOf([realPathOfFile(path)]) };
  return processes().some((pid) => look(pid, file) === 'open');
}

/**
 * Is it certain that only this process, by that descriptor, has the file open or mapped? /proc does not show
 * everything: other users, other containers, other machines or a server inside the kernel may have it open.
 * @param folder that contains the file, or contained it until it was unlinked.
 */
export function isSurelyUnused(descriptor: number, folder: string): boolean {
  if (!existsSync('/proc/self/fd') || existsSync(KERNEL_NFS_SERVER) || !isOnOwnDisk(folder)) return false;
  if (isOpenHereAlone(descriptor)) return true;
  if (unseen(folder, false) !== null) return false;
  const { dev, ino } = fstatSync(descriptor, { bigint: true });
  const file = { identities: new Set([`${dev}:${ino}`]), devices: new Set<bigint>(), names: new Set<string>() };
  const looked = new Set<number>();
  for (;;) {
    const others = processes().filter((pid) => !looked.has(pid));
    if (others.length === 0) return true;
    for (const pid of others) {
      looked.add(pid);
      const ours = pid === process.pid ? String(descriptor) : null;
      if (look(pid, file, ours) !== 'not open' || isMapped(pid, ino)) return false;
    }
    // A process started meanwhile may have inherited the file from one that has closed it since.
  }
}

const KERNEL_NFS_SERVER = '/proc/fs/nfsd/exports';

/** By its inode alone: the device that the list names is not always the one that `stat` does. */
function isMapped(pid: number, inode: bigint): boolean {
  try {
    return readFileSync(`/proc/${pid}/maps`, 'utf8').includes(` ${inode} `);
  } catch (error) {
    return !hasEnded(error);
  }
}

function hasEnded(error: unknown): boolean {
  return errnoCode(error) === 'ENOENT' || errnoCode(error) === 'ESRCH';
}

interface Files {
  /** Device and inode: hard links, mounts and other names of a file are the same file. */
  readonly identities: ReadonlySet<string>;
  readonly devices: ReadonlySet<bigint>;
  /** The path that /proc shows for a file that was removed. */
  readonly names: ReadonlySet<string>;
}

function filesOf(databasePath: string): Files {
  const path = realPathOf(databasePath);
  const paths = ['', ...sideFiles].map((suffix) => path + suffix);
  return { names: new Set(paths.map((one) => `${one} (deleted)`)), ...identitiesOf([...paths, dirname(path)]) };
}

/** The real path of a file that may be gone: /proc still names it by its real folder. */
function realPathOf(path: string): string {
  return askNearest(path, (found) =>
    found === path ? realPathOfFile(path) : join(realpathSync(found), relative(found, path)),
  );
}

function identitiesOf(paths: readonly string[]): Omit<Files, 'names'> {
  const found = paths.flatMap((path) => statSync(path, { bigint: true, throwIfNoEntry: false }) ?? []);
  return {
    identities: new Set(found.filter((one) => one.isFile()).map(({ dev, ino }) => `${dev}:${ino}`)),
    devices: new Set(found.map(({ dev }) => dev)),
  };
}

export function processes(): readonly number[] {
  return readdirSync('/proc').flatMap((entry) => (/^\d+$/.test(entry) ? Number(entry) : []));
}

/** @param passedOver a descriptor that does not count. */
function look(
  pid: number,
  { identities, devices, names }: Files,
  passedOver: string | null = null,
): 'open' | 'not open' | 'denied' {
  const folder = `/proc/${pid}/fd`;
  try {
    const isOpen = readdirSync(folder).some((entry) => {
      if (entry === passedOver) return false;
      const descriptor = join(folder, entry);
      const name = linkOf(descriptor);
      if (name === null || /^(socket|pipe|anon_inode):/.test(name)) return false;
      // `stat` opens nothing.
      const found = statSync(descriptor, { bigint: true, throwIfNoEntry: false });
      if (!found) return false;
      return identities.has(`${found.dev}:${found.ino}`) || (names.has(name) && devices.has(found.dev));
    });
    return isOpen ? 'open' : 'not open';
  } catch (error) {
    // Any reason that keeps us from looking (another user's process, no descriptor left) says nothing about what it has
    // open.
    return hasEnded(error) ? 'not open' : 'denied';
  }
}

/** Null for a descriptor that was closed meanwhile. */
export function linkOf(descriptor: string): string | null {
  try {
    return readlinkSync(descriptor);
  } catch (error) {
    if (errnoCode(error) === 'ENOENT') return null;
    throw error;
  }
}

export function nameOf(pid: number): string {
  try {
    // Anybody may name a process, and the name is shown on a terminal.
    return readFileSync(`/proc/${pid}/comm`, 'utf8')
      .trim()
      .replaceAll(/[^ -~]/g, '?');
  } catch {
    return 'a program';
  }
}

function unseen(databasePath: string, isDenied: boolean): Unseen | null {
  if (!isFirstNamespace()) return 'container';
  // With the option `hidepid` of /proc, processes of others are not even listed: process 1 is always another's.
  if (isDenied || !existsSync('/proc/1')) return 'permission';
  return isOnNetwork(databasePath) ? 'network' : null;
}

/** Inode number of the namespace that a machine starts with, a constant of Linux (`PROC_PID_INIT_INO`). */
const FIRST_PID_NAMESPACE = 'pid:[4026531836]';

function isFirstNamespace(): boolean {
  try {
    return readlinkSync('/proc/self/ns/pid') === FIRST_PID_NAMESPACE;
  } catch {
    return false;
  }
}

/** @throws BackupError RESTORE_IN_USE while another process is seen to have the database open. */
export function refuseWhileOpen(databasePath: string): void {
  const { by } = whoHasOpen(databasePath);
  if (by.length > 0)
    throw inUse(databasePath, `${namesOf(by)} ${by.length === 1 ? 'has' : 'have'} ${databasePath} open`);
}

/** How long a plan or a check-up of ours may look into the database meanwhile. */
const GLANCE_MS = 1_000;
const GLANCE_RETRY_MS = 100;

/** As `refuseWhileOpen`, but waits for a process that only looks in. */
export async function refuseWhileInUse(databasePath: string): Promise<void> {
  for (const deadline = performance.now() + GLANCE_MS; performance.now() < deadline; await sleep(GLANCE_RETRY_MS))
    if (whoHasOpen(databasePath).by.length === 0) return;
  refuseWhileOpen(databasePath);
}

export function inUse(databasePath: string, message = `another process has ${databasePath} open`): BackupError {
  return new BackupError('RESTORE_IN_USE', message, {
    hint: 'Nothing was changed. Stop it and try again, or restore online: that works while it runs.',
  });
}

const NAMED_MAX = 3;

/** `python3 (process 4711) and node (process 12)`. */
export function namesOf(holders: readonly Holder[]): string {
  const names = holders.slice(0, NAMED_MAX).map(({ name, pid }) => `${name} (process ${pid})`);
  if (holders.length > NAMED_MAX) names.push(`${holders.length - NAMED_MAX} more`);
  return [names.slice(0, -1).join(', '), names.at(-1)].filter(Boolean).join(' and ');
}
