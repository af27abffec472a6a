/**
 * Rows brought back from a backup or a moment, while the app goes on: what that would do, doing it, taking it back. Each is
 * a job; a rescue and its undo stand in the line of runs, because they change the database.
 */
import { readRecords, requireRecord, type RescueRecord, rescuesFolder } from '../../engine/inside/rescue-record.ts';
import { BackupError } from '../../words/errors.ts';
import { currentActor } from '../audit/actor.ts';
import type { Backups } from '../backups/backups.ts';
import type { ServiceContext } from '../context.ts';
import type { Continuous } from '../continuous/continuous.ts';
import type { Retention } from '../protection/retention.ts';
import type { RemoteTargets } from '../targets/remote-targets.ts';
import type { Rescue, RescueAsked, RescueOptions, RescuePlan, UndoneRescue } from './shown-rescue.ts';
import { type RescueSource, useSource } from './rescue-source.ts';

interface RescuesParts {
  readonly backups: Backups;
  readonly continuous: Continuous;
  readonly retention: Retention;
  readonly targets: RemoteTargets;
}

/** A commit is captured within an interval; behind that, a safety backup is the better way. */
const MARK_WAIT_MS = 5_000;
/** Rows that go at once would look like a loss if they are so many. */
const LOSS_ROWS_LEAST = 20;
const weights = { check: 40, safety: 40, place: 20 };

export class Rescues {
  readonly #context: ServiceContext;
  readonly #parts: RescuesParts;

  constructor(context: ServiceContext, parts: RescuesParts) {
    this.#context = context;
    this.#parts = parts;
  }

  /** Changes nothing. */
  async plan(asked: RescueAsked): Promise<RescuePlan> {
    return await this.#use(asked, async (source, since) => {
      const request = { kind: 'rescue-plan', ...this.#files(asked, source, since) } as const;
      const plan = await this.#context.jobs.run<'rescue-plan'>(request);
      return { of: source.name, at: source.at, ...plan };
    });
  }

  /** @throws BackupError BAD_REQUEST, DB_CHANGED, RESTORE_SAFETY_FAILED, VERIFY_FAILED, DB_*: nothing was written. */
  async rescue(asked: RescueAsked, options: RescueOptions = {}): Promise<Rescue> {
    const { audit, runs, log, emit } = this.#context;
    const { user, onProgress } = options;
    const act = { act: 'rescue', subject: asked.of, detail: tablesText(asked) } as const;
    const carried = { kind: 'rescue', backup: asked.of, weights, user, onProgress } as const;
    const work = () =>
      runs.enqueue(() =>
        runs.carry({ ...carried, onFailed: (error) => this.#sayFailed('Rescue', error) }, (run) =>
          runs.lead(run, () => this.#use(asked, (...files) => this.#write(asked, files, { ...options, run }), run)),
        ),
      );
    const rescue = toRescue(await audit.carry(act, work, { actor: currentActor(user) }));
    log(
      'info',
      `Rescued: ${rescue.written} rows from ${rescue.of}. \`velist-backup rescue --undo ${rescue.id}\` takes them back.`,
    );
    emit({ type: 'status' });
    return rescue;
  }

  /** @throws BackupError NO_BACKUP, NOTHING_TO_UNDO, DB_CHANGED, DB_*: nothing was written. */
  async undo(id: string, options: Pick<RescueOptions, 'user' | 'onProgress'> = {}): Promise<UndoneRescue> {
    const { audit, runs, jobs, waits, database, folder, log, state, now, emit } = this.#context;
    const { user, onProgress } = options;
    const request = { kind: 'rescue-undo', id, ...{ databasePath: database.path, folder: folder.path } } as const;
    const steps = { check: 40, place: 60 };
    const carried = { kind: 'undo-rescue', backup: this.#sourceOf(id), weights: steps, user, onProgress } as const;
    const work = async () => {
      // What is not there begins no run.
      requireRecord(this.#folder, id);
      return await runs.enqueue(() =>
        runs.carry({ ...carried, onFailed: (error) => this.#sayFailed('Undo of a rescue', error) }, (run) =>
          runs.lead(run, () => jobs.run<'rescue-undo'>({ ...request, lockWaitMs: waits.lockMs }, run)),
        ),
      );
    };
    const { record, undone, left } = await audit.carry({ act: 'undo-rescue', subject: id }, work, {
      actor: currentActor(user),
    });
    // As a migration is no loss, this is none.
    if (undone >= LOSS_ROWS_LEAST) state.history.setNote('migrated', now().toISOString());
    const others = left > 0 ? `; ${left} were changed since and are left alone` : '';
    log('info', `Took ${undone} rescued rows back${others}.`);
    emit({ type: 'status' });
    return { rescue: toRescue(record), undone, left };
  }

  /** The newest first. */
  async list(): Promise<readonly Rescue[]> {
    return (await this.#records()).map(toRescue);
  }

  /** A rescue that was interrupted around its commit is told apart from one that was not, and said. */
  resume(): void {
    if (this.#isSettled()) return;
    this.#records().catch((error: unknown) => {
      const { message } = BackupError.from(error);
      this.#context.log('warn', `What became of an interrupted rescue could not be found out: ${message}.`);
    });
  }

  get #folder(): string {
    return rescuesFolder(this.#context.folder.path);
  }

  #isSettled(): boolean {
    return readRecords(this.#folder).every(({ state }) => state === 'written' || state === 'undone');
  }

  async #records(): Promise<readonly RescueRecord[]> {
    if (this.#isSettled()) return readRecords(this.#folder);
    const { jobs, database, folder, waits } = this.#context;
    const places = { databasePath: database.path, folder: folder.path };
    return await jobs.run<'rescues'>({ kind: 'rescues', ...places, lockWaitMs: waits.lockMs });
  }

  #sourceOf(id: string): string | null {
    return readRecords(this.#folder).find((one) => one.id === id)?.of ?? null;
  }

  async #use<Result>(
    { of, since }: RescueAsked,
    work: (source: RescueSource, since: RescueSource | null) => Promise<Result>,
    asked?: Parameters<typeof useSource>[3],
  ): Promise<Result> {
    const inner = async (source: RescueSource) => {
      if (since === undefined) return await work(source, null);
      return await useSource(since, this.#parts, (later) => work(source, later), asked);
    };
    return await useSource(of, this.#parts, inner, asked);
  }

  #files(asked: RescueAsked, source: RescueSource, since: RescueSource | null) {
    const { database, folder } = this.#context;
    return {
      ...{ databasePath: database.path, folder: folder.path, source: source.path, sourceName: source.name },
      since: since?.path ?? null,
      wish: { tables: asked.tables, triggers: asked.triggers ?? false, withNeeded: asked.withNeeded ?? true },
    };
  }

  async #write(
    asked: RescueAsked,
    [source, since]: readonly [RescueSource, RescueSource | null],
    { expected, run }: RescueOptions & { readonly run: Parameters<Parameters<ServiceContext['runs']['carry']>[1]>[0] },
  ): Promise<RescueRecord> {
    const { jobs, waits, places } = this.#context;
    const { retention, targets } = this.#parts;
    const { record, safetyBackup } = await jobs.run<'rescue'>(
      {
        kind: 'rescue',
        ...this.#files(asked, source, since),
        ...{ expected: expected ?? null, sha256: source.sha256, user: run.user },
        ...{ markWaitMs: MARK_WAIT_MS, lockWaitMs: waits.lockMs, retention: retention.ofFolder() },
        ...{ self: await places.selfToWrite(), highestKnown: targets.highestKnown() },
      },
      run,
    );
    if (safetyBackup) await places.noteIdOf(safetyBackup);
    return record;
  }

  #sayFailed(what: string, error: BackupError): BackupError {
    this.#context.log(error.code === 'ABORTED' ? 'info' : 'error', `${what} failed: ${error.message}. ${error.hint}`);
    return error;
  }
}

const tablesText = ({ tables }: RescueAsked) => tables.map(({ table }) => table).join(', ');

function toRescue({ id, at, of, user, tables, undoneAt }: RescueRecord): Rescue {
  return {
    ...{ id, of, user, tables, at: new Date(at) },
    written: tables.reduce((sum, { inserted, updated }) => sum + inserted + updated, 0),
    undoneAt: undoneAt === null ? null : new Date(undoneAt),
  };
}
