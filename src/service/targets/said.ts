/** What people say of a backup after it was made, carried on to the copy of it at a target. */
import { isDeepStrictEqual } from 'node:util';
import type { Backup } from '../../engine/catalog/folder-catalog.ts';
import type { Manifest } from '../../engine/format/manifest.ts';
import type { WritingRequest } from '../../engine/writer/writing.ts';
import type { KnownRemote } from '../state/target-state.ts';
import { isUnread } from './known-place.ts';
import type { TargetContext } from './target-context.ts';

/** A pin, a note, and the word on a loss. */
export type Said = Pick<Manifest, 'pinned' | 'note' | 'loss'>;

/** Backups of which a person said something here that the copy there does not say yet. */
export function saidHereAlone(
  here: readonly Backup[],
  there: ReadonlyMap<string, KnownRemote>,
): readonly (Backup & { readonly manifest: Manifest })[] {
  return here.flatMap((backup) => {
    const { name, manifest } = backup;
    const entry = there.get(name);
    const remote = entry?.manifest;
    // What it says now is not known while it is not shown.
    if (!manifest || !remote || isUnread(entry)) return [];
    const isLossSaid = !manifest.loss || isDeepStrictEqual(remote.loss, manifest.loss);
    if (remote.pinned === manifest.pinned && remote.note === manifest.note && isLossSaid) return [];
    return [{ ...backup, manifest }];
  });
}

/** @param asWriter left out for what a person asked for. */
export async function sayThere(
  context: TargetContext,
  name: string,
  { pinned, note, loss }: Said,
  asWriter: WritingRequest = {},
): Promise<void> {
  const { service, target, access, known } = context;
  const said = { pinned, note, ...(loss && { loss }) };
  const began = known.begin();
  const where = { folder: service.catalog.folder, target, ...access };
  await context.job<'change-remote'>({ kind: 'change-remote', name, ...where, ...asWriter, ...said });
  if (!known.isStill(began)) return;
  known.noteChanged(name);
  // Read anew at the next listing, whatever its ETag.
  const entry = known.entries().get(name);
  if (entry?.manifest) known.replace({ ...entry, etag: '', manifest: { ...entry.manifest, ...said } });
}
