/**
 * Where a captured moment lies as a file while somebody restores it or looks at it: hidden among the backups. Whoever has
 * one there holds a shared lock, so what killed processes left is known to be nobody's.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { holdStaging, removeIfAllowed, whenAlone } from '../sqlite/staged.ts';

const PLACE = '.velist-moment';
const FILE = `${PLACE}-`;

/** The path of a file that is not there yet; what is there is removed with what is returned. */
export function takeMomentPlace(backups: string, bookmark: string): Disposable & { readonly path: string } {
  removeDeadMoments(backups);
  const held = holdStaging(join(backups, PLACE));
  const path = join(backups, `${FILE}${bookmark}-${crypto.randomUUID()}.sqlite`);
  return {
    path,
    [Symbol.dispose]() {
      removeIfAllowed(path);
      held[Symbol.dispose]();
    },
  };
}

/** Removes what killed processes left there, unless somebody has a moment there now. */
export function removeDeadMoments(backups: string): void {
  const left = () => readdirSync(backups).filter((entry) => entry.startsWith(FILE));
  if (left().length === 0) return;
  whenAlone(join(backups, PLACE), () => {
    for (const entry of left()) removeIfAllowed(join(backups, entry));
  });
}
