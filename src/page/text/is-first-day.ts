/** When the first day is, apart from what it shows: the page asks this each time, and shows that to few. Pure. */
import type { Backup, Run, Status } from '../../http/contract.ts';

interface Known {
  readonly status: Pick<Status, 'verdict'>;
  /** Those of this database. */
  readonly backups: readonly Pick<Backup, 'filename'>[];
  /** Newest first. */
  readonly runs: readonly Pick<Run, 'kind' | 'result' | 'startedAt'>[];
  readonly now: number;
}

/** With so many the activity chart has something to show. */
const CHART_FROM = 6;
const DAY_MS = 86_400_000;
/** The page asks for as many runs: if there are fewer, the oldest is the first. */
const RUNS_ASKED = 100;

/** Counts backups that retention has removed, too. */
export function hasChart({ backups, runs }: Pick<Known, 'backups' | 'runs'>): boolean {
  const made = runs.filter(({ kind, result }) => kind === 'backup' && result === 'success').length;
  return Math.max(backups.length, made) >= CHART_FROM;
}

/** Until the chart is there, and beside it while the first run is younger than a day. */
export function isFirstDay(known: Known): boolean {
  const { code } = known.status.verdict;
  // First somebody has to decide something else.
  if (code === 'missing' || code === 'loss' || code === 'foreign-place') return false;
  if (!hasChart(known)) return true;
  const first = known.runs.at(-1);
  return first !== undefined && known.runs.length < RUNS_ASKED && known.now - Date.parse(first.startedAt) < DAY_MS;
}
