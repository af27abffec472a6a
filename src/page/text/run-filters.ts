/** What the chips of the run log show. Pure. */
import type { Run } from '../../http/contract.ts';
import type { Chip } from './chips.ts';

/** What a run is asked for by each; `alarmed`: names of the backups that showed a loss. */
const filters = {
  All: () => true,
  Failed: ({ result }: Run) => result === 'failed',
  Restores: ({ kind }: Run) => kind === 'restore' || kind === 'undo',
  Rescues: ({ kind }: Run) => kind === 'rescue' || kind === 'undo-rescue',
  Drills: ({ kind }: Run) => kind === 'drill',
  Alarms: ({ kind, backup }: Run, alarmed: ReadonlySet<string>) =>
    kind === 'backup' && backup !== null && alarmed.has(backup),
} as const;
export type RunFilter = keyof typeof filters;

export function filterRuns(runs: readonly Run[], filter: RunFilter, alarmed: ReadonlySet<string>): readonly Run[] {
  return runs.filter((run) => filters[filter](run, alarmed));
}

/** Those that show something; how many runs there are in all nobody knows. */
export function runChips(runs: readonly Run[], alarmed: ReadonlySet<string>): readonly Chip<RunFilter>[] {
  return (Object.keys(filters) as RunFilter[]).flatMap((id) => {
    if (id === 'All') return { id, label: id };
    const count = filterRuns(runs, id, alarmed).length;
    return count > 0 ? { id, label: id, count } : [];
  });
}

/** Newest first, each once. */
export function mergeRuns(runs: readonly Run[], older: readonly Run[]): readonly Run[] {
  const known = new Set(runs.map(({ id }) => id));
  const added = older.filter(({ id }) => !known.has(id) && known.add(id));
  return [...runs, ...added].sort((a, b) => b.startedAt.localeCompare(a.startedAt));
}
