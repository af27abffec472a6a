/**
 * Restores and their undoing: from a backup here or any SQLite file, or from S3, where the backup is fetched first. The
 * download goes on beside the line of runs; only what changes the database waits for its turn.
 */
import { existsSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { isBackupName, manifestName, nameBackup } from '../engine/catalog/artifact.ts';
import { Catalog } from '../engine/catalog/catalog.ts';
import { otherOf } from '../engine/catalog/identity.ts';
import { lookAtFolder } from '../engine/catalog/own-folder.ts';
import { BackupError } from '../engine/errors.ts';
import type { JobMap, Restored } from '../engine/jobs/protocol.ts';
import type { JobOptions } from '../engine/jobs/run-job.ts';
import { type FolderRetention, isVerified } from '../engine/retention.ts';
import { thereIsAFile } from '../engine/sqlite/missing.ts';
import { isLiveFile } from '../engine/sqlite/stamp.ts';
import type { ActiveRun } from './active-run.ts';
import { isHere, isOwn, type KnownBackup } from './backup-item.ts';
import type { Backups } from './backups.ts';
import type { Log } from './log.ts';
import type { OtherDatabase, RestoreResult, Run, Status, TargetName } from './model.ts';
import type { FetchOptions } from './downloads.ts';
import type { Places } from './places.ts';
import type { RunHistory } from './run-history.ts';
import type { PlannedSource } from './restore-plan.ts';
import type { Runs, RunWeights } from './runs.ts';
import type { BackupServicePort, FromTarget, RestoreMode } from './service-port.ts';
import { foreignBackup } from './foreign-backup.ts';

export interface RestoresOptions {
  readonly backups: Backups;
  readonly runs: Runs;
  readonly history: () => RunHistory;
  readonly paths: { readonly database: string; readonly backups: string };
  readonly retention: () => FolderRetention;
  readonly places: Pick<Places, 'self' | 'selfToWrite' | 'restored'>;
  /** The highest sequence of ours at any target. */
  readonly highestKnown: () => number;
  /** A safety backup was made. */
  readonly onMade: (name: string) => Promise<void>;
  readonly lockWaitMs: number;
  readonly job: (
    request: JobMap['restore']['request'],
    options: Omit<JobOptions, 'environment'>,
  ) => Promise<JobMap['restore']['result']>;
  readonly log: Log;
  readonly now: () => Date;
}

export type RestoreOptions = NonNullable<Parameters<BackupServicePort['restore']>[1]>;

interface RestoreSource {
  readonly name: string;
  readonly sha256: string | null;
  readonly journalMode: string | null;
  /** Undefined where nothing says it. */
  readonly databaseId: string | undefined;
  /** Null for a backup that is fetched first, from `target`. */
  readonly path: string | null;
  readonly target: TargetName;
  /** Whose it is, if not ours. */
  readonly other: OtherDatabase | null;
}

/** Of a file of which nothing is known. */
const unknownSource = { sha256: null, journalMode: null, databaseId: undefined, target: 'local' } as const;

const UNDO_DAYS = 30;

/** Anything but a backup of ours that is called by its path. */
function isFile(filename: string): boolean {
  return !isBackupName(filename) && existsSync(filename);
}

function isMadeDuring(run: Run | null, createdAt: Date): run is Run {
  return run !== null && createdAt >= run.startedAt && createdAt <= run.endedAt;
}

/** How long the steps take, in percent of the whole. */
const over = { check: 20, safety: 40, place: 25, prove: 15 };
const toNothing = { check: 40, place: 40, prove: 20 };
const weights = { file: toNothing, missing: toNothing, online: over, offline: over };
const fetchOver = { fetch: 60, check: 8, safety: 16, place: 10, prove: 6 };
const weightsFromS3 = {
  file: { fetch: 85, check: 14, place: 1 },
  missing: { fetch: 80, check: 10, place: 7, prove: 3 },
  online: fetchOver,
  offline: fetchOver,
};

export class Restores {
  readonly #options: RestoresOptions;

  constructor(options: RestoresOptions) {
    this.#options = options;
  }

  /** @param filename a backup's name, or the path of any SQLite file. */
  async restore(kind: 'restore' | 'undo', filename: string, options: RestoreOptions): Promise<RestoreResult> {
    const { backups, runs, paths } = this.#options;
    const { path, ...found } = await this.#source(filename, options.from);
    const { name, target, other } = found;
    const mode = options.mode ?? 'online';
    if (other && mode !== 'file' && !options.fromOther) throw foreignBackup(name, other, basename(paths.database));
    // Before anything is fetched; the job asks again.
    if (mode === 'missing' && existsSync(paths.database)) throw thereIsAFile(paths.database);
    const to = options.to ?? (mode === 'file' ? this.#restoredName() : null);
    const begin = (steps: RunWeights) => {
      const run = runs.begin({ kind, user: options.user ?? null, backup: name, weights: steps });
      run.listen(options.onProgress);
      return run;
    };
    const place = (run: ActiveRun, source: string) =>
      this.#place(run, { ...found, path: source }, { ...options, mode, to });
    if (path !== null) return await runs.inLine(() => place(begin(weights[mode]), path));

    const { identity, allowPlain } = options;
    const run = begin(weightsFromS3[mode]);
    try {
      const offsite = backups.requireOffsite(target);
      if (to === null) {
        const fetchHere = (given: FetchOptions) =>
          offsite.downloads.fetchHere(name, { ...given, identity, allowPlain });
        const fetched = await runs.fetching(run, fetchHere);
        return await runs.inLine(() => place(run, fetched));
      }
      const fetchTo = (given: FetchOptions) =>
        offsite.downloads.fetchTo(name, resolve(to), { ...given, identity, allowPlain });
      await runs.fetching(run, fetchTo, 'all steps');
      return this.#restored(run, { path: to, mode: 'file', safetyBackup: null, setAside: null }, name);
    } catch (error) {
      throw this.#failed(run, name, error);
    }
  }

  /** @throws BackupError NOTHING_TO_UNDO, and what `restore` throws. */
  async undo(options: RestoreOptions): Promise<RestoreResult> {
    const undo = this.undoable(await this.#options.backups.everywhere());
    // What is replaced may be kept in the same folder, whosever it is.
    if (undo) return await this.restore('undo', undo.filename, { ...options, fromOther: true });
    throw new BackupError('NOTHING_TO_UNDO', 'there is no restore to undo', {
      hint: `A safety backup is kept for ${UNDO_DAYS} days after each restore; list the backups to see what is there.`,
    });
  }

  /**
   * The newest safety backup of ours, by number, of those that say what took the place of the database: neither a clock
   * that was set nor a lost run history takes an undo away that the plan promised. For those of versions that did not write
   * it, the history tells.
   */
  undoable(backups: readonly KnownBackup[], lastRestore: Run | null = this.lastRestore()): Status['undo'] {
    for (const { name, createdAt, manifest, fault } of backups.filter(isOwn)) {
      if (fault !== null || manifest?.trigger !== 'safety') continue;
      const restored = manifest.replacedBy ?? (isMadeDuring(lastRestore, createdAt) ? lastRestore.backup : null);
      if (restored !== null) return { filename: name, restored, at: createdAt };
    }
    return null;
  }

  /** What a plan is made of; fetched first where it is at a target alone. */
  async planned(filename: string, options: FromTarget): Promise<PlannedSource & { readonly path: string }> {
    const { backups, paths } = this.#options;
    if (isFile(filename)) {
      const path = resolve(filename);
      // The job would open it as a file that nobody writes to.
      if (isLiveFile(path, paths.database)) {
        throw new BackupError('BAD_BACKUP', `${basename(path)} is the live database itself`, {
          hint: 'Name a backup instead.',
        });
      }
      const { size, mtime } = statSync(path);
      const about = { name: basename(path), other: await this.#otherAt(path), loss: null };
      return { path, ...about, sizeBytes: size, createdAt: mtime, verified: false };
    }
    const backup = await backups.find(filename, options.from);
    const { name, sizeBytes, createdAt, other = null, manifest } = backup;
    const about = { name, other, loss: manifest?.loss ?? null };
    return { path: await backups.path(backup, options), ...about, sizeBytes, createdAt, verified: isVerified(backup) };
  }

  lastRestore(): Run | null {
    const history = this.#options.history();
    const newest = (['restore', 'undo'] as const).flatMap((kind) =>
      history.list({ limit: 1, kind, result: 'success' }),
    );
    return newest.sort((a, b) => b.endedAt.getTime() - a.endedAt.getTime())[0] ?? null;
  }

  /** The one whose verdict is still shown: nobody has put it away. */
  shownRestore(last: Run | null = this.lastRestore()): Run | null {
    return last?.id === this.#options.history().note('dismissed restore') ? null : last;
  }

  /** The last restore was seen; false when there is none, or it was put away before. */
  dismiss(): boolean {
    const shown = this.shownRestore();
    if (shown) this.#options.history().setNote('dismissed restore', shown.id);
    return shown !== null;
  }

  /** In line: nothing else changes the database or the folder meanwhile. */
  async #place(
    run: ActiveRun,
    source: RestoreSource & { readonly path: string },
    options: Pick<RestoreOptions, 'expected' | 'user' | 'fromOther'> & {
      readonly mode: RestoreMode;
      readonly to: string | null;
    },
  ): Promise<RestoreResult> {
    const { runs, paths, places, highestKnown } = this.#options;
    runs.active = run;
    try {
      const restored = await this.#options.job(
        {
          kind: 'restore',
          source: source.path,
          sourceName: source.name,
          sha256: source.sha256,
          databasePath: paths.database,
          journalMode: source.journalMode,
          folder: paths.backups,
          mode: options.mode,
          to: options.to,
          expected: options.expected || null,
          user: options.user ?? null,
          retention: this.#options.retention(),
          lockWaitMs: this.#options.lockWaitMs,
          self: options.mode === 'file' ? places.self : await places.selfToWrite(),
          highestKnown: highestKnown(),
          fromOther: options.fromOther ?? false,
        },
        { signal: run.abort.signal, onEvent: (event) => run.hear(event) },
      );
      runs.active = null;
      if (restored.safetyBackup) await this.#options.onMade(restored.safetyBackup);
      if (restored.mode !== 'file' && !source.other) await places.restored(source.databaseId);
      return this.#restored(run, restored, source.name);
    } catch (error) {
      runs.active = null;
      throw this.#failed(run, source.name, error);
    }
  }

  #restored(run: ActiveRun, restored: Restored, backup: string): RestoreResult {
    const report = run.end({ result: 'success', backup });
    if (restored.mode !== 'file') this.#options.runs.record(report);
    const safety = restored.safetyBackup ? ` What was there before is in ${restored.safetyBackup}.` : '';
    const aside = restored.setAside ? ` The old files were moved to ${restored.setAside}.` : '';
    this.#options.log('info', `Restored: ${backup} (${restored.mode}).${safety}${aside}`);
    const { mode, path, safetyBackup } = restored;
    return { success: true, backup, mode, path, safetyBackup, report };
  }

  /** Recorded once, at the step where it failed. */
  #failed(run: ActiveRun, backup: string, error: unknown): BackupError {
    const known = BackupError.from(error);
    if (run.hasEnded) return known;
    this.#options.log('error', `Restore failed: ${known.message}. ${known.hint}`);
    this.#options.runs.record(
      run.end({ result: known.code === 'ABORTED' ? 'stopped' : 'failed', backup, error: known }),
    );
    return known;
  }

  async #source(filename: string, from: TargetName | undefined): Promise<RestoreSource> {
    const { backups } = this.#options;
    if (isFile(filename)) {
      const path = resolve(filename);
      return { name: basename(path), path, ...unknownSource, other: await this.#otherAt(path) };
    }
    const backup = await backups.find(filename, from);
    const { name, other = null, manifest } = backup;
    const about = {
      ...{ name, other, sha256: manifest?.database.sha256 ?? null },
      ...{ journalMode: manifest?.source.journalMode ?? null, databaseId: manifest?.databaseId },
    };
    if (isHere(backup)) return { ...about, path: await backups.path(backup), target: 'local' };
    return { ...about, path: null, target: backup.target };
  }

  /** A file that lies as a backup in another folder of backups, with its manifest, says whose it is. */
  async #otherAt(path: string): Promise<OtherDatabase | null> {
    const [folder, name] = [dirname(path), basename(path)];
    if (!isBackupName(name) || !existsSync(join(folder, manifestName(name)))) return null;
    const backups = await new Catalog(folder).list();
    const { ownership } = lookAtFolder(folder, this.#options.places.self, backups);
    const backup = backups.find((candidate) => candidate.name === name);
    return backup ? otherOf(ownership, backup) : null;
  }

  /** A new file beside the database: `dev.restored-2024-01-15T10-30-00-000Z.sqlite`. */
  #restoredName(): string {
    const { database } = this.#options.paths;
    const stem = basename(database).replace(/\.[^.]*$/, '');
    return join(dirname(database), nameBackup(this.#options.now()).replace('backup-', `${stem}.restored-`));
  }
}
