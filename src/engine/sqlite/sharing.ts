/**
 * Finds out from `stat` and the mounts whether all programs that use a database certainly share its log and its locks;
 * nothing is opened. A doubt is not an error: the setup may well work, so backups are made. If /proc shows that it does
 * not, `other-log.ts` refuses.
 */
import { statSync } from 'node:fs';
import { basename } from 'node:path';
import { type Mount, isIn, mountOf, readMounts } from './mounts.ts';

export interface Doubt {
  readonly kind: 'hard-link' | 'file-mount' | 'layer' | 'file-system';
  readonly what: string;
  readonly why: string;
  readonly fix: string;
}

const OTHER_LOG =
  'SQLite finds the log by the name of the database: a program that opens the file under another name uses a different log, and a backup misses what it commits; without a log, a transaction that a crash interrupted is rolled back only under the name under which it began.';
const MERGE_FIRST =
  'Before you change anything, let the app close the database itself, so that its log is merged, and keep every -wal file that is not empty.';

/** File systems on which two programs that see the same file may not see each other's locks or shared memory. */
const unsureKinds = /^(fuse(\.\S+)?|fuseblk|virtiofs|vboxsf|vmhgfs|prl_fs|fakeowner)$/;

/** @param path the real path of a database that is there. */
export function doubtsAbout(path: string, mounts: readonly Mount[] | null = readMounts()): readonly Doubt[] {
  const name = basename(path);
  const doubts: Doubt[] = [];
  const links = statSync(path, { throwIfNoEntry: false })?.nlink ?? 1;
  if (links > 1) {
    doubts.push({
      kind: 'hard-link',
      what: `${name} has ${links} names (hard links)`,
      why: OTHER_LOG,
      fix: `Open it under one name everywhere, also in DATABASE_URL. ${MERGE_FIRST}`,
    });
  }
  const mount = mounts && mountOf(path, mounts);
  if (mount?.at === path) {
    doubts.push({
      kind: 'file-mount',
      what: `${name} is mounted as a single file`,
      why: OTHER_LOG,
      fix: `Mount the folder that contains the database, for the app and for the backups. ${MERGE_FIRST}`,
    });
  }
  if (mounts?.some((one) => one.kind === 'overlay' && isInLayer(path, one))) {
    doubts.push({
      kind: 'layer',
      what: `${name} is in a layer of a container's file system`,
      why: 'As soon as the container writes to it, it gets a copy of its own, and this file no longer changes.',
      fix: `Keep the database on a volume, and back it up from there or in the container. ${MERGE_FIRST}`,
    });
  }
  if (mount && unsureKinds.test(mount.kind)) {
    doubts.push({
      kind: 'file-system',
      what: `${name} is on ${mount.kind}, which is not known to share locks and memory among all programs that see the file`,
      why: 'A program on the other side (the host, a virtual machine, the folder behind it) may use a different log, and a backup misses what it commits.',
      fix: 'Run backups where the app runs, on the same mount, or keep the database on a disk of that machine.',
    });
  }
  return doubts;
}

function isInLayer(path: string, { options }: Mount): boolean {
  const layers = options.split(',').flatMap((option) => {
    const [key = '', value = ''] = option.split('=');
    return /^(lowerdir|upperdir)\+?$/.test(key) ? value.split(':') : [];
  });
  return layers.some((layer) => layer.startsWith('/') && isIn(path, layer));
}
