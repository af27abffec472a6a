/**
 * The service: life cycle, schedule, queue, settings, history and events around the engine's stories.
 *
 * It lives in the app's process and therefore never opens the live database, not even to read a byte: it looks at it
 * with `stat`, and everything else happens in jobs. Runs that change something (backup, restore) follow each other;
 * uploads and checks go on beside them.
 */
import { existsSync, statSync } from 'node:fs';
import { basename, isAbsolute, join, resolve } from 'node:path';
import { type Backup, Catalog } from '../engine/catalog/catalog.ts';
import { LOCK_FILE } from '../engine/catalog/artifact.ts';
import { NO_IDENTITY, otherOf, requireOurs } from '../engine/catalog/identity.ts';
import type { OwnedFolder } from '../engine/catalog/own-folder.ts';
import { adoptedManifest, type Manifest, verificationOf } from '../engine/catalog/manifest.ts';
import { isPath, refuseUnreadable } from '../engine/assertions.ts';
import { PLAIN } from '../engine/artifact.ts';
import { diskRoom } from '../engine/disk-share.ts';
import { BackupError, type ErrorBody, hideFoldersOf } from '../engine/errors.ts';
import type { Checked, FileFindings, JobEvent, JobKind, JobMap } from '../engine/jobs/protocol.ts';
import { type JobOptions, runJob } from '../engine/jobs/run-job.ts';
import { LOSS_RULES } from '../engine/loss.ts';
import { planFolder } from '../engine/prune.ts';
import { type FolderRetention, isVerified, type RetentionPolicy } from '../engine/retention.ts';
import { takeLock } from '../engine/run-lock.ts';
import { gapsOf, type Schedule } from '../engine/schedule.ts';
import { isHalfOver } from '../engine/lifecycle.ts';
import { hoursOf } from '../engine/targets/archive-classes.ts';
import { leftToBucket } from '../engine/targets/s3-stored-as.ts';
import { connectS3 } from '../engine/targets/s3-connection.ts';
import { VERSION } from '../version.ts';
import { NO_REMARKS, type Remarks } from '../engine/sqlite/rules.ts';
import { changedAt, isLiveFile, isUnchanged, stampDatabase } from '../engine/sqlite/stamp.ts';
import type { ActiveRun } from './active-run.ts';
import { currentActor, THE_SERVICE_ITSELF } from './actor.ts';
import { composeActivity } from './activity.ts';
import { requireApart } from './apart.ts';
import { type Act, Audit, type AuditSink } from './audit.ts';
import { isHere, isOwn, type KnownBackup } from './backup-item.ts';
import { Backups } from './backups.ts';
import { Claims } from './claims.ts';
import { findAll, isOfWeight } from './doctor/findings.ts';
import {
  type DoctorFacts,
  type DoorFacts,
  lookAtDatabase,
  lookAtFolder,
  modeOf,
  openSecretsAmong,
  plainHostOf,
  servedAs,
  setAsideIn,
} from './doctor/facts.ts';
import { openFolderWarning } from './open-folder.ts';
import { ChangedFiles } from './changed-files.ts';
import { type DrillAsked, Drills } from './drills.ts';
import type { FetchOptions } from './downloads.ts';
import { type FirstBootOptions, FirstBoots } from './first-boot.ts';
import { formatSize, type Log } from './log.ts';
import { type LossAnswer, Losses, type LossOptions } from './losses.ts';
import type {
  Activity,
  ActivityRange,
  AuditEntry,
  AuditFilter,
  BackupConfig,
  BackupDiff,
  BackupItem,
  BackupResult,
  ClaimResult,
  DoctorReport,
  DrillReport,
  FirstBoot,
  PlannedMode,
  PruneResult,
  ReplacingMode,
  RestorePlan,
  RestoreResult,
  Run,
  RunProgress,
  RunTotal,
  ServiceEvent,
  Settings,
  Status,
  TargetName,
  TargetReport,
} from './model.ts';
import { writerSelf } from './database-self.ts';
import { Heartbeats, tickMs } from './heartbeats.ts';
import { DatabaseWatch, isMissing, missingHold, saysItAgain, withWayBack } from './missing.ts';
import { Neighbours } from './neighbours.ts';
import { Offsite, type Said } from './offsite.ts';
import { composePlaces, toPlaceStatus } from './place-status.ts';
import { Places, withinMs } from './places.ts';
import { holdingCodes, pruneHold } from './prune-hold.ts';
import { type KitS3, recoveryKit } from './recovery-kit.ts';
import { toRestorePlan } from './restore-plan.ts';
import {
  checkTargets,
  remoteTargets,
  type S3Target,
  targetWord,
  type TargetOptions,
  type RemoteTarget,
} from './remote-targets.ts';
import { type RestoreOptions, Restores } from './restores.ts';
import { KEEP_ALL, localRetention, type OwnRetention, ownRetention, SURVIVED } from './retention-policies.ts';
import { BY_RETENTION, type RunFilter, RunHistory } from './run-history.ts';
import { Runs } from './runs.ts';
import { ScheduleHistory } from './schedule-history.ts';
import { Scheduler } from './scheduler.ts';
import type { BackupServicePort, FromTarget, ListOptions, OpenedBackup } from './service-port.ts';
import { SETTINGS_FILE, SettingsError, SettingsFile } from './settings.ts';
import { asideOf, folderInState, openStateDatabase, type StateDatabase } from './state-database.ts';
import { composeStatus } from './status.ts';
import type { Turns } from './turns.ts';
import { Voices, type VoicesOptions } from './voices/voices.ts';
import { remarkTexts } from './remarks.ts';

export interface BackupServiceOptions extends TargetOptions {
  /** Path of the database to protect. Never opened in this process. */
  readonly databasePath: string;
  /** Folder of the backups; made (0700) where it is missing. */
  readonly backupsPath: string;
  /** Our own small database for run history and upload state. */
  readonly statePath: string;
  /** Start values; what was changed while running is kept in the backup folder and wins. */
  readonly settings: Settings;
  /** The keep numbers among them were said by nobody: they hold as long as all copies stay below a fifth of the disk. */
  readonly keepIsDefault?: boolean;
  /** How many databases share that fifth; one, if not given. */
  readonly databasesOnDisk?: () => number;
  /** A cron line of five fields, instead of the interval. */
  readonly cron?: string | null;
  readonly skipUnchanged?: boolean;
  /** Rehearsals of a restore: by hand alone and without assertions, if not given. */
  readonly drills?: {
    readonly scheduled: boolean;
    /** One SQL statement, or the path of a file with several. */
    readonly sql: string | null;
  };
  /** What the app serves to the public, as far as we are told: for the doctor alone. */
  readonly served?: { readonly folders: readonly string[]; readonly buckets: readonly string[] };
  /** How the program's server is reached: for the doctor alone. */
  readonly door?: DoorFacts;
  /** Whether a backup that lost much raises an alarm, and what much is; on, if not given. */
  readonly loss?: LossOptions;
  /** Who is told when something changes; nobody, if not given. */
  readonly voices?: VoicesOptions;
  /** Its name among several, and where the lines of its audit record go beside its own database. */
  readonly audit?: { readonly name?: string | undefined; readonly sink?: AuditSink | null };
  /** Where many are guarded by one process: its jobs take turns with those of the others. */
  readonly turns?: Turns;
  /** Shared by those of one process: then one heartbeat in a bucket is enough for all of them. */
  readonly heartbeats?: Heartbeats;
  /** Which other database has that prefix on S3. */
  readonly ownerOfS3Path?: (path: string) => string | null;
  readonly log: Log;
  /** All that a job's process inherits. */
  readonly jobEnvironment: Readonly<Record<string, string>>;
  /** Files that secrets were read from; the doctor looks whether others may read them. */
  readonly secretFiles?: readonly string[];
  readonly now?: () => Date;
  /** Carries a job out: in a process of its own, if not given. Tests give jobs the clock of their machine. */
  readonly runJob?: typeof runJob;
  /** Half a minute each, if not given. */
  readonly waits?: {
    /** For another process that uses the backup folder. */
    readonly lockMs: number;
    /** For a connection that holds the database exclusively. */
    readonly pinMs: number;
    /** For the statements of a drill; ten minutes, if not given. */
    readonly proveMs?: number;
    /** Between two signs of life of a writer; by the schedule, if not given. */
    readonly tickMs?: number;
  };
}

/** How far back each range of the activity chart looks. */
const LONGEST_ACTIVITY_MS = { '24h': 86_400_000, '7d': 7 * 86_400_000, '30d': 30 * 86_400_000 } as const;
/** Of these one at least was not stopped by hand. */
const RUNS_LOOKED_AT = 20;
const SAID_MAX = 1_000;

/** `latest` is chosen from listings that are no older than those of a running app. */
const RECENT_MS = 15 * 60_000;
const LOOK_AROUND_MS = 10_000;

/** Of the newest backups, for whoever wonders which there were. */
const KIT_NAMES = 5;

/** So many backups in a row that met the same reader met one that stays. */
const DOCTOR_CHECKPOINTS = 3;

const WAITS = { lockMs: 30_000, pinMs: 30_000 } as const;

/** A planned backup that has not begun by then waits for something that does not end. */
const SILENCE_LEAST_MS = 15 * 60_000;
/** On a slow machine: 10 MB, or 1 MB, a second. */
const CHECKED_BYTES_PER_MS = { quick: 10_000, full: 1_000 } as const;

/** They go on beside the run that is shown, and stop with it. */
const besideRuns: ReadonlySet<JobKind> = new Set(['verify', 'plan', 'check', 'drill']);
/** All that opens a database: each may be in the middle of a statement that does not end. */
const readingKinds: ReadonlySet<JobKind> = new Set([
  ...besideRuns,
  ...(['backup', 'restore', 'first-boot', 'examine'] as const),
]);

export class BackupService implements BackupServicePort {
  readonly #options: BackupServiceOptions;
  readonly #now: () => Date;
  readonly #waits: NonNullable<BackupServiceOptions['waits']>;
  /** Absolute from the beginning: an app may change its working folder later. The options keep the names as given. */
  readonly #paths: { readonly database: string; readonly backups: string; readonly state: string };
  readonly #catalog: Catalog;
  /** The owner's SQL, or the absolute path of the file with it. */
  readonly #assertions: string | null;
  readonly #listeners = new Set<(event: ServiceEvent) => void>();
  /** Warnings of jobs, each said once. */
  readonly #said = new Set<string>();
  #historyOpened: RunHistory | undefined;
  /** For notes that must neither wait nor fail: its statements do not wait for another process. */
  #notesOpened: StateDatabase | undefined;
  #settingsRead: SettingsFile | undefined;
  #offsitesMade: readonly Offsite[] | undefined;
  /** Of the cron line, which stays; it takes many steps to find them. */
  #gapsSeen:
    { readonly day: number; readonly gaps: { readonly shortest: number; readonly longest: number } } | undefined;
  readonly #runs: Runs;
  readonly #neighbours: Neighbours;
  readonly #places: Places;
  readonly #claims: Claims;
  readonly #backups: Backups;
  readonly #restores: Restores;
  readonly #drills: Drills;
  readonly #losses: Losses;
  readonly #firstBoots: FirstBoots;
  readonly #scheduler: Scheduler;
  readonly #scheduleHistory: ScheduleHistory;
  readonly #voices: Voices;
  readonly #heartbeats: Heartbeats;
  readonly #watch: DatabaseWatch;
  readonly #changedFiles: ChangedFiles;
  readonly #audit: Audit;
  #started = false;
  /** While `stop` waits: what was queued ends before it begins. */
  #stopping = false;
  /** Jobs that read a database, each with what stops it. */
  readonly #reading = new Map<AbortController, { readonly kind: JobKind; readonly ended: Promise<unknown> }>();
  /** The backup run that newcomers may join as long as it has not pinned. */
  #joinable: { readonly run: ActiveRun; readonly request: BackupRequested } | null = null;
  #remarksSaid = '';
  #followUp: BackupRequested | null = null;

  /** @throws BackupError BAD_CONFIG for targets, or paths, that can not be told apart. */
  constructor(options: BackupServiceOptions) {
    checkTargets(options, options.settings);
    this.#options = options;
    this.#now = options.now ?? (() => new Date());
    this.#heartbeats = options.heartbeats ?? new Heartbeats({ now: this.#now });
    this.#waits = options.waits ?? WAITS;
    this.#paths = {
      database: resolve(options.databasePath),
      backups: resolve(options.backupsPath),
      state: resolve(options.statePath),
    };
    requireApart(this.#paths);
    const asGiven = [options.databasePath, options.backupsPath, options.statePath].filter(isAbsolute);
    // A file in the folder, because the folder may be named itself.
    const inFolders = [this.#paths.backups, process.cwd()].map((folder) => join(folder, '_'));
    hideFoldersOf([...asGiven, ...inFolders, this.#paths.database, this.#paths.state]);
    this.#catalog = new Catalog(this.#paths.backups);
    const sql = options.drills?.sql ?? null;
    this.#assertions = sql !== null && isPath(sql) ? resolve(sql) : sql;
    const history = () => this.#history;
    const folder = folderInState(this.#paths.state, this.#paths.backups);
    const shared = { folder, now: this.#now, history, emit: (event: ServiceEvent) => this.#emit(event) };
    const database = () => this.#notes;
    this.#audit = new Audit({
      ...{ folder, name: options.audit?.name ?? null, sink: options.audit?.sink, now: this.#now },
      database: () => this.#history.database,
      warn: (message) => options.log('warn', message),
    });
    this.#neighbours = new Neighbours({ ...shared, database, hasDatabase: () => existsSync(this.#paths.state) });
    this.#runs = new Runs({
      ...shared,
      onShown: (run) => this.#neighbours.show(run),
      onRecorded: (run) => this.#neighbours.recorded(run),
    });
    this.#places = new Places({
      ...{ database: this.#paths.database, catalog: this.#catalog, statePath: this.#paths.state },
      ...{ offsites: () => this.#offsites, log: options.log, now: this.#now },
    });
    const { backupsPath, log: write } = options;
    this.#claims = new Claims({
      ...{ catalog: this.#catalog, folder: backupsPath, places: this.#places, log: write, now: this.#now },
      lockWaitMs: this.#waits.lockMs,
    });
    this.#backups = new Backups({
      ...{ catalog: this.#catalog, databasePath: this.#paths.database, runs: this.#runs, places: this.#places },
      offsites: () => this.#offsites,
      removal: (name) => this.#history.removal(name),
      folder: options.backupsPath,
    });
    this.#firstBoots = new FirstBoots({
      ...{ catalog: this.#catalog, backups: this.#backups, runs: this.#runs, history, log: options.log },
      remotes: () =>
        this.#offsites.map(({ target, bucket, access }) => ({ target, place: `s3://${bucket}/${access.prefix}` })),
      ...{ databasePath: options.databasePath, folder: options.backupsPath },
      database: this.#paths.database,
      onRestored: (databaseId) => this.#places.restored(databaseId),
      job: (request, jobOptions) => this.#job<'first-boot'>(request, jobOptions),
    });
    this.#scheduleHistory = new ScheduleHistory({ database, folder, now: this.#now });
    this.#restores = new Restores({
      ...{ backups: this.#backups, runs: this.#runs, history, paths: this.#paths, now: this.#now, log: options.log },
      retention: () => this.#retention(),
      places: this.#places,
      highestKnown: () => this.#highestKnown(),
      onMade: (name) => this.#noteIdOf(name),
      lockWaitMs: this.#waits.lockMs,
      job: (request, jobOptions) => this.#job<'restore'>(request, jobOptions),
    });
    this.#drills = new Drills({
      ...{ backups: this.#backups, runs: this.#runs, history, now: this.#now, log: options.log },
      folder: this.#paths.backups,
      isScheduled: options.drills?.scheduled ?? false,
      assertions: this.#assertions,
      remotes: () => this.#offsites.filter(({ isEnabled }) => isEnabled).map(({ target }) => target),
      lockWaitMs: this.#waits.lockMs,
      proveMaxMs: this.#waits.proveMs,
      job: (request, jobOptions) => this.#job<'drill'>(request, jobOptions),
      onJudged: (backup, complaint, remarks) => this.#recordVerification(backup, 'full', complaint, { remarks }),
    });
    this.#losses = new Losses({
      ...{ log: options.log, now: this.#now, lastRestore: () => this.#restores.lastRestore() },
      options: options.loss ?? { isOn: true, ...LOSS_RULES },
      ignored: () => this.#settings.current.lossIgnore,
      ignore: (tables) => void this.updateConfig({ lossIgnore: tables }),
      backups: async () => (await this.#backups.everywhere()).filter(isOwn),
      find: (name) => this.#backups.find(name),
      change: (name, loss) => this.#say(name, { loss }),
      migratedAt: () => momentOrNull(this.#history.note('migrated')),
      isBlind: () => this.#unseenTargets().length > 0,
      look: () => Promise.allSettled(this.#unseenTargets().map((offsite) => offsite.refresh())),
    });
    this.#scheduler = new Scheduler({
      schedule: () => this.#schedule(),
      now: this.#now,
      hasDatabase: () => !isMissing(this.#paths.database),
      onMissing: (at) => void this.#reportMissingDatabase(at),
      run: (trigger, plannedAt) => this.#scheduledRun(trigger, plannedAt),
      // A verdict turns with time alone; who watches hears of it at every wake.
      onWake: () => {
        this.#scheduleHistory.goesOn();
        this.#drills.wake();
        this.#emit({ type: 'status' });
      },
      onFault: (error) => {
        const { message, hint } = BackupError.from(error);
        options.log('error', `The schedule met a fault and goes on: ${message}. ${hint}`);
      },
    });
    this.#watch = new DatabaseWatch(this.#paths.database, () => this.#emit({ type: 'status' }));
    this.#changedFiles = new ChangedFiles({
      backups: async () => (await this.#backups.at('local')).filter(isOwn).filter(isHere),
      verify: (name, signal) => this.verifyBackup(name, { signal }),
      log: options.log,
    });
    const { voices = {}, log } = options;
    this.#voices = new Voices(voices, { service: this, statePath: this.#paths.state, folder, log });
  }

  /**
   * Begins the schedule: a backup at once, then one every interval. With `enabled: false` nothing is scheduled and
   * everything by hand works. Calling it twice is fine.
   *
   * @throws BackupError UNSUPPORTED on Windows.
   */
  start(): void {
    if (this.#started) return;
    if (process.platform === 'win32') {
      throw new BackupError('UNSUPPORTED', 'velist-backup does not support Windows yet', {
        hint: 'Run it on Linux or macOS, or in WSL.',
      });
    }
    this.#started = true;
    this.#voices.start();
    if (this.#settings.current.enabled) this.#beginSchedule({ runAtOnce: true });
    else {
      this.#scheduleHistory.begin(null, this.#now());
      this.#options.log('info', 'Auto-backup is off. Backups can be made by hand.');
    }
    for (const offsite of this.#offsites) offsite.start();
  }

  /** Ends the schedule, asks what is running to stop, and resolves when it has ended. */
  async stop(): Promise<void> {
    this.#started = false;
    this.#stopping = true;
    try {
      this.#scheduler.end();
      this.#scheduleHistory.end();
      this.#firstBoots.stop();
      const offsites = this.#offsitesMade ?? [];
      const ended = [this.#stopRun(), this.#stopJobs(() => true), this.#drills.stop(), this.#changedFiles.stop()];
      await Promise.all([...ended, ...offsites.map((offsite) => offsite.stop())]);
      await this.#runs.idle();
    } finally {
      await this.#voices.stop();
      this.#stopping = false;
    }
  }

  /** As `stop`, and lets go of the run history. The service is not used afterwards. */
  async close(): Promise<void> {
    await this.stop();
    this.#neighbours.close();
    this.#watch.end();
    for (const offsite of this.#offsitesMade ?? []) offsite.close();
    this.#offsitesMade = undefined;
    this.#historyOpened?.close();
    this.#historyOpened = undefined;
    this.#notesOpened?.close();
    this.#notesOpened = undefined;
  }

  async performBackup(
    userId?: string,
    options: { onProgress?: (run: RunProgress) => void; trigger?: 'manual' | 'cli' } = {},
  ): Promise<BackupResult> {
    return await this.#requestBackup({
      trigger: options.trigger ?? 'manual',
      user: userId ?? null,
      plannedAt: null,
      ...options,
    }).result;
  }

  async requestBackup(userId?: string): Promise<{ readonly runId: string }> {
    const { id, result } = this.#requestBackup({ trigger: 'manual', user: userId ?? null, plannedAt: null });
    // Its outcome is in the run history; nobody waits for this promise.
    result.catch(() => {});
    return { runId: await id };
  }

  async getBackups(options: ListOptions = {}): Promise<readonly BackupItem[]> {
    const { target, recent = false, onSilent } = options;
    if (recent && target === undefined)
      for (const { offsite, error } of await this.#lookAround()) onSilent?.(offsite.target, error);
    const backups = target ? await this.#backups.at(target) : await this.#backups.everywhere();
    const isRemote = target !== undefined && target !== 'local';
    const here = isRemote ? await this.#backups.namesHere() : namesOf(backups.filter(isHere));
    return this.#backups.toItems(backups, here);
  }

  async getBackup(filename: string): Promise<BackupItem> {
    return await this.#toItem(await this.#backups.find(filename));
  }

  /** Recorded when its bytes are asked for, not when somebody only asks how many there are. */
  async openBackup(filename: string, options: Pick<FromTarget, 'allowPlain'> = {}): Promise<OpenedBackup> {
    const act = { act: 'download', subject: filename } as const;
    try {
      const opened = await this.#backups.open(await this.#backups.find(filename), options);
      const { sizeBytes, etag, modifiedAt } = opened;
      const stream = (from: number, to: number) => {
        const isPart = from > 0 || to < sizeBytes - 1;
        this.#audit.add({ ...act, detail: isPart ? `bytes ${from} to ${to} of ${sizeBytes}` : null });
        return opened.stream(from, to);
      };
      return { sizeBytes, etag, modifiedAt, stream, close: () => opened.close() };
    } catch (error) {
      this.#audit.failed(act, error);
      throw error;
    }
  }

  /** Newest first. */
  getAudit(filter: AuditFilter): readonly AuditEntry[] {
    return this.#audit.list(filter);
  }

  /** For whoever refuses or lets in before the service is asked. */
  recordAct(act: Act): void {
    this.#audit.add(act);
  }

  getConfig(): BackupConfig {
    const { s3, databasePath, backupsPath, cron } = this.#options;
    return {
      ...this.#settings.current,
      changed: this.#settings.overridden,
      keepIsDefault: this.#settings.keepIsDefault,
      localPath: backupsPath,
      databasePath,
      cron: cron ?? null,
      s3: {
        configured: Boolean(s3),
        bucket: s3?.bucket ?? null,
        region: s3?.region ?? null,
        endpoint: s3?.endpoint ?? null,
      },
    };
  }

  updateConfig(change: Partial<Settings> & { readonly revert?: readonly (keyof Settings)[] }): BackupConfig {
    const { revert = [], ...settings } = change;
    const names = [...new Set([...Object.keys(settings), ...revert])];
    const act = { act: 'settings', subject: names.join(', ') } as const;
    try {
      const before = this.#settings.current;
      const config = this.#updateConfig(settings, revert);
      this.#audit.add({ ...act, detail: changesText(before, config) });
      return config;
    } catch (error) {
      this.#audit.failed(act, error);
      throw error;
    }
  }

  #updateConfig(settings: Partial<Settings>, revert: readonly (keyof Settings)[]): BackupConfig {
    // What is saved lies in the folder.
    if (this.#places.isForeign) this.#requireOurs(this.#places.folder([]));
    const before = this.#settings.current;
    if (settings.s3Enabled && !this.#options.s3) {
      throw new BackupError('BAD_CONFIG', 'S3 can not be switched on: no bucket is configured', {
        hint: 'Set S3_BUCKET, S3_REGION, S3_ENDPOINT, S3_ACCESS_KEY and S3_SECRET_KEY in the environment, then restart.',
      });
    }
    const s3Path = settings.s3Path ?? (revert.includes('s3Path') ? this.#options.settings.s3Path : null);
    const owner = s3Path === null ? null : this.#options.ownerOfS3Path?.(s3Path);
    // In one place two databases would prune each other.
    if (owner) throw new SettingsError({ s3Path: `is that of the database ${owner}; choose one of its own` });
    checkTargets(this.#options, { ...before, s3Path: s3Path ?? before.s3Path });
    const after = this.#settings.change(settings, revert);
    if (this.#started) this.#applySettings(before, after);
    this.#emit({ type: 'status' });
    return this.getConfig();
  }

  async getStatus(): Promise<Status> {
    // A folder that can't be listed is the news itself: page, health, metrics and voices have to tell it.
    let unlisted: ErrorBody | null = null;
    const all = await this.#backups.everywhere().catch((error: unknown) => {
      unlisted = BackupError.from(error).toJSON();
      return [];
    });
    const here = namesOf(all.filter(isHere));
    const backups = all.filter(isOwn);
    const lastRestore = this.#restores.lastRestore();
    const runsOfBackups = this.#history.list({ limit: RUNS_LOOKED_AT, kind: 'backup' });
    const isGone = isMissing(this.#paths.database);
    const newest = (filter: RunFilter) => this.#history.list({ limit: 1, ...filter })[0] ?? null;
    return composeStatus({
      now: this.#now(),
      settings: this.#settings.current,
      backups,
      items: this.#backups.toItems(backups, here),
      database: this.#lookAtDatabase(),
      cron: this.#options.cron ?? null,
      nextRunAt: this.#scheduler.nextRunAt,
      stalledSince: this.#scheduler.stalledSince(this.#silenceMaxMs()),
      gapMinutes: this.#gapMinutes(),
      localPath: this.#options.backupsPath,
      disk: diskRoom(this.#paths.backups),
      retention: this.#retention(),
      targets: this.#offsites.map((offsite) => ({
        target: offsite.target,
        enabled: offsite.isEnabled,
        bucket: offsite.bucket,
        path: offsite.access.prefix,
        lifecycleDays: offsite.lifecycleDays,
        ...offsite.waiting,
        listedAt: offsite.listedAt,
      })),
      run: this.#shownRun(),
      lastRun: newest({ except: 'upload' }),
      unlisted,
      wasBackedUp: this.#lastMade() !== null,
      isMissing: isGone,
      // Who stops a run by hand has not mended what failed before; a file that is back has.
      lastBackupRun:
        runsOfBackups.find(({ result, error }) => result !== 'stopped' && (isGone || error?.code !== 'DB_MISSING')) ??
        null,
      lastUnchangedRun: newest({ kind: 'backup', result: 'unchanged' }),
      drills: (target) => ({
        last: this.#history.lastDrill(target),
        proven: this.#history.lastDrill(target, 'restored'),
      }),
      shownRestore: this.#restores.shownRestore(lastRestore),
      vanished: this.#vanished(here),
      isUploading: (name, target) => this.#isUploading(name, target),
      isBusyElsewhere: (target) => this.#offsites.some((one) => one.target === target && one.isBusyElsewhere()),
      undo: this.#restores.undoable(backups, lastRestore),
      loss: this.#losses.shown(backups.filter(isOwn)),
      places: this.#placesOf(all, { isListed: unlisted === null }),
      setBack: this.#setBack(),
    });
  }

  async getActivity(range: ActivityRange): Promise<Activity> {
    const now = this.#now();
    const from = new Date(now.getTime() - LONGEST_ACTIVITY_MS[range]);
    const backups = (await this.#backups.everywhere()).filter(isOwn);
    const here = namesOf(backups.filter(isHere));
    const removed = this.#history.removed(from);
    const run = this.#shownRun();
    return composeActivity({
      range,
      now,
      schedule: this.#schedule(),
      isEnabled: this.#settings.current.enabled,
      spans: this.#scheduleHistory.since(from),
      runs: this.#history.backupRunsSince(from),
      firstPlannedAt: this.#history.firstPlannedAt(),
      runningSince: run?.kind === 'backup' ? run.startedAt : null,
      backups: this.#backups.toItems(backups, here),
      removal: (name) => {
        const removal = removed.get(name);
        return removal ? `Removed ${removal.why}.` : null;
      },
      isUploading: (name, target) => this.#isUploading(name, target),
    });
  }

  getRuns(options: Pick<RunFilter, 'kind' | 'result'> & { readonly limit?: number } = {}): readonly Run[] {
    return this.#history.list({ ...options, limit: options.limit ?? 200 });
  }

  getRunTotals(): readonly RunTotal[] {
    return this.#history.totals();
  }

  async deleteBackup(
    filename: string,
    options: { readonly target?: TargetName; readonly user?: string } = {},
  ): Promise<void> {
    const act = { act: 'delete', subject: filename, target: options.target ?? null } as const;
    await this.#audit.carry(act, () => this.#deleteBackup(filename, options), {
      actor: currentActor(options.user),
    });
  }

  async #deleteBackup(
    filename: string,
    options: { readonly target?: TargetName; readonly user?: string },
  ): Promise<void> {
    const backup = await this.#backups.find(filename, options.target);
    if (isHere(backup) && isLiveFile(backup.path, this.#paths.database)) {
      throw new BackupError('BAD_BACKUP', `${filename} is the live database itself, under the name of a backup`, {
        hint: 'It is not deleted. Move the database out of the backup folder.',
      });
    }
    const { target } = options;
    if (target === undefined || isHere(backup)) await this.#losses.passOn(filename);
    const isThere = (offsite: Offsite) => {
      const upload = offsite.uploadStates().get(filename);
      return offsite.find(filename) || offsite.isUploading(filename) || (upload && upload.status !== 'removed');
    };
    const named = target === undefined ? this.#offsites.filter(isThere) : [];
    const holders = target === undefined || target === 'local' ? named : [this.#backups.requireOffsite(target)];
    // Asked for by name it is refused; of all copies those go that we may remove.
    const offsites = target === undefined ? holders.filter(({ lifecycleDays }) => lifecycleDays === null) : holders;
    const left = holders.filter((offsite) => !offsites.includes(offsite));
    if (left.length > 0 && offsites.length === 0 && !isHere(backup)) throw leftToBucket(left[0]?.address ?? '');
    const why = options.user ? `by ${options.user}` : 'by hand';
    await eachOf(offsites, 'it was deleted', (offsite) => offsite.remove(filename, why));
    if (isHere(backup)) {
      await this.#catalog.remove(backup);
      this.#noteRemoval(filename, why);
    } else this.#noteIfGone(filename, why);
    this.#options.log(
      'info',
      `Deleted: ${filename}${options.target ? ` (${options.target})` : ''}${options.user ? ` by ${options.user}` : ''}`,
    );
    for (const offsite of left)
      this.#options.log('info', `Still on ${targetWord(offsite.target)}: ${filename}; ${offsite.removal}.`);
    this.#emit({ type: 'status' });
  }

  async verifyBackup(
    filename: string,
    options: FromTarget & { readonly full?: boolean; readonly user?: string; readonly signal?: AbortSignal } = {},
  ): Promise<BackupItem> {
    const backup = await this.#backups.find(filename, options.from);
    const method = options.full ? 'full' : 'quick';
    const run = this.#runs.begin({
      kind: 'verify',
      user: options.user ?? null,
      backup: filename,
      weights: isHere(backup) ? { verify: 100 } : { fetch: 70, verify: 30 },
    });
    run.listen(options.onProgress);
    let complaint: string | null = null;
    let found: Pick<FileFindings, 'facts' | 'content' | 'unchecked'> = { facts: null, ...NO_REMARKS };
    try {
      const { identity, allowPlain } = options;
      const target = isHere(backup) ? 'local' : backup.target;
      const fetchAnew = (given: FetchOptions) =>
        this.#backups
          .requireOffsite(target)
          .downloads.fetchHere(filename, { ...given, identity, allowPlain, anew: true });
      const path = isHere(backup) ? await this.#backups.path(backup) : await this.#runs.fetching(run, fetchAnew);
      const sha256 = backup.manifest?.database.sha256 ?? null;
      const asked = { kind: 'verify', path, method, sha256 } as const;
      const signal = options.signal ?? run.abort.signal;
      const listen = { signal, onEvent: (event: JobEvent) => run.hear(event) };
      found = await this.#job<'verify'>(asked, listen);
      this.#runs.record(run.end({ result: 'success', backup: filename, sizeBytes: backup.sizeBytes }));
    } catch (error) {
      const known = BackupError.from(error);
      this.#runs.record(
        run.end({ result: known.code === 'ABORTED' ? 'stopped' : 'failed', backup: filename, error: known }),
      );
      // That the check found damage is its answer, not its failure.
      if (known.code !== 'VERIFY_FAILED') throw known;
      complaint = known.message;
    }
    return await this.#recordVerification(backup, method, complaint, { facts: found.facts, remarks: found });
  }

  async verifyFile(
    path: string,
    options: { readonly full?: boolean } = {},
  ): Promise<{ readonly ok: boolean; readonly detail: string | null } & Remarks> {
    if (!existsSync(path)) throw new BackupError('NO_BACKUP', `there is no file ${path}`, { hint: 'Check the path.' });
    try {
      const { content, unchecked } = await this.#job<'verify'>({
        kind: 'verify',
        path: resolve(path),
        method: options.full ? 'full' : 'quick',
        sha256: null,
      });
      return { ok: true, detail: null, content, unchecked };
    } catch (error) {
      const known = BackupError.from(error);
      if (known.code !== 'VERIFY_FAILED') throw known;
      return { ok: false, detail: known.message, ...NO_REMARKS };
    }
  }

  async adoptBackup(filename: string): Promise<BackupItem> {
    return await this.#audit.carry({ act: 'adopt', subject: filename }, () => this.#adoptBackup(filename));
  }

  async #adoptBackup(filename: string): Promise<BackupItem> {
    const backup = await this.#backups.find(filename);
    if (backup.manifest || !isHere(backup)) return await this.getBackup(filename);
    const findings = await this.#job<'verify'>({
      kind: 'verify',
      path: await this.#backups.path(backup),
      method: 'quick',
      sha256: null,
    });
    const source = basename(this.#options.databasePath);
    const self = await this.#places.selfToWrite();
    const signal = new AbortController().signal;
    const lock = { waitMs: this.#waits.lockMs, signal, warn: (message: string) => this.#warnOnce(message) };
    using _lock = await takeLock(join(this.#paths.backups, LOCK_FILE), lock);
    const { ownership } = await this.#requireOwnFolder();
    const origin = {
      ...(ownership.id !== null && { databaseId: ownership.id }),
      ...(self.maker && { madeBy: self.maker }),
    };
    const adopted = adoptedManifest(backup, findings, { verifiedAt: this.#now(), source });
    await this.#catalog.writeManifest({ ...adopted, ...origin });
    this.#emit({ type: 'status' });
    return await this.getBackup(filename);
  }

  async updateBackup(
    filename: string,
    change: { readonly pinned?: boolean; readonly note?: string | null },
  ): Promise<BackupItem> {
    const act = change.pinned === undefined ? 'note' : change.pinned ? 'pin' : 'unpin';
    await this.#audit.carry({ act, subject: filename }, () => this.#say(filename, change));
    return await this.getBackup(filename);
  }

  /** Pin, note, or the word on its loss; what is not given stays. */
  async #say(filename: string, change: Partial<Said>): Promise<void> {
    if (isHere(await this.#backups.find(filename))) {
      const given = Object.fromEntries(Object.entries(change).filter(([, value]) => value !== undefined));
      await this.#catalog.changeManifest(filename, (manifest) => ({ ...manifest, ...given }));
      await this.#sayElsewhere(filename, change);
    } else {
      const holders = this.#offsites.filter((offsite) => offsite.find(filename));
      const changeable = holders.filter(({ lifecycleDays }) => lifecycleDays === null);
      // Where there is none, the first one says why.
      const changed = changeable.length > 0 ? changeable : holders;
      await eachOf(changed, 'it was changed', (offsite) => offsite.change(filename, change));
    }
    this.#emit({ type: 'status' });
  }

  /** A backup that is here too: pins are passed on with the next look, the word on a loss before retention acts on it here. */
  async #sayElsewhere(filename: string, change: Partial<Said>): Promise<void> {
    if (!change.loss) {
      for (const offsite of this.#offsites) offsite.backupChanged();
      return;
    }
    const holders = this.#offsites.filter(
      (offsite) => offsite.isEnabled && offsite.lifecycleDays === null && offsite.find(filename),
    );
    await eachOf(holders, 'it was written', (offsite) => offsite.change(filename, change)).catch((error: unknown) => {
      const known = BackupError.from(error);
      this.#options.log('warn', `What was said of ${filename} is noted here: ${known.message}. It is tried again.`);
    });
  }

  async acceptLoss(answer: LossAnswer = {}): Promise<BackupItem> {
    const act = { act: 'accept-loss', subject: answer.filename ?? null } as const;
    const accepted = await this.#audit.carry(act, () => this.#losses.accept(answer), {
      actor: currentActor(answer.user),
      done: (subject) => ({ ...act, subject }),
    });
    return await this.getBackup(accepted);
  }

  async reopenLoss(filename: string): Promise<BackupItem> {
    const act = { act: 'reopen-loss', subject: filename } as const;
    return await this.getBackup(await this.#audit.carry(act, () => this.#losses.reopen(filename)));
  }

  async diff(a: string, b: string): Promise<BackupDiff> {
    return await this.#losses.diff(a, b);
  }

  /** What was changed by a migration is no loss. */
  noteMigration(): void {
    this.#history.setNote('migrated', this.#now().toISOString());
  }

  async planRestore(
    filename: string,
    options: FromTarget & { readonly user?: string; readonly mode?: ReplacingMode } = {},
  ): Promise<RestorePlan> {
    const { path: backupPath, ...source } = await this.#restores.planned(filename, options);
    const databasePath = this.#paths.database;
    const stamp = existsSync(databasePath) ? stampDatabase(databasePath, { nowMs: this.#now().getTime() }) : null;
    const facts = await this.#job<'plan'>({ kind: 'plan', databasePath, backupPath });
    return toRestorePlan(source, facts, { databaseName: basename(databasePath), stamp, mode: options.mode });
  }

  async restore(filename: string, options: RestoreOptions = {}): Promise<RestoreResult> {
    const { mode = 'online', from = null } = options;
    const act = { act: 'restore', subject: filename, target: from, detail: mode } as const;
    const restore = () => this.#restores.restore('restore', filename, options);
    return await this.#audit.carry(act, restore, { actor: currentActor(options.user) });
  }

  async undoRestore(
    options: {
      readonly user?: string;
      readonly onProgress?: (run: RunProgress) => void;
      readonly mode?: PlannedMode;
      readonly expected?: string;
    } = {},
  ): Promise<RestoreResult> {
    const act = { act: 'undo', detail: options.mode ?? 'online' } as const;
    return await this.#audit.carry(act, () => this.#restores.undo(options), { actor: currentActor(options.user) });
  }

  /**
   * Where the database is missing, brings the newest good backup back, from the folder or from S3, whichever is newer.
   * Awaited before the app opens the database. Whatever lies at its path is never touched.
   *
   * @throws BackupError S3_* when S3 can't be asked; BAD_REQUEST for an encrypted copy without its key; NO_BACKUP when
   * there are backups and none is good; DB_EMPTY, DB_MISSING, NOT_SQLITE, RESTORE_IN_USE for what is there instead of a
   * database: in all of these the app must not begin an empty one.
   */
  async restoreIfMissing(options: FirstBootOptions = {}): Promise<FirstBoot> {
    const act = 'restore-if-missing';
    try {
      const found = await this.#firstBoots.restoreIfMissing(options);
      if (found.outcome === 'restored') this.#audit.add({ act, subject: found.backup, target: found.from });
      return found;
    } catch (error) {
      this.#audit.failed({ act }, error);
      throw error;
    }
  }

  /** A text that gets the data back from here or any target with stock programs alone; it holds no secret. */
  async recoveryKit(): Promise<string> {
    const all = (await this.#backups.at('local')).filter(isOwn);
    const here = all.filter(isSound);
    const newest = here[0] ?? (await this.#backups.everywhere()).filter(isOwn).find(isSound);
    const targets = await Promise.all(this.#offsites.map((offsite) => this.#kitOf(offsite)));
    const kin = [
      this.#places.folder(await this.#catalog.list()).ownership,
      ...this.#offsites.map((one) => one.ownership),
    ];
    return recoveryKit({
      writtenAt: this.#now(),
      version: VERSION,
      databasePath: this.#paths.database,
      backupsPath: this.#paths.backups,
      journalMode: newest?.manifest?.source.journalMode ?? null,
      ids: [...new Set(kin.flatMap(({ ids }) => ids))],
      names: [...new Set(kin.flatMap(({ names }) => names))],
      here: here.slice(0, KIT_NAMES).map(({ name }) => name),
      targets,
    });
  }

  async #kitOf(offsite: Offsite): Promise<KitS3> {
    const { prefix, s3 } = offsite.access;
    const complaint = await offsite.refresh().then(
      () => null,
      (error: unknown) => BackupError.from(error).message,
    );
    const { bucket, region, endpoint = null, sealing = PLAIN } = s3;
    const { ownership } = offsite;
    const own = offsite.backups.filter((backup) => otherOf(ownership, backup) === null);
    const there = own.filter(isSound).flatMap(({ manifest }) => manifest?.artifact.file ?? []);
    return {
      ...{ name: offsite.target, bucket, region, endpoint, prefix, sealing, complaint },
      baseUrl: connectS3({ ...s3, prefix }).baseUrl,
      there: there.slice(0, KIT_NAMES).map((file) => `s3://${bucket}/${prefix}/${file}`),
    };
  }

  dismissRestore(): boolean {
    const dismissed = this.#restores.dismiss();
    if (dismissed) this.#emit({ type: 'status' });
    return dismissed;
  }

  async prune(options: { readonly dryRun?: boolean; readonly target?: TargetName } = {}): Promise<PruneResult> {
    const { dryRun = false, target = 'local' } = options;
    const when = { now: this.#now(), hold: this.#pruneHold() };
    const offsite = target === 'local' ? null : this.#backups.requireOffsite(target);
    const plan = offsite
      ? await offsite.plan(this.#ownRetention(offsite.access.s3), when)
      : await this.#planFolder(when);
    const kept = plan.kept.map(({ backup, reasons }) => ({ filename: backup.name, reasons }));
    const removed = plan.removed.map(({ backup, reason }) => ({ filename: backup.name, reason }));
    if (dryRun) return { target, kept, removed, dryRun };
    if (offsite) requireOurs(offsite.ownership, offsite.identity ?? NO_IDENTITY, { place: offsite.address, target });
    else await this.#requireOwnFolder();
    // Whether another machine writes there, the job finds out anew.
    if (removed.length === 0 && !offsite?.writing.isStopped) return { target, kept, removed, dryRun };
    const act = { act: 'prune', target } as const;
    const done = await this.#audit.carry(act, () => (offsite ? offsite.prune() : this.#pruneFolder()), {
      done: ({ length }) => ({ ...act, detail: `${length} removed` }),
    });
    this.#emit({ type: 'status' });
    // Another process may have removed some meanwhile.
    const there = namesOf(offsite ? offsite.backups : await this.#catalog.list());
    const survivors = removed.filter(({ filename }) => !done.includes(filename) && there.has(filename));
    return {
      ...{ target, dryRun, removed: removed.filter(({ filename }) => done.includes(filename)) },
      kept: [...kept, ...survivors.map(({ filename }) => ({ filename, reasons: [SURVIVED] }))],
    };
  }

  async #planFolder(when: { readonly now: Date; readonly hold: string | null }) {
    const backups = await this.#catalog.list();
    const { ownership } = this.#places.folder(backups);
    return planFolder(backups, this.#paths.backups, this.#retention(), { ...when, ownership });
  }

  /** @throws BackupError FOREIGN_PLACE */
  async #requireOwnFolder(): Promise<OwnedFolder> {
    return this.#requireOurs(this.#places.folder(await this.#catalog.list()));
  }

  #requireOurs(folder: OwnedFolder): OwnedFolder {
    const place = `the folder ${this.#options.backupsPath}`;
    requireOurs(folder.ownership, folder.identity, { place, target: 'local' });
    return folder;
  }

  async claim(options: { readonly target?: TargetName; readonly user?: string } = {}): Promise<ClaimResult> {
    const { target = 'local', user = null } = options;
    const claim = async () => {
      const offsite = target === 'local' ? null : this.#backups.requireOffsite(target);
      return offsite ? await this.#claims.claimTarget(offsite, user) : await this.#claims.claimFolder(user);
    };
    const result = await this.#audit.carry({ act: 'claim', target }, claim, { actor: currentActor(user) });
    this.#emit({ type: 'backups' });
    this.#emit({ type: 'status' });
    return result;
  }

  async #pruneFolder(): Promise<readonly string[]> {
    const { removed } = await this.#job<'prune'>({
      kind: 'prune',
      folder: this.#paths.backups,
      retention: this.#retention(),
      lockWaitMs: this.#waits.lockMs,
      self: await this.#places.selfToWrite(),
    });
    for (const name of removed) this.#noteRetention(name);
    return removed;
  }

  async testTarget(name: TargetName, options: { readonly signal?: AbortSignal } = {}): Promise<TargetReport> {
    const { backupsPath, log } = this.#options;
    const target = name === 'local' ? { name: 'local' as const, folder: this.#paths.backups } : this.#bucket(name);
    // It removes its traces before it ends.
    const report = await this.#job<'test-target'>({ kind: 'test-target', target }, { ...options, mayKill: false });
    const failures = report.findings.filter(({ result }) => result === 'failed').map(({ message }) => message);
    log('info', `Tested ${name}: ${report.ok ? 'all that backups need works' : failures.join('; ')}.`);
    // The folder is called as it was configured; where it lies on this machine is nobody's business.
    const named = (text: string) => text.replaceAll(this.#paths.backups, backupsPath);
    const findings = report.findings.map((finding) => ({
      ...finding,
      message: named(finding.message),
      hint: finding.hint && named(finding.hint),
    }));
    return { ...report, place: named(report.place), findings };
  }

  #bucket(name: TargetName) {
    const { prefix, s3 } = this.#backups.requireOffsite(name).access;
    return { name, s3: { ...s3, prefix } };
  }

  /** The thorough check of the live database, in a process of its own: structure, rules of its tables, foreign keys. */
  async checkDatabase(): Promise<Checked> {
    return await this.#job<'check'>({ kind: 'check', databasePath: this.#paths.database });
  }

  async diagnose(options: { readonly s3?: boolean } = {}): Promise<DoctorReport> {
    const { databasePath, backupsPath, statePath, s3, targets = [], served } = this.#options;
    const { database, backups, state } = this.#paths;
    // What can't be listed is a finding, and the other findings are wanted all the more.
    let folderComplaint: ErrorBody | null = null;
    const known: Manifest[] = [];
    let proven: Status['freshness']['targets'] = [];
    let loss: Status['loss'] = null;
    let stalledSince: Date | null = null;
    let places: Status['places'] = [];
    let fitting: number | null = null;
    let isLost = false;
    try {
      const status = await this.getStatus();
      proven = status.freshness.targets;
      loss = status.loss;
      stalledSince = status.schedule.stalledSince;
      places = status.places;
      fitting = status.local.forecast.fitting;
      isLost = status.freshness.cause === 'missing';
      const own = (await this.#backups.at('local')).filter(isOwn);
      known.push(...own.flatMap(({ manifest }) => manifest ?? []));
    } catch (error) {
      folderComplaint = BackupError.from(error).toJSON();
    }
    const examined = await this.#job<'examine'>({ kind: 'examine', databasePath: database });
    const looked = lookAtDatabase(database, databasePath);
    const aboutBucket = (bucket: S3Target | null | undefined) => ({
      plainHost: plainHostOf(bucket?.endpoint),
      isEncrypted: (bucket?.sealing?.recipients.length ?? 0) > 0,
      isAlsoPublic: bucket != null && (served?.buckets.includes(bucket.bucket) ?? false),
      lifecycleDays: bucket?.lifecycleDays ?? null,
    });
    const isS3Asked = targets.length === 0 || this.#settings.current.s3Enabled;
    const further: DoctorFacts['targets'][number][] = [];
    for (const target of targets) {
      const { name } = target;
      further.push({ name, ...aboutBucket(target), test: options.s3 ? await this.testTarget(name) : null });
    }
    const findings = findAll({
      now: this.#now(),
      sqlite: examined,
      database: {
        ...looked,
        isLost,
        journalMode: examined.journalMode,
        replicators: [...looked.replicators, ...examined.replicatorTables],
        complaint: examined.complaint,
      },
      folder: {
        ...lookAtFolder(backups, backupsPath),
        ...{ complaint: folderComplaint, count: known.length, fitting },
        freeBytes: diskRoom(this.#paths.backups).freeBytes,
      },
      state: { path: statePath, mode: modeOf(state) },
      openSecrets: openSecretsAmong(this.#options.secretFiles ?? []),
      settingsComplaint: this.#settings.complaint,
      setAside: [...asideOf(state), ...setAsideIn(backups)].map((path) => basename(path)),
      servedAs: servedAs({ backups, state }, served?.folders ?? []),
      unmergedBytes: known
        .flatMap(({ copy, database: { pageSize } }) =>
          copy?.checkpoint ? (copy.checkpoint.logFrames - copy.checkpoint.mergedFrames) * pageSize : [],
        )
        .slice(0, DOCTOR_CHECKPOINTS),
      newestAt: known[0] ? new Date(known[0].createdAt) : null,
      loss,
      stalledSince,
      remarks: remarksOf(known[0]),
      settings: this.#settings.current,
      gapMinutes: this.#gapMinutes(),
      door: this.#options.door ?? null,
      s3: { ...aboutBucket(s3), test: options.s3 && isS3Asked ? await this.testTarget('s3') : null },
      archived: this.#offsites.filter(({ isEnabled }) => isEnabled).flatMap(archivedNewest),
      targets: further,
      places,
      drills: { complaint: complaintOf(this.#assertions, database), targets: proven },
    });
    return { ok: !findings.some(isOfWeight), findings };
  }

  async drill(options: DrillAsked = {}): Promise<DrillReport> {
    return await this.#drills.run(options);
  }

  async stopRun(): Promise<boolean> {
    const { kind = null } = this.#runs.shown ?? {};
    const isStopped = await this.#stopRun();
    if (isStopped) this.#audit.add({ act: 'stop', subject: kind });
    return isStopped;
  }

  async #stopRun(): Promise<boolean> {
    const run = this.#runs.shown;
    const mayStop = run?.mayStop === true;
    if (mayStop) run.abort.abort();
    const jobs = await this.#stopJobs((kind) => besideRuns.has(kind));
    if (mayStop) await this.#runs.ended(run);
    return mayStop || jobs > 0;
  }

  /** How many were stopped. */
  async #stopJobs(isMeant: (kind: JobKind) => boolean): Promise<number> {
    const meant = [...this.#reading].filter(([, { kind }]) => isMeant(kind));
    for (const [abort] of meant) abort.abort();
    await Promise.allSettled(meant.map(([, { ended }]) => ended));
    return meant.length;
  }

  on(listener: (event: ServiceEvent) => void): () => void {
    this.#listeners.add(listener);
    this.#neighbours.watch();
    this.#watch.begin();
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size > 0) return;
      this.#neighbours.unwatch();
      this.#watch.end();
    };
  }

  /** Ours, or the one of another process over the same folder. */
  #shownRun(): RunProgress | null {
    // In a folder of another database the runs of others are that one's.
    return this.#runs.shown?.progress() ?? (this.#places.isForeign ? null : this.#neighbours.run);
  }

  // ── backups ──

  /** Joins the run that is going if it has not pinned yet; else one follow-up run, shared by all who ask meanwhile. */
  #requestBackup(asked: BackupAsked): BackupRequested {
    const joinable = this.#joinable;
    if (joinable && !joinable.run.pinned && !joinable.run.abort.signal.aborted) {
      joinable.run.join(asked.user);
      joinable.run.listen(asked.onProgress);
      return joinable.request;
    }
    if (this.#followUp) {
      this.#followUp.askers.push(asked);
      return this.#followUp;
    }
    const started = Promise.withResolvers<string>();
    const finished = Promise.withResolvers<BackupResult>();
    const request: BackupRequested = {
      id: started.promise,
      local: finished.promise,
      // Beside the line: an upload never delays the next run.
      result: finished.promise.then((result) => this.#withUpload(result)),
      askers: [asked],
    };
    this.#followUp = request;
    const local = this.#runs.inLine(() => {
      this.#followUp = null;
      const run = this.#runs.begin({
        kind: 'backup',
        ...asked,
        backup: null,
        weights: { checkpoint: 0, copy: 60, verify: 38, publish: 1, prune: 1 },
      });
      for (const { user, onProgress } of request.askers) {
        run.join(user);
        run.listen(onProgress);
      }
      if (this.#stopping) run.abort.abort();
      this.#runs.active = run;
      this.#joinable = { run, request };
      started.resolve(run.id);
      return this.#backUp(run, { ...asked, user: run.user });
    });
    finished.resolve(local);
    return request;
  }

  async #withUpload(result: BackupResult): Promise<BackupResult> {
    const { success, filename } = result;
    if (!success || !filename) return result;
    // What goes wrong beside an upload fails no backup that is made.
    const failed = (error: unknown) => {
      const { message, hint } = BackupError.from(error);
      this.#options.log('error', `Not uploaded: ${filename}: ${message}. ${hint}`);
    };
    let enabled: readonly Offsite[] = [];
    try {
      enabled = this.#offsites.filter(({ isEnabled }) => isEnabled);
    } catch (error) {
      failed(error);
    }
    const bring = async (offsite: Offsite) =>
      await offsite.bring(filename).catch((error: unknown) => {
        failed(error);
        return false;
      });
    const brought = await Promise.all(enabled.map(async (one) => [one.target, await bring(one)] as const));
    // Switched on, and not configured: it is nowhere.
    const uploaded = { ...(this.#settings.current.s3Enabled && { s3: false }), ...Object.fromEntries(brought) };
    if (Object.keys(uploaded).length === 0) return result;
    return { ...result, ...(uploaded['s3'] !== undefined && { s3Uploaded: uploaded['s3'] }), uploaded };
  }

  /** That are on, and of which nothing is known yet. */
  #unseenTargets(): readonly Offsite[] {
    return this.#offsites.filter(({ isEnabled, listedAt }) => isEnabled && listedAt === null);
  }

  #isUploading(name: string, target: TargetName): boolean {
    return this.#offsitesMade?.some((offsite) => offsite.target === target && offsite.isComing(name)) ?? false;
  }

  /** A copy that is still here, or at another target, is not gone. */
  #noteIfGone(name: string, why: string): void {
    const isLeft = existsSync(join(this.#paths.backups, name)) || this.#offsites.some((offsite) => offsite.find(name));
    if (!isLeft) this.#noteRemoval(name, why);
  }

  /** From the folder. */
  #noteRetention(backup: string): void {
    this.#noteRemoval(backup, BY_RETENTION);
    this.#audit.add({ act: 'retention', subject: backup, target: 'local' }, THE_SERVICE_ITSELF);
  }

  #noteRemoval(backup: string, why: string): void {
    this.#history.addRemoval({ backup, at: this.#now(), why });
  }

  /** Once, and again when they change: each backup has them. */
  #sayRemarks(remarks: readonly string[]): void {
    const text = remarks.join('; ');
    if (text !== '' && text !== this.#remarksSaid)
      this.#options.log('warn', `The backup is good, and its check has remarks: ${text}.`);
    this.#remarksSaid = text;
  }

  async #backUp(run: ActiveRun, asked: BackupAsked): Promise<BackupResult> {
    try {
      run.hear({ type: 'step', name: 'checkpoint' });
      await this.#warnOfEmptyFolder();
      const made = await this.#job<'backup'>(
        {
          kind: 'backup',
          databasePath: this.#paths.database,
          folder: this.#paths.backups,
          verify: this.#settings.current.verify,
          trigger: asked.trigger,
          user: asked.user,
          note: null,
          retention: this.#settings.complaint === null ? this.#retention() : KEEP_ALL,
          lockWaitMs: this.#waits.lockMs,
          pinTimeoutMs: this.#waits.pinMs,
          loss: await this.#losses.question(),
          self: await this.#places.selfToWrite(),
          highestKnown: this.#highestKnown(),
        },
        { signal: run.abort.signal, onEvent: (event) => run.hear(event) },
      );
      this.#runs.active = null;
      this.#options.log('info', `Completed: ${made.name} (${formatSize(made.sizeBytes)})`);
      const remarks = remarkTexts(made);
      this.#sayRemarks(remarks);
      this.#losses.made(made.name, made.loss);
      await this.#noteIdOf(made.name);
      this.#warnOfOpenFolder();
      for (const name of made.removed) {
        this.#options.log('info', `Removed by retention: ${name}`);
        this.#noteRetention(name);
      }
      const report = run.end({ result: 'success', backup: made.name, sizeBytes: made.sizeBytes });
      this.#runs.record(report);
      const said = remarks.length > 0 && { remarks };
      return { success: true, filename: made.name, size: made.sizeBytes, ...said, report };
    } catch (error) {
      const known = await this.#explain(BackupError.from(error));
      this.#runs.active = null;
      if (known.code === 'ABORTED') this.#options.log('info', 'Stopped: the run was ended before it was done.');
      else this.#options.log('error', `Failed: ${known.message}. ${known.hint}`);
      const report = run.end({ result: known.code === 'ABORTED' ? 'stopped' : 'failed', error: known });
      // What a person asked for is noted; a cron line would note the same at each tick.
      if (asked.trigger === 'manual' || !saysItAgain(known, this.#lastBackupRun())) this.#runs.record(report);
      else this.#emit({ type: 'status' });
      return { success: false, error: known.toJSON(), report };
    } finally {
      this.#joinable = null;
    }
  }

  async #explain(error: BackupError): Promise<BackupError> {
    if (error.code === 'DB_MISSING' && (await this.#wasBackedUp())) return withWayBack(error);
    return this.#withNeighbour(error);
  }

  /** There is something that a missing database can be brought back from, or was. */
  async #wasBackedUp(): Promise<boolean> {
    if (this.#lastMade() !== null) return true;
    const backups = await this.#backups.everywhere().catch(() => []);
    return backups.some(({ manifest }) => manifest !== null);
  }

  #lastBackupRun(): Run | undefined {
    return this.#history.list({ limit: 1, kind: 'backup' })[0];
  }

  /**
   * The newest backup that a run made, as far as the history goes. Null as well while another process holds the history: it
   * has no say in whether a backup is made.
   */
  #lastMade(): string | null {
    try {
      return this.#history.list({ limit: 1, kind: 'backup', result: 'success' })[0]?.backup ?? null;
    } catch {
      return null;
    }
  }

  /** Which run of another process it is that holds the folder. */
  #withNeighbour(error: BackupError): BackupError {
    const run = error.code === 'BUSY' ? this.#neighbours.run : null;
    if (!run) return error;
    const asked = run.trigger === 'cli' ? 'the command line' : (run.user ?? 'another program');
    const message = `${error.message}; it is a ${run.kind} that ${asked} began at ${run.startedAt.toISOString()}`;
    return new BackupError('BUSY', message, { hint: error.hint, cause: error });
  }

  /** A disk that is not mounted leaves an empty folder, which looks like a new one; the history knows better. */
  async #warnOfEmptyFolder(): Promise<void> {
    const last = this.#lastMade();
    // A folder that can't be listed is explained by the run itself.
    const backups = await this.#catalog.list().catch(() => null);
    if (last === null || backups?.length !== 0) return;
    this.#options.log(
      'warn',
      `The backup folder ${this.#options.backupsPath} is empty, but ${last} was made before. If nobody removed it, see whether the disk of that folder is mounted. A new backup is made all the same.`,
    );
  }

  /** Once for each mode that it has, whichever process makes the backups. */
  #warnOfOpenFolder(): void {
    const warning = openFolderWarning(this.#paths.backups, this.#options.backupsPath);
    if (warning === null) return;
    try {
      if (this.#history.note('told open folder') === warning.mode) return;
      this.#history.setNote('told open folder', warning.mode);
      this.#options.log('warn', warning.message);
    } catch {
      // Another process holds the history: the next run says it.
    }
  }

  // ── schedule ──

  #beginSchedule(options: { runAtOnce: boolean }): void {
    const rhythm = this.#options.cron
      ? `Schedule: ${this.#options.cron}`
      : `Interval: ${this.#settings.current.intervalMinutes} minutes`;
    this.#options.log('info', `Auto-backup started. ${rhythm}`);
    this.#drills.begin();
    this.#scheduler.begin(options);
    this.#noteSchedule(options.runAtOnce ? this.#now() : null);
  }

  /** @param firstRunAt null: as the scheduler has it. */
  #noteSchedule(firstRunAt: Date | null = null): void {
    this.#scheduleHistory.begin(this.#schedule(), firstRunAt ?? this.#scheduler.nextRunAt ?? this.#now());
  }

  async #scheduledRun(trigger: 'start' | 'schedule', plannedAt: Date): Promise<{ failed: boolean }> {
    this.#changedFiles.verifyOne();
    if (trigger === 'schedule' && (await this.#recordUnchanged(plannedAt))) return { failed: false };
    // Stopped while we looked.
    if (!this.#started) return { failed: false };
    // Not for its upload, which may take longer than the time to the next run.
    const { local, result } = this.#requestBackup({ trigger, user: null, plannedAt });
    // Closed before the upload: the next start brings it.
    result.catch(() => {});
    const { report } = await local;
    return { failed: report.result === 'failed' };
  }

  /** Once when it begins, and nothing but a line in the log before the first backup: the app may start after us. */
  async #reportMissingDatabase(plannedAt: Date): Promise<void> {
    const found = new BackupError('DB_MISSING', `there is no file at ${this.#options.databasePath}`, {
      hint: 'Check DATABASE_URL, or the path in the configuration. A backup is made as soon as the database is there.',
    });
    const wasBackedUp = await this.#wasBackedUp();
    const error = wasBackedUp ? withWayBack(found) : found;
    // Stopped while we looked.
    if (!this.#started) return;
    this.#options.log('warn', `Waiting for a database: ${error.message}. ${error.hint}`);
    if (!wasBackedUp || saysItAgain(error, this.#lastBackupRun())) return;
    const run = this.#runs.begin({
      kind: 'backup',
      trigger: 'schedule',
      user: null,
      plannedAt,
      backup: null,
      weights: {},
    });
    this.#runs.record(run.end({ result: 'failed', error }));
  }

  /** True when the newest backup still holds everything: that is recorded, and no process is started. */
  async #recordUnchanged(plannedAt: Date): Promise<boolean> {
    // Damage that a run found is looked at again by a run, not by `stat`.
    if (this.#options.skipUnchanged === false || this.#databaseHold() !== null) return false;
    const newest = await this.#unchangedBackup();
    if (!newest || !this.#started) return false;
    const run = this.#runs.begin({
      kind: 'backup',
      trigger: 'schedule',
      user: null,
      plannedAt,
      backup: newest.name,
      weights: {},
    });
    this.#runs.record(run.end({ result: 'unchanged', backup: newest.name }));
    return true;
  }

  async #unchangedBackup(): Promise<Backup | null> {
    try {
      const own = (await this.#backups.at('local')).filter(isOwn).filter(isHere);
      const newest = own.find((backup) => backup.manifest?.stamp);
      if (!newest?.manifest?.stamp || !isVerified(newest)) return null;
      // At such a target it would be gone before the database changes, or can't be stored under its name.
      if (this.#offsites.some((offsite) => isToBeMadeAnew(offsite, newest, this.#now()))) return null;
      // Made before the clock was set back: it would count as too old until the clock has caught up.
      if (Date.parse(newest.manifest.createdAt) > this.#now().getTime()) return null;
      const current = stampDatabase(this.#paths.database, { nowMs: this.#now().getTime() });
      return isUnchanged(newest.manifest.stamp, current) ? newest : null;
    } catch {
      // An unreadable folder, a database that vanished a moment ago: the run that follows says what is wrong.
      return null;
    }
  }

  #applySettings(before: Settings, after: Settings): void {
    if (before.enabled && !after.enabled) {
      this.#scheduler.end();
      this.#scheduleHistory.begin(null, this.#now());
      this.#options.log('info', 'Auto-backup stopped.');
    } else if (!before.enabled && after.enabled) this.#beginSchedule({ runAtOnce: false });
    else if (after.enabled && before.intervalMinutes !== after.intervalMinutes && !this.#options.cron) {
      this.#scheduler.replan();
      this.#noteSchedule();
    }
    if (before.s3Enabled !== after.s3Enabled || before.s3Path !== after.s3Path)
      for (const offsite of this.#offsites) if (offsite.target === 's3') offsite.settingsChanged();
  }

  // ── whose the places are ──

  #placesOf(all: readonly KnownBackup[], { isListed }: { readonly isListed: boolean }): Status['places'] {
    const { self } = this.#places;
    const here = all.filter(isHere);
    const ownFacts = all.filter(isOwn).find(({ manifest }) => manifest?.facts)?.manifest?.facts;
    const remote = this.#offsites.filter(({ isEnabled }) => isEnabled);
    const looks = [
      { target: 'local', backups: here, ...this.#places.folder(here), ...(!isListed && { identity: null }) },
      ...remote.map(({ target, ownership, identity, backups }) => ({
        ...{ target, ownership, identity },
        // Only of a place that is another database's they are asked for.
        backups: ownership.stranger
          ? backups.map((backup) => ({ ...backup, other: ownership.stranger ?? undefined }))
          : [],
      })),
    ];
    return composePlaces(
      looks.map((look) => toPlaceStatus({ ...look, self, ownFacts })),
      new Map(remote.map(({ target, writing }) => [target, writing.status])),
    );
  }

  #setBack(): { readonly target: TargetName; readonly backup: string } | null {
    for (const { target, isEnabled, setBack } of this.#offsites)
      if (isEnabled && setBack) return { target, backup: setBack.backup };
    return null;
  }

  /** The highest sequence of ours at any target, as it was listed last. */
  #highestKnown(): number {
    try {
      const own = this.#offsites.flatMap(({ backups, ownership }) =>
        backups.filter((backup) => otherOf(ownership, backup) === null),
      );
      return own.reduce((highest, { manifest }) => Math.max(highest, manifest?.sequence ?? 0), 0);
    } catch {
      // Targets that can't be used must not fail a local backup; the upload gives it its number then.
      return 0;
    }
  }

  /** The database may have been given its id by that backup. */
  async #noteIdOf(name: string): Promise<void> {
    try {
      const { databaseId } = (await this.#catalog.find(name)).manifest ?? {};
      if (databaseId !== undefined) await this.#places.note(databaseId);
    } catch (error) {
      this.#options.log('warn', `The id of the database was not noted: ${BackupError.from(error).message}.`);
    }
  }

  /** Asks the targets that are on and were not looked at for long; answers those that stayed silent. */
  async #lookAround(): Promise<readonly { readonly offsite: Offsite; readonly error: ErrorBody }[]> {
    const nowMs = this.#now().getTime();
    const stale = this.#offsites.filter(
      ({ isEnabled, listedAt }) =>
        isEnabled && (listedAt === null || Math.abs(nowMs - listedAt.getTime()) >= RECENT_MS),
    );
    const answers = stale.map(async (offsite) => {
      try {
        await withinMs(offsite.refresh(), LOOK_AROUND_MS);
        return [];
      } catch (error) {
        return [{ offsite, error: BackupError.from(error).toJSON() }];
      }
    });
    return (await Promise.all(answers)).flat();
  }

  // ── what the stories need ──

  async #job<Kind extends JobKind>(
    request: JobMap[Kind]['request'],
    options: Omit<JobOptions, 'environment'> = {},
  ): Promise<JobMap[Kind]['result']> {
    const { turns, jobEnvironment: environment, runJob: carryOut = runJob } = this.#options;
    const abort = new AbortController();
    const signal = options.signal ? AbortSignal.any([options.signal, abort.signal]) : abort.signal;
    const work = (onChecking = () => {}) => {
      const onEvent: JobOptions['onEvent'] = (event) => {
        if (request.kind === 'backup') this.#scheduler.heard();
        if (event.type === 'step' && event.name === 'verify') onChecking();
        if (event.type === 'warning') this.#warnOnce(event.message);
        else options.onEvent?.(event);
      };
      return carryOut<Kind>(request, { ...options, signal, onEvent, environment });
    };
    const ended = turns ? turns.take(request, work, signal) : work();
    if (!readingKinds.has(request.kind)) return await ended;
    this.#reading.set(abort, { kind: request.kind, ended });
    if (this.#stopping) abort.abort();
    return await ended.finally(() => this.#reading.delete(abort));
  }

  /** A fault that nobody mends would be reported at each run. */
  #warnOnce(message: string): void {
    if (this.#said.has(message)) return;
    if (this.#said.size >= SAID_MAX) this.#said.clear();
    this.#said.add(message);
    this.#options.log('warn', message);
  }

  #emit(event: ServiceEvent): void {
    for (const listener of this.#listeners) {
      try {
        listener(event);
      } catch (error) {
        // A listener's fault must not become a failed backup.
        this.#options.log('error', `An event listener failed: ${BackupError.from(error).message}`);
      }
    }
  }

  async #recordVerification(
    backup: KnownBackup,
    method: 'quick' | 'full',
    complaint: string | null,
    { facts = null, remarks = NO_REMARKS }: { facts?: FileFindings['facts']; remarks?: Remarks } = {},
  ): Promise<BackupItem> {
    const at = this.#now();
    const verification = { ...verificationOf(method, at, remarks), complaint };
    // Made by a version that counted nothing.
    const counted = facts && !backup.manifest?.facts ? { facts } : {};
    if (isHere(backup)) {
      // As it was before it was read: what was written since is seen at the next look.
      const { modifiedNs } = backup;
      const found = complaint === null && modifiedNs !== undefined ? { published: { modifiedNs } } : {};
      if (backup.manifest)
        await this.#catalog.changeManifest(backup.name, (manifest) => ({
          ...{ ...manifest, ...counted, verification, ...found },
        }));
    } else this.#backups.requireOffsite(backup.target).recordVerification(backup.name, verification, counted.facts);
    // As that copy is known now.
    const item = await this.#toItem(await this.#backups.find(backup.name, isHere(backup) ? 'local' : backup.target));
    if (complaint === null) return item;
    return { ...item, verified: false, verification: { state: 'damaged', method, at, detail: complaint } };
  }

  async #toItem(backup: KnownBackup): Promise<BackupItem> {
    const all = await this.#backups.everywhere();
    const [item] = this.#backups.toItems([backup], namesOf(all.filter(isHere)), all);
    if (item) return item;
    throw new BackupError('GONE', `${backup.name} was removed a moment ago`, { hint: 'List the backups again.' });
  }

  /** The newest backup that was made here and that nobody is known to have removed, where it is not in the folder. */
  #vanished(here: ReadonlySet<string>): string | null {
    const made = this.#lastMade();
    return made && !here.has(made) && this.#history.removal(made) === null ? made : null;
  }

  #lookAtDatabase(): Omit<Status['database'], 'growthBytes'> {
    const { databasePath } = this.#options;
    const base = { name: basename(databasePath), path: databasePath };
    if (!existsSync(this.#paths.database)) return { ...base, exists: false, sizeBytes: 0, changedAt: null };
    const stamp = stampDatabase(this.#paths.database, { nowMs: this.#now().getTime() });
    return {
      ...base,
      exists: true,
      sizeBytes: stamp.main.sizeBytes + (stamp.wal?.sizeBytes ?? 0),
      changedAt: changedAt(stamp),
    };
  }

  #schedule(): Schedule {
    const { cron } = this.#options;
    return cron
      ? { kind: 'cron', line: cron }
      : { kind: 'interval', intervalMs: this.#settings.current.intervalMinutes * 60_000 };
  }

  /** How long a backup may say nothing: most of that is its check. */
  #silenceMaxMs(): number {
    const stamp = statSync(this.#paths.database, { throwIfNoEntry: false });
    return SILENCE_LEAST_MS + (stamp?.size ?? 0) / CHECKED_BYTES_PER_MS[this.#settings.current.verify];
  }

  /** For a cron line, its shortest gap. */
  #intervalMinutes(): number {
    return this.#gapMinutes().shortest;
  }

  /** Between two backups: a cron line may leave out nights and weekends, and nothing is late that was never planned. */
  #gapMinutes(): { readonly shortest: number; readonly longest: number } {
    const schedule = this.#schedule();
    const day = schedule.kind === 'cron' ? Math.floor(this.#now().getTime() / 86_400_000) : null;
    if (day === null || this.#gapsSeen?.day !== day) {
      const { shortestMs, longestMs } = gapsOf(schedule, this.#now());
      const gaps = { shortest: Math.ceil(shortestMs / 60_000), longest: Math.ceil(longestMs / 60_000) };
      if (day === null) return gaps;
      this.#gapsSeen = { day, gaps };
    }
    return this.#gapsSeen.gaps;
  }

  /** Why nothing may be removed at present; null when retention does its work. */
  #pruneHold(): string | null {
    const { complaint } = this.#settings;
    if (complaint === null) return this.#databaseHold();
    return `held: ${SETTINGS_FILE} is unreadable (${complaint}), nothing is removed until it is corrected or saved anew`;
  }

  #databaseHold(): string | null {
    if (isMissing(this.#paths.database)) return missingHold(basename(this.#paths.database));
    try {
      return pruneHold(this.#history.lastJudgement(holdingCodes));
    } catch (error) {
      // Another process holds it: whether something was found is not known.
      return `held: the run history can't be read just now (${BackupError.from(error).message})`;
    }
  }

  #retention(): Required<FolderRetention> {
    const { databasesOnDisk = () => 1 } = this.#options;
    const byDefault = this.#settings.keepIsDefault ? { databases: databasesOnDisk() } : null;
    return localRetention(this.#settings.current, this.#intervalMinutes(), byDefault);
  }

  #ownRetention(target: OwnRetention): RetentionPolicy {
    return ownRetention(this.#retention(), target);
  }

  get #history(): RunHistory {
    this.#historyOpened ??= new RunHistory(this.#paths.state, {
      warn: (message) => this.#options.log('warn', message),
      folder: folderInState(this.#paths.state, this.#paths.backups),
      databases: () => this.#places.paths,
    });
    return this.#historyOpened;
  }

  get #notes(): StateDatabase {
    if (this.#notesOpened) return this.#notesOpened;
    // The history is opened first: what is wrong with the file is said once.
    void this.#history;
    this.#notesOpened = openStateDatabase(this.#paths.state, { warn: () => {}, busyTimeoutMs: 0 });
    return this.#notesOpened;
  }

  get #settings(): SettingsFile {
    this.#settingsRead ??= new SettingsFile(this.#paths.backups, this.#options.settings, {
      keepIsDefault: this.#options.keepIsDefault,
      warn: (message) => this.#options.log('warn', message),
      isOurs: () => !this.#places.isForeign,
    });
    return this.#settingsRead;
  }

  /**
   * Of each configured target beside the folder.
   *
   * @throws BackupError BAD_CONFIG where the path of S3 that was set on the page is the place of another target by now.
   */
  get #offsites(): readonly Offsite[] {
    if (this.#offsitesMade) return this.#offsitesMade;
    checkTargets(this.#options, this.#settings.current);
    this.#offsitesMade = remoteTargets(this.#options, this.#settings.current).map((target) => this.#offsite(target));
    return this.#offsitesMade;
  }

  #offsite({ name: target, access: s3, prefix }: RemoteTarget): Offsite {
    const { log } = this.#options;
    const isS3 = target === 's3';
    return new Offsite({
      ...{ target, s3, log, now: this.#now, catalog: this.#catalog, statePath: this.#paths.state },
      prefix: () => (isS3 ? this.#settings.current.s3Path : prefix),
      isEnabled: () => !isS3 || this.#settings.current.s3Enabled,
      retention: () => (this.#pruneHold() === null ? this.#ownRetention(s3) : null),
      lockWaitMs: this.#waits.lockMs,
      job: (request, options) => this.#job(request, options),
      self: () => this.#places.self,
      selfToWrite: () => this.#places.selfToWrite(),
      onFirstContact: (id) => this.#claims.takeId(id, null),
      madeSince: (from) => this.#history.madeSince(from),
      runs: this.#runs,
      writing: {
        self: () => writerSelf(this.#places.self, this.#paths.state),
        everyMs: () => this.#waits.tickMs ?? tickMs(this.#gapMinutes().longest),
        isStarted: () => this.#started,
        hasUploaded: () => this.#history.hasUploaded(target),
        heartbeats: this.#heartbeats,
        emit: (event) => this.#emit(event),
      },
      onRemoved: (name) => {
        this.#noteIfGone(name, `${BY_RETENTION} on ${targetWord(target)}`);
        this.#audit.add({ act: 'retention', subject: name, target }, THE_SERVICE_ITSELF);
      },
      onChange: () => {
        this.#emit({ type: 'backups' });
        this.#emit({ type: 'status' });
        this.#losses.listed().catch((error: unknown) => {
          log('warn', `What was lost was not compared: ${BackupError.from(error).message}.`);
        });
      },
    });
  }
}

/**
 * At each of them, whatever becomes of the others; the error of the first that failed says at which it was done.
 *
 * @param done what is true then: `it was deleted`.
 */
async function eachOf(
  offsites: readonly Offsite[],
  done: string,
  work: (offsite: Offsite) => Promise<void>,
): Promise<void> {
  const ended = await Promise.allSettled(offsites.map(work));
  const failed = ended.find((outcome) => outcome.status === 'rejected');
  if (failed === undefined) return;
  const error = BackupError.from(failed.reason);
  const there = offsites
    .filter((_, index) => ended[index]?.status === 'fulfilled')
    .map((one) => targetWord(one.target));
  if (there.length === 0) throw error;
  throw new BackupError(error.code, `${error.message}; on ${there.join(' and ')} ${done}`, {
    hint: error.hint,
    cause: error,
  });
}

function isSound({ manifest, fault, changedAt }: KnownBackup): boolean {
  return (
    manifest !== null &&
    fault === null &&
    !changedAt &&
    manifest.trigger !== 'safety' &&
    manifest.verification.complaint === null
  );
}

/** The copy at that target would end before an idle database makes another one, or is not to be had under that name. */
function isToBeMadeAnew(offsite: Offsite, { name, createdAt }: Backup, now: Date): boolean {
  if (!offsite.isEnabled) return false;
  const { lifecycleDays } = offsite;
  return (lifecycleDays !== null && isHalfOver(createdAt, lifecycleDays, now)) || offsite.isBlocked(name);
}

function archivedNewest({ backups, target, access: { s3 } }: Offsite): DoctorFacts['archived'] {
  const storageClass = backups.find(isSound)?.archive;
  const takes = hoursOf(storageClass, s3.endpoint ?? '');
  return storageClass && takes ? [{ word: targetWord(target), storageClass, takes }] : [];
}

/** Why the owner's SQL can't be read. */
function complaintOf(sql: string | null, databasePath: string): ErrorBody | null {
  try {
    if (sql === null) return null;
    refuseUnreadable(sql);
    if (!isPath(sql) || !isLiveFile(sql, databasePath)) return null;
    throw new BackupError('BAD_CONFIG', 'BACKUP_DRILL_SQL names the live database', {
      hint: 'Name a file with SQL statements, or write one statement that begins with SELECT.',
    });
  } catch (error) {
    return BackupError.from(error).toJSON();
  }
}

function momentOrNull(text: string | null): Date | null {
  return text === null ? null : new Date(text);
}

function namesOf(backups: readonly KnownBackup[]): ReadonlySet<string> {
  return new Set(backups.map(({ name }) => name));
}

interface BackupRequested {
  readonly id: Promise<string>;
  /** Without the upload. */
  readonly local: Promise<BackupResult>;
  readonly result: Promise<BackupResult>;
  /** Who began it, and who joined before it did begin. */
  readonly askers: BackupAsked[];
}

interface BackupAsked {
  readonly trigger: 'start' | 'schedule' | 'manual' | 'cli';
  readonly user: string | null;
  readonly plannedAt: Date | null;
  readonly onProgress?: (run: RunProgress) => void;
}

function remarksOf(manifest: Manifest | undefined): readonly string[] {
  const { content = [], unchecked = [] } = manifest?.verification ?? {};
  return remarkTexts({ content, unchecked });
}

/** `intervalMinutes was 10 and is 60` */
function changesText(before: Settings, after: Settings): string {
  const names = Object.keys(before) as (keyof Settings)[]; // its own keys
  const text = (value: unknown) => (typeof value === 'object' ? JSON.stringify(value) : String(value));
  return names
    .filter((name) => text(before[name]) !== text(after[name]))
    .map((name) => `${name} was ${text(before[name])} and is ${text(after[name])}`)
    .join(', ');
}
