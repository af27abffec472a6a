/** What a set of settings means for the one who saves it, in numbers. Estimates from today's sizes, and worded so. */
import type { Backup, Config, Status } from '../http/contract.ts';

export type Settings = Pick<
  Config,
  'enabled' | 'intervalMinutes' | 'retentionCount' | 's3Enabled' | 's3Path' | 'verify' | 'maxAgeMinutes' | KeepName
>;

/** The newest good backup of each hour, day, … stays; how long one is, in minutes. */
export const periods = {
  keepHourly: { word: 'Hours', minutes: 60 },
  keepDaily: { word: 'Days', minutes: 1_440 },
  keepWeekly: { word: 'Weeks', minutes: 10_080 },
  keepMonthly: { word: 'Months', minutes: 43_830 },
  keepYearly: { word: 'Years', minutes: 525_960 },
} as const;
export type KeepName = keyof typeof periods;
export const keepNames = Object.keys(periods) as readonly KeepName[]; // the keys of the table above

interface Consequences {
  /** How far back the newest ones reach, in minutes, one a run. */
  readonly reachMinutes: number;
  /** How far those by hours to years reach; null when that is not further. */
  readonly thinReachMinutes: number | null;
  /** At most, safety copies included: one backup may stand for an hour and a day. */
  readonly diskBytes: number;
  readonly freeBytes: number;
  /** Null when nothing is uploaded. */
  readonly s3BytesPerDay: number | null;
  readonly warnAfterMinutes: number;
}

const dayMinutes = 24 * 60;

/** @param isDefault the keep numbers were said by nobody, and hold as far as there is room. */
export function consequences(
  settings: Settings,
  { local }: Status,
  backups: readonly Backup[],
  isDefault: boolean,
): Consequences {
  const { eachBytes: typical, besideBytes, fitting } = local.forecast;
  const reachMinutes = settings.intervalMinutes * settings.retentionCount;
  const wanted = keepNames.reduce((sum, name) => sum + settings[name], 0);
  const thin = isDefault && fitting !== null ? fitting : wanted;
  // Nobody knows how far back those go that fit.
  const thinReachMinutes =
    thin < wanted ? 0 : Math.max(...keepNames.map((name) => settings[name] * periods[name].minutes));
  return {
    reachMinutes,
    thinReachMinutes: thinReachMinutes > reachMinutes ? thinReachMinutes : null,
    diskBytes: (settings.retentionCount + thin) * typical + besideBytes,
    freeBytes: local.freeBytes,
    s3BytesPerDay: settings.s3Enabled
      ? (dayMinutes / settings.intervalMinutes) * (sentBytes(backups) ?? typical)
      : null,
    warnAfterMinutes: settings.maxAgeMinutes ?? Math.max(15, 3 * settings.intervalMinutes),
  };
}

/** What the newest upload took, which may be compressed. */
function sentBytes(backups: readonly Backup[]): number | null {
  const sent = backups
    .flatMap(({ placements }) => placements)
    .find(({ target, sizeBytes }) => target !== 'local' && sizeBytes);
  return sent?.sizeBytes ?? null;
}
