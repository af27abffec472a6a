/** What lies where a database belongs, before anything is brought back there. */
import { type BigIntStats, lstatSync, statSync } from 'node:fs';
import { leadsNowhere } from '../../engine/sqlite/missing.ts';
import { leftoverOf } from '../../engine/sqlite/stamp.ts';
import { BackupError } from '../../words/errors.ts';

/** By `stat` alone: nothing there is ever opened. */
export function lookAt(path: string): 'present' | 'empty' | 'missing' {
  // Before the file itself: one that appears meanwhile brings its log along.
  const left = leftoverOf(path);
  const found = statOf(lstatSync, path);
  if (!found) {
    if (!left) return 'missing';
    throw new BackupError('RESTORE_IN_USE', `${left} is there without its database`, {
      hint: 'It may contain the last commits. Find the database it belongs to, or move it away; then try again.',
    });
  }
  const file = statOf(statSync, path);
  if (!file) {
    throw leadsNowhere(path);
  }
  if (!file.isFile()) {
    throw new BackupError('NOT_SQLITE', `${path} is not a file`, {
      hint: 'When a container mounts a file that is missing, it creates a folder instead. Mount the folder of the database instead.',
    });
  }
  return file.size === 0n && !left ? 'empty' : 'present';
}

function statOf(
  stat: (path: string, options: { bigint: true; throwIfNoEntry: false }) => BigIntStats | undefined,
  path: string,
): BigIntStats | undefined {
  try {
    return stat(path, { bigint: true, throwIfNoEntry: false });
  } catch (error) {
    throw BackupError.from(error);
  }
}
