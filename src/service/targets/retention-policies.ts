/** What to keep in the folder and at other targets, from the settings. Pure. */
import {
  type FolderRetention,
  KEEP_NONE,
  type KeepNumbers,
  type RetentionPolicy,
} from '../../engine/catalog/retention.ts';
import type { Settings } from '../state/backup-config.ts';

/** The reason of one that a plan gave up and that is there still. */
export const SURVIVED = 'was to be removed, and could not be; the log says why';

/** While nothing may be removed: every backup is one of the newest so many. */
export const KEEP_ALL: Required<FolderRetention> = {
  ...{ count: Number.MAX_SAFE_INTEGER, startBurstMs: 0, keep: KEEP_NONE, byDefault: null },
};

/** One target's; what is not given is as in the folder. */
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
export const keepNames = Object.keys(keepSettingsNone) as readonly (keyof KeepSettings)[]; // its own keys

export function toKeepSettings(keep: KeepNumbers): KeepSettings {
  return {
    keepHourly: keep.hourly,
    keepDaily: keep.daily,
    keepWeekly: keep.weekly,
    keepMonthly: keep.monthly,
    keepYearly: keep.yearly,
  };
}

function toKeepNumbers(settings: KeepSettings): KeepNumbers {
  const { keepHourly, keepDaily, keepWeekly, keepMonthly, keepYearly } = settings;
  return { hourly: keepHourly, daily: keepDaily, weekly: keepWeekly, monthly: keepMonthly, yearly: keepYearly };
}

/** @param byDefault where nobody said the keep numbers. */
export function localRetention(
  settings: KeepSettings & Pick<Settings, 'retentionCount'>,
  intervalMinutes: number,
  byDefault: FolderRetention['byDefault'] = null,
): Required<FolderRetention> {
  return {
    count: settings.retentionCount,
    startBurstMs: intervalMinutes * 60_000,
    keep: toKeepNumbers(settings),
    byDefault,
  };
}

/** The default of the folder is not that of a target: there the count alone decides until somebody says more. */
export function ownRetention(
  { count, startBurstMs, keep: localKeep, byDefault }: Required<FolderRetention>,
  { retentionCount, keep = {} }: OwnRetention,
): RetentionPolicy {
  const below = byDefault ? KEEP_NONE : localKeep;
  return {
    count: retentionCount ?? count,
    startBurstMs,
    keep: {
      hourly: keep.hourly ?? below.hourly,
      daily: keep.daily ?? below.daily,
      weekly: keep.weekly ?? below.weekly,
      monthly: keep.monthly ?? below.monthly,
      yearly: keep.yearly ?? below.yearly,
    },
  };
}

/** The settings that decide what is removed. */
export const retentionNames: readonly (keyof Settings)[] = ['retentionCount', 'lossIgnore', ...keepNames];
