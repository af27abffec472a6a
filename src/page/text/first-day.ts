/**
 * The first day: what is done already and what is still missing, from facts alone, and how far back one can go. Pure.
 */
import type { Backup, Config, Run, Status } from '../../http/contract.ts';
import { clockTime, duration, minutes, moment, plural, sentence, size } from './format.ts';
import { targetSubject, targetWord } from './targets.ts';

export interface FirstDayFacts {
  readonly status: Status;
  /** Those of this database, newest first. */
  readonly backups: readonly Backup[];
  /** Newest first. */
  readonly runs: readonly Run[];
  /** Null until it is known. */
  readonly config: Config | null;
  readonly now: number;
  readonly zone: string;
}

export interface Step {
  readonly name: 'backup' | 'schedule' | 'copy' | 'restore' | 'notify';
  readonly title: string;
  readonly detail: string;
  readonly isDone: boolean;
  /** Null where nothing can be pressed. */
  readonly action: {
    readonly name: 'turn-on' | 'set-up-s3' | 'drill' | 'set-up-webhook';
    readonly label: string;
  } | null;
}

const DAY_MS = 86_400_000;

export function stepsOf(facts: FirstDayFacts): readonly Step[] {
  return [backupStep(facts), scheduleStep(facts), copyStep(facts), restoreStep(facts), notifyStep(facts)];
}

function backupStep({ status, backups, runs, now, zone }: FirstDayFacts): Step {
  const base = { name: 'backup', title: 'First backup, opened and checked', action: null } as const;
  const first = backups.findLast(({ verified }) => verified);
  if (status.lastGood === null || first === undefined) {
    const next = status.schedule.nextRunAt;
    const detail =
      status.run !== null
        ? 'It is being made'
        : next === null
          ? 'Backup Now makes it'
          : `It is made at ${clockTime(Date.parse(next), zone)}`;
    return { ...base, isDone: false, detail };
  }
  const run = runs.find(({ backup, kind }) => kind === 'backup' && backup === first.filename);
  const took = run ? ` in ${duration(Date.parse(run.endedAt) - Date.parse(run.startedAt))}` : '';
  return {
    ...base,
    isDone: true,
    detail: `${moment(Date.parse(first.createdAt), now, zone)}, ${size(first.size)}${took}`,
  };
}

function scheduleStep({ status: { schedule } }: FirstDayFacts): Step {
  const base = { name: 'schedule', title: 'Backups run by themselves' } as const;
  if (!schedule.enabled)
    return { ...base, isDone: false, detail: 'Only by hand', action: { name: 'turn-on', label: 'Turn on' } };
  if (schedule.nextRunAt === null)
    return { ...base, isDone: false, detail: 'The schedule was not started', action: null };
  const rhythm =
    schedule.cron === null ? `Every ${minutes(schedule.intervalMinutes)}` : `By the schedule ${schedule.cron}`;
  return { ...base, isDone: true, detail: `${rhythm}, also after a restart`, action: null };
}

function copyStep({ status: { targets }, backups }: FirstDayFacts): Step {
  const base = { name: 'copy', title: 'Keep a copy off this machine' } as const;
  const enabled = targets.filter((target) => target.enabled);
  const [stored] = enabled.filter((target) => target.stored > 0);
  if (stored)
    return {
      ...base,
      isDone: true,
      detail: `${plural(stored.stored, 'copy', 'copies')} in ${stored.bucket ?? stored.where}`,
      action: null,
    };
  const [waiting] = enabled;
  if (waiting) {
    const detail = waiting.error
      ? `${targetSubject(waiting.target)}: ${sentence(waiting.error.message)}`
      : 'The first copy is on its way';
    return { ...base, isDone: false, detail, action: null };
  }
  const lost =
    backups.length === 1 ? 'the backup goes with it' : `${backups.length === 0 ? '' : 'all '}backups go with it`;
  const detail = `If this disk fails, ${lost}`;
  return { ...base, isDone: false, detail, action: { name: 'set-up-s3', label: 'Set up S3' } };
}

function restoreStep({ status, now, zone }: FirstDayFacts): Step {
  const base = { name: 'restore', title: 'Try a restore' } as const;
  const { targets } = status.freshness;
  const proven = targets.find((place) => place.proven !== null);
  if (proven?.proven) {
    const { at, ms } = proven.proven;
    const detail = `${moment(Date.parse(at), now, zone)}, from ${targetWord(proven.target)} in ${duration(ms)}`;
    return { ...base, isDone: true, detail, action: null };
  }
  const hasFailed = targets.some(({ drill }) => drill?.result === 'failed');
  const detail = hasFailed
    ? 'The last one failed; the check-up shows why'
    : 'Into a temporary file. Your database is not touched';
  const action = status.lastGood === null ? null : ({ name: 'drill', label: 'Run a drill' } as const);
  return { ...base, isDone: false, detail, action };
}

function notifyStep({ config }: FirstDayFacts): Step {
  const base = { name: 'notify', title: 'Hear about failures' } as const;
  if (config?.notifies) return { ...base, isDone: true, detail: 'A webhook or a heartbeat is set', action: null };
  const detail = 'A webhook is called when a backup fails or is late';
  return { ...base, isDone: false, detail, action: config && { name: 'set-up-webhook', label: 'Add' } };
}

/** How far back it will go, in sentences. */
export function reachLines({ config, status }: FirstDayFacts): readonly string[] {
  if (config === null) return [];
  const { retentionCount, intervalMinutes, cron, enabled } = config;
  if (!enabled) return [`The last ${plural(retentionCount, 'backup')} that you make`];
  if (cron !== null) return [`The last ${plural(retentionCount, 'backup')}, in the rhythm of your schedule`];
  const every = minutes(intervalMinutes).replace(/^1 /, '');
  const near = `The last ${minutes(retentionCount * intervalMinutes).replace(/^1 (?!h )/, '')}: one every ${every}`;
  const far = thinner
    .filter(([name]) => config[name] > 0)
    .map(([name, one, period]) => `one ${one} for ${plural(config[name], period)}`);
  if (far.length === 0) return [near];
  const isRoom = config.keepIsDefault && status.local.forecast.fitting !== null;
  return [near, `Before that: ${far.join(', ')}${isRoom ? ', as far as the disk has room' : ''}`];
}

const thinner = [
  ['keepHourly', 'an hour', 'hour'],
  ['keepDaily', 'a day', 'day'],
  ['keepWeekly', 'a week', 'week'],
  ['keepMonthly', 'a month', 'month'],
  ['keepYearly', 'a year', 'year'],
] as const;

/** Where a moment stands on the axis, from 0 to 1: the first minutes have as much room as the later hours. */
export function placeOnAxis(
  ms: number,
  { firstMs, lastMs }: { readonly firstMs: number; readonly lastMs: number },
): number {
  const lengthMs = Math.max(DAY_MS, (lastMs - firstMs) * 1.25);
  return Math.sqrt(Math.max(0, ms - firstMs) / lengthMs);
}
