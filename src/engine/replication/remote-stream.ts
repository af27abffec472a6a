/**
 * The stream at a target. A listing tells names, levels and sizes; the time of a segment is asked for only where a plan
 * depends on it. Times never fall along a level, so a search by halves needs a dozen of them for thousands of segments.
 *
 * The time is that of the header, which a small ranged read gets; for a sealed segment it is what was stored beside it, and
 * where nothing was, when it was written.
 */
import { BackupError } from '../../words/errors.ts';
import { decodeHeader, HEADER_BYTES, type LtxHeader } from '../format/ltx/header.ts';
import type { TargetAccess } from '../store/kinds.ts';
import { getBytes, isNotThere, type ObjectStore } from '../store/store.ts';
import { type Base, type ListedSegment, planStream, type StreamPlan, type WishedMoment } from './plan.ts';
import { bookmarkOf } from './segment.ts';
import { type KeyedSegment, parseSegmentKey, STREAM_PREFIX } from './stream-keys.ts';

export interface RemoteSegment extends KeyedSegment {
  readonly key: string;
  readonly sizeBytes: number;
  readonly etag: string;
  /** As the listing has it: the time of its moment, or when it was stored. */
  readonly modifiedAt: Date;
}

export type TimedSegment = RemoteSegment & ListedSegment;

interface RemoteStreamOptions {
  readonly kind: TargetAccess['kind'];
  readonly signal: AbortSignal;
  /** Segments that are not sealed may come from anybody. */
  readonly refusePlain?: boolean | undefined;
}

const NEVER = new Date(8_640_000_000_000_000);

export class RemoteStream {
  readonly store: ObjectStore;
  /** Lower levels first, then in order. */
  readonly segments: readonly RemoteSegment[];
  readonly #signal: AbortSignal;
  readonly #times = new Map<string, Promise<Date>>();
  readonly #headers = new Map<string, Promise<LtxHeader>>();

  private constructor(store: ObjectStore, segments: readonly RemoteSegment[], signal: AbortSignal) {
    this.store = store;
    this.segments = segments;
    this.#signal = signal;
  }

  /** @throws BackupError PLAIN_COPY where all that is there may not be taken; S3_*, ABORTED. */
  static async list(
    store: ObjectStore,
    { kind, signal, refusePlain = false }: RemoteStreamOptions,
  ): Promise<RemoteStream> {
    const found: RemoteSegment[] = [];
    for await (const { key, sizeBytes, etag, modifiedAt } of store.list(STREAM_PREFIX, { signal })) {
      const segment = parseSegmentKey(kind, key);
      if (segment) found.push({ ...segment, key, sizeBytes, etag, modifiedAt });
    }
    const usable = found.filter(({ isSealed }) => isSealed || !refusePlain).toSorted(inOrder);
    if (usable.length === 0 && found.length > 0) throw onlyPlain(store);
    return new RemoteStream(store, usable, signal);
  }

  get newest(): RemoteSegment | null {
    return this.segments.reduce<RemoteSegment | null>(
      (best, one) => (best === null || one.maxTxid > best.maxTxid ? one : best),
      null,
    );
  }

  get sizeBytes(): number {
    return this.segments.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  }

  /** @throws BackupError GONE, BAD_BACKUP; S3_*. Only for one that is not sealed. */
  async headerOf(segment: RemoteSegment): Promise<LtxHeader> {
    return await remembered(this.#headers, segment.key, async () => {
      const asked = { from: 0, to: HEADER_BYTES - 1, limitBytes: HEADER_BYTES, signal: this.#signal };
      return decodeHeader(await getBytes(this.store, segment.key, asked));
    });
  }

  /** @throws BackupError GONE where it was removed meanwhile; S3_*. */
  async timeOf(segment: RemoteSegment): Promise<Date> {
    return await remembered(this.#times, segment.key, async () => {
      try {
        if (!segment.isSealed) return (await this.headerOf(segment)).at;
      } catch (error) {
        // A damaged header: the plan may use others, and what is applied is checked.
        if (!(error instanceof BackupError) || error.code !== 'BAD_BACKUP') throw error;
      }
      return (await this.store.head(segment.key, { signal: this.#signal }))?.modifiedAt ?? segment.modifiedAt;
    });
  }

  /** Says of which stream it is; null where nothing does that can be read without a key. */
  async tag(): Promise<number | null> {
    const { newest } = this;
    if (newest === null || newest.isSealed) return null;
    try {
      return (await this.headerOf(newest)).tag;
    } catch (error) {
      if (isNotThere(error) || (error instanceof BackupError && error.code === 'BAD_BACKUP')) return null;
      throw error;
    }
  }

  /** How many of these, which are in order, are not later. */
  async countUntil(segments: readonly RemoteSegment[], at: Date): Promise<number> {
    let [from, to] = [0, segments.length];
    while (from < to) {
      const middle = Math.floor((from + to) / 2);
      const segment = segments[middle];
      if (segment !== undefined && (await this.timeOf(segment)) <= at) from = middle + 1;
      else to = middle;
    }
    return from;
  }

  /** @throws BackupError GONE where a segment was removed meanwhile; S3_*. */
  async plan<B extends Base>(wish: WishedMoment, bases: readonly B[]): Promise<StreamPlan<TimedSegment, B>> {
    const segments = 'at' in wish ? await this.#asOf(wish.at) : this.segments.map((one) => timed(one, one.modifiedAt));
    const plan = planStream(wish, { segments, bases });
    const last = plan.outcome === 'found' ? plan.segments.at(-1) : undefined;
    return plan.outcome === 'found' && last ? { ...plan, at: await this.timeOf(last) } : plan;
  }

  /** A time for each: on the right side of the wished one. */
  async #asOf(at: Date): Promise<readonly TimedSegment[]> {
    const levels = [...new Set(this.segments.map(({ level }) => level))];
    const sorted = levels.map(async (level) => {
      const own = this.segments.filter((one) => one.level === level);
      const count = await this.countUntil(own, at);
      return own.map((one, index) => timed(one, index < count ? at : NEVER));
    });
    return (await Promise.all(sorted)).flat();
  }
}

function timed(segment: RemoteSegment, at: Date): TimedSegment {
  return { ...segment, at };
}

async function remembered<Value>(
  known: Map<string, Promise<Value>>,
  key: string,
  ask: () => Promise<Value>,
): Promise<Value> {
  const asked = known.get(key) ?? ask();
  known.set(key, asked);
  return await asked;
}

/** Whole ones end where they are; the others are in the order of their spans. */
function inOrder(one: KeyedSegment, other: KeyedSegment): number {
  if (one.level !== other.level) return one.level - other.level;
  if (one.maxTxid !== other.maxTxid) return one.maxTxid < other.maxTxid ? -1 : 1;
  return one.minTxid < other.minTxid ? -1 : one.minTxid > other.minTxid ? 1 : 0;
}

function onlyPlain({ place }: ObjectStore): BackupError {
  return new BackupError('PLAIN_COPY', `the segments in ${place} are not encrypted, although copies there should be`, {
    hint: 'They were stored before BACKUP_ENCRYPTION_RECIPIENT was set, or somebody else put them there. If you know that they are yours, use --allow-plain (HTTP and library: allowPlain).',
  });
}

/** As messages call it: `segment 0000000000000001-0000000000000004 of level 1`. */
export function sayRemote({ minTxid, maxTxid, level }: KeyedSegment): string {
  return `segment ${bookmarkOf(minTxid)}-${bookmarkOf(maxTxid)} of level ${level}`;
}
