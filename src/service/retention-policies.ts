/** What to keep in the folder and at other targets, from the settings. Pure. */
import { KEEP_NONE, type KeepNumbers, type RetentionPolicy } from '../engine/retention.ts';
import type { Settings } from './model.ts';

/** The reason of one that a plan gave up and that is there still. */
export const SURVIVED = 'was to be removed, and could not be; the log says why';

/** While nothing may be removed: every backup is one of the newest so many. */
export const KEEP_ALL: Required<RetentionPolicy> = { count: Number.MAX_SAFE_INTEGER, startBurstMs: 0, keep: KEEP_NONE };

/** Of one target; what is not given is as in the folder. */
export interface OwnRetention {
  readonly retentionCount: number | null;
  readonly keep?: Partial<KeepNumbers>;
}

export type KeepSettings = Pick<Settings, 'keepHourly' | 'keepDaily' | 'keepWeekly' | 'keepMonthly' | 'keepYearly'>;

/** The count alone decides. */
export const keepSettingsNone: KeepSettings = {
  keepHourly: 0,
  keepDaily: 0,
  keepWeekly: 0,
  keepMonthly: 0,
  keepYearly: 0,
};

export function toKeepSettings(keep: KeepNumbers): KeepSettings {
  return {
    keepHourly: keep.hourly,
    keepDaily: keep.daily,
    keepWeekly: keep.weekly,
    keepMonthly: keep.monthly,
    keepYearly: keep.yearly,
  };
}

export function localRetention(
  settings: KeepSettings & Pick<Settings, 'retentionCount'>,
  intervalMinutes: number,
): Required<RetentionPolicy> {
  const { keepHourly, keepDaily, keepWeekly, keepMonthly, keepYearly } = settings;
  return {
    count: settings.retentionCount,
    startBurstMs: intervalMinutes * 60_000,
    keep: { hourly: keepHourly, daily: keepDaily, weekly: keepWeekly, monthly: keepMonthly, yearly: keepYearly },
  };
}

export function ownRetention(
  local: Required<RetentionPolicy>,
  { retentionCount, keep = {} }: OwnRetention,
): RetentionPolicy {
  return {
    ...local,
    count: retentionCount ?? local.count,
    keep: {
      hourly: keep.hourly ?? local.keep.hourly,
      daily: keep.daily ?? local.keep.daily,
      weekly: keep.weekly ?? local.keep.weekly,
      monthly: keep.monthly ?? local.keep.monthly,
      yearly: keep.yearly ?? local.keep.yearly,
    },
  };
}
