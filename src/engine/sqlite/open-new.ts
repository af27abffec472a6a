import { constants, openSync } from 'node:fs';

const { O_WRONLY, O_CREAT, O_APPEND, O_NOFOLLOW = 0 } = constants;

/**
 * Makes a file, or takes the existing one, without following links: through a link to nothing the file would be made
 * elsewhere.
 */
export const APPEND_HERE = O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW;

/** The descriptor of an empty file of ours, whose content is written by others. */
export function openNew(path: string): number {
  return openSync(path, APPEND_HERE, 0o600);
}
