/**
 * The service: life cycle, schedule, queue, settings, history and events around the engine's stories. Its methods are the
 * contract; each asks a room. What the rooms share is in `context.ts`, how they are joined in `rooms.ts`.
 *
 * It lives in the app's process and therefore never opens the live database, not even to read a byte: it looks at it
 * with `stat`, and everything else happens in jobs. Runs that change something (backup, restore) follow each other;
 * uploads and checks run beside them.
 */
import type { RestorePointGiven } from '../words/restore-point.ts';
import type { Act, AuditEntry, AuditFilter } from './audit/audit.ts';
import type { CapturedMoment } from './continuous/moment-source.ts';
import { diagnose } from './doctor/diagnose.ts';
import type { TargetReport } from '../engine/store/self-test.ts';
import type { ArrivalsPort } from './backups/shown-arrival.ts';
import type { BackupDiff, BackupItem } from './backups/shown-backup.ts';
import type { DoctorReport } from './doctor/finding.ts';
import type { Status } from './protection/shown-status.ts';
import type { DrillReport } from './restores/drill-report.ts';
import type {
  FirstBoot,
  FoundRestorePoint,
  PlannedMode,
  RestorePlan,
  RestoreResult,
} from './restores/restore-result.ts';
import type { Activity, ActivityRange } from './runs/activity.ts';
import type { ServiceEvent } from './service-event.ts';
import type {
  BackupResult,
  BackupServicePort,
  ClaimResult,
  DrillAsked,
  DurableAsked,
  FindOptions,
  FromTarget,
  ListOptions,
  MomentsAsked,
  OpenedBackup,
  PruneResult,
} from './service-port.ts';
import type { BackupConfig, Settings } from './state/backup-config.ts';
import type { Run, RunProgress, RunTotal } from '../words/run.ts';
import type { TargetName } from '../words/target-word.ts';
import type { Rescue, RescueAsked, RescueOptions, RescuePlan, UndoneRescue } from './inside/shown-rescue.ts';
import { Notify } from './notify/notify.ts';
import type { LossAnswer } from './protection/losses.ts';
import { prune } from './protection/prune.ts';
import type { FirstBootOptions } from './restores/first-boot.ts';
import type { PlanOptions, RestoreOptions } from './restores/restores.ts';
import { writeKit } from './restores/write-kit.ts';
import { startRooms, stopRooms } from './life.ts';
import { openRooms, type Rooms } from './rooms.ts';
import { stopRun } from './runs/stop-run.ts';
import type { BackupServiceOptions } from './service-options.ts';
import { SetUps } from './set-up/set-up.ts';
import { showConfig } from './state/change-settings.ts';
import { type ConfiguredTarget, remoteTargets } from './targets/targets.ts';
import type { RunFilter } from './state/run-history.ts';
import type { Checked } from '../engine/stories/look.ts';
import type { Marked, Moments } from '../engine/stories/moments.ts';

export type { BackupServiceOptions } from './service-options.ts';

const RUNS_LISTED = 200;

export class BackupService implements BackupServicePort {
  readonly #rooms: Rooms;
  readonly #notify: Notify;
  /** Bucket, second folder, webhook and heartbeat, as the page sets them up. */
  readonly setUp: SetUps;
  /** Files from elsewhere, taken in, looked into, and adopted or discarded. */
  readonly arrivals: ArrivalsPort;

  /** @throws BackupError BAD_CONFIG for targets, or paths, that cannot be told apart. */
  constructor(options: BackupServiceOptions) {
    this.#rooms = openRooms(options);
    const { context } = this.#rooms;
    const { statePath, folder, log } = context;
    this.#notify = new Notify(() => context.voices, { service: this, statePath, folder: folder.inState, log });
    this.arrivals = this.#rooms.arrivals;
    this.setUp = new SetUps(context, {
      ...this.#rooms,
      onVoices: async () => {
        await this.#notify.stop();
        if (context.isStarted) this.#notify.start();
      },
    });
  }

  /**
   * Begins the schedule: a backup at once, then one every interval. With `enabled: false` nothing is scheduled and
   * everything by hand works. Calling it twice is fine.
   *
   * @throws BackupError UNSUPPORTED on Windows.
   */
  start(): void {
    this.setUp.resume();
    startRooms(this.#rooms, this.#notify);
  }

  /** Ends the schedule, asks what is running to stop, and resolves when it has ended. */
  async stop(): Promise<void> {
    await stopRooms(this.#rooms, this.#notify);
  }

  /** As `stop`, and lets go of the run history. The service is not used afterwards. */
  async close(): Promise<void> {
    await this.stop();
    this.#rooms.context.release();
  }

  async performBackup(
    userId?: string,
    options: { onProgress?: (run: RunProgress) => void; trigger?: 'manual' | 'cli' } = {},
  ): Promise<BackupResult> {
    const { trigger = 'manual' } = options;
    const asked = { ...options, trigger, user: userId ?? null, plannedAt: null };
    return await this.#rooms.makeBackup.request(asked).result;
  }

  async requestBackup(userId?: string): Promise<{ readonly runId: string }> {
    const asked = { trigger: 'manual', user: userId ?? null, plannedAt: null } as const;
    const { id, begun, result } = this.#rooms.makeBackup.request(asked);
    // Its outcome is in the run history; nobody waits for this promise.
    result.catch(() => {});
    await begun;
    return { runId: id };
  }

  async getBackups(options: ListOptions = {}): Promise<readonly BackupItem[]> {
    return await this.#rooms.backups.list(options);
  }

  async getBackup(filename: string): Promise<BackupItem> {
    return await this.#rooms.backups.item(filename);
  }

  /** Recorded when its bytes are asked for, not when somebody only asks how many there are. */
  async openBackup(filename: string, options: Pick<FromTarget, 'allowPlain'> = {}): Promise<OpenedBackup> {
    return await this.#rooms.backups.openForDownload(filename, options);
  }

  /** Newest first. */
  getAudit(filter: AuditFilter): readonly AuditEntry[] {
    return this.#rooms.context.audit.list(filter);
  }

  /** For whoever refuses or lets in before the service is asked. */
  recordAct(act: Act): void {
    this.#rooms.context.audit.add(act);
  }

  getConfig(): BackupConfig {
    return showConfig(this.#rooms.context);
  }

  updateConfig(change: Partial<Settings> & { readonly revert?: readonly (keyof Settings)[] }): BackupConfig {
    return this.#rooms.updateConfig(change);
  }

  async getStatus(): Promise<Status> {
    return await this.#rooms.look.status();
  }

  async getActivity(range: ActivityRange): Promise<Activity> {
    return await this.#rooms.look.activity(range);
  }

  getRuns(options: Pick<RunFilter, 'kind' | 'result' | 'telling'> & { readonly limit?: number } = {}): readonly Run[] {
    return this.#rooms.context.state.history.list({ ...options, limit: options.limit ?? RUNS_LISTED });
  }

  getRunTotals(): readonly RunTotal[] {
    return this.#rooms.context.state.history.totals();
  }

  async deleteBackup(
    filename: string,
    options: { readonly target?: TargetName; readonly user?: string } = {},
  ): Promise<void> {
    await this.#rooms.changes.delete(filename, options);
  }

  async verifyBackup(
    filename: string,
    options: FromTarget & { readonly full?: boolean; readonly user?: string; readonly signal?: AbortSignal } = {},
  ): Promise<BackupItem> {
    return await this.#rooms.verifications.verify(filename, options);
  }

  async verifyFile(
    path: string,
    options: { readonly full?: boolean } = {},
  ): ReturnType<BackupServicePort['verifyFile']> {
    return await this.#rooms.verifications.verifyFile(path, options);
  }

  async adoptBackup(filename: string): Promise<BackupItem> {
    const { context, verifications } = this.#rooms;
    return await context.audit.carry({ act: 'adopt', subject: filename }, () => verifications.adopt(filename));
  }

  async updateBackup(
    filename: string,
    change: { readonly pinned?: boolean; readonly note?: string | null },
  ): Promise<BackupItem> {
    const { context, backups, changes } = this.#rooms;
    const act = change.pinned === undefined ? 'note' : change.pinned ? 'pin' : 'unpin';
    const detail = change.pinned !== undefined && change.note !== undefined ? 'and the note' : null;
    await context.audit.carry({ act, subject: filename, detail }, () => changes.change(filename, change));
    return await backups.item(filename);
  }

  async acceptLoss(answer: LossAnswer = {}): Promise<BackupItem> {
    const { backups, losses } = this.#rooms;
    return await backups.item(await losses.accept(answer));
  }

  async reopenLoss(filename: string): Promise<BackupItem> {
    const { backups, losses } = this.#rooms;
    return await backups.item(await losses.reopen(filename));
  }

  async diff(a: string, b: string): Promise<BackupDiff> {
    return await this.#rooms.losses.diff(a, b);
  }

  /** Records that a migration follows this backup, so what comes next is meant. The routes do not offer it. */
  async markBeforeMigration(filename: string): Promise<void> {
    await this.#rooms.changes.markBeforeMigration(filename);
  }

  /** Takes the pins of earlier migrations away. */
  async keepForMigration(filename: string | null): Promise<void> {
    await this.#rooms.changes.unpinEarlierMigrations(filename);
  }

  /** What was changed by a migration is no loss. */
  noteMigration(): void {
    const { state, now } = this.#rooms.context;
    state.history.setNote('migrated', now().toISOString());
  }

  async findRestorePoint(wanted: RestorePointGiven, options: FindOptions = {}): Promise<FoundRestorePoint> {
    return await this.#rooms.restores.find(wanted, options);
  }

  async planRestore(wanted: string | RestorePointGiven, options: PlanOptions = {}): Promise<RestorePlan> {
    return await this.#rooms.restores.plan(wanted, options);
  }

  async restore(wanted: string | RestorePointGiven, options: RestoreOptions = {}): Promise<RestoreResult> {
    return await this.#rooms.restores.restoreWanted(wanted, options);
  }

  async undoRestore(
    options: {
      readonly user?: string;
      readonly onProgress?: (run: RunProgress) => void;
      readonly mode?: PlannedMode;
      readonly expected?: string;
    } = {},
  ): Promise<RestoreResult> {
    return await this.#rooms.restores.undo(options);
  }

  async planRescue(asked: RescueAsked): Promise<RescuePlan> {
    return await this.#rooms.rescues.plan(asked);
  }

  async rescue(asked: RescueAsked, options: RescueOptions = {}): Promise<Rescue> {
    return await this.#rooms.rescues.rescue(asked, options);
  }

  async undoRescue(id: string, options: Pick<RescueOptions, 'user' | 'onProgress'> = {}): Promise<UndoneRescue> {
    return await this.#rooms.rescues.undo(id, options);
  }

  async rescues(): Promise<readonly Rescue[]> {
    return await this.#rooms.rescues.list();
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
    return await this.#rooms.firstBoots.restoreIfMissing(options);
  }

  /** A text that gets the data back from here or any target with stock programs alone; it holds no secret. */
  async recoveryKit(): Promise<string> {
    const { context, backups, continuous, targets } = this.#rooms;
    const isCaptured = continuous.hasStream || continuous.status() !== null;
    return await writeKit(context, { backups, remotes: targets.all, isCaptured });
  }

  /** @throws BackupError NO_MOMENT where no commits were captured. */
  async moments({ target = 'local', ...options }: MomentsAsked = {}): Promise<Moments> {
    return await this.#rooms.streams.at(target).moments(undefined, options);
  }

  async mark(name: string): Promise<Marked> {
    return await this.#rooms.continuous.mark(name);
  }

  async durable(options: DurableAsked = {}): Promise<CapturedMoment> {
    return await this.#rooms.continuous.durable(options);
  }

  pauseContinuous(options: { readonly user?: string } = {}): void {
    this.#rooms.continuous.pause(options.user ?? null);
  }

  resumeContinuous(): boolean {
    return this.#rooms.continuous.resume();
  }

  dismissRestore(): boolean {
    const { context, restores } = this.#rooms;
    const dismissed = restores.dismiss();
    if (dismissed) context.emit({ type: 'status' });
    return dismissed;
  }

  async prune(options: { readonly dryRun?: boolean; readonly target?: TargetName } = {}): Promise<PruneResult> {
    return await prune(this.#rooms.context, this.#rooms, options);
  }

  async claim(options: { readonly target?: TargetName; readonly user?: string } = {}): Promise<ClaimResult> {
    const { backups, claims } = this.#rooms;
    return await claims.claim(options, (target) => backups.requireRemote(target));
  }

  /** As they stand now, with their keys: for whoever guards several databases. The routes do not offer it. */
  configuredTargets(): readonly ConfiguredTarget[] {
    const { targets, settings } = this.#rooms.context;
    return remoteTargets(targets, settings.current);
  }

  async testTarget(name: TargetName, options: { readonly signal?: AbortSignal } = {}): Promise<TargetReport> {
    return await this.#rooms.targets.test(name, options);
  }

  /** The thorough check of the live database, in a process of its own: structure, rules of its tables, foreign keys. */
  async checkDatabase(): Promise<Checked> {
    const { jobs, database } = this.#rooms.context;
    return await jobs.run<'check'>({ kind: 'check', databasePath: database.path });
  }

  async diagnose(options: { readonly s3?: boolean } = {}): Promise<DoctorReport> {
    return await diagnose(this.#rooms.context, this.#rooms, { askTargets: options.s3 ?? false });
  }

  async drill(options: DrillAsked = {}): Promise<DrillReport> {
    return await this.#rooms.drills.run(options);
  }

  async stopRun(): Promise<boolean> {
    const { context } = this.#rooms;
    const { kind = null } = context.runs.shown ?? {};
    const isStopped = await stopRun(context);
    if (isStopped) context.audit.add({ act: 'stop', subject: kind });
    return isStopped;
  }

  on(listener: (event: ServiceEvent) => void): () => void {
    return this.#rooms.context.on(listener);
  }
}
