/** Which files other processes have open. */
import { existsSync, readdirSync, readlinkSync, realpathSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

/**
 * Is there a descriptor of any process on this file, as far as /proc shows them to us? Where there is no /proc (not on
 * Linux) the answer is null.
 */
export function isOpenSomewhere(path: string): boolean | null {
  if (!existsSync('/proc/self/fd')) return null;
  const real = realpathSync(path);
  return processes().some((pid) => holds(pid, real));
}

/**
 * Processes that still have open what was at `path` before it was removed, as far as /proc shows them to us: what they
 * write is lost. None where there is a file, and where there is no /proc.
 */
export function holdersOfRemoved(path: string): readonly number[] {
  if (existsSync(path) || !existsSync('/proc/self/fd') || !existsSync(dirname(path))) return [];
  const removed = `${join(realpathSync(dirname(path)), basename(path))} (deleted)`;
  return processes().filter((pid) => holds(pid, removed));
}

function processes(): readonly number[] {
  return readdirSync('/proc').flatMap((entry) => (/^\d+$/.test(entry) ? [Number(entry)] : []));
}

function holds(pid: number, file: string): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((descriptor) => readlinkSync(`/proc/${pid}/fd/${descriptor}`) === file);
  } catch {
    // The process ended meanwhile, or is another user's.
    return false;
  }
}
