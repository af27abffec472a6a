/**
 * Continuous backup of one database: it is followed while the service is started, and what the replicator says is kept
 * with the time at which it was said, because one that says nothing any more is no good news.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { isLocked } from '../../engine/disk/lock.ts';
import { CONTINUOUS_FOLDER } from '../../engine/format/names.ts';
import type { LogEnd } from '../../engine/replication/capture.ts';
import { takeMomentPlace } from '../../engine/replication/moment-place.ts';
import { readPause, removePause, REPLICATOR_LOCK, writePause } from '../../engine/replication/pause.ts';
import { noteUntrueBackup, readStatus, type StreamStatus, untrueBackupText } from '../../engine/replication/status.ts';
import type { Marked, MomentWish, Moments } from '../../engine/stories/moments.ts';
import type { BackupMoment } from '../../engine/stories/replicate.ts';
import { BackupError } from '../../words/errors.ts';
import type { TargetName } from '../../words/target-word.ts';
import { currentActor } from '../audit/actor.ts';
import type { ServiceContext } from '../context.ts';
import { type ContinuousStatus, type Shown, shown } from './continuous-status.ts';
import type { JobAsked } from '../runs/jobs.ts';
import type { DurableAsked, MomentsAsked } from '../service-port.ts';
import type { RemoteTargets } from '../targets/remote-targets.ts';
import {
  type CapturedMoment,
  type MomentFile,
  type MomentSource,
  type NewestMoment,
  newestMomentOf,
} from './moment-source.ts';
import { type ContinuousOptions, Replication } from './replication.ts';
import { ShipTargets, shippingNews, unshippedTexts } from './ship-targets.ts';

/** A replicator gives a sign of life every five seconds. */
const SILENT_MS = 20_000;
/** How much of a stop may pass by waiting for targets; the last capture comes first. */
const SHIP_SHARE = 0.75;
const DURABLE_MS = 30_000;
const MAX_LAG_SECONDS = 60;
const MARK_WAIT_MS = 15_000;

/** A backup in the making, which is to hold exactly a captured moment. */
interface BackupWitness {
  /** Its pin was taken at that end of the log; null in a mode without one. */
  readonly pinned: (end: LogEnd | null) => void;
  /** It is published: it must have the state of its moment. */
  readonly compare: (name: string) => Promise<void>;
  /** Captures again, whatever became of it. */
  readonly end: () => void;
}

/** No moment ends there. */
const NOWHERE: LogEnd = { salts: '', frames: 0 };

export class Continuous implements MomentSource {
  readonly target = 'local';
  readonly #context: ServiceContext;
  readonly #options: ContinuousOptions | null;
  readonly #replication: Replication;
  readonly #shipping: ShipTargets;
  #id: string | null = null;
  /** Where it was told last to ship to. */
  #told = '';
  #telling: Promise<void> = Promise.resolve();
  #startedAtMs = 0;
  #status: StreamStatus | null = null;
  #heardAtMs: number | null = null;
  #down: BackupError | null = null;

  constructor(context: ServiceContext, remotes: () => RemoteTargets) {
    const { continuous = null, replication, jobEnvironment } = context.options;
    this.#context = context;
    this.#options = continuous;
    this.#replication = replication ?? new Replication(jobEnvironment);
    this.#shipping = new ShipTargets(context, remotes);
  }

  /** Where the stream lies, whether it is captured now or was once. */
  get folder(): string {
    return join(this.#context.folder.path, CONTINUOUS_FOLDER);
  }

  /** Commits are captured, or were: there may be moments. */
  get hasStream(): boolean {
    return existsSync(this.folder);
  }

  /** By this process or another one: the newest moment is here. */
  get isCapturedNow(): boolean {
    return this.hasStream && isLocked(join(this.folder, REPLICATOR_LOCK));
  }

  /** The replicator alone checkpoints. */
  get isCapturing(): boolean {
    return this.#id !== null && this.#status?.phase === 'capturing';
  }

  start(): void {
    if (this.#options === null || this.#id !== null) return;
    const { intervalMs, windowsMs, bytesMax, stopMs } = this.#options;
    const databasePath = this.#context.database.path;
    this.#startedAtMs = performance.now();
    [this.#status, this.#heardAtMs, this.#down, this.#told] = [null, null, null, ''];
    this.#id = this.#replication.follow(
      {
        ...{ databasePath, folder: this.folder, intervalMs, windowsMs, bytesMax },
        ...{ targets: 'later', shipMs: SHIP_SHARE * stopMs },
      },
      {
        onStatus: (status) => this.#hear(status),
        onPlace: (target, news) => this.#shipping.hear(target, news),
        onDown: (error) => this.#noteDown(error),
      },
      { stopMs },
    );
    void this.targetsChanged();
  }

  /** Tells the replicator where to ship to, if that is new. */
  async targetsChanged(): Promise<void> {
    this.#telling = this.#telling.then(() => this.#tellTargets());
    await this.#telling;
  }

  async #tellTargets(): Promise<void> {
    if (this.#id === null) return;
    const targets = await this.#shipping.read();
    // What we say of ourselves there changes with each upload, and what is shipped does not.
    const told = JSON.stringify(targets.map(({ writer: _writer, ...target }) => target));
    if (told === this.#told || this.#id === null) return;
    this.#told = told;
    this.#replication.setTargets(this.#id, targets);
  }

  /** Resolves when the last commits are captured, or the time for it is over. */
  async stop(): Promise<void> {
    if (this.#id === null || this.#options === null) return;
    await this.#replication.leave(this.#id, { waitMs: this.#options.stopMs });
    this.#id = null;
    for (const text of unshippedTexts(this.#status?.targets ?? [])) this.#context.log('warn', text);
  }

  /** Null where continuous backup is off. */
  status(): ContinuousStatus | null {
    if (this.#options === null) return null;
    const status =
      this.#id === null
        ? this.#elsewhere()
        : { ...shown(this.#status ?? notYet, this.#down), concern: this.#concern() };
    const { maxLagSeconds = MAX_LAG_SECONDS } = this.#options;
    const concern = status.concern ?? untrueBackupText(this.folder);
    return { ...status, maxLagSeconds, concern, drill: this.#lastDrill() };
  }

  /** The drills of moments from that place: the last one, and the failed one that nothing has answered. */
  drilledMoments(target: TargetName) {
    const { history } = this.#context.state;
    const oldestAt = this.status()?.oldestAt ?? null;
    return {
      open: history.openDrill(target, 'moments'),
      last: history.lastDrill(target, undefined, 'moments'),
      oldestAt,
    };
  }

  #lastDrill(): ContinuousStatus['drill'] {
    const { history } = this.#context.state;
    const run = history.openDrill('local', 'moments') ?? history.lastDrill('local', undefined, 'moments');
    if (run === null) return null;
    const moment = run.drill?.moment ? new Date(run.drill.moment) : null;
    return { at: run.endedAt, result: run.drill?.proof ? 'proven' : 'failed', bookmark: run.backup, moment };
  }

  /** Resolves when all that was committed before the call is at these targets. @throws BackupError NOT_DURABLE, BAD_REQUEST, ABORTED */
  async durable({ targets, timeoutMs = DURABLE_MS, signal }: DurableAsked = {}): Promise<CapturedMoment> {
    if (this.#id === null) {
      throw new BackupError('NOT_DURABLE', 'continuous backup is off, or the service is not started', {
        hint: 'Set BACKUP_CONTINUOUS=true and start the service.',
      });
    }
    const { names } = this.#shipping;
    const unknown = targets?.find((name) => name !== 'local' && !names.includes(name));
    if (unknown !== undefined) {
      throw new BackupError('BAD_REQUEST', `there is no target ${unknown}, or it is off`, {
        hint: `There is ${['local', ...names].join(', ')}.`,
      });
    }
    // It may have been started a moment ago.
    await this.#telling;
    const wanted = (targets ?? names).filter((name) => name !== 'local');
    return await this.#replication.durable(this.#id, wanted, { timeoutMs, ...(signal && { signal }) });
  }

  /**
   * Has a backup end at a captured moment: nothing is captured from now on until its pin is told. Null while nothing is
   * captured; then the backup is made as without.
   *
   * @param signal of the run: a backup never waits for a capture that does not answer.
   */
  async beginWitness(signal: AbortSignal): Promise<BackupWitness | null> {
    const id = this.#id;
    if (id === null || !this.isCapturing) return null;
    try {
      await this.#replication.hold(id, signal);
    } catch {
      // It rests just now; a backup is made all the same.
      return null;
    }
    let cut: Promise<BackupMoment | null> | null = null;
    const cutAt = (end: LogEnd) => {
      cut ??= this.#replication.cut(id, end, signal).catch(() => null);
      return cut;
    };
    return {
      pinned: (end) => void cutAt(end ?? NOWHERE),
      compare: async (name) => {
        const moment = await cutAt(NOWHERE);
        if (moment !== null) await this.#compare(name, moment, signal);
      },
      end: () => void cutAt(NOWHERE),
    };
  }

  async #compare(name: string, moment: BackupMoment, signal: AbortSignal): Promise<void> {
    const { jobs, folder, log } = this.#context;
    try {
      const request = { kind: 'backup-moment', backups: folder.path, name, moment } as const;
      const { isSame } = await jobs.run<'backup-moment'>(request, { signal });
      const wasSame = untrueBackupText(this.folder) === null;
      const text = `${name} and the captured moment ${moment.bookmark} are to be the same, and are not.`;
      if (!isSame) log('error', `${text} One of them is wrong: verify the backup, and make another one.`);
      noteUntrueBackup(this.folder, isSame ? null : { name, text });
      if (!isSame || !wasSame) this.#context.emit({ type: 'status' });
    } catch (error) {
      log('warn', `${name} was not compared with what is captured: ${BackupError.from(error).message}.`);
    }
  }

  /** What can be restored, and what a wish would bring. @throws BackupError NO_MOMENT where there is no stream. */
  async moments(wish?: MomentWish, { from, to }: MomentsAsked = {}): Promise<Moments> {
    this.#requireStream();
    const listed = { from: from?.toISOString(), to: to?.toISOString() };
    const request = { kind: 'moments', folder: this.folder, ...(wish && { wish }), ...listed } as const;
    return await this.#context.jobs.run<'moments'>(request);
  }

  /** The newest moment that can be reached, for a database that is gone; null where nothing was ever captured. */
  async newestMoment(): Promise<NewestMoment | null> {
    if (!this.hasStream) return null;
    return await newestMomentOf(this, {}, readStatus(this.folder));
  }

  /** A moment as a file in the folder of the backups, which is removed with what is returned. */
  async momentFile(bookmark: string, asked?: JobAsked): Promise<MomentFile> {
    const { jobs, folder: backups } = this.#context;
    const place = takeMomentPlace(backups.path, bookmark);
    try {
      await jobs.run<'moment-file'>({ kind: 'moment-file', folder: this.folder, bookmark, to: place.path }, asked);
      return place;
    } catch (error) {
      // A job that was killed has not removed it.
      place[Symbol.dispose]();
      throw error;
    }
  }

  /** The file that lies under the name of the database now was put there by us. */
  endReplaced(): void {
    if (this.hasStream && readPause(this.folder)?.reason === 'replaced') removePause(this.folder);
  }

  async mark(name: string): Promise<Marked> {
    const { jobs, audit } = this.#context;
    const made = await audit.carry({ act: 'mark', subject: name }, async () => {
      this.#requireStream();
      return await jobs.run<'mark'>({ kind: 'mark', folder: this.folder, name, waitMs: MARK_WAIT_MS });
    });
    this.#context.emit({ type: 'status' });
    return made;
  }

  /** Whichever process captures lets the database go within an interval, and stays so until `resume`. */
  pause(user: string | null): void {
    this.#requireStream();
    this.#context.audit.add({ act: 'pause', subject: null });
    const pause = readPause(this.folder);
    // That of a restore ends with it, and this one does not.
    if (pause !== null && pause.reason !== 'restore') return;
    const since = this.#context.now().toISOString();
    writePause(this.folder, { reason: 'asked', since, user: user ?? currentActor().user });
    this.#context.emit({ type: 'status' });
  }

  /** False when it did not rest. */
  resume(): boolean {
    this.#requireStream();
    const isPaused = readPause(this.folder) !== null;
    removePause(this.folder);
    if (isPaused) this.#context.audit.add({ act: 'resume', subject: null });
    this.#context.emit({ type: 'status' });
    return isPaused;
  }

  #requireStream(): void {
    if (this.hasStream) return;
    throw new BackupError('NO_MOMENT', 'no commits were captured yet', {
      hint: 'Turn continuous backup on: BACKUP_CONTINUOUS=true.',
    });
  }

  #hear(status: StreamStatus): void {
    const before = this.#status;
    this.#status = status;
    this.#heardAtMs = performance.now();
    this.#down = null;
    for (const warning of status.warnings) this.#context.warnOnce(warning);
    const { error, rebased } = status;
    if (error && error.message !== before?.error?.message)
      this.#context.log('warn', `Commits are not captured: ${error.message}. ${error.hint}`);
    if (rebased && rebased.at !== before?.rebased?.at)
      this.#context.log(
        'info',
        `The stream goes on by comparison: ${rebased.reason}; ${rebased.pages} pages differed.`,
      );
    const { untrue } = status;
    if (untrue && untrue.since !== before?.untrue?.since)
      this.#context.log('error', `${untrue.error.message}. ${untrue.error.hint}`);
    const shipped = shippingNews(status.targets, before?.targets ?? []);
    for (const { level, text } of shipped) this.#context.log(level, text);
    if (before?.phase !== status.phase || untrue?.since !== before.untrue?.since || shipped.length > 0)
      this.#context.emit({ type: 'status' });
  }

  #noteDown(error: BackupError): void {
    this.#down = error;
    this.#context.log('warn', `The replicator ended: ${error.message}. ${error.hint}`);
    this.#context.emit({ type: 'status' });
  }

  /** As the process that captures them wrote it down, if there is one. */
  #elsewhere(): Shown & Pick<ContinuousStatus, 'concern'> {
    const status = readStatus(this.folder) ?? notYet;
    const pause = this.hasStream ? readPause(this.folder) : null;
    if (pause) return { ...shown({ ...status, phase: 'paused', pause }, null), concern: pausedText[pause.reason] };
    if (!isLocked(join(this.folder, REPLICATOR_LOCK)))
      return { ...shown(status, null), phase: 'off', concern: 'Commits are not captured: no process does it now.' };
    const waiting = status.phase === 'waiting' ? `Commits are not captured: ${status.error?.message ?? ''}.` : null;
    return { ...shown(status, null), concern: waiting };
  }

  /** Why commits may not be captured, in one sentence; null when they are. */
  #concern(): string | null {
    if (this.#down) return `The process that captures commits ended: ${this.#down.message}.`;
    const silentMs = performance.now() - (this.#heardAtMs ?? this.#startedAtMs);
    if (silentMs > SILENT_MS)
      return `The process that captures commits has said nothing for ${Math.round(silentMs / 1_000)} s.`;
    const { phase, error, pause } = this.#status ?? notYet;
    if (phase === 'paused') return pausedText[pause?.reason ?? 'asked'];
    return phase === 'waiting' ? `Commits are not captured: ${error?.message ?? 'it is tried again'}.` : null;
  }
}

const pausedText = {
  asked: 'Commits are not captured: continuous backup was paused, and `velist-backup resume` ends that.',
  restore: 'Commits are not captured while the database is restored.',
  replaced:
    'Commits are not captured: another file took the name of the database. `velist-backup resume` captures that one from now on.',
} as const;

const notYet: StreamStatus = {
  ...{ phase: 'starting', bookmark: null, at: null, oldestAt: null, caughtUpAt: null, sizeBytes: 0, logBytes: 0 },
  ...{ pause: null, error: null, untrue: null, damage: null, warnings: [], targets: [], rebased: null },
};
