/**
 * Order across places. A machine that was set back to an older image, or whose clock is slow, numbers its new backups
 * below what a target holds: there they would count as old, and be removed at once. So before an upload the backups
 * that are not there yet get numbers above all that are, and keep their order among each other.
 */
import { join } from 'node:path';
import { LOCK_FILE } from '../format/names.ts';
import type { Backup, Catalog } from './folder-catalog.ts';
import type { Manifest } from '../format/manifest.ts';
import type { Warn } from '../disk/aside.ts';
import { takeLock } from '../disk/lock.ts';

type Numbered = Pick<Backup, 'name'> & { readonly manifest: Pick<Manifest, 'sequence'> | null };

/** @param here ours in the folder, newest first. @param there ours at the target. */
export function planNumbers(
  name: string,
  here: readonly Numbered[],
  there: readonly Numbered[],
): ReadonlyMap<string, number> | null {
  const index = here.findIndex((backup) => backup.name === name);
  const own = here[index]?.manifest?.sequence;
  if (!own) return null;
  const newer = here.slice(0, index);
  const stored = new Set(there.map((backup) => backup.name));
  // It, or a newer one, is there: then it comes late, and its number is right.
  if ([...newer, { name }].some((backup) => stored.has(backup.name))) return null;
  const highest = there.reduce((max, { manifest }) => Math.max(max, manifest?.sequence ?? 0), 0);
  if (highest < own) return null;
  const numbers = new Map<string, number>();
  let last = highest;
  for (const backup of here.slice(0, index + 1).toReversed()) {
    const sequence = backup.manifest?.sequence;
    if (!sequence) continue;
    last = Math.max(sequence, last + 1);
    if (last !== sequence) numbers.set(backup.name, last);
  }
  return numbers;
}

/**
 * Carries the plan out. Under the folder's lock, so that no backup is numbered meanwhile.
 *
 * @param ours which backups of the folder are of this database, newest first.
 * @returns how many got another number.
 */
export async function numberBehind(
  catalog: Catalog,
  name: string,
  there: readonly Numbered[],
  {
    ours,
    ...options
  }: { readonly ours: () => Promise<readonly Numbered[]>; readonly signal: AbortSignal; readonly warn?: Warn },
): Promise<number> {
  if (planNumbers(name, await ours(), there) === null) return 0;
  using _lock = await takeLock(join(catalog.folder, LOCK_FILE), { waitMs: Number.POSITIVE_INFINITY, ...options });
  const numbers = planNumbers(name, await ours(), there);
  if (numbers) await catalog.renumber(numbers);
  return numbers?.size ?? 0;
}
