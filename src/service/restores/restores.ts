/**
 * Restores and their undoing: from a backup here or any SQLite file, or from S3, where the backup is fetched first. The
 * download goes on beside the line of runs; only what changes the database waits for its turn.
 */
import { existsSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { isBackupName, manifestName, nameBackup } from '../../engine/format/names.ts';
import { Catalog } from '../../engine/catalog/folder-catalog.ts';
import { otherOf } from '../../engine/catalog/identity.ts';
import { lookAtFolder } from '../../engine/catalog/own-folder.ts';
import { BackupError } from '../../words/errors.ts';
import { isBookmark, type RestorePointGiven } from '../../words/restore-point.ts';
import { isVerified } from '../../engine/catalog/retention.ts';
import { planRestore, replacedBy } from '../../engine/restore-points/plan.ts';
import { thereIsAFile } from '../../engine/sqlite/missing.ts';
import { isLiveFile, stampDatabase } from '../../engine/sqlite/stamp.ts';
import type { ActiveRun } from '../runs/active-run.ts';
import type { CountedRows } from '../../engine/sqlite/count-rows.ts';
import { isHere, type KnownBackup, ownOf } from '../backups/backup-item.ts';
import type { Backups } from '../backups/backups.ts';
import { currentActor } from '../audit/actor.ts';
import type { ServiceContext } from '../context.ts';
import { ofList } from '../of-list.ts';
import type { Streams } from '../continuous/streams.ts';
import type { OtherDatabase } from '../backups/shown-backup.ts';
import type { Status } from '../protection/shown-status.ts';
import type { FoundRestorePoint, RestorePlan, RestoreResult } from './restore-result.ts';
import type { Run } from '../../words/run.ts';
import type { TargetName } from '../../words/target-word.ts';
import type { FetchOptions } from '../targets/downloads.ts';
import type { Retention } from '../protection/retention.ts';
import type { RemoteTargets } from '../targets/remote-targets.ts';
import { rowsIn, toRestorePlan } from './restore-plan.ts';
import type { CarryAsked, RunWeights } from '../runs/runs.ts';
import type { BackupServicePort, FindOptions, FromTarget, RestoreMode } from '../service-port.ts';
import { findRestorePoint } from './find-restore-point.ts';
import { foreignBackup } from './foreign-backup.ts';
import { type PlannedFile, plannedMoment } from './planned-moment.ts';
import type { Restored } from '../../engine/stories/restore-request.ts';

interface RestoresParts {
  readonly backups: Backups;
  readonly streams: Streams;
  readonly retention: Retention;
  readonly targets: RemoteTargets;
}

export type PlanOptions = NonNullable<Parameters<BackupServicePort['planRestore']>[1]>;
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

/** What is said of a file of which nothing is known. */
const unknownSource = { sha256: null, journalMode: null, databaseId: undefined, target: 'local' } as const;

const UNDO_DAYS = 30;

/** Anything but a backup of ours that is called by its path. */
function isFile(filename: string): boolean {
  return !isBackupName(filename) && existsSync(filename);
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

const safetyOf = ofList((backups: readonly KnownBackup[]) =>
  backups.filter(({ manifest }) => manifest?.trigger === 'safety'),
);

export class Restores {
  readonly #context: ServiceContext;
  readonly #parts: RestoresParts;

  constructor(context: ServiceContext, parts: RestoresParts) {
    this.#context = context;
    this.#parts = parts;
  }

  /** @param filename a backup's name, or the path of any SQLite file. */
  async restore(kind: 'restore' | 'undo', filename: string, options: RestoreOptions): Promise<RestoreResult> {
    const { runs, database } = this.#context;
    const { backups } = this.#parts;
    const mode = options.mode ?? 'online';
    if (isBookmark(filename)) return await this.#restoreMoment(kind, filename, { ...options, mode });
    const { path, ...found } = await this.#source(filename, options.from);
    const { name, target, other } = found;
    if (other && mode !== 'file' && !options.fromOther) throw foreignBackup(name, other, database.name);
    // Before anything is fetched; the job asks again.
    if (mode === 'missing' && existsSync(database.path)) throw thereIsAFile(database.path);
    const to = options.to ?? (mode === 'file' ? this.#restoredName() : null);
    const carry = async (steps: RunWeights, story: (run: ActiveRun) => Promise<Restored>) =>
      await this.#carry(
        { kind, backup: name, weights: steps, user: options.user, onProgress: options.onProgress },
        story,
      );
    const place = (run: ActiveRun, source: string) =>
      this.#place(run, { ...found, path: source }, { ...options, mode, to });
    if (path !== null) return await runs.enqueue(() => carry(weights[mode], (run) => place(run, path)));

    const { identity, allowPlain } = options;
    return await carry(weightsFromS3[mode], async (run) => {
      const { downloads } = backups.requireRemote(target);
      if (to === null) {
        const fetchHere = (given: FetchOptions) => downloads.fetchHere(name, { ...given, identity, allowPlain });
        const fetched = await runs.fetching(run, fetchHere);
        return await runs.enqueue(() => place(run, fetched));
      }
      const fetchTo = (given: FetchOptions) => downloads.fetchTo(name, resolve(to), { ...given, identity, allowPlain });
      await runs.fetching(run, fetchTo, 'all steps');
      return { path: to, mode: 'file', safetyBackup: null, setAside: null };
    });
  }

  /** A moment becomes a file first, and that is restored as any file is. */
  async #restoreMoment(
    kind: 'restore' | 'undo',
    bookmark: string,
    options: RestoreOptions & { readonly mode: RestoreMode },
  ): Promise<RestoreResult> {
    const { runs, database } = this.#context;
    const { mode, user, onProgress, identity, allowPlain } = options;
    if (mode === 'missing' && existsSync(database.path)) throw thereIsAFile(database.path);
    const to = options.to ?? (mode === 'file' ? this.#restoredName() : null);
    const asked = { kind, backup: bookmark, weights: weightsFromS3[mode], user, onProgress };
    return await this.#carry(asked, async (run) => {
      const stream = await this.#parts.streams.holding(bookmark, options.from);
      using file = await stream.momentFile(bookmark, run, { identity, allowPlain });
      const source = { name: `moment ${bookmark}`, path: file.path, ...unknownSource, journalMode: 'wal', other: null };
      return await runs.enqueue(() => this.#place(run, source, { ...options, to }));
    });
  }

  /** Records the run and says how it ended; a restore to a new file that succeeds is in no history. */
  async #carry(
    asked: Pick<CarryAsked, 'kind' | 'weights' | 'user' | 'onProgress'> & { readonly backup: string },
    story: (run: ActiveRun) => Promise<Restored>,
  ): Promise<RestoreResult> {
    const { runs, log } = this.#context;
    const { backup } = asked;
    let toFile = false;
    const settled = await runs.settle(
      {
        ...asked,
        isRecorded: ({ result }) => !(toFile && result === 'success'),
        onFailed: (error) => {
          log('error', `Restore failed: ${error.message}. ${error.hint}`);
          return error;
        },
      },
      async (run) => {
        const restored = await story(run);
        toFile = restored.mode === 'file';
        return restored;
      },
    );
    if (settled.error) throw settled.error;
    const { mode, path, safetyBackup, setAside } = settled.result;
    const safety = safetyBackup ? ` What was there before is in ${safetyBackup}.` : '';
    const aside = setAside ? ` The old files were moved to ${setAside}.` : '';
    log('info', `Restored: ${backup} (${mode}).${safety}${aside}`);
    return { success: true, backup, mode, path, safetyBackup, report: settled.report };
  }

  /** @throws BackupError NOTHING_TO_UNDO, and what `restore` throws. */
  async undo(options: RestoreOptions): Promise<RestoreResult> {
    const act = { act: 'undo', detail: options.mode ?? 'online' } as const;
    return await this.#context.audit.carry(act, () => this.#undo(options), { actor: currentActor(options.user) });
  }

  async #undo(options: RestoreOptions): Promise<RestoreResult> {
    const undo = this.undoable(await this.#parts.backups.everywhere());
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
    const copies = safetyOf(backups);
    if (copies.length === 0) return null;
    // One list: it does not matter here where each lies.
    const places = [{ target: 'local', word: 'local', copies }];
    const wish = { point: { latest: true }, purpose: 'undo', lastRestore } as const;
    const { chosen } = planRestore(wish, places, { now: this.#context.now() });
    if (!chosen) return null;
    const { name: filename, createdAt: at } = chosen.copy;
    const restored = replacedBy(chosen.copy, lastRestore);
    return restored === null ? null : { filename, restored, at };
  }

  /** Which backup is meant, and from where. */
  async find(wanted: RestorePointGiven, options: FindOptions): Promise<FoundRestorePoint> {
    const { backups, streams, targets } = this.#parts;
    return await findRestorePoint(wanted, options, { backups, streams, targets, now: this.#context.now });
  }

  /** @param wanted a backup's name, the path of any SQLite file, or what says which backup is meant. */
  async restoreWanted(wanted: string | RestorePointGiven, options: RestoreOptions): Promise<RestoreResult> {
    const [subject, found] = typeof wanted === 'string' ? [wanted, wanted] : [JSON.stringify(wanted), null];
    const act = { act: 'restore', subject, target: options.from ?? null, detail: options.mode ?? 'online' } as const;
    return await this.#context.audit.carry(act, () => this.#restoreWanted(wanted, options), {
      actor: currentActor(options.user),
      done: ({ backup }) => ({ ...act, subject: found ?? backup }),
    });
  }

  async #restoreWanted(wanted: string | RestorePointGiven, options: RestoreOptions): Promise<RestoreResult> {
    const fromOther = options.mode === 'file' || options.fromOther;
    const { filename, from, moment, warnings } = await this.#sourceOf(wanted, { ...options, fromOther });
    for (const warning of warnings) this.#context.log('warn', warning);
    const result = await this.restore('restore', filename, { ...options, from });
    return moment ? { ...result, moment } : result;
  }

  /** Changes nothing. */
  async plan(wanted: string | RestorePointGiven, options: PlanOptions): Promise<RestorePlan> {
    const { jobs, database, now } = this.#context;
    const { filename, from, moment, warnings } = await this.#sourceOf(wanted, options);
    const { identity, allowPlain } = options;
    const stream = isBookmark(filename) ? await this.#parts.streams.holding(filename, from) : null;
    using momentFile = stream && (await stream.momentFile(filename, undefined, { identity, allowPlain, keep: true }));
    const {
      path: backupPath,
      stream: planned,
      ...source
    } = stream && momentFile
      ? await plannedMoment(stream, filename, momentFile.path)
      : await this.#planned(filename, { ...options, from });
    const databasePath = database.path;
    const stamp = existsSync(databasePath) ? stampDatabase(databasePath, { nowMs: now().getTime() }) : null;
    const facts = await jobs.run<'plan'>({ kind: 'plan', databasePath, backupPath, backupRows: source.rows });
    const lastRows = await this.#lastRows();
    const about = { databaseName: basename(databasePath), stamp, mode: options.mode, lastRows };
    const plan = toRestorePlan(source, facts, about);
    const more = { ...(moment && { moment }), ...(planned && { stream: planned }) };
    return { ...plan, warnings: [...warnings, ...plan.warnings], ...more };
  }

  /** Takes the newest backup of ours that was counted. A folder that can't be listed is told by what rests on it. */
  async #lastRows(): Promise<{ readonly backup: string; readonly rows: CountedRows } | null> {
    for (const { name, manifest } of ownOf(await this.#parts.backups.everywhere().catch(() => []))) {
      const rows = manifest?.trigger === 'safety' ? undefined : rowsIn(manifest?.facts);
      if (rows) return { backup: name, rows };
    }
    return null;
  }

  /** A name or a path is taken as it is. */
  async #sourceOf(
    wanted: string | RestorePointGiven,
    options: FindOptions,
  ): Promise<Pick<FoundRestorePoint, 'filename' | 'moment' | 'warnings'> & Pick<FromTarget, 'from'>> {
    if (typeof wanted === 'string') return { filename: wanted, from: options.from, moment: null, warnings: [] };
    const { target, ...found } = await this.find(wanted, options);
    return { ...found, from: target === 'local' ? options.from : target };
  }

  /** What a plan is made of; fetched first where it is at a target alone. */
  async #planned(filename: string, options: FromTarget): Promise<PlannedFile> {
    const { database } = this.#context;
    const { backups } = this.#parts;
    if (isFile(filename)) {
      const path = resolve(filename);
      // The job would open it as a file that nobody writes to.
      if (isLiveFile(path, database.path)) {
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
    const about = { name, other, loss: manifest?.loss ?? null, rows: rowsIn(manifest?.facts) };
    return { path: await backups.path(backup, options), ...about, sizeBytes, createdAt, verified: isVerified(backup) };
  }

  lastRestore(): Run | null {
    const { history } = this.#context.state;
    const newest = (['restore', 'undo'] as const).flatMap((kind) =>
      history.list({ limit: 1, kind, result: 'success' }),
    );
    return newest.sort((a, b) => b.endedAt.getTime() - a.endedAt.getTime())[0] ?? null;
  }

  /** The one whose verdict is still shown: nobody has put it away. */
  shownRestore(last: Run | null = this.lastRestore()): Run | null {
    return last?.id === this.#context.state.history.note('dismissed restore') ? null : last;
  }

  /** The last restore was seen; false when there is none, or it was put away before. */
  dismiss(): boolean {
    const shown = this.shownRestore();
    if (shown) this.#context.state.history.setNote('dismissed restore', shown.id);
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
  ): Promise<Restored> {
    const { runs, jobs, database, folder, places, waits } = this.#context;
    const { retention, targets } = this.#parts;
    const restored = await runs.lead(
      run,
      async () =>
        await jobs.run<'restore'>(
          {
            kind: 'restore',
            source: source.path,
            sourceName: source.name,
            sha256: source.sha256,
            databasePath: database.path,
            journalMode: source.journalMode,
            folder: folder.path,
            mode: options.mode,
            to: options.to,
            expected: options.expected || null,
            user: options.user ?? null,
            retention: retention.ofFolder(),
            lockWaitMs: waits.lockMs,
            self: options.mode === 'file' ? places.self : await places.selfToWrite(),
            highestKnown: targets.highestKnown(),
            fromOther: options.fromOther ?? false,
          },
          run,
        ),
    );
    if (restored.safetyBackup) await places.noteIdOf(restored.safetyBackup);
    if (restored.mode !== 'file' && !source.other) await places.restored(source.databaseId);
    return restored;
  }

  async #source(filename: string, from: TargetName | undefined): Promise<RestoreSource> {
    const { backups } = this.#parts;
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
    const { ownership } = lookAtFolder(folder, this.#context.places.self, backups);
    const backup = backups.find((candidate) => candidate.name === name);
    return backup ? otherOf(ownership, backup) : null;
  }

  /** A new file beside the database: `dev.restored-2024-01-15T10-30-00-000Z.sqlite`. */
  #restoredName(): string {
    const { database, now } = this.#context;
    const stem = basename(database.path).replace(/\.[^.]*$/, '');
    return join(dirname(database.path), nameBackup(now()).replace('backup-', `${stem}.restored-`));
  }
}
