/**
 * Files of the working folder that we obey without being told to: a configuration is run, and `.env` says which database is
 * replaced, and from which folder. In a folder like `/tmp` any user of the machine may leave one, and whoever types a
 * command there, root above all, would act for that user. So such a file counts only if nobody but its reader, root, or the
 * owner of the running program can have written it. That owner decides what we do anyway: in a container that runs as root,
 * the app and its files often belong to the user 1000 of the host.
 *
 * What is read is what was judged: by one descriptor, so that nobody exchanges the file in between.
 */
import { closeSync, existsSync, fstatSync, lstatSync, openSync, readFileSync, type Stats, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { BackupError } from '../words/errors.ts';
import { realPathOfFile } from '../engine/sqlite/real-path.ts';

const GROUP_WRITES = 0o020;
const OTHERS_WRITE = 0o002;

interface Trust {
  /** The user named it: then its owner is not asked, only that not everybody can write it. */
  readonly isNamed?: boolean;
  /** It loads other files beside it: then nobody else may put any there. */
  readonly isRun?: boolean;
  /** Ends the hint, as a sentence. */
  readonly otherwise: string;
}

/** @throws BackupError BAD_CONFIG for a file that others can write; the system's error where it can't be read. */
export function readTrustedFile(path: string, trust: Trust): string {
  // Before it is opened: a pipe would hold us up.
  refuseForeign(path, statSync(path), trust);
  const descriptor = openSync(path, 'r');
  try {
    refuseForeign(path, fstatSync(descriptor), trust);
    return readFileSync(descriptor, 'utf8');
  } finally {
    closeSync(descriptor);
  }
}

/** For a file that the runtime has read already. @throws BackupError BAD_CONFIG */
export function refuseForeignFile(path: string, trust: Trust): void {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found) refuseForeign(path, found, trust);
}

function refuseForeign(path: string, found: Stats, trust: Trust): void {
  // Windows knows no such owners; there the rights of the folder hold.
  if (process.geteuid === undefined) return;
  if ((found.mode & OTHERS_WRITE) !== 0) throw openToAll(path, path, trust);
  if (trust.isNamed) return;
  refuseOwner(path, lstatSync(path), path, trust);
  refuseOwner(path, found, path, trust);
  if (!trust.isRun) return;
  const folder = dirname(realPathOfFile(path));
  const around = statSync(folder);
  if ((around.mode & OTHERS_WRITE) !== 0) throw openToAll(path, folder, trust);
  refuseOwner(path, around, folder, trust);
}

function refuseOwner(path: string, found: Stats, what: string, trust: Trust): void {
  const owners = trustedOwners();
  if (!owners.has(found.uid)) {
    throw refused(path, `${what} belongs to user ${found.uid}, who is neither user ${process.geteuid?.()} nor root`, {
      fix: `\`chown ${process.geteuid?.()} ${what}\``,
      ...trust,
    });
  }
  // The mode of a link says nothing.
  if (found.isSymbolicLink() || (found.mode & GROUP_WRITES) === 0 || isPrivateGroup(found, owners)) return;
  throw refused(path, `the group ${found.gid} can write to ${what}`, { fix: `\`chmod g-w ${what}\``, ...trust });
}

function openToAll(path: string, what: string, trust: Trust): BackupError {
  return refused(path, `every user of this machine can write to ${what}`, { fix: `\`chmod o-w ${what}\``, ...trust });
}

function refused(path: string, why: string, { fix, otherwise }: { fix: string; otherwise: string }): BackupError {
  return new BackupError('BAD_CONFIG', `${path} was not used: ${why}`, {
    hint: `Read it. If it is yours, or contains what you want: ${fix}. ${otherwise}`,
  });
}

function trustedOwners(): ReadonlySet<number> {
  // Compiled into one file, a program has no script; with one, the runtime is the system's.
  const programs = [process.execPath, ...process.argv.slice(1, 2)];
  const owners = programs.flatMap((path) => statSync(path, { throwIfNoEntry: false })?.uid ?? []);
  return new Set([0, process.geteuid?.() ?? 0, ...owners]);
}

/**
 * Many systems give each user a group of its own, and files that it may write. Root's group is as good as root; images that
 * run under any number (OpenShift) rely on that.
 */
function isPrivateGroup({ uid, gid }: Stats, trusted: ReadonlySet<number>): boolean {
  if (gid === 0) return true;
  const users = linesOf('/etc/passwd').map(([name, , id, group]) => ({ name, id: Number(id), group: Number(group) }));
  const group = linesOf('/etc/group').find(([, , id]) => Number(id) === gid);
  const listed = new Set(group?.[3]?.split(',').filter((name) => name !== ''));
  const members = users.filter((user) => user.group === gid || listed.has(user.name ?? ''));
  // A group that nobody tells of: by custom the number of its one user.
  if (members.length === 0) return listed.size === 0 && gid === uid;
  return members.every(({ id }) => trusted.has(id));
}

function linesOf(path: string): readonly (readonly string[])[] {
  if (!existsSync(path)) return [];
  return readFileSync(path, 'utf8')
    .split('\n')
    .map((line) => line.split(':'));
}
