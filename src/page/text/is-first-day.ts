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

/** From the sixth on the activity chart has something to show. */
const WITHOUT_CHART_MAX = 5;
const DAY_MS = 86_400_000;
/** The page asks for as many runs: if there are fewer, the oldest is the first. */
const RUNS_ASKED = 100;
/** First somebody has to decide something else. */
const decisions: readonly string[] = ['missing', 'loss', 'foreign-place'];

/** Counts backups that retention has removed, too. */
export const hasChart = ({ backups, runs }: Pick<Known, 'backups' | 'runs'>): boolean =>
  Math.max(backups.length, runs.filter(({ kind, result }) => kind === 'backup' && result === 'success').length) >
  WITHOUT_CHART_MAX;

/** Until the chart is there, and beside it while the first run is younger than a day. */
export const isFirstDay = (known: Known): boolean =>
  !decisions.includes(known.status.verdict.code) &&
  (!hasChart(known) ||
    (known.runs.length < RUNS_ASKED && known.now - Date.parse(known.runs.at(-1)?.startedAt ?? '') < DAY_MS));
