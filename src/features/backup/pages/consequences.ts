/** What a set of settings means for the one who saves it, in numbers. Estimates from today's sizes, and worded so. */
import type { Backup, Config, Status } from '../../../http/contract.ts';
import { keptOnTop } from './on-top.ts';

export type Settings = Pick<
  Config,
  'enabled' | 'intervalMinutes' | 'retentionCount' | 's3Enabled' | 's3Path' | 'verify' | 'maxAgeMinutes' | KeepName
>;

/** Of each so many hours, days, … the newest good backup stays; how long one is, in minutes. */
export const periods = {
  keepHourly: { word: 'Hours', minutes: 60 },
  keepDaily: { word: 'Days', minutes: 1_440 },
  keepWeekly: { word: 'Weeks', minutes: 10_080 },
  keepMonthly: { word: 'Months', minutes: 43_830 },
  keepYearly: { word: 'Years', minutes: 525_960 },
} as const;
export type KeepName = keyof typeof periods;
export const keepNames = Object.keys(periods) as readonly KeepName[]; // the keys of the table above

export interface Consequences {
  /** How far back the newest ones reach, in minutes, one a run. */
  readonly reachMinutes: number;
  /** How far those by hours to years reach; null when that is not further. */
  readonly thinReachMinutes: number | null;
  /** At most: one backup may stand for an hour and a day. What is kept on top of the numbers is in it. */
  readonly diskBytes: number;
  readonly freeBytes: number;
  /** Null when nothing is uploaded. */
  readonly s3BytesPerDay: number | null;
  readonly warnAfterMinutes: number;
  /** A wider cover at the same care, when the reach is short. */
  readonly wider: {
    readonly intervalMinutes: number;
    readonly retentionCount: number;
    readonly reachMinutes: number;
    readonly diskBytes: number;
  } | null;
}

const dayMinutes = 24 * 60;
const wider = { intervalMinutes: 60, retentionCount: 48 };

export function consequences(settings: Settings, status: Status, backups: readonly Backup[]): Consequences {
  const { local, database } = status;
  const onTop = keptOnTop(backups, Date.parse(status.serverTime));
  const counted = local.count - onTop.safety - onTop.pinned - onTop.kept;
  const typical = counted > 0 ? (local.sizeBytes - onTop.bytes) / counted : database.sizeBytes;
  const reachMinutes = settings.intervalMinutes * settings.retentionCount;
  const thinReachMinutes = Math.max(...keepNames.map((name) => settings[name] * periods[name].minutes));
  const kept = keepNames.reduce((sum, name) => sum + settings[name], settings.retentionCount);
  const widerBytes = wider.retentionCount * typical;
  const isShort = Math.max(reachMinutes, thinReachMinutes) < dayMinutes && widerBytes < local.freeBytes / 2;
  return {
    reachMinutes,
    thinReachMinutes: thinReachMinutes > reachMinutes ? thinReachMinutes : null,
    diskBytes: kept * typical + onTop.bytes,
    freeBytes: local.freeBytes,
    s3BytesPerDay: settings.s3Enabled
      ? (dayMinutes / settings.intervalMinutes) * (sentBytes(backups) ?? typical)
      : null,
    warnAfterMinutes: settings.maxAgeMinutes ?? Math.max(15, 3 * settings.intervalMinutes),
    wider: isShort
      ? {
          ...wider,
          reachMinutes: wider.intervalMinutes * wider.retentionCount,
          diskBytes: widerBytes,
        }
      : null,
  };
}

/** What the newest upload took, which may be compressed. */
function sentBytes(backups: readonly Backup[]): number | null {
  const sent = backups
    .flatMap(({ placements }) => placements)
    .find(({ target, sizeBytes }) => target !== 'local' && sizeBytes);
  return sent?.sizeBytes ?? null;
}
