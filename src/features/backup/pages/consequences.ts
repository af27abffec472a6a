/** What a set of settings means for the one who saves it, in numbers. Estimates from today's sizes, and worded so. */
import type { Backup, Config, Status } from '../../../http/contract.ts';

export type Settings = Pick<
  Config,
  'enabled' | 'intervalMinutes' | 'retentionCount' | 's3Enabled' | 's3Path' | 'verify' | 'maxAgeMinutes'
>;

export interface Consequences {
  /** How far back the kept backups reach, in minutes. */
  readonly reachMinutes: number;
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
  const typical = local.count > 0 ? local.sizeBytes / local.count : database.sizeBytes;
  const reachMinutes = settings.intervalMinutes * settings.retentionCount;
  const widerBytes = wider.retentionCount * typical;
  const isShort = reachMinutes < dayMinutes && widerBytes < local.freeBytes / 2;
  return {
    reachMinutes,
    diskBytes: settings.retentionCount * typical,
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
