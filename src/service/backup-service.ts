/**
 * The service: life cycle, schedule, queue, settings, history and events around the engine's stories.
 *
 * It lives in the app's process and therefore never opens the live database, not even to read a byte: it looks at it
 * with `stat`, and everything else happens in jobs. Runs that change something (backup, restore) follow each other;
 * uploads and checks go on beside them.
 */
import { existsSync, statfsSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { isBackupName, nameBackup } from '../engine/catalog/artifact.ts';
import { type Backup, Catalog, inOrder } from '../engine/catalog/catalog.ts';
import { adoptedManifest } from '../engine/catalog/manifest.ts';
import type { RemoteBackup } from '../engine/catalog/remote-catalog.ts';
import { BackupError } from '../engine/errors.ts';
import type { JobEvent, JobKind, JobMap, JobTrigger, Restored } from '../engine/jobs/protocol.ts';
import { type JobOptions, runJob } from '../engine/jobs/run-job.ts';
import { isVerified, planRetention, type RetentionPolicy } from '../engine/retention.ts';
import { nextRun, type Schedule } from '../engine/schedule.ts';
import { changedAt, isLiveFile, isUnchanged, stampDatabase } from '../engine/sqlite/stamp.ts';
import { ActiveRun } from './active-run.ts';
import { isHere, type KnownBackup, toBackupItem } from './backup-item.ts';
import { formatSize, type Log } from './log.ts';
import type {
  BackupConfig,
  BackupItem,
  BackupResult,
  PruneResult,
  RestorePlan,
  RestoreResult,
  Run,
  RunKind,
  RunProgress,
  RunResult,
  ServiceEvent,
  Settings,
  Status,
  TargetName,
  TargetReport,
} from './model.ts';
import { type FetchOptions, Offsite, type S3Target } from './offsite.ts';
import { openBackup } from './opened-backup.ts';
import { toRestorePlan } from './restore-plan.ts';
import { holdingCodes, pruneHold } from './prune-hold.ts';
import { RunHistory } from './run-history.ts';
import { Scheduler } from './scheduler.ts';
import type { BackupServicePort, FromTarget, OpenedBackup } from './service-port.ts';
import { SettingsFile } from './settings.ts';
import { composeStatus } from './status.ts';

export interface BackupServiceOptions {
  /** Path of the database to protect. Never opened in this process. */
  readonly databasePath: string;
  /** Folder of the backups; made (0700) where it is missing. */
  readonly backupsPath: string;
  /** Our own small database for run history and upload state. */
  readonly statePath: string;
  /** Start values; what was changed while running is kept in the backup folder and wins. */
  readonly settings: Settings;
  /** A cron line of five fields, instead of the interval. */
  readonly cron?: string | null;
  readonly skipUnchanged?: boolean;
  readonly s3?: S3Target | null;
  readonly log: Log;
  /** All that a job's process inherits. */
  readonly jobEnvironment: Readonly<Record<string, string>>;
  readonly now?: () => Date;
  /** Half a minute each, if not given. */
  readonly waits?: {
    /** For another process that uses the backup folder. */
    readonly lockMs: number;
    /** For a connection that holds the database exclusively. */
    readonly pinMs: number;
  };
}

const WAITS = { lockMs: 30_000, pinMs: 30_000 } as const;
const UNDO_DAYS = 30;
const DAY_MS = 86_400_000;

export class BackupService implements BackupServicePort {
  readonly #options: BackupServiceOptions;
  readonly #now: () => Date;
  readonly #waits: NonNullable<BackupServiceOptions['waits']>;
  /** Absolute from the beginning: an app may change its working folder later. The options keep the names as given. */
  readonly #paths: { readonly database: string; readonly backups: string; readonly state: string };
  readonly #catalog: Catalog;
  readonly #listeners = new Set<(event: ServiceEvent) => void>();
  #historyOpened: RunHistory | undefined;
  #settingsRead: SettingsFile | undefined;
  #offsiteMade: Offsite | undefined;
  readonly #scheduler: Scheduler;
  #started = false;
  /** While `stop` waits: what was queued ends before it begins. */
  #stopping = false;
  #active: ActiveRun | null = null;
  /** The backup run that newcomers may join as long as it has not pinned. */
  #joinable: { readonly run: ActiveRun; readonly request: BackupRequested } | null = null;
  #followUp: BackupRequested | null = null;
  #lastInLine: Promise<unknown> = Promise.resolve();
  /** Beside the line: what is fetched from S3 holds up no backup. */
  readonly #fetching = new Set<ActiveRun>();

  constructor(options: BackupServiceOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => new Date());
    this.#waits = options.waits ?? WAITS;
    this.#paths = {
      database: resolve(options.databasePath),
      backups: resolve(options.backupsPath),
      state: resolve(options.statePath),
    };
    this.#catalog = new Catalog(this.#paths.backups);
    this.#scheduler = new Scheduler({
      schedule: () => this.#schedule(),
      now: this.#now,
      hasDatabase: () => existsSync(this.#paths.database),
      onMissing: (plannedAt) => this.#reportMissingDatabase(plannedAt),
      run: (trigger, plannedAt) => this.#scheduledRun(trigger, plannedAt),
      // A verdict turns with time alone; who watches hears of it at every wake.
      onWake: () => this.#emit({ type: 'status' }),
    });
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
    if (this.#settings.current.enabled) this.#beginSchedule({ runAtOnce: true });
    else this.#options.log('info', 'Auto-backup is off. Backups can be made by hand.');
    this.#offsite?.start();
  }

  /** Ends the schedule, asks what is running to stop, and resolves when it has ended. */
  async stop(): Promise<void> {
    this.#started = false;
    this.#stopping = true;
    try {
      this.#scheduler.end();
      await Promise.all([this.stopRun(), this.#offsiteMade?.stop()]);
      await this.#lastInLine;
    } finally {
      this.#stopping = false;
    }
  }

  /** As `stop`, and lets go of the run history. The service is not used afterwards. */
  async close(): Promise<void> {
    await this.stop();
    this.#offsiteMade?.close();
    this.#offsiteMade = undefined;
    this.#historyOpened?.close();
    this.#historyOpened = undefined;
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

  async getBackups(options: { readonly target?: TargetName } = {}): Promise<readonly BackupItem[]> {
    const local = await this.#catalog.list();
    if (options.target !== 's3')
      return this.#toItems(options.target === 'local' ? local : this.#everywhere(local), local);
    const offsite = this.#requireOffsite();
    await offsite.refresh();
    return this.#toItems(offsite.backups, local);
  }

  async getBackup(filename: string): Promise<BackupItem> {
    const backup = await this.#find(filename);
    const [item] = this.#toItems([backup], isHere(backup) ? [backup] : []);
    if (!item)
      throw new BackupError('GONE', `${filename} was removed a moment ago`, { hint: 'List the backups again.' });
    return item;
  }

  async openBackup(filename: string): Promise<OpenedBackup> {
    const backup = await this.#find(filename);
    if (isHere(backup)) {
      const sha256 = backup.fault ? null : (backup.manifest?.artifact.sha256 ?? null);
      return await openBackup({ open: () => this.#openFile(backup), sha256 });
    }
    const path = await this.#fetchToRead(backup);
    return await openBackup({ open: () => open(path, 'r'), sha256: backup.manifest?.database.sha256 ?? null });
  }

  getConfig(): BackupConfig {
    const { s3, databasePath, backupsPath, cron } = this.#options;
    return {
      ...this.#settings.current,
      changed: this.#settings.overridden,
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
    const before = this.#settings.current;
    if (settings.s3Enabled && !this.#options.s3) {
      throw new BackupError('BAD_CONFIG', 'S3 can not be switched on: no bucket is configured', {
        hint: 'Set S3_BUCKET, S3_REGION, S3_ENDPOINT, S3_ACCESS_KEY and S3_SECRET_KEY in the environment, then restart.',
      });
    }
    const after = this.#settings.change(settings, revert);
    if (this.#started) this.#applySettings(before, after);
    this.#emit({ type: 'status' });
    return this.getConfig();
  }

  async getStatus(): Promise<Status> {
    const local = await this.#catalog.list();
    const backups = this.#everywhere(local);
    const lastRestore = this.#lastRestore();
    const newest = (filter: { kind?: RunKind; result?: RunResult }) =>
      this.#history.list({ limit: 1, ...filter })[0] ?? null;
    return composeStatus({
      now: this.#now(),
      settings: this.#settings.current,
      backups,
      items: this.#toItems(backups, local),
      database: this.#lookAtDatabase(),
      cron: this.#options.cron ?? null,
      nextRunAt: this.#scheduler.nextRunAt,
      intervalMinutes: this.#intervalMinutes(),
      localPath: this.#options.backupsPath,
      freeBytes: this.#freeBytes(),
      s3: this.#options.s3 ?? null,
      uploads: this.#aboutS3(),
      run: this.#shownRun?.progress() ?? null,
      lastRun: newest({}),
      lastBackupRun: newest({ kind: 'backup' }),
      lastUnchangedRun: newest({ kind: 'backup', result: 'unchanged' }),
      lastRestore,
      undo: this.#undoable(backups, lastRestore),
    });
  }

  getRuns(options: { readonly limit?: number } = {}): readonly Run[] {
    return this.#history.list({ limit: options.limit ?? 200 });
  }

  async deleteBackup(
    filename: string,
    options: { readonly target?: TargetName; readonly user?: string } = {},
  ): Promise<void> {
    const backup = await this.#find(filename, options.target);
    if (isHere(backup) && isLiveFile(backup.path, this.#paths.database)) {
      throw new BackupError('BAD_BACKUP', `${filename} is the live database itself, under the name of a backup`, {
        hint: 'It is not deleted. Move the database out of the backup folder.',
      });
    }
    const offsite = options.target === 's3' ? this.#requireOffsite() : this.#offsite;
    const upload = offsite?.uploadStates().get(filename);
    const isAtS3 =
      options.target === 's3' || Boolean(offsite?.find(filename)) || (upload && upload.status !== 'removed');
    if (offsite && isAtS3 && options.target !== 'local') await offsite.remove(filename);
    const local = options.target === 's3' ? null : isHere(backup) ? backup : null;
    if (local) await this.#catalog.remove(local);
    this.#options.log(
      'info',
      `Deleted: ${filename}${options.target ? ` (${options.target})` : ''}${options.user ? ` by ${options.user}` : ''}`,
    );
    this.#emit({ type: 'status' });
  }

  async verifyBackup(
    filename: string,
    options: FromTarget & { readonly full?: boolean; readonly user?: string } = {},
  ): Promise<BackupItem> {
    const backup = await this.#find(filename, options.from);
    const method = options.full ? 'full' : 'quick';
    const run = this.#newRun({
      kind: 'verify',
      user: options.user ?? null,
      backup: filename,
      weights: isHere(backup) ? { verify: 100 } : { fetch: 70, verify: 30 },
    });
    run.listen(options.onProgress);
    let complaint: string | null = null;
    try {
      const path = isHere(backup)
        ? await this.#pathOf(backup)
        : await this.#fetchFor(run, options, (given) =>
            this.#requireOffsite().fetchHere(filename, { ...given, anew: true }),
          );
      const sha256 = backup.manifest?.database.sha256 ?? null;
      await this.#job<'verify'>({ kind: 'verify', path, method, sha256 }, { onEvent: (event) => run.hear(event) });
      this.#record(run.end({ result: 'success', backup: filename, sizeBytes: backup.sizeBytes }));
    } catch (error) {
      const known = BackupError.from(error);
      this.#record(run.end({ result: 'failed', backup: filename, error: known }));
      // That the check found damage is its answer, not its failure.
      if (known.code !== 'VERIFY_FAILED') throw known;
      complaint = known.message;
    }
    return await this.#recordVerification(backup, method, complaint);
  }

  async verifyFile(
    path: string,
    options: { readonly full?: boolean } = {},
  ): Promise<{ readonly ok: boolean; readonly detail: string | null }> {
    if (!existsSync(path)) throw new BackupError('NO_BACKUP', `there is no file ${path}`, { hint: 'Check the path.' });
    try {
      await this.#job<'verify'>({
        kind: 'verify',
        path: resolve(path),
        method: options.full ? 'full' : 'quick',
        sha256: null,
      });
      return { ok: true, detail: null };
    } catch (error) {
      const known = BackupError.from(error);
      if (known.code !== 'VERIFY_FAILED') throw known;
      return { ok: false, detail: known.message };
    }
  }

  async adoptBackup(filename: string): Promise<BackupItem> {
    const backup = await this.#find(filename);
    if (backup.manifest || !isHere(backup)) return await this.getBackup(filename);
    const findings = await this.#job<'verify'>({
      kind: 'verify',
      path: await this.#pathOf(backup),
      method: 'quick',
      sha256: null,
    });
    const source = basename(this.#options.databasePath);
    await this.#catalog.writeManifest(adoptedManifest(backup, findings, { verifiedAt: this.#now(), source }));
    this.#emit({ type: 'status' });
    return await this.getBackup(filename);
  }

  async updateBackup(
    filename: string,
    change: { readonly pinned?: boolean; readonly note?: string | null },
  ): Promise<BackupItem> {
    if (isHere(await this.#find(filename))) {
      await this.#catalog.changeManifest(filename, (manifest) => ({
        ...manifest,
        pinned: change.pinned ?? manifest.pinned,
        note: change.note === undefined ? manifest.note : change.note,
      }));
      this.#offsite?.backupChanged();
    } else await this.#requireOffsite().change(filename, change);
    this.#emit({ type: 'status' });
    return await this.getBackup(filename);
  }

  async planRestore(filename: string, options: FromTarget & { readonly user?: string } = {}): Promise<RestorePlan> {
    const backup = await this.#find(filename, options.from);
    const backupPath = isHere(backup) ? await this.#pathOf(backup) : await this.#fetchToRead(backup, options);
    const databasePath = this.#paths.database;
    const stamp = existsSync(databasePath) ? stampDatabase(databasePath, { nowMs: this.#now().getTime() }) : null;
    const facts = await this.#job<'plan'>({ kind: 'plan', databasePath, backupPath });
    return toRestorePlan(backup, facts, { databaseName: basename(databasePath), stamp });
  }

  async restore(filename: string, options: RestoreOptions = {}): Promise<RestoreResult> {
    return await this.#restore('restore', filename, options);
  }

  async undoRestore(
    options: {
      readonly user?: string;
      readonly onProgress?: (run: RunProgress) => void;
      readonly mode?: 'online' | 'offline';
    } = {},
  ): Promise<RestoreResult> {
    const undo = this.#undoable(this.#everywhere(await this.#catalog.list()), this.#lastRestore());
    if (!undo) {
      throw new BackupError('NOTHING_TO_UNDO', 'there is no restore to undo', {
        hint: `A safety backup is kept for ${UNDO_DAYS} days after each restore; list the backups to see what is there.`,
      });
    }
    return await this.#restore('undo', undo.filename, options);
  }

  async prune(options: { readonly dryRun?: boolean } = {}): Promise<PruneResult> {
    const hold = this.#pruneHold();
    const plan = planRetention(await this.#catalog.list(), this.#retention(), { now: this.#now(), hold });
    const kept = plan.kept.map(({ backup, reasons }) => ({ filename: backup.name, reasons }));
    const removed = plan.removed.map(({ backup, reason }) => ({ filename: backup.name, reason }));
    if (options.dryRun || removed.length === 0) return { kept, removed, dryRun: options.dryRun ?? false };
    const done = await this.#job<'prune'>({
      kind: 'prune',
      folder: this.#paths.backups,
      retention: this.#retention(),
      lockWaitMs: this.#waits.lockMs,
    });
    this.#emit({ type: 'status' });
    return { kept, removed: removed.filter(({ filename }) => done.removed.includes(filename)), dryRun: false };
  }

  async testTarget(name: TargetName, options: { readonly signal?: AbortSignal } = {}): Promise<TargetReport> {
    const { s3, backupsPath, log } = this.#options;
    if (name === 's3') this.#requireOffsite();
    const target =
      name === 's3' && s3
        ? { name, s3: { ...s3, prefix: this.#settings.current.s3Path } }
        : { name: 'local' as const, folder: this.#paths.backups };
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

  async stopRun(): Promise<boolean> {
    const run = this.#shownRun;
    if (!run?.mayStop) return false;
    run.abort.abort();
    await this.#lastInLine;
    return true;
  }

  on(listener: (event: ServiceEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  // ── backups ──

  /** Joins the run that is going if it has not pinned yet; else one follow-up run, shared by all who ask meanwhile. */
  #requestBackup(asked: BackupAsked): BackupRequested {
    const joinable = this.#joinable;
    if (joinable && !joinable.run.pinned && !joinable.run.abort.signal.aborted) {
      joinable.run.listen(asked.onProgress);
      return joinable.request;
    }
    if (this.#followUp) {
      this.#followUp.listeners.push(asked.onProgress);
      return this.#followUp;
    }
    const started = Promise.withResolvers<string>();
    const finished = Promise.withResolvers<BackupResult>();
    const request: BackupRequested = { id: started.promise, result: finished.promise, listeners: [asked.onProgress] };
    this.#followUp = request;
    const local = this.#inLine(() => {
      this.#followUp = null;
      const run = this.#newRun({
        kind: 'backup',
        ...asked,
        backup: null,
        weights: { checkpoint: 0, copy: 60, verify: 38, publish: 1, prune: 1 },
      });
      for (const listener of request.listeners) run.listen(listener);
      if (this.#stopping) run.abort.abort();
      this.#active = run;
      this.#joinable = { run, request };
      started.resolve(run.id);
      return this.#backUp(run, asked);
    });
    // Beside the line: an upload never delays the next run.
    finished.resolve(local.then((result) => this.#withUpload(result)));
    return request;
  }

  async #withUpload(result: BackupResult): Promise<BackupResult> {
    if (!result.success || !result.filename || !this.#settings.current.s3Enabled) return result;
    const { uploads } = this.#requireOffsite();
    await uploads.run();
    return { ...result, s3Uploaded: uploads.isStored(result.filename) };
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
          retention: this.#retention(),
          lockWaitMs: this.#waits.lockMs,
          pinTimeoutMs: this.#waits.pinMs,
        },
        { signal: run.abort.signal, onEvent: (event) => run.hear(event) },
      );
      this.#active = null;
      this.#options.log('info', `Completed: ${made.name} (${formatSize(made.sizeBytes)})`);
      for (const name of made.removed) this.#options.log('info', `Removed by retention: ${name}`);
      const report = run.end({ result: 'success', backup: made.name, sizeBytes: made.sizeBytes });
      this.#record(report);
      return { success: true, filename: made.name, size: made.sizeBytes, report };
    } catch (error) {
      const known = BackupError.from(error);
      this.#active = null;
      this.#options.log(known.code === 'ABORTED' ? 'info' : 'error', `Failed: ${known.message}. ${known.hint}`);
      const report = run.end({ result: known.code === 'ABORTED' ? 'stopped' : 'failed', error: known });
      this.#record(report);
      return { success: false, error: known.toJSON(), report };
    } finally {
      this.#joinable = null;
    }
  }

  /** A disk that is not mounted leaves an empty folder, which looks like a new one; the history knows better. */
  async #warnOfEmptyFolder(): Promise<void> {
    const last = this.#history.list({ limit: 1, kind: 'backup', result: 'success' })[0];
    // A folder that can't be listed is explained by the run itself.
    const backups = await this.#catalog.list().catch(() => null);
    if (!last?.backup || backups?.length !== 0) return;
    this.#options.log(
      'warn',
      `The backup folder ${this.#options.backupsPath} is empty, but ${last.backup} was made before. If nobody removed it, see whether the disk of that folder is mounted. A new backup is made all the same.`,
    );
  }

  // ── schedule ──

  #beginSchedule(options: { runAtOnce: boolean }): void {
    const rhythm = this.#options.cron
      ? `Schedule: ${this.#options.cron}`
      : `Interval: ${this.#settings.current.intervalMinutes} minutes`;
    this.#options.log('info', `Auto-backup started. ${rhythm}`);
    this.#scheduler.begin(options);
  }

  async #scheduledRun(trigger: 'start' | 'schedule', plannedAt: Date): Promise<{ failed: boolean }> {
    if (trigger === 'schedule' && (await this.#recordUnchanged(plannedAt))) return { failed: false };
    // Stopped while we looked.
    if (!this.#started) return { failed: false };
    const { report } = await this.#requestBackup({ trigger, user: null, plannedAt }).result;
    return { failed: report.result === 'failed' };
  }

  #reportMissingDatabase(plannedAt: Date): void {
    const error = new BackupError('DB_MISSING', `there is no file at ${this.#options.databasePath}`, {
      hint: 'Check DATABASE_URL. A backup is made as soon as the database is there.',
    });
    this.#options.log('warn', `Waiting for a database: ${error.message}. ${error.hint}`);
    const run = this.#newRun({ kind: 'backup', trigger: 'schedule', user: null, plannedAt, backup: null, weights: {} });
    this.#record(run.end({ result: 'failed', error }));
  }

  /** True when the newest backup still holds everything: that is recorded, and no process is started. */
  async #recordUnchanged(plannedAt: Date): Promise<boolean> {
    // Damage that a run found is looked at again by a run, not by `stat`.
    if (this.#options.skipUnchanged === false || this.#pruneHold() !== null) return false;
    const newest = await this.#unchangedBackup();
    if (!newest || !this.#started) return false;
    const run = this.#newRun({
      kind: 'backup',
      trigger: 'schedule',
      user: null,
      plannedAt,
      backup: newest.name,
      weights: {},
    });
    this.#record(run.end({ result: 'unchanged', backup: newest.name }));
    return true;
  }

  async #unchangedBackup(): Promise<Backup | null> {
    try {
      const newest = (await this.#catalog.list()).find((backup) => backup.manifest?.stamp);
      if (!newest?.manifest?.stamp || !isVerified(newest)) return null;
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
      this.#options.log('info', 'Auto-backup stopped.');
    } else if (!before.enabled && after.enabled) this.#beginSchedule({ runAtOnce: false });
    else if (after.enabled && before.intervalMinutes !== after.intervalMinutes && !this.#options.cron) {
      this.#scheduler.replan();
    }
    if (before.s3Enabled !== after.s3Enabled || before.s3Path !== after.s3Path) this.#offsite?.settingsChanged();
  }

  // ── restore ──

  async #restore(kind: 'restore' | 'undo', filename: string, options: RestoreOptions): Promise<RestoreResult> {
    const source = await this.#restoreSource(filename, options.from);
    const mode = options.mode ?? 'online';
    const begin = (weights: RunWeights) => {
      const run = this.#newRun({ kind, user: options.user ?? null, backup: source.name, weights });
      run.listen(options.onProgress);
      return run;
    };
    const to = options.to ?? (mode === 'file' ? this.#restoredName() : null);
    if (!source.remote) {
      return await this.#inLine(() => this.#place(begin(restoreWeights[mode]), source, { ...options, mode, to }));
    }
    const { name } = source;
    const run = begin(remoteWeights[mode]);
    try {
      if (to !== null) {
        const path = resolve(to);
        await this.#fetchFor(run, options, (given) => this.#requireOffsite().fetchTo(name, path, given), 'all steps');
        return this.#restored(run, { path: to, mode: 'file', safetyBackup: null, setAside: null }, name);
      }
      const fetched = await this.#fetchFor(run, options, (given) => this.#requireOffsite().fetchHere(name, given));
      return await this.#inLine(() => this.#place(run, { ...source, path: fetched }, { ...options, mode, to }));
    } catch (error) {
      throw this.#restoreFailed(run, source, error);
    }
  }

  /** In line: nothing else changes the database or the folder meanwhile. */
  async #place(
    run: ActiveRun,
    source: RestoreSource,
    options: Pick<RestoreOptions, 'expected' | 'user'> & { readonly mode: RestoreMode; readonly to: string | null },
  ): Promise<RestoreResult> {
    this.#active = run;
    try {
      const restored = await this.#job<'restore'>(
        {
          kind: 'restore',
          source: source.path,
          sourceName: source.name,
          sha256: source.sha256,
          databasePath: this.#paths.database,
          folder: this.#paths.backups,
          mode: options.mode,
          to: options.to,
          expected: options.expected || null,
          user: options.user ?? null,
          retention: this.#retention(),
          lockWaitMs: this.#waits.lockMs,
        },
        { signal: run.abort.signal, mayKill: false, onEvent: (event) => run.hear(event) },
      );
      return this.#restored(run, restored, source.name);
    } catch (error) {
      throw this.#restoreFailed(run, source, error);
    } finally {
      this.#active = null;
    }
  }

  /** Recorded once, wherever it failed. */
  #restoreFailed(run: ActiveRun, { name }: RestoreSource, error: unknown): BackupError {
    const known = BackupError.from(error);
    if (run.ended) return known;
    this.#active = this.#active === run ? null : this.#active;
    this.#options.log('error', `Restore failed: ${known.message}. ${known.hint}`);
    this.#record(run.end({ result: known.code === 'ABORTED' ? 'stopped' : 'failed', backup: name, error: known }));
    return known;
  }

  #restored(run: ActiveRun, restored: Restored, backup: string): RestoreResult {
    this.#active = null;
    const report = run.end({ result: 'success', backup });
    if (restored.mode !== 'file') this.#record(report);
    const safety = restored.safetyBackup ? ` What was there before is in ${restored.safetyBackup}.` : '';
    const aside = restored.setAside ? ` The old files were moved to ${restored.setAside}.` : '';
    this.#options.log('info', `Restored: ${backup} (${restored.mode}).${safety}${aside}`);
    return {
      success: true,
      backup,
      mode: restored.mode,
      path: restored.path,
      safetyBackup: restored.safetyBackup,
      report,
    };
  }

  async #restoreSource(filename: string, from: TargetName | undefined): Promise<RestoreSource> {
    if (!isBackupName(filename) && existsSync(filename))
      return { name: basename(filename), path: resolve(filename), sha256: null, remote: null };
    const backup = await this.#find(filename, from);
    const { name } = backup;
    const sha256 = backup.manifest?.database.sha256 ?? null;
    if (isHere(backup)) return { name, path: await this.#pathOf(backup), sha256, remote: null };
    return { name, path: '', sha256, remote: backup };
  }

  /** A new file beside the database: `dev.restored-2024-01-15T10-30-00-000Z.sqlite`. */
  #restoredName(): string {
    const { database } = this.#paths;
    const stem = basename(database).replace(/\.[^.]*$/, '');
    return join(dirname(database), nameBackup(this.#now()).replace('backup-', `${stem}.restored-`));
  }

  #undoable(backups: readonly KnownBackup[], lastRestore: Run | null): Status['undo'] {
    if (lastRestore?.result !== 'success') return null;
    const safety = backups.find((backup) => backup.manifest?.trigger === 'safety');
    // The safety backup of that restore was made while it ran; an older one would undo another restore.
    if (!safety || safety.createdAt < lastRestore.startedAt || safety.createdAt > lastRestore.endedAt) return null;
    if (this.#now().getTime() - safety.createdAt.getTime() > UNDO_DAYS * DAY_MS) return null;
    return { filename: safety.name, restored: lastRestore.backup ?? '', at: lastRestore.endedAt };
  }

  #lastRestore(): Run | null {
    const newest = (['restore', 'undo'] as const).flatMap((kind) =>
      this.#history.list({ limit: 1, kind, result: 'success' }),
    );
    return newest.sort((a, b) => b.endedAt.getTime() - a.endedAt.getTime())[0] ?? null;
  }

  // ── backups of the folder and of S3 ──

  /** The folder's backups and, while S3 is on, those that are there alone; newest first. */
  #everywhere(local: readonly Backup[]): readonly KnownBackup[] {
    const remote = this.#settings.current.s3Enabled ? (this.#offsite?.backups ?? []) : [];
    const here = new Set(local.map(({ name }) => name));
    return inOrder<KnownBackup>([...local, ...remote.filter(({ name }) => !here.has(name))]);
  }

  #toItems(backups: readonly KnownBackup[], local: readonly Backup[]): readonly BackupItem[] {
    const { s3Enabled } = this.#settings.current;
    const uploads = this.#offsite?.uploadStates();
    const here = new Set(local.map(({ name }) => name));
    return backups.map((backup) =>
      toBackupItem(backup, {
        isLocal: here.has(backup.name),
        remote: this.#offsite?.find(backup.name) ?? undefined,
        upload: uploads?.get(backup.name),
        s3Enabled,
      }),
    );
  }

  /**
   * The backup in the folder, else the one at S3; `from` says which is meant.
   *
   * @throws BackupError BAD_NAME, NO_BACKUP.
   */
  async #find(filename: string, from?: TargetName): Promise<KnownBackup> {
    if (from === 's3') return await this.#findRemote(filename);
    try {
      return await this.#catalog.find(filename);
    } catch (error) {
      const remote = from === undefined ? this.#offsite?.find(filename) : null;
      if (!remote || BackupError.from(error).code !== 'NO_BACKUP') throw error;
      return remote;
    }
  }

  async #findRemote(filename: string): Promise<RemoteBackup> {
    const offsite = this.#requireOffsite();
    const known = offsite.find(filename);
    if (known) return known;
    await offsite.refresh();
    const found = offsite.find(filename);
    if (found) return found;
    throw new BackupError('NO_BACKUP', `there is no backup ${filename} on S3`, {
      hint: 'It may have been removed by retention; list what is there with --target s3.',
    });
  }

  async #openFile(backup: Backup): Promise<FileHandle> {
    return await this.#catalog.open(backup, { databasePath: this.#paths.database });
  }

  /** Of a file that is a backup and nothing planted. */
  async #pathOf(backup: Backup): Promise<string> {
    await (await this.#openFile(backup)).close();
    return resolve(backup.path);
  }

  /** As a run of its own, because it takes its time and proves the copy at S3. */
  async #fetchToRead(
    { name, sizeBytes }: RemoteBackup,
    options: FromTarget & { readonly user?: string } = {},
  ): Promise<string> {
    const weights = { fetch: 90, check: 10 };
    const run = this.#newRun({ kind: 'verify', user: options.user ?? null, backup: name, weights });
    run.listen(options.onProgress);
    try {
      const path = await this.#fetchFor(run, options, (given) => this.#requireOffsite().fetchHere(name, given));
      this.#record(run.end({ result: 'success', backup: name, sizeBytes }));
      return path;
    } catch (error) {
      const known = BackupError.from(error);
      this.#record(run.end({ result: known.code === 'ABORTED' ? 'stopped' : 'failed', backup: name, error: known }));
      throw known;
    }
  }

  /** The steps after the download are the run's own, unless it has no others. */
  async #fetchFor<Result>(
    run: ActiveRun,
    { identity }: FromTarget,
    fetch: (options: FetchOptions) => Promise<Result>,
    shown: 'fetch' | 'all steps' = 'fetch',
  ): Promise<Result> {
    let isHeard = true;
    const onEvent = (event: JobEvent) => {
      if (event.type === 'step') isHeard = event.name === 'fetch' || shown === 'all steps';
      if (isHeard) run.hear(event);
    };
    this.#fetching.add(run);
    try {
      run.hear({ type: 'step', name: 'fetch' });
      return await fetch({ identity, signal: run.abort.signal, onEvent });
    } finally {
      this.#fetching.delete(run);
    }
  }

  /** What changes something comes first. */
  get #shownRun(): ActiveRun | null {
    return this.#active ?? [...this.#fetching][0] ?? null;
  }

  #aboutS3(): Pick<Status['s3'], 'nextTryAt' | 'error' | 'listedAt'> {
    const offsite = this.#offsite;
    if (!offsite) return { nextTryAt: null, error: null, listedAt: null };
    return { ...offsite.waiting, listedAt: offsite.listedAt };
  }

  // ── what the stories need ──

  /** Runs that change something follow each other. */
  #inLine<Result>(story: () => Promise<Result>): Promise<Result> {
    const result = this.#lastInLine.then(story);
    this.#lastInLine = result.catch(() => {});
    return result;
  }

  async #job<Kind extends JobKind>(
    request: JobMap[Kind]['request'],
    options: Omit<JobOptions, 'environment'> = {},
  ): Promise<JobMap[Kind]['result']> {
    return await runJob<Kind>(request, { ...options, environment: this.#options.jobEnvironment });
  }

  #newRun(options: {
    kind: RunKind;
    user: string | null;
    backup: string | null;
    weights: RunWeights;
    trigger?: JobTrigger;
    plannedAt?: Date | null;
  }): ActiveRun {
    return new ActiveRun({
      trigger: 'manual',
      plannedAt: null,
      ...options,
      now: this.#now,
      onProgress: (run) => this.#emit({ type: 'progress', run }),
    });
  }

  #record(run: Run): void {
    this.#history.add(run);
    this.#emit({ type: 'run', run });
    this.#emit({ type: 'status' });
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
  ): Promise<BackupItem> {
    const at = this.#now();
    if (isHere(backup)) {
      const verification = { method, at: at.toISOString(), complaint };
      if (backup.manifest)
        await this.#catalog.changeManifest(backup.name, (manifest) => ({ ...manifest, verification }));
    } else this.#requireOffsite().recordVerification(backup.name, { method, at: at.toISOString(), complaint });
    const item = await this.getBackup(backup.name);
    if (complaint === null) return item;
    return { ...item, verified: false, verification: { state: 'damaged', method, at, detail: complaint } };
  }

  #lookAtDatabase(): Status['database'] {
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

  #freeBytes(): number {
    for (let folder = this.#paths.backups; ; folder = dirname(folder)) {
      if (!existsSync(folder)) continue;
      const { bavail, bsize } = statfsSync(folder);
      return Number(bavail) * Number(bsize);
    }
  }

  #schedule(): Schedule {
    const { cron } = this.#options;
    return cron
      ? { kind: 'cron', line: cron }
      : { kind: 'interval', intervalMs: this.#settings.current.intervalMinutes * 60_000 };
  }

  /** For a cron line, the distance of its next two times. */
  #intervalMinutes(): number {
    const schedule = this.#schedule();
    if (schedule.kind === 'interval') return this.#settings.current.intervalMinutes;
    const first = nextRun(schedule, this.#now(), this.#now());
    return Math.ceil((nextRun(schedule, first, first).getTime() - first.getTime()) / 60_000);
  }

  /** Why nothing may be removed at present; null when retention does its work. */
  #pruneHold(): string | null {
    return pruneHold(this.#history.lastJudgement(holdingCodes));
  }

  #retention(): RetentionPolicy {
    return { count: this.#settings.current.retentionCount, startBurstMs: this.#intervalMinutes() * 60_000 };
  }

  get #history(): RunHistory {
    this.#historyOpened ??= new RunHistory(this.#paths.state, {
      warn: (message) => this.#options.log('warn', message),
    });
    return this.#historyOpened;
  }

  get #settings(): SettingsFile {
    this.#settingsRead ??= new SettingsFile(this.#paths.backups, this.#options.settings, {
      warn: (message) => this.#options.log('warn', message),
    });
    return this.#settingsRead;
  }

  get #offsite(): Offsite | null {
    const { s3, log } = this.#options;
    if (!s3) return null;
    this.#offsiteMade ??= new Offsite({
      ...{ s3, log, now: this.#now, catalog: this.#catalog, statePath: this.#paths.state },
      prefix: () => this.#settings.current.s3Path,
      isEnabled: () => this.#settings.current.s3Enabled,
      retention: () =>
        this.#pruneHold() === null
          ? { ...this.#retention(), ...(s3.retentionCount && { count: s3.retentionCount }) }
          : null,
      lockWaitMs: this.#waits.lockMs,
      job: (request, options) => this.#job(request, options),
      onChange: () => this.#emit({ type: 'status' }),
    });
    return this.#offsiteMade;
  }

  #requireOffsite(): Offsite {
    if (this.#offsite) return this.#offsite;
    throw new BackupError('BAD_REQUEST', 'no S3 target is configured', {
      hint: 'Set S3_BUCKET, S3_REGION, S3_ENDPOINT, S3_ACCESS_KEY and S3_SECRET_KEY in the environment, then restart.',
    });
  }
}

type RestoreOptions = NonNullable<Parameters<BackupServicePort['restore']>[1]>;
type RestoreMode = NonNullable<RestoreOptions['mode']>;
type RunWeights = ConstructorParameters<typeof ActiveRun>[0]['weights'];

interface RestoreSource {
  readonly name: string;
  /** Empty for one that is fetched first. */
  readonly path: string;
  readonly sha256: string | null;
  readonly remote: RemoteBackup | null;
}

/** How long the steps take, in percent of the whole. */
const restoreWeights = {
  file: { check: 40, place: 40, prove: 20 },
  online: { check: 20, safety: 40, place: 25, prove: 15 },
  offline: { check: 20, safety: 40, place: 25, prove: 15 },
};
const remoteWeights = {
  file: { fetch: 85, check: 14, place: 1 },
  online: { fetch: 60, check: 8, safety: 16, place: 10, prove: 6 },
  offline: { fetch: 60, check: 8, safety: 16, place: 10, prove: 6 },
};

interface BackupRequested {
  readonly id: Promise<string>;
  readonly result: Promise<BackupResult>;
  readonly listeners: (((run: RunProgress) => void) | undefined)[];
}

interface BackupAsked {
  readonly trigger: 'start' | 'schedule' | 'manual' | 'cli';
  readonly user: string | null;
  readonly plannedAt: Date | null;
  readonly onProgress?: (run: RunProgress) => void;
}
