/** What the chips of the run log show. Pure. */
import type { Run } from '../../http/contract.ts';
import type { Chip } from './chips.ts';

const labels = { all: 'All', failed: 'Failed', restores: 'Restores', drills: 'Drills', alarms: 'Alarms' } as const;
export type RunFilter = keyof typeof labels;

/** @param alarmed names of the backups that showed a loss. */
export function filterRuns(runs: readonly Run[], filter: RunFilter, alarmed: ReadonlySet<string>): readonly Run[] {
  switch (filter) {
    case 'all':
      return runs;
    case 'failed':
      return runs.filter(({ result }) => result === 'failed');
    case 'restores':
      return runs.filter(({ kind }) => kind === 'restore' || kind === 'undo');
    case 'drills':
      return runs.filter(({ kind }) => kind === 'drill');
    case 'alarms':
      return runs.filter(({ kind, backup }) => kind === 'backup' && backup !== null && alarmed.has(backup));
  }
}

/** Those that show something; none if there is nothing to choose. */
export function runChips(runs: readonly Run[], alarmed: ReadonlySet<string>): readonly Chip<RunFilter>[] {
  const ids = Object.keys(labels) as RunFilter[]; // its own keys
  return ids.flatMap((id) => {
    const label = labels[id];
    const count = filterRuns(runs, id, alarmed).length;
    return id === 'all' ? { id, label } : count > 0 ? { id, label, count } : [];
  });
}

/** Newest first, each once. */
export function mergeRuns(runs: readonly Run[], older: readonly Run[]): readonly Run[] {
  const known = new Set(runs.map(({ id }) => id));
  const added = older.filter(({ id }) => !known.has(id) && known.add(id));
  return [...runs, ...added].sort((a, b) => b.startedAt.localeCompare(a.startedAt));
}
