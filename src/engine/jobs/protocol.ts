/**
 * What the service and a job's process say to each other: one request as a line of JSON on standard input, then events
 * as lines on standard output. Settings and secrets travel this way and never as arguments, which every user of the
 * machine can read. The job ends itself when standard input closes: its parent is gone.
 */
import type { Sealing, SealName } from '../artifact.ts';
import type { Claim, PlaceIdentity, PlaceRecord } from '../catalog/identity.ts';
import type { DatabaseFacts, LossMark, Manifest } from '../catalog/manifest.ts';
import type { Judgement } from '../sqlite/judge.ts';
import type { Remarks } from '../sqlite/rules.ts';
import type { KnownManifest, RemoteListing } from '../catalog/remote-catalog.ts';
import type { ErrorBody } from '../errors.ts';
import type { Earlier, LossRules, OwnChange } from '../loss.ts';
import type { FolderRetention, RetentionPolicy } from '../retention.ts';
import type { DatabaseSelf } from '../self.ts';
import type { LiveFacts } from '../sqlite/look.ts';
import type { OpenFiles } from '../sqlite/open-files.ts';
import type { CheckLimits } from '../sqlite/watch.ts';
import type { S3Options } from '../targets/s3-store.ts';
import type { TargetReport, TargetToTest } from '../targets/self-test.ts';
import type { WriterNews } from '../writer.ts';

export type JobTrigger = 'start' | 'schedule' | 'manual' | 'cli' | 'safety';
export type StepName =
  'checkpoint' | 'copy' | 'verify' | 'publish' | 'upload' | 'prune' | 'fetch' | 'check' | 'safety' | 'place' | 'prove';

/** This start of the service, as a job that writes at a target presents it there. */
export interface Writing {
  /** Secret of this start. */
  readonly token: string;
  /** How often its heartbeat is renewed. */
  readonly everyMs: number;
  /** Key of its heartbeat, from the root of the bucket. */
  readonly beat: string;
  /** A service that was started writes there for the first time: it takes an epoch of its own. */
  readonly isFirst: boolean;
  /** The run history tells of uploads to that place. */
  readonly knowsPlace: boolean;
  /** A rule of the bucket removes what is older than so many days, so an epoch is taken anew long before. */
  readonly lifecycleDays?: number | null;
}

/** With both of them a job writes as the one writer of the place; without, as versions before 0.2 did. */
export interface WritingRequest {
  readonly self?: DatabaseSelf;
  readonly writing?: Writing;
}

export interface BackupRequest {
  readonly kind: 'backup';
  readonly databasePath: string;
  readonly folder: string;
  readonly verify: 'quick' | 'full';
  readonly trigger: JobTrigger;
  readonly user: string | null;
  readonly note: string | null;
  readonly retention: FolderRetention;
  /** How long to wait for another run on the same folder. */
  readonly lockWaitMs: number;
  /** How long to wait for a connection that holds the database exclusively; half a minute by default. */
  readonly pinTimeoutMs?: number;
  /** Whether much was lost since the backup before; left out: that is not asked. */
  readonly loss?: LossQuestion;
  /** Left out, the path of the database tells it. */
  readonly self?: DatabaseSelf;
  /** The highest sequence of this database at any target, as it was listed last. */
  readonly highestKnown?: number;
}

export interface LossQuestion {
  readonly rules: LossRules;
  /** What we did to the database ourselves last. */
  readonly ownChange: OwnChange | null;
  /** The newest good backup that is at another target alone, with what was counted in it. */
  readonly elsewhere: Earlier | null;
}

export interface MadeBackup extends Remarks {
  readonly name: string;
  readonly sizeBytes: number;
  readonly removed: readonly string[];
  readonly loss: LossMark | null;
}

export interface VerifyRequest {
  readonly kind: 'verify';
  readonly path: string;
  readonly method: 'quick' | 'full';
  /** Digest that the file must have; null to learn it. */
  readonly sha256: string | null;
}

export interface FileFindings extends Remarks {
  readonly sizeBytes: number;
  readonly pageSize: number;
  readonly pages: number;
  readonly sha256: string;
  readonly facts: DatabaseFacts | null;
  readonly sqlite: string;
}

export interface PlanRequest {
  readonly kind: 'plan';
  readonly databasePath: string;
  readonly backupPath: string;
}

export interface PlanFacts {
  readonly live: LiveFacts | null;
  /** Why nobody could look into it. */
  readonly liveComplaint: ErrorBody | null;
  /** Who has the database open, or still works on the file that was there before. */
  readonly open: OpenFiles;
  readonly backup: Pick<LiveFacts, 'pageSize' | 'schemaVersion' | 'encoding' | 'rows'> & {
    readonly hasPageChecksums: boolean;
  };
}

/** `missing`: to the place of a database whose file is gone, and nowhere else. */
export type RestoreMode = 'file' | 'online' | 'offline' | 'missing';

export interface RestoreRequest {
  readonly kind: 'restore';
  /** Any SQLite file: a backup of ours or one from elsewhere. */
  readonly source: string;
  readonly sourceName: string;
  /** Digest from the manifest, checked before anything is touched; null for a file without one. */
  readonly sha256: string | null;
  readonly databasePath: string;
  /** Of the database that the source is a backup of, for one whose file is gone; left out when that is not known. */
  readonly journalMode?: string | null;
  readonly folder: string;
  readonly mode: RestoreMode;
  readonly to: string | null;
  /** `stampText` that the caller's plan was based on; null to not compare. */
  readonly expected: string | null;
  readonly user: string | null;
  readonly retention: FolderRetention;
  readonly lockWaitMs: number;
  /** Left out, the path of the database tells it. */
  readonly self?: DatabaseSelf;
  readonly highestKnown?: number;
  /** The folder may be another database's: the safety backup is made there all the same. */
  readonly fromOther?: boolean;
}

export interface FirstBootRequest {
  readonly kind: 'first-boot';
  readonly source: string;
  readonly sourceName: string;
  /** Digest from the manifest. */
  readonly sha256: string;
  /** Must not exist. */
  readonly databasePath: string;
  /** Of the database that it is a backup of; null when that is not known. */
  readonly journalMode: string | null;
}

export interface Restored {
  readonly path: string;
  readonly mode: RestoreMode;
  readonly safetyBackup: string | null;
  /** Where an unreadable old database was moved to, when no safety backup could be made of it. */
  readonly setAside: string | null;
}

/** All that a store needs but its prefix, which each request names. */
export interface S3Access extends Omit<S3Options, 'prefix'> {
  readonly region: string;
}

export interface UploadRequest extends WritingRequest {
  readonly kind: 'upload';
  readonly target: string;
  readonly folder: string;
  readonly name: string;
  readonly prefix: string;
  readonly s3: S3Access;
  /** For what is stored from now on; what is stored already stays as it is. */
  readonly sealing: Sealing;
  /** What to keep at the target after the upload; null while nothing may be removed. */
  readonly retention: RetentionPolicy | null;
  /** Manifests of the last listing: what did not change is not read again. */
  readonly known: readonly KnownManifest[];
  /** Whose the place was when it was looked at last. */
  readonly identity?: PlaceIdentity | null;
}

export interface Uploaded {
  readonly key: string;
  /** How the copy at the target is sealed, by now or by an earlier upload. */
  readonly sealing: SealName;
  /** What the target holds now; null when it could not be listed after the upload. */
  readonly listing: RemoteListing | null;
  readonly removed: readonly string[];
  /** What retention removed and is there all the same. */
  readonly survived: readonly Survivor[];
  /** Why the target was not looked through; the backup is stored all the same. */
  readonly complaint: string | null;
  /** How many backups of the folder got a higher number, because the target held higher ones. */
  readonly renumbered: number;
}

export interface Survivor {
  readonly name: string;
  readonly reason: string;
}

export interface RemoveRemoteRequest {
  readonly kind: 'remove-remote';
  readonly name: string;
  readonly prefix: string;
  readonly s3: S3Access;
}

export interface ChangeRemoteRequest extends WritingRequest {
  readonly kind: 'change-remote';
  readonly name: string;
  /** The folder of the backups: its lock keeps retention away meanwhile. */
  readonly folder: string;
  readonly target: string;
  readonly prefix: string;
  readonly s3: S3Access;
  readonly pinned: boolean;
  readonly note: string | null;
  /** Left out: as it is there. */
  readonly loss?: LossMark;
}

export interface PruneRemoteRequest extends WritingRequest {
  readonly kind: 'prune-remote';
  /** What was pinned here holds there. */
  readonly folder: string;
  readonly prefix: string;
  readonly s3: S3Access;
  readonly retention: RetentionPolicy;
  readonly known: readonly KnownManifest[];
  readonly target?: string;
  /** Whose the place was when it was looked at last. */
  readonly identity?: PlaceIdentity | null;
}

/** Makes the place this database's, and this installation the writer there, whoever is. */
export interface ClaimRemoteRequest extends Required<WritingRequest> {
  readonly kind: 'claim-remote';
  readonly target: string;
  /** The folder of the backups: its lock keeps uploads away meanwhile. */
  readonly folder: string;
  readonly prefix: string;
  readonly s3: S3Access;
  /** What makes the place ours, oldest first; null where it is ours already, or of nobody. */
  readonly claim: {
    readonly claims: readonly Claim[];
    /** Written where there is none. */ readonly record: PlaceRecord;
  } | null;
}

export interface ListRemoteRequest extends WritingRequest {
  readonly kind: 'list-remote';
  readonly prefix: string;
  readonly s3: S3Access;
  readonly known: readonly KnownManifest[];
  /** Whose the place was when it was looked at last. */
  readonly identity?: PlaceIdentity | null;
}

export interface ClaimedRemote {
  /** Null where nothing of it was changed. */
  readonly identity: PlaceIdentity | null;
  readonly epoch: number;
  /** The writer before; null when there was none. */
  readonly from: { readonly installation: string; readonly host: string; readonly since: string } | null;
}

export interface FetchRequest {
  readonly kind: 'fetch';
  /** How the command line calls the target, for what an error advises. */
  readonly target: string;
  readonly name: string;
  readonly prefix: string;
  readonly s3: S3Access;
  /** Private keys for a sealed artifact; empty when there are none. */
  readonly identities: readonly string[];
  /** Copies there are encrypted: one that is not may be anybody's. */
  readonly refusePlain?: boolean;
  /** Folder for a download that may be cut, to go on from there; null: one of the user's own. */
  readonly staging: string | null;
  /** The plain database; must not exist. */
  readonly to: string;
  readonly lockWaitMs: number;
}

export interface Fetched {
  readonly path: string;
  /** As it stands at the target. */
  readonly manifest: Manifest;
}

export interface DrillRequest {
  readonly kind: 'drill';
  readonly name: string;
  readonly from:
    | { readonly target: 'local'; readonly path: string; readonly sizeBytes: number; readonly sha256: string }
    | {
        readonly target: string;
        readonly prefix: string;
        readonly s3: S3Access;
        /** Of the plain database, as the listing tells. */
        readonly sizeBytes: number;
        /** Private keys; without one a sealed artifact is proven as far as that goes. */
        readonly identities: readonly string[];
        readonly refusePlain?: boolean;
      };
  /** Hidden folder beside the backups for what is restored; must not exist, and is removed at the end. */
  readonly staging: string;
  /** SQL statements that must hold on what was restored; null for none. */
  readonly assertions: string | null;
  readonly lockWaitMs: number;
}

export interface Drilled extends Remarks {
  /** `sealed`: digest and first bytes are right, and there was no key to open the content. */
  readonly proof: 'restored' | 'sealed';
  readonly sizeBytes: number;
  /** How many statements of the owner held. */
  readonly assertions: number;
}

export interface ExamineRequest {
  readonly kind: 'examine';
  readonly databasePath: string;
}

export interface Examined {
  /** Version of the library that jobs use: the runtime's. */
  readonly sqlite: string;
  readonly hasWalResetBug: boolean;
  /** It can't tell when an app has lost the locks on its database. */
  readonly missesLostLocks: boolean;
  /** Null where the database could not be opened. */
  readonly journalMode: string | null;
  /** Tables that other replication tools keep in it. */
  readonly replicatorTables: readonly string[];
  /** Why it could not be opened. */
  readonly complaint: ErrorBody | null;
}

export interface CheckRequest {
  readonly kind: 'check';
  readonly databasePath: string;
}

/** What is said of the live database. */
export type Checked = Omit<Judgement, 'facts'>;

export interface TestTargetRequest {
  readonly kind: 'test-target';
  readonly target: TargetToTest;
}

export interface PruneRequest {
  readonly kind: 'prune';
  readonly folder: string;
  readonly retention: FolderRetention;
  readonly lockWaitMs: number;
  /** Left out, the folder is taken for ours. */
  readonly self?: DatabaseSelf;
}

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
  'change-remote': { request: ChangeRemoteRequest; result: null };
  'prune-remote': {
    request: PruneRemoteRequest;
    result: Pick<Uploaded, 'removed' | 'survived'> & { readonly listing: RemoteListing };
  };
  'remove-remote': { request: RemoveRemoteRequest; result: null };
  'claim-remote': { request: ClaimRemoteRequest; result: ClaimedRemote };
  'test-target': { request: TestTargetRequest; result: TargetReport };
  prune: { request: PruneRequest; result: { readonly removed: readonly string[] } };
}
export type JobKind = keyof JobMap;
export type JobRequest = JobMap[JobKind]['request'];

/** The line on standard input. */
export type JobLine = JobRequest & {
  /** The process that the job ends with. */
  readonly parent?: number;
  /** Of each check, instead of those that the size of the file gives: for tests. */
  readonly limits?: CheckLimits | undefined;
};

export type JobEvent =
  | { readonly type: 'step'; readonly name: StepName }
  | { readonly type: 'bytes'; readonly done: number; readonly total: number }
  /** The moment of the database is fixed: who asks from now on needs another run. */
  | { readonly type: 'pinned'; readonly backup: string }
  /** What the job learned about the writer of the target. */
  | { readonly type: 'writer'; readonly news: WriterNews }
  /** What stopped nothing and somebody should know, in whole sentences. */
  | { readonly type: 'warning'; readonly message: string };

export type JobMessage =
  | JobEvent
  | { readonly type: 'result'; readonly value: unknown }
  | { readonly type: 'error'; readonly error: ErrorBody; readonly stack: string }
  /** The last word of a job that ended itself in a check: `limit` in ms of the processor, or in bytes. */
  | { readonly type: 'gave-up'; readonly over: 'time' | 'memory'; readonly limit: number };

/** What the stories of the engine are handed. */
export interface StoryContext {
  readonly signal: AbortSignal;
  readonly now: () => Date;
  readonly onEvent: (event: JobEvent) => void;
}

export function warnIn(context: Pick<StoryContext, 'onEvent'>): (message: string) => void {
  return (message) => context.onEvent({ type: 'warning', message });
}
