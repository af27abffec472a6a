/** From the rows of the run history to what they say, which we wrote ourselves. */
import type { ErrorBody } from '../../words/errors.ts';
import type { Drill, Run, RunKind, RunOutcome, RunResult, RunTotal, Step, Trigger } from '../../words/run.ts';
import type { RunMark } from '../runs/activity.ts';

/** A backup proves no moment, and a moment no backup. */
export const drilledKinds = {
  backups: `json_type(drill, '$.moment') IS NULL`,
  moments: `json_type(drill, '$.moment') IS NOT NULL`,
} as const;
export type DrilledKind = keyof typeof drilledKinds;

type Row = Readonly<Record<string, unknown>>;

export function readTotal(row: Row): RunTotal {
  return {
    kind: String(row['kind']) as RunKind, // written by us
    trigger: String(row['trigger']) as Trigger,
    result: String(row['result']) as RunResult,
    count: Number(row['count']),
    sizeBytes: Number(row['size_bytes']),
  };
}

export function addTotal(totals: Map<string, RunTotal>, { count, sizeBytes, ...run }: RunTotal): void {
  const key = `${run.kind} ${run.trigger} ${run.result}`;
  const before = totals.get(key);
  totals.set(key, { ...run, count: count + (before?.count ?? 0), sizeBytes: sizeBytes + (before?.sizeBytes ?? 0) });
}

/** A row that was damaged in a way that SQLite does not see is left out. */
export function readable<Kind>(row: Row, read: (row: Row) => Kind) {
  try {
    return [read(row)];
  } catch {
    return [];
  }
}

export function readMark(row: Row): RunMark {
  return {
    id: String(row['id']),
    plannedAt: row['planned_at'] === null ? null : new Date(Number(row['planned_at'])),
    startedAt: new Date(Number(row['started_at'])),
    endedAt: new Date(Number(row['ended_at'])),
    ...readOutcome(row),
    backup: row['backup'] === null ? null : String(row['backup']),
  };
}

const UNSAID: ErrorBody = {
  code: 'INTERNAL',
  message: 'the run history does not say why',
  hint: 'Look into the log of that time.',
};

/** @throws Error for a row that was not written by us, or was damaged since. */
function readOutcome(row: Row): RunOutcome {
  const result = String(row['result']);
  if (result === 'success')
    return { result, sizeBytes: row['size_bytes'] === null ? null : Number(row['size_bytes']), error: null };
  if (result === 'unchanged') return { result, sizeBytes: null, error: null };
  if (result !== 'stopped' && result !== 'refused' && result !== 'failed') throw new Error(`no run ends ${result}`);
  const error = JSON.parse(String(row['error'])) as ErrorBody | null; // written by us
  return { result, sizeBytes: null, error: error ?? UNSAID };
}

export function readRun(row: Row): Run {
  const text = (name: string) => (row[name] === null ? null : String(row[name]));
  const time = (name: string) => new Date(Number(row[name]));
  return {
    id: String(row['id']),
    kind: String(row['kind']) as RunKind, // written by us
    trigger: String(row['trigger']) as Trigger,
    user: text('user'),
    plannedAt: row['planned_at'] === null ? null : time('planned_at'),
    startedAt: time('started_at'),
    endedAt: time('ended_at'),
    ...readOutcome(row),
    backup: text('backup'),
    steps: JSON.parse(String(row['steps'])) as Step[],
    ...(typeof row['drill'] === 'string' && { drill: JSON.parse(row['drill']) as Drill }),
    ...(typeof row['target'] === 'string' && { target: row['target'] }),
  };
}
