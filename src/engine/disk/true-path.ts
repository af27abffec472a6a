/** One name for each place, all links followed, also where its last parts do not exist (yet, or any more). */
import { readlinkSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { realPathOfFile } from '../sqlite/real-path.ts';

/** Linux follows as many. */
const LINKS_MAX = 40;

export function truePath(path: string, links = 0): string {
  const whole = resolve(path);
  try {
    return realPathOfFile(whole);
  } catch {
    if (dirname(whole) === whole) return whole;
    const target = linkAt(whole);
    // A link to a file that is missing names the same place as when the file is there.
    if (target !== null && links < LINKS_MAX) return truePath(resolve(dirname(whole), target), links + 1);
    return join(truePath(dirname(whole), links), basename(whole));
  }
}

function linkAt(path: string): string | null {
  try {
    return readlinkSync(path);
  } catch {
    return null;
  }
}
