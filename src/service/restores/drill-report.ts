/** What became of drills, as the service shows it. */
import type { ErrorBody } from '../../words/errors.ts';
import type { Run } from '../../words/run.ts';
import type { TargetName } from '../../words/target-word.ts';

/** What became of the drills that were asked for; one that fails is an answer, not an error. */
export interface DrillReport {
  /** True if each was proven. A sealed copy that could not be opened for want of a key is no failure. */
  readonly ok: boolean;
  readonly drills: readonly TargetDrill[];
}

export interface TargetDrill {
  readonly target: TargetName;
  /** `refused`: it was not begun, and says nothing of the backup. */
  readonly result: 'proven' | 'sealed' | 'failed' | 'stopped' | 'refused';
  /** A backup, or the bookmark of a captured moment; null if there was none. */
  readonly backup: string | null;
  /** Only for a captured moment: its time, or null if none was found. */
  readonly moment?: Date | null;
  readonly sizeBytes: number | null;
  readonly ms: number;
  readonly assertions: number;
  readonly remarks?: readonly string[];
  readonly error: ErrorBody | null;
}

export function toDrill(target: TargetName, run: Run): TargetDrill {
  const proof = run.drill?.proof ?? null;
  const ended = proof === 'restored' ? 'proven' : (proof ?? 'failed');
  return {
    target,
    result: run.result === 'stopped' || run.result === 'refused' ? run.result : ended,
    backup: run.backup,
    ...(run.drill?.moment !== undefined && { moment: run.drill.moment === null ? null : new Date(run.drill.moment) }),
    sizeBytes: run.sizeBytes,
    ms: msOf(run),
    assertions: run.drill?.assertions ?? 0,
    ...(run.drill?.remarks && { remarks: run.drill.remarks }),
    error: run.error,
  };
}

export function msOf({ startedAt, endedAt }: Run): number {
  return Math.max(0, endedAt.getTime() - startedAt.getTime());
}
