/** The one sentence at the top of the page, decided here by the server's clock: the first that applies. Pure. */
import type { Run, RunProgress, Verdict } from './model.ts';

export interface VerdictInput {
  readonly now: Date;
  readonly run: RunProgress | null;
  readonly lastBackupRun: Run | null;
  readonly lastRestore: Run | null;
  readonly hasBackup: boolean;
  /** The newest backup of ours did not pass a check. */
  readonly newestDamaged: boolean;
  /** When the newest verified backup was last known to hold; null when there is none. */
  readonly goodAt: Date | null;
  readonly maxAgeMs: number;
  readonly uploadsFailing: boolean;
  readonly scheduleEnabled: boolean;
  readonly freeBytes: number;
  readonly databaseBytes: number;
}

const RESTORED_SHOWN_MS = 3_600_000;
const DISK_FACTOR = 3;

export function judge(input: VerdictInput): Verdict {
  const nowMs = input.now.getTime();
  if (input.run && (input.run.kind === 'restore' || input.run.kind === 'undo'))
    return { code: 'restoring', tone: 'blue' };
  if (input.run) return { code: 'running', tone: 'blue' };
  const sinceRestoreMs = input.lastRestore ? nowMs - input.lastRestore.endedAt.getTime() : Number.NaN;
  // A restore of the future was made before the clock went back; it hides nothing that came after.
  if (input.lastRestore?.result === 'success' && sinceRestoreMs >= 0 && sinceRestoreMs < RESTORED_SHOWN_MS) {
    return { code: 'restored', tone: 'green' };
  }
  if (!input.hasBackup)
    return input.lastBackupRun?.result === 'failed'
      ? { code: 'last-failed', tone: 'red' }
      : { code: 'none', tone: 'grey' };
  if (input.newestDamaged) return { code: 'damaged', tone: 'red' };
  // A backup from far in the future, made before the clock went back, proves no more than an old one.
  if (!input.goodAt || Math.abs(nowMs - input.goodAt.getTime()) > input.maxAgeMs)
    return { code: 'too-old', tone: 'red' };
  if (input.lastBackupRun?.result === 'failed') return { code: 'last-failed', tone: 'amber' };
  if (input.uploadsFailing) return { code: 's3-waiting', tone: 'amber' };
  if (!input.scheduleEnabled) return { code: 'off', tone: 'amber' };
  if (input.freeBytes < DISK_FACTOR * input.databaseBytes) return { code: 'disk-low', tone: 'amber' };
  return { code: 'protected', tone: 'green' };
}
