/**
 * One target's copy of the stream: segments go there in the order of their TXIDs, each create-only, so that what can be
 * restored there has no hole before its newest moment. What leads on from there goes first; coarser segments and whole
 * copies follow in a lane of their own, because a commit must not wait behind gigabytes.
 *
 * What the target held before is judged once. Where its newest moment is not known here (a machine that was set back, or
 * lost its stream, or another program's stream), what follows begins with all pages above everything that lies there.
 * An object of somebody else under our next name ends the shipping to that target: there is another writer.
 */
import { statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { BackupError, errnoCode, type ErrorBody } from '../../words/errors.ts';
import { openTarget, type TargetAccess, type TargetStore } from '../store/kinds.ts';
import { isJudgedOurs, isSameAs } from './judge-target.ts';
import { planKeep } from './keep.ts';
import { inOrder, type LocalSegment, type LocalStream } from './local-stream.ts';
import { markedTxids, readableMarks } from './marks.ts';
import { Outbox } from './outbox.ts';
import { planStream, SNAPSHOT_LEVEL } from './plan.ts';
import { listSegments, type RemoteSegment } from './remote-segments.ts';
import { bookmarkOf } from './segment.ts';
import { marksKey, segmentKey } from './stream-keys.ts';

export interface ShipTarget {
  readonly name: string;
  readonly access: TargetAccess;
  readonly prefix: string;
  /** Nothing plain leaves the machine where there are any. */
  readonly recipients: readonly string[];
  /** False where a rule of the bucket removes what is old. */
  readonly mayRemove: boolean;
}

/** What a target holds of the stream. */
export interface Shipped {
  readonly name: string;
  /** The newest moment that can be restored from there. */
  readonly bookmark: string | null;
  readonly at: string | null;
  readonly oldestAt: string | null;
  /** When the oldest commit was captured that is not there; null when all are. */
  readonly behindSince: string | null;
  readonly waitingBytes: number;
  /** Null until it was listed. */
  readonly sizeBytes: number | null;
  readonly error: ErrorBody | null;
}

export interface ShipperContext {
  readonly stream: Pick<LocalStream, 'segments' | 'folder'>;
  readonly windowsMs: readonly number[];
  readonly now: () => Date;
  readonly onNews: () => void;
  /** What was captured up to now cannot follow what lies there: all pages are to be captured, above that TXID. */
  readonly onVoid: (txid: bigint) => void;
  /** Nothing is removed while the stream is in doubt. */
  readonly isInDoubt: () => boolean;
}

const RETRY_MS = 1_000;
const RETRY_MS_MAX = 60_000;
const TIDY_EVERY_MS = 10 * 60_000;

export class Shipper {
  readonly target: ShipTarget;
  readonly #context: ShipperContext;
  readonly #store: TargetStore;
  readonly #outbox: Outbox;
  readonly #abort = new AbortController();
  /** By level and TXIDs; null until the target was listed and judged. */
  #there: Map<string, RemoteSegment> | null = null;
  #judging: Promise<void> | null = null;
  /** The highest TXID that lay there and is not of this line; what follows begins above it. */
  #floor = 0n;
  #reached: { readonly txid: bigint; readonly at: Date } | null = null;
  #error: BackupError | null = null;
  #isTaken = false;
  #tidyAtMs = 0;
  #marks = '';
  #wakes: (() => void)[] = [];
  readonly #lanes: readonly Promise<void>[];

  constructor(target: ShipTarget, context: ShipperContext) {
    this.target = target;
    this.#context = context;
    // A lock or a cheaper class is for what is kept long; segments are small, many, and merged away.
    const access = target.access.kind === 's3' ? { ...target.access, storageClass: null } : target.access;
    this.#store = openTarget(access, target.prefix);
    this.#outbox = new Outbox(context.stream.folder, target);
    this.#lanes = [this.#run(() => this.#sendNext()), this.#run(() => this.#sendCoarser())];
  }

  /** Something was captured or merged. */
  wake(): void {
    for (const wake of this.#wakes.splice(0)) wake();
  }

  /** All up to that moment can be restored from there. */
  holds(txid: bigint): boolean {
    return this.#reached !== null && this.#reached.txid >= txid && !this.isAbove(txid);
  }

  /** A moment of another line has that TXID there: what was captured under it comes again under a higher one. */
  isAbove(txid: bigint): boolean {
    return this.#floor >= txid;
  }

  /** Why it does not go on, as far as is known. */
  get error(): BackupError | null {
    return this.#error;
  }

  get shipped(): Shipped {
    const there = [...(this.#there?.values() ?? [])];
    const txid = this.#reached?.txid ?? 0n;
    const waiting = this.#context.stream.segments.filter(({ level, maxTxid }) => level === 0 && maxTxid > txid);
    const oldest = there.filter(({ level }) => level === SNAPSHOT_LEVEL).toSorted(inOrder)[0];
    return {
      name: this.target.name,
      bookmark: this.#reached && bookmarkOf(this.#reached.txid),
      at: this.#reached?.at.toISOString() ?? null,
      oldestAt: oldest?.at.toISOString() ?? null,
      behindSince: waiting[0]?.at.toISOString() ?? null,
      waitingBytes: waiting.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
      sizeBytes: this.#there && there.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
      error: this.#error?.toJSON() ?? null,
    };
  }

  /** Ends at once; what is on its way is cut off, and sent again by the next one. */
  async stop(): Promise<void> {
    this.#abort.abort();
    this.wake();
    await Promise.allSettled(this.#lanes);
    this.#store.close();
  }

  /** The highest TXID that lies there. @throws BackupError as the target. */
  async highestThere(): Promise<bigint> {
    const segments = await listSegments(this.#store, this.target.access.kind, { signal: this.#abort.signal });
    return highestOf(segments);
  }

  /** @param step does one thing, and answers whether there was any. */
  async #run(step: () => Promise<boolean>): Promise<void> {
    const { signal } = this.#abort;
    let delayMs = RETRY_MS;
    // What begins is to be known before the first step.
    await Promise.resolve();
    while (!signal.aborted) {
      try {
        if (this.#isTaken || this.#context.stream.segments.length === 0) {
          await this.#sleep();
          continue;
        }
        await this.#judge();
        const isMore = await step();
        delayMs = RETRY_MS;
        if (!isMore) await this.#sleep();
      } catch (error) {
        if (signal.aborted) return;
        // A segment that was merged away meanwhile has its place taken by a coarser one.
        if (errnoCode(error) === 'ENOENT') continue;
        this.#fail(BackupError.from(error));
        await sleep(delayMs * (0.75 + Math.random() / 2), undefined, { signal }).catch(() => {});
        delayMs = Math.min(2 * delayMs, RETRY_MS_MAX);
      }
    }
  }

  #fail(error: BackupError): void {
    this.#error = error;
    this.#isTaken = error.code === 'STREAM_TAKEN';
    this.#context.onNews();
  }

  async #sleep(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#wakes.push(resolve);
      if (this.#abort.signal.aborted) this.wake();
    });
  }

  /** Lists the target once, and finds out whether what is captured here follows what lies there. Both lanes wait for it. */
  async #judge(): Promise<void> {
    if (this.#there !== null) return;
    this.#judging ??= this.#listAndJudge().finally(() => {
      this.#judging = null;
    });
    await this.#judging;
  }

  async #listAndJudge(): Promise<void> {
    const { signal } = this.#abort;
    const { kind } = this.target.access;
    const listed = await listSegments(this.#store, kind, { signal });
    const { segments } = this.#context.stream;
    const plan = planStream({ latest: true }, { segments: listed, bases: [] });
    const isOurs = await isJudgedOurs(this.#store, listed, { segments, outbox: this.#outbox, signal });
    if (isOurs && plan.outcome === 'found') this.#reached = { txid: plan.txid, at: plan.at };
    else this.#floor = highestOf(listed);
    this.#there = new Map(listed.map((one) => [keyOf(one), one]));
    this.#error = null;
    this.#context.onNews();
  }

  /** What leads on from the newest moment there: what was captured, else what it was merged into, else all pages. */
  #next(): LocalSegment | null {
    const { segments } = this.#context.stream;
    const wholes = segments.filter(({ level }) => level === SNAPSHOT_LEVEL);
    if (this.#reached === null) return wholes.findLast(({ maxTxid }) => maxTxid > this.#floor) ?? null;
    const { txid } = this.#reached;
    const leads = segments.filter((one) => one.minTxid <= txid + 1n && one.maxTxid > txid);
    const [finest] = leads.filter(({ level }) => level < SNAPSHOT_LEVEL);
    if (finest) return finest;
    return wholes.findLast(({ maxTxid }) => maxTxid > txid) ?? null;
  }

  async #sendNext(): Promise<boolean> {
    const next = this.#next();
    if (next === null) {
      if (this.#reached === null) this.#context.onVoid(this.#floor);
      return false;
    }
    await this.#send(next);
    this.#reached = { txid: next.maxTxid, at: next.at };
    this.#outbox.noteReached(next.maxTxid);
    this.#error = null;
    this.#context.onNews();
    return true;
  }

  /** What is merged is copied as it is, once all that it covers is there. */
  async #sendCoarser(): Promise<boolean> {
    if (this.#reached === null) return false;
    const { txid } = this.#reached;
    const there = this.#there ?? new Map<string, RemoteSegment>();
    const from = [...there.values()].find(({ level }) => level === SNAPSHOT_LEVEL)?.maxTxid ?? txid;
    // Litestream reads the newest moment off level 0, so that level begins where all pages were captured.
    const isDue = ({ level, maxTxid }: LocalSegment) => (level === 0 ? maxTxid === from : maxTxid > from);
    const next = this.#context.stream.segments.find(
      (one) => one.maxTxid <= txid && isDue(one) && !there.has(keyOf(one)),
    );
    if (next) await this.#send(next);
    await this.#sendMarks();
    await this.#tidy();
    if (next) this.#context.onNews();
    return next !== undefined;
  }

  async #send(segment: LocalSegment): Promise<void> {
    const { signal } = this.#abort;
    const isSealed = this.target.recipients.length > 0;
    const key = segmentKey(this.target.access.kind, { ...segment, isSealed });
    const file = await this.#outbox.file(segment, signal);
    const sizeBytes = statSync(file).size;
    try {
      const options = { sizeBytes, ifAbsent: true, modifiedAt: segment.at, signal };
      await this.#store.put(key, this.#outbox.read(file), options);
    } catch (error) {
      if (!(error instanceof BackupError) || error.code !== 'TARGET_EXISTS') throw error;
      // The answer of an earlier try may have been lost.
      if (!(await isSameAs(this.#store, key, file, signal))) throw taken(key, this.#store.place, error);
    }
    const { level, minTxid, maxTxid, at, header } = segment;
    const stored = { level, minTxid, maxTxid, at, path: key, sizeBytes, isSealed, header };
    this.#there?.set(keyOf(segment), stored);
    this.#outbox.sent(file);
  }

  async #sendMarks(): Promise<void> {
    const { folder } = this.#context.stream;
    const text = JSON.stringify(readableMarks(folder).filter(({ bookmark }) => bookmark !== null));
    if (text === (this.#marks || '[]')) return;
    const isSealed = this.target.recipients.length > 0;
    await this.#store.put(marksKey({ isSealed }), this.#outbox.sealed(text), { signal: this.#abort.signal });
    this.#marks = text;
  }

  /** Removes what a coarser segment there covers, by the same rule as here. */
  async #tidy(): Promise<void> {
    const { now, windowsMs, isInDoubt, stream } = this.#context;
    if (!this.target.mayRemove || this.#there === null || isInDoubt() || performance.now() < this.#tidyAtMs) return;
    this.#tidyAtMs = performance.now() + TIDY_EVERY_MS;
    const policy = { windowsMs, bytesMax: Number.POSITIVE_INFINITY };
    const marks = markedTxids(readableMarks(stream.folder));
    const { remove } = planKeep([...this.#there.values()].toSorted(inOrder), marks, policy, now());
    if (remove.length === 0) return;
    const keys = remove.map(({ path }) => path);
    const failures = await this.#store.deleteMany(keys, { signal: this.#abort.signal });
    // What may not be removed there stays, and nothing is lost by that.
    const left = new Set(failures.map(({ key }) => key));
    for (const one of remove) if (!left.has(one.path)) this.#there.delete(keyOf(one));
  }
}

function keyOf({ level, minTxid, maxTxid }: Pick<RemoteSegment, 'level' | 'minTxid' | 'maxTxid'>): string {
  return `${level}/${minTxid}-${maxTxid}`;
}

function highestOf(segments: readonly { readonly maxTxid: bigint }[]): bigint {
  return segments.reduce((most, { maxTxid }) => (maxTxid > most ? maxTxid : most), 0n);
}

function taken(key: string, place: string, cause: unknown): BackupError {
  return new BackupError('STREAM_TAKEN', `somebody else wrote "${key}" in ${place}`, {
    hint: 'Nothing of it was replaced, and nothing more is shipped there. Find the other writer, give this machine a place of its own, and restart the service.',
    cause,
  });
}
