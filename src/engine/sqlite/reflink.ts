/**
 * A clone instead of a copy, on file systems whose files can share blocks (XFS, Btrfs): no byte is moved, and the backup
 * takes no room until the database changes.
 *
 * `cp` does it, in a process of its own: to clone, the file must be opened by name, and closing that descriptor here
 * would drop the pin's locks.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, rmSync, statfsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';

/** statfs `f_type` of file systems that clone: XFS, Btrfs. */
const cloningFileSystems = new Set([0x58465342, 0x9123683e]);

/** True when `to` now is a clone of `from`; false, with nothing left at `to`, when it can't be done here. */
export async function clone(from: string, to: string): Promise<boolean> {
  if (!cloningFileSystems.has(Number(statfsSync(from).type))) return false;
  if (statSync(from).dev !== statSync(dirname(to)).dev) return false;
  const cp = spawn('cp', ['--reflink=always', '--', from, to], { stdio: 'ignore' });
  const code = await once(cp, 'close').then(
    ([exitCode]) => exitCode,
    // No such program: the copy below does the work.
    () => null,
  );
  if (code === 0) {
    chmodSync(to, 0o600);
    return true;
  }
  rmSync(to, { force: true });
  return false;
}
