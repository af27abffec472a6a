/** What is kept on this disk on top of what the settings say: no forecast is whole without it. Pure. */
import type { Backup } from '../../http/contract.ts';
import { plural } from './format.ts';
import { keptForLosses } from './loss.ts';

interface OnTop {
  readonly safety: number;
  readonly pinned: number;
  /** From before a loss that nobody said was meant. */
  readonly kept: number;
  readonly bytes: number;
}

export function keptOnTop(backups: readonly Backup[], now: number): OnTop {
  const own = backups.filter(({ other }) => other === null);
  const losses = keptForLosses(own, now);
  const onTop = { safety: 0, pinned: 0, kept: 0, bytes: 0 };
  for (const { safety, pinned, filename, placements, size } of own) {
    const copy = placements.find(({ target, status }) => target === 'local' && status === 'stored');
    const kind = safety ? 'safety' : pinned ? 'pinned' : losses.has(filename) ? 'kept' : null;
    if (copy === undefined || kind === null) continue;
    onTop[kind]++;
    onTop.bytes += copy.sizeBytes ?? size;
  }
  return onTop;
}

/** "2 safety copies", "1 pinned backup", "2 backups kept for an alarm": those that there are. */
export function onTopWords({ safety, pinned, kept }: OnTop): readonly string[] {
  return [
    ...(safety > 0 ? [plural(safety, 'safety copy', 'safety copies')] : []),
    ...(pinned > 0 ? [plural(pinned, 'pinned backup')] : []),
    ...(kept > 0 ? [`${plural(kept, 'backup')} kept for an alarm`] : []),
  ];
}
