/** What the system tells of its mounts (`/proc/self/mounts`, proc(5)). Nothing here opens a database. */
import { readFileSync } from 'node:fs';

export interface Mount {
  readonly at: string;
  /** `ext4`, `nfs4`, … */
  readonly kind: string;
  readonly options: string;
}

/** Null on systems that have no such file. */
export function readMounts(): readonly Mount[] | null {
  try {
    return mountsIn(readFileSync('/proc/self/mounts', 'utf8'));
  } catch {
    return null;
  }
}

export function mountsIn(text: string): readonly Mount[] {
  return text.split('\n').flatMap((line) => {
    const [, at = '', kind, options = ''] = line.split(' ').map(unescapeMount);
    return kind === undefined ? [] : [{ at, kind, options }];
  });
}

/** Space, tab, newline and backslash are written in octal. */
function unescapeMount(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

/** The mount that holds the real path `path`. */
export function mountOf(path: string, mounts: readonly Mount[]): Mount | null {
  let best: Mount | null = null;
  // The later of two at one place hides the other.
  for (const mount of mounts)
    if (isIn(path, mount.at) && (best === null || mount.at.length >= best.at.length)) best = mount;
  return best;
}

export function isIn(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith('/') ? folder : `${folder}/`);
}
