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
import { setImmediate } from 'node:timers/promises';
import { BackupError, type ErrorBody } from '../../words/errors.ts';
import { addressOf, lifecycleDaysOf, openTarget, type TargetAccess, type TargetStore } from '../store/kinds.ts';
import { isPermanent } from '../store/store.ts';
import { isJudgedOurs, isSameAs } from './judge-target.ts';
import type { LocalSegment, LocalStream } from './local-stream.ts';
import { markedTxids, readableMarks } from './marks.ts';
import { Outbox } from './outbox.ts';
import { planStream, SNAPSHOT_LEVEL } from './plan.ts';
import { planRemoval } from './remote-retention.ts';
import { RemoteLedger } from './remote-ledger.ts';
import { listSegments } from './remote-segments.ts';
import { bookmarkOf } from './segment.ts';
import { ShipLane } from './ship-lane.ts';
import { type PlaceNews, ShipPlace, type ShipWriter } from './ship-place.ts';
import { marksKey, segmentKey } from './stream-keys.ts';

export interface ShipTarget {
  readonly name: string;
  readonly access: TargetAccess;
  readonly prefix: string;
  /** Nothing plain leaves the machine where there are any. */
  readonly recipients: readonly string[];
  /** Left out where nobody else can write there. */
  readonly writer?: ShipWriter;
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
  readonly onPlace: (target: string, news: PlaceNews) => void;
  /** Nothing is removed while the stream is in doubt. */
  readonly isInDoubt: () => boolean;
  readonly open?: (target: ShipTarget) => TargetStore;
}

/** The lanes. */
const [NEXT, COARSER] = [0, 1] as const;
const TIDY_EVERY_MS = 10 * 60_000;
/** Where a rule of the bucket removes what is old, also what an idle stream still needs. */
const LIST_EVERY_MS = 60 * 60_000;
/** They last; whoever is there is asked no more often than needed. */
const OTHERS: ReadonlySet<BackupError['code']> = new Set(['FOREIGN_PLACE', 'PLACE_TAKEN', 'CLONED']);
const OTHERS_MS_MAX = 5 * 60_000;

export class Shipper {
  readonly target: ShipTarget;
  readonly #context: ShipperContext;
  readonly #store: TargetStore;
  readonly #place: ShipPlace;
  readonly #outbox: Outbox;
  readonly #abort = new AbortController();
  readonly #isLeftToBucket: boolean;
  /** Null until the target was listed and judged. */
  #there: RemoteLedger | null = null;
  #listedMs = 0;
  #preparing: Promise<void> | null = null;
  /** The highest TXID that lay there and is not of this line; what follows begins above it. */
  #floor = 0n;
  /** The moment with which this line began there; coarser segments of before may be of another one. */
  #from = 0n;
  #reached: { readonly txid: bigint; readonly at: Date | null } | null = null;
  /** The failure of each lane, until a step of it succeeds. */
  readonly #errors: (BackupError | null)[] = [null, null];
  #taken: BackupError | null = null;
  #tidyAtMs = 0;
  #marks = '[]';
  readonly #lanes: readonly ShipLane[];

  constructor(target: ShipTarget, context: ShipperContext) {
    this.target = target;
    this.#context = context;
    const { name, prefix, recipients, writer = null } = target;
    // A lock or a cheaper class is for what is kept long; segments are small, many, and merged away.
    const access = target.access.kind === 's3' ? { ...target.access, storageClass: null } : target.access;
    this.#isLeftToBucket = lifecycleDaysOf(access) !== null;
    this.#store = context.open?.(target) ?? openTarget(access, prefix);
    this.#outbox = new Outbox(context.stream.folder, { name, recipients, place: addressOf(access, prefix) });
    const { signal } = this.#abort;
    const onNews = (news: PlaceNews) => context.onPlace(name, news);
    this.#place = new ShipPlace({ name, access, prefix, store: this.#store, signal, now: context.now, onNews }, writer);
    const txid = this.#outbox.reached;
    if (txid !== null) this.#reached = { txid, at: null };
    const lane = (index: number, step: () => Promise<boolean>) => {
      const onFailed = (error: BackupError) => this.#note(index, error);
      const done = async () => {
        const isMore = (await this.#prepare()) && (await step());
        if (this.#errors[index] !== null) this.#note(index, null);
        return isMore;
      };
      return new ShipLane(done, { signal, onFailed, delayMs: (error) => this.#delayMs(error) });
    };
    this.#lanes = [lane(NEXT, () => this.#sendNext()), lane(COARSER, () => this.#sendCoarser())];
  }

  /** The same target goes on; who we are there may be known better by now. */
  set writer(writer: ShipWriter | undefined) {
    this.#place.writer = writer ?? null;
  }

  /** Something was captured, merged or named. */
  wake(): void {
    for (const lane of this.#lanes) lane.wake();
  }

  /** All up to that moment can be restored from there. */
  holds(txid: bigint): boolean {
    return this.#there !== null && this.#reached !== null && this.#reached.txid >= txid && !this.isAbove(txid);
  }

  /** A moment of another line has that TXID there: what was captured under it comes again under a higher one. */
  isAbove(txid: bigint): boolean {
    return this.#floor >= txid;
  }

  /** Why it does not go on, as far as is known. */
  get error(): BackupError | null {
    return this.#taken ?? this.#errors[NEXT] ?? this.#errors[COARSER] ?? null;
  }

  /** Somebody else has the place, or writes there: waiting helps nobody. */
  get isStopped(): boolean {
    return this.#taken !== null || this.#errors.some((error) => error !== null && OTHERS.has(error.code));
  }

  get shipped(): Shipped {
    const reached = this.#reached;
    const waiting = waitingAfter(reached?.txid ?? 0n, this.#context.stream.segments);
    return {
      name: this.target.name,
      bookmark: reached && bookmarkOf(reached.txid),
      at: reached?.at?.toISOString() ?? null,
      oldestAt: this.#there?.oldestAt?.toISOString() ?? null,
      behindSince: waiting.since?.toISOString() ?? null,
      waitingBytes: waiting.sizeBytes,
      sizeBytes: this.#there?.sizeBytes ?? null,
      error: this.error?.toJSON() ?? null,
    };
  }

  /** Ends at once; what is on its way is cut off, and sent again by the next one. */
  async stop(): Promise<void> {
    this.#abort.abort();
    await Promise.allSettled(this.#lanes.map(({ ended }) => ended));
    this.#store.close();
  }

  /** The highest TXID that lies there. @throws BackupError as the target. */
  async highestThere(): Promise<bigint> {
    const segments = await listSegments(this.#store, this.target.access.kind, { signal: this.#abort.signal });
    return new RemoteLedger(segments).highest;
  }

  #note(lane: number, error: BackupError | null): void {
    this.#errors[lane] = error;
    // The target answers again.
    if (error === null) for (const one of this.#lanes) one.hurry();
    if (error?.code === 'STREAM_TAKEN') this.#taken = error;
    this.#context.onNews();
  }

  #delayMs({ code }: BackupError): number {
    return OTHERS.has(code) ? Math.min(this.#place.everyMs ?? 0, OTHERS_MS_MAX) : 0;
  }

  /** Answers whether anything may be sent. Both lanes wait for it. */
  async #prepare(): Promise<boolean> {
    if (this.#taken !== null || this.#context.stream.segments.length === 0) return false;
    this.#preparing ??= this.#holdAndJudge().finally(() => {
      this.#preparing = null;
    });
    await this.#preparing;
    return true;
  }

  /** Takes the place, lists it once, and finds out whether what is captured here follows what lies there. */
  async #holdAndJudge(): Promise<void> {
    const isNew = await this.#place.hold();
    const isOld = this.#isLeftToBucket && performance.now() - this.#listedMs >= LIST_EVERY_MS;
    if (this.#there !== null && !isNew && !isOld) return;
    const { signal } = this.#abort;
    const listed = await listSegments(this.#store, this.target.access.kind, { signal });
    const { segments } = this.#context.stream;
    const plan = planStream({ latest: true }, { segments: listed, bases: [] });
    const isOurs = await isJudgedOurs(this.#store, listed, { segments, outbox: this.#outbox, signal });
    this.#reached = isOurs && plan.outcome === 'found' ? { txid: plan.txid, at: plan.at } : null;
    this.#from = this.#outbox.from ?? this.#reached?.txid ?? 0n;
    this.#there = new RemoteLedger(listed);
    this.#floor = isOurs ? 0n : this.#there.highest;
    this.#listedMs = performance.now();
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
    if (this.#reached === null && next.maxTxid === this.#floor + 1n && this.#floor > 0n) await this.#sendFence(next);
    const file = await this.#send(next);
    if (this.#reached === null) this.#from = next.maxTxid;
    this.#reached = { txid: next.maxTxid, at: next.at };
    this.#context.onNews();
    this.#lanes[COARSER]?.wake();
    // Those who wait for it are answered first. What was sealed goes when it is noted: until then it tells that it is ours.
    await setImmediate();
    this.#outbox.noteReached(next.maxTxid, this.#from);
    this.#outbox.sent(file);
    return true;
  }

  /**
   * Takes the next name of whoever captured there before, first of all: should it still run, it meets that and ends. All
   * pages as they were captured lead on from whatever its newest moment is.
   */
  async #sendFence({ maxTxid }: LocalSegment): Promise<void> {
    const captured = this.#context.stream.segments.find((one) => one.level === 0 && one.maxTxid === maxTxid);
    if (captured) this.#outbox.sent(await this.#send(captured));
  }

  /** What is merged is copied as it is, once all that it covers is there. */
  async #sendCoarser(): Promise<boolean> {
    const there = this.#there;
    if (this.#reached === null || there === null) return false;
    const { txid } = this.#reached;
    const { segments } = this.#context.stream;
    const from = this.#from;
    // Litestream reads the newest moment off level 0, also where all pages led there.
    const isDue = ({ level, minTxid, maxTxid }: LocalSegment) =>
      level === 0
        ? maxTxid === txid && there.newestCaptured < txid
        : (level === SNAPSHOT_LEVEL ? maxTxid : minTxid) > from;
    const next = segments.find((one) => one.maxTxid <= txid && isDue(one) && !there.has(one));
    if (next) {
      this.#outbox.sent(await this.#send(next));
      this.#context.onNews();
      return true;
    }
    await this.#sendMarks();
    await this.#tidy(there);
    return false;
  }

  /** @returns what was sent, if it was not there yet. */
  async #send(segment: LocalSegment): Promise<string | null> {
    if (this.#there?.has(segment)) return null;
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
    this.#there?.add({ level, minTxid, maxTxid, at, path: key, sizeBytes, isSealed, header });
    return file;
  }

  async #sendMarks(): Promise<void> {
    const { folder } = this.#context.stream;
    const text = JSON.stringify(readableMarks(folder).filter(({ bookmark }) => bookmark !== null));
    if (text === this.#marks) return;
    const isSealed = this.target.recipients.length > 0;
    const { signal } = this.#abort;
    await this.#store.put(marksKey({ isSealed }), this.#outbox.sealed(text), { signal }).catch((error: unknown) => {
      // Where nothing may be replaced, the first ones stay.
      if (!this.#isLeftToBucket || !isPermanent(error)) throw error;
    });
    this.#marks = text;
  }

  /** Removes what a coarser segment there covers, by the same rule as here. */
  async #tidy(there: RemoteLedger): Promise<void> {
    const { now, windowsMs, isInDoubt, stream } = this.#context;
    if (isInDoubt() || performance.now() < this.#tidyAtMs) return;
    this.#tidyAtMs = performance.now() + TIDY_EVERY_MS;
    this.#outbox.sweep(stream.segments);
    if (this.#isLeftToBucket) return;
    const marks = markedTxids(readableMarks(stream.folder));
    const remove = planRemoval(there.segments, { marks, windowsMs, now: now() });
    if (remove.length === 0) return;
    await this.#place.confirm();
    const keys = remove.map(({ path }) => path);
    const failures = await this.#store.deleteMany(keys, { signal: this.#abort.signal });
    // What may not be removed there stays, and nothing is lost by that.
    const left = new Set(failures.map(({ key }) => key));
    there.remove(remove.filter(({ path }) => !left.has(path)));
    this.#context.onNews();
  }
}

/** What was captured, or merged, and lies behind that moment. */
function waitingAfter(
  txid: bigint,
  segments: readonly LocalSegment[],
): { readonly since: Date | null; readonly sizeBytes: number } {
  let since: Date | null = null;
  let sizeBytes = 0;
  // Asked at each step: no list is made.
  for (const { level, maxTxid, at, sizeBytes: bytes } of segments) {
    if (level === SNAPSHOT_LEVEL || maxTxid <= txid) continue;
    if (since === null || at < since) since = at;
    if (level === 0) sizeBytes += bytes;
  }
  return { since, sizeBytes };
}

function taken(key: string, place: string, cause: unknown): BackupError {
  return new BackupError('STREAM_TAKEN', `somebody else wrote "${key}" in ${place}`, {
    hint: 'Nothing of it was replaced, and nothing more is shipped there. Find the other writer, give this machine a place of its own, and restart the service.',
    cause,
  });
}
