/** Which files other processes have open. */
import { existsSync, readdirSync, readlinkSync, realpathSync } from 'node:fs';

/**
 * Is there a descriptor of any process on this file, as far as /proc shows them to us? Where there is no /proc (not on
 * Linux) the answer is null.
 */
export function isOpenSomewhere(path: string): boolean | null {
  if (!existsSync('/proc/self/fd')) return null;
  const real = realpathSync(path);
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .some((pid) => {
      try {
        return readdirSync(`/proc/${pid}/fd`).some(
          (descriptor) => readlinkSync(`/proc/${pid}/fd/${descriptor}`) === real,
        );
      } catch {
        // The process ended meanwhile, or is another user's.
        return false;
      }
    });
}
