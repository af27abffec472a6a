/**
 * The schedule of one service: what it does when a backup is due. A planned run that finds nothing changed is recorded
 * without a process, one that finds no database waits for it, and one that hears nothing for too long counts as stalled.
 */
import { statSync } from 'node:fs';
import type { Backup } from '../../engine/catalog/folder-catalog.ts';
import { isHalfOver } from '../../engine/store/lifecycle.ts';
import { isVerified } from '../../engine/catalog/retention.ts';
import { isUnchanged, stampDatabase } from '../../engine/sqlite/stamp.ts';
import { BackupError } from '../../words/errors.ts';
import { hereOf, ownOf } from '../backups/backup-item.ts';
import type { Backups } from '../backups/backups.ts';
import type { Verifications } from '../backups/verifications.ts';
import type { ServiceContext } from '../context.ts';
import type { MakeBackup } from '../backups/make-backup.ts';
import type { Settings } from '../state/backup-config.ts';
import { ChangedFiles } from '../protection/changed-files.ts';
import { isMissing, saysItAgain, withWayBack } from '../protection/missing.ts';
import type { Retention } from '../protection/retention.ts';
import type { Drills } from '../restores/drills.ts';
import { ScheduleHistory } from '../state/schedule-history.ts';
import type { RemoteTarget } from '../targets/remote-target.ts';
import type { RemoteTargets } from '../targets/remote-targets.ts';
import type { Rhythm } from './rhythm.ts';
import { Scheduler } from './scheduler.ts';

interface BackupScheduleParts {
  readonly backups: Backups;
  readonly drills: Drills;
  readonly makeBackup: MakeBackup;
  readonly retention: Retention;
  readonly rhythm: Rhythm;
  readonly targets: RemoteTargets;
  readonly verifications: Verifications;
}

/** A planned backup that has not begun by then waits for something that does not end. */
const SILENCE_LEAST_MS = 15 * 60_000;
/** On a slow machine: 10 MB, or 1 MB, a second. */
const CHECKED_BYTES_PER_MS = { quick: 10_000, full: 1_000 } as const;

export class BackupSchedule {
  readonly #context: ServiceContext;
  readonly #parts: BackupScheduleParts;
  readonly #scheduler: Scheduler;
  readonly #changedFiles: ChangedFiles;
  /** When it was in force. */
  readonly history: ScheduleHistory;

  constructor(context: ServiceContext, parts: BackupScheduleParts) {
    const { folder, now, state, database, log, jobs, emit } = context;
    const { backups, drills, rhythm, verifications } = parts;
    this.#context = context;
    this.#parts = parts;
    this.history = new ScheduleHistory({ database: () => state.notes, folder: folder.inState, now });
    this.#changedFiles = new ChangedFiles({
      backups: async () => hereOf(ownOf(await backups.at('local'))),
      verify: (name, signal) => verifications.verify(name, { signal }),
      log,
    });
    this.#scheduler = new Scheduler({
      schedule: () => rhythm.schedule,
      now,
      hasDatabase: () => !isMissing(database.path),
      onMissing: (at) => void this.#reportMissingDatabase(at),
      run: (trigger, plannedAt) => this.#run(trigger, plannedAt),
      // A verdict changes with time alone: those who watch get an event at every tick.
      onTick: () => {
        this.history.goesOn();
        drills.tick();
        emit({ type: 'status' });
      },
      onFault: (error) => {
        const { message, hint } = BackupError.from(error);
        log('error', `The schedule met an error and continues: ${message}. ${hint}`);
      },
    });
    jobs.onSignOfLife((kind) => {
      if (kind === 'backup') this.#scheduler.heard();
    });
  }

  get nextRunAt(): Date | null {
    return this.#scheduler.nextRunAt;
  }

  /** Since when nothing was heard; null while that is no longer than it may be. */
  get stalledSince(): Date | null {
    // The size of the database is asked only after the least time.
    return this.#scheduler.stalledSince(SILENCE_LEAST_MS) && this.#scheduler.stalledSince(this.#silenceMaxMs());
  }

  start(): void {
    if (this.#context.settings.current.enabled) this.#begin({ runAtOnce: true });
    else {
      this.history.begin(null, this.#context.now());
      this.#context.log('info', 'Auto-backup is off. Backups can still be made by hand.');
    }
  }

  /** Nothing more is planned; `idle` waits for what still runs. */
  end(): void {
    this.#scheduler.end();
    this.history.end();
  }

  async idle(): Promise<void> {
    await this.#changedFiles.stop();
  }

  settingsChanged(before: Settings, after: Settings): void {
    const { now, log, options } = this.#context;
    if (before.enabled && !after.enabled) {
      this.#scheduler.end();
      this.history.begin(null, now());
      log('info', 'Auto-backup stopped.');
    } else if (!before.enabled && after.enabled) this.#begin({ runAtOnce: false });
    else if (after.enabled && before.intervalMinutes !== after.intervalMinutes && !options.cron) {
      this.#scheduler.replan();
      this.#note();
    }
  }

  #begin(options: { readonly runAtOnce: boolean }): void {
    const { options: given, settings, log, now } = this.#context;
    const rhythm = given.cron ? `Schedule: ${given.cron}` : `Interval: ${settings.current.intervalMinutes} minutes`;
    log('info', `Auto-backup started. ${rhythm}`);
    this.#parts.drills.begin();
    this.#scheduler.begin(options);
    this.#note(options.runAtOnce ? now() : null);
  }

  /** @param firstRunAt null: as the scheduler has it. */
  #note(firstRunAt: Date | null = null): void {
    const { rhythm } = this.#parts;
    this.history.begin(rhythm.schedule, firstRunAt ?? this.#scheduler.nextRunAt ?? this.#context.now());
  }

  async #run(trigger: 'start' | 'schedule', plannedAt: Date): Promise<{ failed: boolean }> {
    this.#changedFiles.verifyOne();
    if (trigger === 'schedule' && (await this.#recordUnchanged(plannedAt))) return { failed: false };
    // Stopped while we looked.
    if (!this.#context.isStarted) return { failed: false };
    // Not for its upload, which may take longer than the time to the next run.
    const { local, result } = this.#parts.makeBackup.request({ trigger, user: null, plannedAt });
    // Closed before the upload: the next start makes up for it.
    result.catch(() => {});
    const { report } = await local;
    return { failed: report.result === 'failed' };
  }

  /** Once when it begins, and nothing but a line in the log before the first backup: the app may start after us. */
  async #reportMissingDatabase(plannedAt: Date): Promise<void> {
    const { database, log, runs, state } = this.#context;
    const found = new BackupError('DB_MISSING', `there is no file at ${database.named}`, {
      hint: 'Check DATABASE_URL, or the path in the configuration. A backup is made as soon as the database is there.',
    });
    const wasBackedUp = await this.#parts.backups.wereMade();
    const error = wasBackedUp ? withWayBack(found) : found;
    // Stopped while we looked.
    if (!this.#context.isStarted) return;
    log('warn', `Waiting for a database: ${error.message}. ${error.hint}`);
    if (!wasBackedUp || saysItAgain(error.toJSON(), state.lastBackupRun())) return;
    runs.note({ kind: 'backup', trigger: 'schedule', plannedAt, backup: null, weights: {} }, error);
  }

  /** True when the newest backup still holds everything: that is recorded, and no process is started. */
  async #recordUnchanged(plannedAt: Date): Promise<boolean> {
    const { options, runs } = this.#context;
    // Damage that a run found is looked at again by a run, not by `stat`.
    if (options.skipUnchanged === false || this.#parts.retention.databaseHold() !== null) return false;
    const newest = await this.#unchangedBackup();
    if (!newest || !this.#context.isStarted) return false;
    runs.note({ kind: 'backup', trigger: 'schedule', plannedAt, backup: newest.name, weights: {} }, 'unchanged');
    return true;
  }

  async #unchangedBackup(): Promise<Backup | null> {
    const { database, now } = this.#context;
    try {
      const own = hereOf(ownOf(await this.#parts.backups.at('local')));
      const newest = own.find((backup) => backup.manifest?.stamp);
      if (!newest?.manifest?.stamp || !isVerified(newest)) return null;
      // At such a target it would be gone before the database changes, or can't be stored under its name.
      if (this.#parts.targets.all.some((remote) => isToBeMadeAnew(remote, newest, now()))) return null;
      // Made before the clock was set back: it would count as too old until the clock has caught up.
      if (Date.parse(newest.manifest.createdAt) > now().getTime()) return null;
      const current = stampDatabase(database.path, { nowMs: now().getTime() });
      return isUnchanged(newest.manifest.stamp, current) ? newest : null;
    } catch {
      // An unreadable folder, a database that vanished a moment ago: the run that follows says what is wrong.
      return null;
    }
  }

  /** How long a backup may say nothing: most of that is its check. */
  #silenceMaxMs(): number {
    const { database, settings } = this.#context;
    const stamp = statSync(database.path, { throwIfNoEntry: false });
    return SILENCE_LEAST_MS + (stamp?.size ?? 0) / CHECKED_BYTES_PER_MS[settings.current.verify];
  }
}

/** The copy at that target would end before an idle database makes another one, or can't be stored under that name. */
function isToBeMadeAnew(remote: RemoteTarget, { name, createdAt }: Backup, now: Date): boolean {
  if (!remote.isEnabled) return false;
  const { lifecycleDays } = remote;
  return (lifecycleDays !== null && isHalfOver(createdAt, lifecycleDays, now)) || remote.uploads.isBlocked(name);
}
