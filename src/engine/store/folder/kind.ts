/**
 * A folder as a target: another disk, or the disk of a server that is mounted here.
 *
 * When such a disk is not mounted, its mount point is an empty folder like any other. So the folder bears a mark, which a
 * person puts there once while the disk is mounted. Without it the folder is neither read nor written to: it is never
 * taken for an empty target, and no backup lands on the disk below the mount point.
 */
import { statSync } from 'node:fs';
import { lstat, readdir, rm } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { BackupError, errnoCode } from '../../../words/errors.ts';
import { shellWord } from '../../../words/visible-text.ts';
import { createLocalStore } from './store.ts';
import type { Kind, SweepUnfinished, TargetStore } from '../kind.ts';
import { isUnfinished } from '../object-key.ts';
import {
  type Check,
  deletes,
  isPrivateFolder,
  lists,
  looksUp,
  ok,
  reads,
  type TestedTarget,
  warning,
  writes,
} from '../self-test-checks.ts';
import { aborted } from '../store.ts';
import type { FolderAccess } from './access.ts';
import { contains, identityOf, realFolder } from './apart.ts';
import { folderKit } from './kit.ts';
import { folderWords } from './words.ts';

/** Empty; it says that the disk is mounted. */
export const FOLDER_MARK = '.velist-target';

export const folderKind: Kind<FolderAccess> = {
  words: folderWords,

  open({ path }, prefix): TargetStore {
    const isThere = () => requireMark(path);
    const below = join(path, prefix);
    return Object.assign(createLocalStore({ root: below, isThere }), {
      root: createLocalStore({ root: path, isThere }),
      sweepUploads: (options: SweepUnfinished) => sweepUnfinished(below, options),
    });
  },

  addressOf: ({ path }, prefix) => `folder:${join(resolve(path), prefix)}`,
  identityOf({ path }, prefix) {
    const folder = realFolder(join(path, prefix));
    return `folder:${identityOf(folder) ?? folder}`;
  },
  stateKeyOf: ({ path }, prefix) => `folder:${join(resolve(path), prefix)}`,
  whereOf: ({ path }, prefix) => join(path, prefix),
  wholeOf: ({ path }) => `folder ${path}`,
  connectionOf: ({ path }) => `folder:${resolve(path)}`,
  faultOf({ path }, prefix, backupsPath) {
    if (path === '') return { what: 'its path is empty', hint: 'Name the folder, such as /mnt/nas/backups.' };
    const folder = realFolder(join(path, prefix));
    const here = backupsPath === undefined ? null : realFolder(backupsPath);
    if (here === null || !(contains(folder, here) || contains(here, folder))) return null;
    return {
      what: `${join(path, prefix)} and the folder of the backups here (${backupsPath}) are one inside the other`,
      hint: 'Name a folder on another disk.',
    };
  },
  lifecycleDaysOf: () => null,
  archiveHoursOf: () => null,

  risksOf({ path }, { databasePath, publicFolders }) {
    const device = deviceOf(path);
    const folder = realFolder(path);
    return {
      plainHost: null,
      isAlsoPublic: publicFolders.some((served) => contains(realFolder(served), folder)),
      isOnSameDisk: device !== null && device === (deviceOf(databasePath) ?? deviceOf(dirname(databasePath))),
    };
  },

  kit: folderKit,

  test: folderToTest,
};

/** @throws BackupError FOLDER_MISSING. */
async function requireMark(path: string): Promise<void> {
  const found = await lstat(join(path, FOLDER_MARK)).catch((error: unknown) => {
    if (errnoCode(error) === 'ENOENT' || errnoCode(error) === 'ENOTDIR') return null;
    throw BackupError.from(error);
  });
  if (found !== null) return;
  throw new BackupError(
    'FOLDER_MISSING',
    `the target folder ${path} has no ${FOLDER_MARK}: its disk is not mounted, or it is new`,
    {
      hint: `Mount its disk. Only if the disk is mounted and never held backups, make the mark: touch ${shellWord(join(path, FOLDER_MARK))}`,
    },
  );
}

/** Files that a killed upload left under a name that no listing shows. */
async function sweepUnfinished(folder: string, { olderThan, signal }: SweepUnfinished): Promise<number | null> {
  let removed = 0;
  try {
    for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
      signal?.throwIfAborted();
      if (!entry.isFile() || !isUnfinished(entry.name)) continue;
      const path = join(entry.parentPath, entry.name);
      if ((await lstat(path)).mtimeMs >= olderThan.getTime()) continue;
      await rm(path, { force: true });
      removed++;
    }
    return removed;
  } catch {
    if (signal?.aborted) throw aborted(signal.reason);
    return null;
  }
}

function folderToTest(access: FolderAccess, prefix: string): TestedTarget {
  const store = folderKind.open(access, prefix);
  const checks = [writes, looksUp, reads, lists, isPrivateFolder(join(access.path, prefix)), createsOnly, deletes];
  return { store, checks, contact: [isMounted(access.path)], policy: null, close: () => store.close() };
}

function isMounted(path: string): Check {
  return {
    name: 'reach',
    cannot: 'the folder cannot be used',
    async run() {
      await requireMark(path);
      return ok(`the folder is there, with its mark ${FOLDER_MARK}`);
    },
  };
}

const createsOnly: Check = {
  name: 'create-only',
  cannot: 'no file can be written on condition that it does not exist yet',
  needsObject: true,
  async run({ store, key, signal }) {
    try {
      const once = key('once');
      await store.putIfAbsent(once, Buffer.from('first'), { signal });
      if (!(await store.putIfAbsent(once, Buffer.from('second'), { signal })))
        return ok('a create-only write does not replace what is there, so a place has one writer at a time');
    } catch (thrown) {
      if (BackupError.from(thrown).code !== 'UNSUPPORTED') throw thrown;
    }
    return warning(
      'the file system has no create-only write (hard links)',
      'Two machines that begin within the same second may both write there until their next upload, and could mix their streams of commits (continuous backup). Give every machine a folder of its own; then this does not matter.',
    );
  },
};

function deviceOf(path: string): number | null {
  return statSync(path, { throwIfNoEntry: false })?.dev ?? null;
}
