/** Programs of the distribution that some tests want. In CI a missing one is a failure, elsewhere it is said aloud. */
import { spawnSync } from 'node:child_process';

/** @param packages that have them, as Debian calls these; their own names, if not given. */
export function areMissing(programs: readonly string[], packages: readonly string[] = programs): boolean {
  const missing = programs.filter((program) => spawnSync('which', [program]).status !== 0);
  if (missing.length === 0) return false;
  const message = `not tried for want of ${missing.join(' and ')} (apt-get install ${packages.join(' ')})`;
  if (process.env['CI']) throw new Error(message);
  console.warn(message);
  return true;
}
