/**
 * Follows one database for as long as it is asked to: proves that the stream goes on from where it ends, captures every
 * commit within an interval, checkpoints, merges, and removes what is no longer kept. What fails is told and tried again;
 * the app never pays for it: a pin that makes its log too long is let go.
 */
import { BackupError } from '../../words/errors.ts';
import { makePrivateFolder } from '../disk/private-folder.ts';
import { FollowedDatabase } from '../sqlite/followed-database.ts';
import { BackupHolds } from './backup-holds.ts';
import { Capture, type Captured, capturedBy, newestOf, type StreamHead } from './capture.ts';
import { Checkpoints } from './checkpoints.ts';
import { followChain, provenPosition, removeDrainedNote, writeDrainedNote } from './continuity.ts';
import { untilDurable } from './durable.ts';
import { Faults } from './faults.ts';
import { Flushes, notCapturing } from './flushes.ts';
import type { FollowOptions } from './follow-options.ts';
import { LocalStream } from './local-stream.ts';
import { LogLimits } from './log-limits.ts';
import { NotCaptured } from './log-proof.ts';
import { LogWatcher } from './log-watcher.ts';
import { Lost } from './lost.ts';
import { nameMoment, pendingMarks } from './marks.ts';
import { readPause, removePause, takeReplicatorLock, writePause } from './pause.ts';
import { SNAPSHOT_LEVEL } from './plan.ts';
import type { PlaceNews } from './ship-place.ts';
import { positionOf } from './position.ts';
import { newTag, rebase } from './rebase.ts';
import { inTurns } from './rest.ts';
import { bookmarkOf } from './segment.ts';
import type { StreamStatus } from './status.ts';
import { Shipping } from './shipping.ts';
import { Sleeper } from './sleeper.ts';
import { saveSums, sumsOfNewest } from './sums-file.ts';
import { ToldStatus } from './told-status.ts';
import { Upkeep } from './upkeep.ts';
import { isAsCaptured, segmentUntrue, streamUntrue, type Untrue, Witness } from './witness.ts';

interface ReplicatorContext {
  readonly signal: AbortSignal;
  readonly now: () => Date;
  readonly onStatus: (status: StreamStatus) => void;
  /** Whose a target is, and who writes there. */
  readonly onPlace?: (target: string, news: PlaceNews) => void;
}

const RETRY_MS = 1_000;
const RETRY_MS_MAX = 60_000;
const ASIDE_MS = 20;
/** A restore takes the lock at once when we let it go. */
const RESTORE_BEGINS_MS = 30_000;

export class Replicator {
  readonly #options: FollowOptions;
  readonly #context: ReplicatorContext;
  readonly #stream: LocalStream;
  readonly #status: ToldStatus;
  readonly #faults: Faults;
  #doubt: string | null = null;
  /** Why the log did not go on from where it was read. */
  #lost: string | null = null;
  #capturingFromMs = Number.POSITIVE_INFINITY;
  readonly #sleeper = new Sleeper();
  /** A backup that is to end at a captured moment. */
  readonly backups = new BackupHolds(() => this.#sleeper.wake());
  readonly #flushes = new Flushes();
  readonly #shipping: Shipping;
  /** What follows begins with all pages above that TXID: a target holds moments that are not of this line. */
  #floor: bigint | null = null;
  #shippedSegments: LocalStream['segments'] = [];

  constructor(options: FollowOptions, context: ReplicatorContext) {
    this.#options = options;
    this.#context = context;
    this.#stream = new LocalStream(options.folder);
    this.#status = new ToldStatus(options.folder, context.onStatus);
    this.#faults = new Faults(this.#status, context.now);
    this.#shipping = new Shipping({
      ...{ stream: this.#stream, windowsMs: options.windowsMs, now: context.now },
      onNews: () => this.#status.tell({ targets: this.#shipping.shipped }),
      onVoid: (txid) => this.#beginAbove(txid),
      onPlace: (target, news) => context.onPlace?.(target, news),
      isInDoubt: () => this.#status.now.untrue !== null,
    });
  }

  /** Where the stream is copied to from now on. */
  setTargets(targets: Parameters<Shipping['setTargets']>[0]): void {
    this.#shipping.setTargets(targets);
  }

  /** Resolves when all that was committed before the call can be restored from these targets, all of them for null. */
  async durable(names: readonly string[] | null, timeoutMs: number): Promise<Captured> {
    const isBeginning = () => this.#status.now.phase === 'starting';
    return await untilDurable(() => this.flush(), this.#shipping, { names, timeoutMs, isBeginning });
  }

  /** Resolves when all that was committed before the call is captured. */
  async flush(): Promise<Captured> {
    if (this.#status.now.phase !== 'capturing') throw notCapturing(this.#status.now);
    const captured = this.#flushes.add();
    this.#sleeper.wake();
    return await captured;
  }

  /** Ends with the signal. */
  async run(): Promise<void> {
    const { signal } = this.#context;
    const { targets = [] } = this.#options;
    if (targets !== 'later') this.setTargets(targets);
    let delayMs = RETRY_MS;
    while (!signal.aborted) {
      this.#capturingFromMs = Number.POSITIVE_INFINITY;
      try {
        if (await this.#rest()) continue;
        // A pause that is over already was no failure.
        if (await this.#follow()) continue;
        if (readPause(this.#options.folder) !== null) continue;
      } catch (error) {
        if (signal.aborted) break;
        const known = BackupError.from(error);
        this.#status.tell({ phase: 'waiting', error: known.toJSON() });
        this.#flushes.refuse(known);
      }
      // It failed, or must begin anew; what captured for a while did not end because of its beginning.
      if (performance.now() - this.#capturingFromMs > delayMs) delayMs = RETRY_MS;
      await this.#sleep(delayMs);
      delayMs = Math.min(2 * delayMs, RETRY_MS_MAX);
    }
    this.#flushes.refuse(notCapturing(this.#status.now));
    await this.#endShipping();
  }

  /** True while it has to rest. */
  async #rest(): Promise<boolean> {
    const { folder, intervalMs } = this.#options;
    const pause = readPause(folder);
    if (pause === null) return false;
    const { reason, since } = pause;
    // What is captured afterwards is another file; a restore may still fail.
    if (reason === 'replaced') this.#faults.endDamage();
    const untrue = this.#faults.untrueAtRest();
    this.#status.tell({ phase: 'paused', pause: { reason, since }, error: null, untrue });
    this.#flushes.refuse(notCapturing(this.#status.now));
    await this.#sleep(intervalMs);
    // Nobody knows how old it is by a clock that was set back.
    const ageMs = Math.abs(this.#context.now().getTime() - Date.parse(since));
    if (reason !== 'restore' || ageMs < RESTORE_BEGINS_MS) return true;
    // One that was killed holds no lock.
    try {
      using _lock = await takeReplicatorLock(this.#options, { waitMs: 0, signal: this.#context.signal });
      if (readPause(folder)?.reason === 'restore') removePause(folder);
    } catch (error) {
      if (!(error instanceof BackupError) || error.code !== 'BUSY') throw error;
    }
    return true;
  }

  /** @returns true when it ended because it was asked to. */
  async #follow(): Promise<boolean> {
    const { folder } = this.#options;
    const { signal } = this.#context;
    makePrivateFolder(folder);
    using _lock = await takeReplicatorLock(this.#options, { waitMs: this.#options.intervalMs, signal });
    this.#status.tell({ phase: 'starting', pause: null });
    this.#stream.prepare();
    try {
      return await this.#captureLocked();
    } finally {
      // The database is let go, and nobody else ships from this folder yet.
      if (signal.aborted) await this.#endShipping();
    }
  }

  async #captureLocked(): Promise<boolean> {
    const { folder, databasePath } = this.#options;
    const { signal, now } = this.#context;
    using database = new FollowedDatabase(databasePath);
    const limits = new LogLimits(database);
    limits.refuseLong();
    const head = await this.#begin(database);
    const capture = new Capture(database, this.#stream, head, now);
    capture.startAt(head.position);
    const checkpoints = new Checkpoints(database, capture, limits);
    const upkeep = new Upkeep(this.#stream, this.#options, now);
    this.#doubt = database.doubtAboutWriter();
    // From the beginning on it is known that there was a stream, and up to where.
    this.#status.tell({ phase: 'capturing', error: null, ...newestOf(head) });
    this.#capturingFromMs = performance.now();
    try {
      return await this.#captureUntilStopped(database, capture, checkpoints, upkeep, limits);
    } finally {
      await upkeep.stop();
      if (signal.aborted || readPause(folder) !== null) await this.#end(capture, checkpoints);
    }
  }

  /** Where to go on: the position is proven, or the database is read. */
  async #begin(database: FollowedDatabase): Promise<StreamHead> {
    const { folder } = this.#options;
    const { signal } = this.#context;
    // It was restored or replaced while nobody looked.
    if (this.#faults.damage?.file !== database.file) this.#faults.endDamage();
    const { lastTxid: txid, fault } = followChain(this.#stream, BigInt(`0x${this.#status.now.bookmark ?? 0}`));
    if (fault !== null) this.#faults.noteStream(segmentUntrue(fault, database.path));
    const { newest } = this.#stream;
    const first = { txid, at: new Date(0), tag: newTag(), state: 0n, sums: null };
    if (newest === null || newest.header.tag === 0) {
      const above = await this.#shipping.highestThere(signal);
      const begin = { ...first, txid: above > txid ? above : txid };
      return await this.#rebase(database, begin, fault && 'segments are missing');
    }
    const { header, at } = newest;
    // What is untrue is no measure: all pages are captured then.
    const sums = this.#faults.isStreamUntrue ? null : await inTurns(sumsOfNewest(folder, this.#stream, newest), signal);
    const position = positionOf(header);
    const proven =
      position === undefined || header.pageSize !== database.pageSize
        ? undefined
        : provenPosition(folder, database, { txid: bookmarkOf(txid), position });
    removeDrainedNote(folder);
    const unproven = this.#lost ?? 'nothing proves that the log goes on';
    this.#lost = null;
    const floor = this.#floor;
    this.#floor = null;
    const before = { txid, at, tag: header.tag, state: header.stateAfter, sums };
    if (floor !== null) {
      const above = { ...before, txid: floor > txid ? floor : txid, sums: null };
      return await this.#rebase(database, above, 'a target holds moments of another line');
    }
    if (sums !== null && proven !== undefined) return { ...before, sums, position: proven };
    // A comparison would capture the damage.
    const { damage } = this.#faults;
    if (damage !== null) {
      if (sums === null || !isAsCaptured(database, damage.page, sums)) throw BackupError.fromJSON(damage.error);
      this.#faults.endDamage();
    }
    const reason = sums === null ? 'its checksums are lost' : unproven;
    return await this.#rebase(database, before, reason);
  }

  /** @param reason null for a stream that begins. */
  async #rebase(
    database: FollowedDatabase,
    before: Parameters<typeof rebase>[2],
    reason: string | null,
  ): Promise<StreamHead> {
    const { now, signal } = this.#context;
    const done = await rebase(database, this.#stream, before, { now, signal });
    if (reason !== null)
      this.#status.tell({ rebased: { at: done.head.at.toISOString(), reason, pages: done.changedPages } });
    if (done.isWhole) {
      saveSums(this.#options.folder, done.head);
      this.#faults.noteBeganAnew();
    }
    return done.head;
  }

  async #captureUntilStopped(
    database: FollowedDatabase,
    capture: Capture,
    checkpoints: Checkpoints,
    upkeep: Upkeep,
    limits: LogLimits,
  ): Promise<boolean> {
    const { folder, intervalMs } = this.#options;
    const { signal, now } = this.#context;
    const witness = new Witness(database, this.#stream, this.#faults.damage);
    using watcher = new LogWatcher(database.path, () => this.#sleeper.wake());
    using _holds = this.backups.open();
    while (!signal.aborted && readPause(folder) === null) {
      if (!database.isStillThere()) {
        this.#wasReplaced(database);
        return false;
      }
      let flushes: ReturnType<Flushes['take']> = [];
      let lookedMs = performance.now();
      let isAside = false;
      try {
        await this.backups.serve(capture, signal);
        flushes = this.#flushes.take();
        lookedMs = performance.now();
        const lookedAt = now();
        await this.#markPending(capture);
        const segment = await capture.capture(signal);
        this.#ship();
        for (const { resolve } of flushes) resolve(capturedBy(capture));
        flushes = [];
        await checkpoints.look(signal);
        this.#tellCaught(capture, lookedAt, limits.look(), upkeep);
        this.#noteWitness(witness.look(capture), database);
        this.#noteUpkeep(upkeep, database);
        // What is left must not be removed while something is untrue.
        if (this.#faults.damage === null) upkeep.look(capture.head);
        isAside = segment === null && (await checkpoints.standAside(signal));
        if (segment === null) watcher.listen();
      } catch (error) {
        this.#flushes.putBack(flushes);
        if (!(error instanceof Lost)) throw error;
        if (error instanceof NotCaptured) this.#faults.noteStream(streamUntrue(error.page, database.path));
        // Opened anew, the position is proven once more or the database is read.
        this.#lost = error.message;
        return false;
      }
      if (this.#flushes.areWanted || this.backups.areWanted) continue;
      // Somebody may wait for the next step.
      if (isAside) await this.#sleep(Math.min(ASIDE_MS, intervalMs));
      else await this.#sleep(watcher.isListening ? intervalMs : intervalMs - (performance.now() - lookedMs));
    }
    return true;
  }

  /** A last flush; what is not there then is shipped at the next start. */
  async #endShipping(): Promise<void> {
    await this.#shipping.end(this.#stream.newest?.maxTxid ?? null, this.#options.shipMs ?? 0);
    this.#status.tell({ targets: this.#shipping.shipped });
    if (this.#stream.newest !== null) this.#status.writeNow();
  }

  /** Whatever was captured, merged or removed since. */
  #ship(): void {
    if (this.#floor !== null) throw new Lost('what a target holds does not lead here');
    if (this.#shippedSegments === this.#stream.segments) return;
    this.#shippedSegments = this.#stream.segments;
    this.#shipping.wake();
  }

  #beginAbove(txid: bigint): void {
    if (this.#stream.level(SNAPSHOT_LEVEL).some(({ maxTxid }) => maxTxid > txid)) return;
    this.#floor = txid;
    this.#sleeper.wake();
  }

  /** A damaged file stays reported; a stream at fault begins anew with all pages. */
  #noteWitness(untrue: Untrue | null, database: FollowedDatabase): void {
    if (untrue?.at === 'stream') throw new NotCaptured(untrue.page);
    if (untrue === null) this.#faults.endDamage();
    else this.#faults.noteDamage({ page: untrue.page, file: database.file }, untrue.error);
  }

  #noteUpkeep(upkeep: Upkeep, { path }: FollowedDatabase): void {
    const damage = upkeep.damage();
    if (damage === null) return;
    this.#faults.noteStream(segmentUntrue(damage, path));
    throw new Lost('a segment of the stream is damaged');
  }

  #wasReplaced(database: FollowedDatabase): void {
    if (database.isDatabaseThere()) return;
    writePause(this.#options.folder, { reason: 'replaced', since: this.#context.now().toISOString(), user: null });
  }

  /** A mark that was asked for means all that is committed now. */
  async #markPending(capture: Capture): Promise<void> {
    const { folder } = this.#options;
    const { signal } = this.#context;
    const pending = pendingMarks(folder);
    if (pending.length === 0) return;
    await capture.capture(signal);
    await nameMoment(folder, pending, bookmarkOf(capture.head.txid), signal);
    this.#shipping.wake();
  }

  /** A last capture; then what proves at the next start that nothing was missed. */
  async #end(capture: Capture, checkpoints: Checkpoints): Promise<void> {
    const { folder, databasePath } = this.#options;
    try {
      await capture.capture();
      const stamp = await checkpoints.drainForEnd();
      const { txid, position } = capture.head;
      if (stamp !== null) writeDrainedNote(folder, { txid: bookmarkOf(txid), position, stamp });
      saveSums(folder, capture.head);
      this.#status.tell(newestOf(capture.head));
      // A first boot reads it, and says what it misses.
      this.#status.writeNow();
    } catch (error) {
      if (error instanceof NotCaptured) this.#faults.noteStream(streamUntrue(error.page, databasePath));
      // The next start finds out what was missed.
      this.#status.tell({ error: BackupError.from(error).toJSON() });
    }
  }

  #tellCaught({ head }: Capture, lookedAt: Date, log: ReturnType<LogLimits['look']>, upkeep: Upkeep): void {
    this.#status.tell({
      ...{ phase: 'capturing', pause: null, error: null, caughtUpAt: lookedAt.toISOString(), logBytes: log.logBytes },
      ...newestOf(head),
      sizeBytes: this.#stream.sizeBytes,
      targets: this.#shipping.shipped,
      oldestAt: this.#stream.level(9)[0]?.at.toISOString() ?? null,
      warnings: [this.#doubt, log.warning, ...upkeep.warnings()].flatMap((text) => text ?? []),
    });
  }

  async #sleep(ms: number): Promise<void> {
    if (this.#flushes.areWanted && this.#status.now.phase === 'capturing') return;
    await this.#sleeper.sleep(ms, this.#context.signal);
  }
}
