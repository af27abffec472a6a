/**
 * One backup, from the request to its result: who asks while a run has not fixed its moment yet joins it, later ones share
 * the next run; then the job, what is said and noted of it, and the uploads beside the line of runs.
 */
import { randomUUID } from 'node:crypto';
import type { JobMap } from '../../engine/process/protocol.ts';
import { BackupError } from '../../words/errors.ts';
import type { Backups } from './backups.ts';
import type { Removals } from './removals.ts';
import type { BackupRequest } from '../../engine/stories/backup.ts';
import type { JobEvent } from '../../words/story.ts';
import type { ServiceContext } from '../context.ts';
import type { Continuous } from '../continuous/continuous.ts';
import { formatSize } from '../log.ts';
import type { BackupResult } from '../service-port.ts';
import type { RunProgress } from '../../words/run.ts';
import type { Losses } from '../protection/losses.ts';
import { saysItAgain, withWayBack } from '../protection/missing.ts';
import { openFolderWarning } from '../protection/open-folder.ts';
import { remarkTexts } from '../protection/remarks.ts';
import type { Retention } from '../protection/retention.ts';
import type { ActiveRun } from '../runs/active-run.ts';
import type { RemoteTargets } from '../targets/remote-targets.ts';

type Made = JobMap['backup']['result'];

interface BackupAsked {
  readonly trigger: 'start' | 'schedule' | 'manual' | 'cli';
  readonly user: string | null;
  readonly plannedAt: Date | null;
  readonly onProgress?: (run: RunProgress) => void;
}

interface BackupRequested {
  /** What its run will be called. */
  readonly id: string;
  /** Resolves when the run begins, or at once if it has to wait for its turn. */
  readonly begun: Promise<void>;
  /** Without the upload. */
  readonly local: Promise<BackupResult>;
  readonly result: Promise<BackupResult>;
  /** The users who began it, or joined before it did begin. */
  readonly askers: BackupAsked[];
}

interface MakeBackupParts {
  readonly continuous: Continuous;
  readonly backups: Backups;
  readonly losses: Losses;
  readonly removals: Removals;
  readonly retention: Retention;
  readonly targets: RemoteTargets;
}

export class MakeBackup {
  readonly #context: ServiceContext;
  readonly #parts: MakeBackupParts;
  /** The run that newcomers may join as long as it has not pinned. */
  #joinable: { readonly run: ActiveRun; readonly request: BackupRequested } | null = null;
  #followUp: BackupRequested | null = null;
  #remarksSaid = '';

  constructor(context: ServiceContext, parts: MakeBackupParts) {
    this.#context = context;
    this.#parts = parts;
  }

  /** Joins the run that is under way if it has not pinned yet; else one follow-up run, shared by all who ask meanwhile. */
  request(asked: BackupAsked): BackupRequested {
    const joinable = this.#joinable;
    if (joinable && !joinable.run.pinned && !joinable.run.signal.aborted) {
      joinable.run.join(asked);
      joinable.run.listen(asked.onProgress);
      return joinable.request;
    }
    if (this.#followUp) {
      this.#followUp.askers.push(asked);
      return this.#followUp;
    }
    const { runs } = this.#context;
    const id = randomUUID();
    const begun = Promise.withResolvers<void>();
    const finished = Promise.withResolvers<BackupResult>();
    const request: BackupRequested = {
      id,
      begun: runs.isLineEmpty ? begun.promise : Promise.resolve(),
      local: finished.promise,
      // Beside the line: an upload never delays the next run.
      result: finished.promise.then((result) => this.#withUpload(result)),
      askers: [asked],
    };
    this.#followUp = request;
    finished.resolve(runs.enqueue(() => this.#carryOut(request, asked, begun.resolve)));
    return request;
  }

  async #carryOut(request: BackupRequested, asked: BackupAsked, onBegun: () => void): Promise<BackupResult> {
    this.#followUp = null;
    try {
      return await this.#run(request, asked, onBegun);
    } finally {
      onBegun();
      // However it ended, nobody joins it any more.
      this.#joinable = null;
    }
  }

  async #run(request: BackupRequested, asked: BackupAsked, onBegun: () => void): Promise<BackupResult> {
    const { runs, isStopping } = this.#context;
    const about = {
      ...({ ...asked, id: request.id, kind: 'backup', backup: null } as const),
      weights: { checkpoint: 0, copy: 60, verify: 38, publish: 1, prune: 1 },
      // What a person asked for is noted; a cron line would note the same at each tick.
      isRecorded: ({ error }: { readonly error: BackupResult['error'] | null }) =>
        !error || asked.trigger === 'manual' || !saysItAgain(error, this.#context.state.lastBackupRun()),
      onFailed: (error: BackupError) => this.#sayFailed(error),
    };
    const settled = await runs.settle(about, async (run) => {
      for (const other of request.askers.slice(1)) {
        run.join(other);
        run.listen(other.onProgress);
      }
      if (isStopping) run.abort.abort();
      this.#joinable = { run, request };
      onBegun();
      // Shown until it is recorded: whoever looked at the folder before it was there must not see that nothing runs.
      return await runs.lead(run, async () => {
        const made = await this.#make(run, asked.trigger);
        run.mayStop = false;
        run.note({ backup: made.name, sizeBytes: made.sizeBytes });
        await this.#afterwards(made);
        return made;
      });
    });
    const { report, error } = settled;
    if (error) return { success: false, error: error.toJSON(), report };
    const { name, sizeBytes } = settled.result;
    const remarks = remarkTexts(settled.result);
    return { success: true, filename: name, size: sizeBytes, ...(remarks.length > 0 && { remarks }), report };
  }

  /** While commits are captured, it ends exactly at a captured moment, and the two must be the same. */
  async #make(run: ActiveRun, trigger: BackupAsked['trigger']): Promise<Made> {
    run.onEvent({ type: 'step', name: 'checkpoint' });
    await this.#warnOfEmptyFolder();
    const request = await this.#requestOf(run, trigger);
    const { jobs } = this.#context;
    const witness = await this.#parts.continuous.beginWitness(run.signal);
    if (witness === null) return await jobs.run<'backup'>(request, run);
    const onEvent = (event: JobEvent) => {
      if (event.type === 'pinned') witness.pinned(event.log ?? null);
      run.onEvent(event);
    };
    try {
      const made = await jobs.run<'backup'>({ ...request, checkpoint: 'none' }, { signal: run.signal, onEvent });
      await witness.compare(made.name);
      return made;
    } finally {
      witness.end();
    }
  }

  async #requestOf(run: ActiveRun, trigger: BackupAsked['trigger']): Promise<BackupRequest> {
    const { database, folder, settings, waits, places } = this.#context;
    const { losses, retention, targets } = this.#parts;
    return {
      kind: 'backup',
      databasePath: database.path,
      folder: folder.path,
      verify: settings.current.verify,
      trigger,
      user: run.user,
      note: null,
      retention: retention.afterBackup(),
      lockWaitMs: waits.lockMs,
      pinTimeoutMs: waits.pinMs,
      loss: await losses.question(),
      self: await places.selfToWrite(),
      highestKnown: targets.highestKnown(),
    };
  }

  async #afterwards(made: Made): Promise<void> {
    const { log, places } = this.#context;
    log('info', `Completed: ${made.name} (${formatSize(made.sizeBytes)})`);
    this.#sayRemarks(remarkTexts(made));
    await this.#parts.losses.made(made.name, made.loss);
    await places.noteIdOf(made.name);
    this.#warnOfOpenFolder();
    for (const name of made.removed) {
      log('info', `Removed by retention: ${name}`);
      this.#parts.removals.byRetention(name);
    }
  }

  async #withUpload(result: BackupResult): Promise<BackupResult> {
    const { success, filename } = result;
    if (!success || !filename) return result;
    const uploaded = await this.#parts.targets.upload(filename);
    if (Object.keys(uploaded).length === 0) return result;
    return { ...result, ...(uploaded['s3'] !== undefined && { s3Uploaded: uploaded['s3'] }), uploaded };
  }

  async #sayFailed(error: BackupError): Promise<BackupError> {
    const { log } = this.#context;
    const known = await this.#explain(error);
    if (known.code === 'ABORTED') log('info', 'Stopped: the run was ended before it was done.');
    else log('error', `Failed: ${known.message}. ${known.hint}`);
    return known;
  }

  async #explain(error: BackupError): Promise<BackupError> {
    if (error.code === 'DB_MISSING' && (await this.#parts.backups.wereMade())) return withWayBack(error);
    return this.#nameOtherRun(error);
  }

  /** Says which run of another process holds the folder. */
  #nameOtherRun(error: BackupError): BackupError {
    const run = error.code === 'BUSY' ? this.#context.others.run : null;
    if (!run) return error;
    const asked = run.trigger === 'cli' ? 'the command line' : (run.user ?? 'another program');
    const message = `${error.message}; it is a ${run.kind} that ${asked} began at ${run.startedAt.toISOString()}`;
    return new BackupError('BUSY', message, { hint: error.hint, cause: error });
  }

  /** A disk that is not mounted leaves an empty folder, which looks like a new one; the history knows better. */
  async #warnOfEmptyFolder(): Promise<void> {
    const { state, catalog, folder, log } = this.#context;
    const last = state.lastMade();
    // A folder that can't be listed is explained by the run itself.
    const backups = await catalog.list().catch(() => null);
    if (last === null || backups?.length !== 0) return;
    log(
      'warn',
      `The backup folder ${folder.named} is empty, but ${last} was made before. If nobody removed it, check whether the disk of that folder is mounted. A new backup is made all the same.`,
    );
  }

  /** Once for each mode that it has, whichever process makes the backups. */
  #warnOfOpenFolder(): void {
    const { folder, state, log } = this.#context;
    const warning = openFolderWarning(folder.path, folder.named);
    if (warning === null) return;
    try {
      if (state.history.note('told open folder') === warning.mode) return;
      state.history.setNote('told open folder', warning.mode);
      log('warn', warning.message);
    } catch {
      // Another process holds the history: the next run says it.
    }
  }

  /** Once, and again when they change: each backup has them. */
  #sayRemarks(remarks: readonly string[]): void {
    const text = remarks.join('; ');
    if (text !== '' && text !== this.#remarksSaid)
      this.#context.log('warn', `The backup is good, but its check has remarks: ${text}.`);
    this.#remarksSaid = text;
  }
}
