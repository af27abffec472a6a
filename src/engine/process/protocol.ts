/**
 * What the service and a job's process say to each other: one request as a line of JSON on standard input, then events
 * as lines on standard output. Settings and secrets travel this way and never as arguments, which every user of the
 * machine can read. The job ends itself when standard input closes: its parent is gone.
 */
import type { RemoteListing } from '../catalog/store-catalog.ts';
import type { ErrorBody } from '../../words/errors.ts';
import type { CheckLimits } from '../sqlite/watch.ts';
import type { TargetReport, TestTargetRequest } from '../store/self-test.ts';
import type { JobEvent } from '../../words/story.ts';
import type { FetchRequest, Fetched } from '../stories/fetch.ts';
import type { BackupRequest, MadeBackup } from '../stories/backup.ts';
import type { FirstBootRequest } from '../stories/first-boot.ts';
import type { ChangeRemoteRequest, ListRemoteRequest, RemoveRemoteRequest } from '../stories/target.ts';
import type { FileFindings, VerifyRequest } from '../stories/verify.ts';
import type { PrunedRemote, PruneRemoteRequest } from '../catalog/prune-store.ts';
import type { PlanFacts, PlanRequest, RestoreRequest, Restored } from '../stories/restore-request.ts';
import type { CheckRequest, Checked, ExamineRequest, Examined } from '../stories/look.ts';
import type { UploadRequest, Uploaded } from '../stories/upload-request.ts';
import type { ClaimedRemote, ClaimRemoteRequest } from '../stories/hold-target.ts';
import type { DrillRequest, Drilled } from '../stories/drill.ts';
import type { RemoteMomentFileRequest, RemoteMomentsRequest } from '../stories/remote-moments.ts';
import type { DrillRemoteMomentRequest, PickRemoteMomentRequest } from '../stories/drill-remote-moment.ts';
import type { DrillMomentRequest, PickedMoment, PickMomentRequest } from '../stories/drill-moment.ts';
import type { MarkRequest, Marked, MomentFileRequest, Moments, MomentsRequest } from '../stories/moments.ts';
import type { BackupMomentRequest, ComparedMoment } from '../stories/backup-moment.ts';
import type { TryTargetRequest } from '../stories/try-target.ts';
import type { PlannedRescue } from '../inside/rescue-plan.ts';
import type { RescueRecord } from '../inside/rescue-record.ts';
import type { UndoneRescue } from '../inside/rescue-undo.ts';
import type {
  Rescued,
  RescuePlanRequest,
  RescueRequest,
  RescuesRequest,
  UndoRescueRequest,
} from '../stories/rescue.ts';
import type { PruneRequest } from '../catalog/prune-folder.ts';

export interface JobMap {
  backup: { request: BackupRequest; result: MadeBackup };
  verify: { request: VerifyRequest; result: FileFindings };
  plan: { request: PlanRequest; result: PlanFacts };
  restore: { request: RestoreRequest; result: Restored };
  'first-boot': { request: FirstBootRequest; result: null };
  upload: { request: UploadRequest; result: Uploaded };
  'list-remote': { request: ListRemoteRequest; result: RemoteListing };
  fetch: { request: FetchRequest; result: Fetched };
  examine: { request: ExamineRequest; result: Examined };
  check: { request: CheckRequest; result: Checked };
  drill: { request: DrillRequest; result: Drilled };
  'pick-moment': { request: PickMomentRequest; result: PickedMoment };
  'drill-moment': { request: DrillMomentRequest; result: Drilled };
  'change-remote': { request: ChangeRemoteRequest; result: null };
  'prune-remote': {
    request: PruneRemoteRequest;
    result: PrunedRemote & { readonly listing: RemoteListing };
  };
  'remove-remote': { request: RemoveRemoteRequest; result: null };
  'claim-remote': { request: ClaimRemoteRequest; result: ClaimedRemote };
  'test-target': { request: TestTargetRequest; result: TargetReport };
  'backup-moment': { request: BackupMomentRequest; result: ComparedMoment };
  moments: { request: MomentsRequest; result: Moments };
  'moment-file': { request: MomentFileRequest; result: null };
  'remote-moments': { request: RemoteMomentsRequest; result: Moments };
  'remote-moment-file': { request: RemoteMomentFileRequest; result: null };
  'pick-remote-moment': { request: PickRemoteMomentRequest; result: PickedMoment };
  'drill-remote-moment': { request: DrillRemoteMomentRequest; result: Drilled };
  mark: { request: MarkRequest; result: Marked };
  'try-target': { request: TryTargetRequest; result: TargetReport };
  'rescue-plan': { request: RescuePlanRequest; result: PlannedRescue };
  rescue: { request: RescueRequest; result: Rescued };
  'rescue-undo': { request: UndoRescueRequest; result: UndoneRescue };
  rescues: { request: RescuesRequest; result: readonly RescueRecord[] };
  prune: { request: PruneRequest; result: { readonly removed: readonly string[] } };
}
export type JobKind = keyof JobMap;
export type JobRequest = JobMap[JobKind]['request'];

/** The line on standard input. */
export type JobLine = JobRequest & {
  /** The process that the job ends with. */
  readonly parent?: number;
  /** Limits of each check, instead of those that the size of the file gives: for tests. */
  readonly limits?: CheckLimits | undefined;
};

export type JobMessage =
  | JobEvent
  | { readonly type: 'result'; readonly value: unknown }
  | { readonly type: 'error'; readonly error: ErrorBody; readonly stack: string }
  /** The last message of a job that ended itself in a check: `limit` in ms of processor time, or in bytes. */
  | { readonly type: 'gave-up'; readonly over: 'time' | 'memory'; readonly limit: number };
