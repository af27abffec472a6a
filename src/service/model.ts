/**
 * What the service tells the outside: plain read-only records with `Date`s, the same for the page, the command line and
 * code. Each is kept by the room that it is of; this is where the faces find them all. `http/contract.ts` describes their JSON
 * form, in which every `Date` is an ISO 8601 string in UTC.
 */
export type { Marked, MomentRange, Moments } from '../engine/stories/moments.ts';
export type { TargetReport } from '../engine/store/self-test.ts';
export type { AuditEntry, AuditFilter } from './audit/audit.ts';
export type { Arrival } from './backups/shown-arrival.ts';
export type { BackupDiff, BackupItem, Loss, RowChanges } from './backups/shown-backup.ts';
export type { ContinuousStatus } from './continuous/continuous-status.ts';
export type { DoctorReport } from './doctor/finding.ts';
export type { Rescue, RescuePlan } from './inside/shown-rescue.ts';
export type { Status, TargetStatus } from './protection/shown-status.ts';
export type { VerdictCode } from './protection/verdict.ts';
export type { TargetDrill } from './restores/drill-report.ts';
export type {
  AskedMoment,
  FirstBoot,
  FoundRestorePoint,
  PlannedMode,
  ReplacingMode,
  RestorePlan,
  RestoreResult,
} from './restores/restore-result.ts';
export type { ServiceEvent } from './service-event.ts';
export type { BackupResult, ClaimResult, PruneResult } from './service-port.ts';
export type { BackupConfig, Settings } from './state/backup-config.ts';
export type { PlaceStatus } from './targets/shown-place.ts';
export type { Run, RunKind, RunProgress } from '../words/run.ts';
export type { StepName } from '../words/story.ts';
export type { TargetName } from '../words/target-word.ts';
