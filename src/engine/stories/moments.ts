/** What a stream can bring back, one of its moments as a file, and a name for the newest. None opens the live database. */
import { rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { BackupError } from '../../words/errors.ts';
import { parseMoment } from '../../words/moment.ts';
import { isBookmark } from '../../words/restore-point.ts';
import type { StoryContext } from '../../words/story.ts';
import { Catalog } from '../catalog/folder-catalog.ts';
import { diskFull, freeBytes } from '../disk/folder-error.ts';
import { isLocked, takeLock } from '../disk/lock.ts';
import { DISK_RESERVE_BYTES } from '../disk/share.ts';
import { LocalStream, type LocalSegment } from '../replication/local-stream.ts';
import { type Mark, MARKS_LOCK, readableMarks, readMarks, writeMarks } from '../replication/marks.ts';
import { type BackupBase, materialize } from '../replication/materialize.ts';
import {
  type Base,
  type ListedSegment,
  planStream,
  SNAPSHOT_LEVEL,
  type StreamPlan,
  type WishedMoment,
} from '../replication/plan.ts';
import { REPLICATOR_LOCK } from '../replication/pause.ts';
import { bookmarkOf, type SegmentSpan } from '../replication/segment.ts';

/** As it crosses the border of a process. */
export type MomentWish = { readonly latest: true } | { readonly at: string } | { readonly bookmark: string };

export interface MomentsRequest {
  readonly kind: 'moments';
  /** Where the stream lies. */
  readonly folder: string;
  /** Left out: the newest. */
  readonly wish?: MomentWish;
  /** ISO text; left out, all that there is is listed. */
  readonly from?: string | undefined;
  readonly to?: string | undefined;
}

/** Moments of one granularity, from the oldest to the newest that can be restored. */
export interface MomentRange {
  readonly level: number;
  readonly from: string;
  readonly to: string;
  readonly moments: number;
}

/** Moments that cannot be restored any more: segments are missing. */
interface MomentGap {
  /** The bookmark of the last one before them. */
  readonly after: string;
  /** That of the first one that can be restored again; null if there is none yet. */
  readonly until: string | null;
}

interface FoundMoment {
  readonly bookmark: string;
  readonly at: string;
  readonly segments: number;
  readonly bytes: number;
  /** The nearest that can be restored on both sides of it; null where there is none. */
  readonly before: string | null;
  readonly after: string | null;
}

export interface Moments {
  /** The one that is wished for, or the nearest before it; null where there is none. */
  readonly found: FoundMoment | null;
  /** Where none is found: the nearest that can be had. */
  readonly near: readonly string[];
  readonly ranges: readonly MomentRange[];
  /** They are listed whatever `from` and `to` are. */
  readonly gaps: readonly MomentGap[];
  /** Oldest first. */
  readonly marks: readonly Mark[];
  readonly sizeBytes: number;
  /** What the newest segment says of which stream it is; null where there is none. */
  readonly tag: number | null;
}

export async function listMoments({ folder, wish = { latest: true }, from, to }: MomentsRequest): Promise<Moments> {
  const stream = new LocalStream(folder);
  stream.refresh();
  const { segments, sizeBytes } = stream;
  const bases = await basesOf(stream);
  const plan = planStream(toWish(wish), { segments, bases });
  const isListed = (at: Date) =>
    (from === undefined || at >= new Date(from)) && (to === undefined || at <= new Date(to));
  return {
    found: plan.outcome === 'found' ? foundMoment(plan, segments) : null,
    near: nearOf(plan),
    ranges: rangesOf(endsOf(segments).map((own) => own.filter(({ at }) => isListed(at)))),
    gaps: gapsOf(segments, bases),
    marks: readableMarks(folder).filter(({ at }) => isListed(new Date(at))),
    sizeBytes,
    tag: stream.newest?.header.tag ?? null,
  };
}

/** Where the wished moment is not there, the nearest that can be had. */
export function nearOf(plan: StreamPlan<ListedSegment, Base>): readonly string[] {
  const near = plan.outcome === 'none' ? [plan.before, plan.after] : plan.outcome === 'gap' ? [plan.txid] : [];
  return near.flatMap((txid) => (txid === null ? [] : bookmarkOf(txid)));
}

type Sized = SegmentSpan & { readonly level: number; readonly sizeBytes: number };

export function foundMoment(
  plan: Extract<StreamPlan<ListedSegment & Sized, Base>, { outcome: 'found' }>,
  all: readonly Sized[],
): FoundMoment {
  const ends = endsOf(all).flatMap((own) => own.map(({ maxTxid }) => maxTxid));
  const [before, after] = [ends.filter((end) => end < plan.txid), ends.filter((end) => end > plan.txid)];
  return {
    ...{ bookmark: bookmarkOf(plan.txid), at: plan.at.toISOString(), segments: plan.segments.length },
    bytes: plan.segments.reduce((sum, one) => sum + one.sizeBytes, 0),
    before: before.length === 0 ? null : bookmarkOf(before.reduce((a, b) => (a > b ? a : b))),
    after: after.length === 0 ? null : bookmarkOf(after.reduce((a, b) => (a < b ? a : b))),
  };
}

/** The backups in the folder around it that are moments of this stream. */
export async function basesOf({ folder, newest }: LocalStream): Promise<readonly BackupBase[]> {
  const backups = dirname(folder);
  return (await new Catalog(backups).list()).flatMap(({ name, createdAt, fault, manifest }) => {
    const position = manifest?.position;
    if (fault !== null || position === undefined || position.tag !== newest?.header.tag) return [];
    const proof = { header: Buffer.from(position.header, 'hex'), state: BigInt(`0x${position.state}`) };
    return { txid: BigInt(`0x${position.bookmark}`), at: createdAt, path: join(backups, name), ...proof };
  });
}

function rangesOf(levels: readonly (readonly LocalSegment[])[]): readonly MomentRange[] {
  return levels.flatMap((own) => {
    const [first, last] = [own[0], own.at(-1)];
    if (first === undefined || last === undefined) return [];
    const { level, at } = first;
    return { level, from: at.toISOString(), to: last.at.toISOString(), moments: own.length };
  });
}

/** The moments of each granularity, the finest first. What can be restored begins with the oldest segment that has all pages. */
export function endsOf<S extends SegmentSpan & { readonly level: number }>(
  segments: readonly S[],
): readonly (readonly S[])[] {
  const [base] = segments.filter(({ minTxid }) => minTxid === 1n).toSorted((a, b) => (a.maxTxid < b.maxTxid ? -1 : 1));
  if (base === undefined) return [];
  return [...new Set(segments.map(({ level }) => level))]
    .map((level) => segments.filter((one) => one.level === level && one.maxTxid >= base.maxTxid))
    .filter((own) => own.length > 0);
}

/** A gap begins when no segment goes on from what is reached, and ends with the next base. */
export function gapsOf(
  segments: readonly (SegmentSpan & { readonly level: number })[],
  backups: readonly Base[],
): readonly MomentGap[] {
  const isWhole = ({ level }: { readonly level: number }) => level === SNAPSHOT_LEVEL;
  const bases = [...segments.filter(isWhole).map(({ maxTxid }) => maxTxid), ...backups.map(({ txid }) => txid)];
  const steps = [
    ...bases.map((txid) => ({ first: txid, last: txid, isBase: true })),
    ...segments
      .filter((one) => !isWhole(one))
      .map((one) => ({ first: one.minTxid, last: one.maxTxid, isBase: one.minTxid === 1n })),
  ].toSorted((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0));
  const gaps: { after: bigint; until: bigint | null }[] = [];
  let reached: bigint | null = null;
  for (const { first, last, isBase } of steps) {
    const gap = gaps.at(-1);
    if (gap?.until === null) {
      // Nothing leads on until there is a base again.
      if (isBase) [gap.until, reached] = [last, last];
    } else if (reached === null) {
      if (isBase) reached = last;
    } else if (first <= reached + 1n || isBase) {
      if (first > reached + 1n) gaps.push({ after: reached, until: last });
      if (last > reached) reached = last;
    } else gaps.push({ after: reached, until: null });
  }
  return gaps.map(({ after, until }) => ({
    after: bookmarkOf(after),
    until: until === null ? null : bookmarkOf(until),
  }));
}

export function toWish(wish: MomentWish): WishedMoment {
  if ('latest' in wish) return wish;
  return 'at' in wish ? { at: new Date(wish.at) } : { txid: BigInt(`0x${wish.bookmark}`) };
}

export interface MomentFileRequest {
  readonly kind: 'moment-file';
  readonly folder: string;
  readonly bookmark: string;
  /** Must not exist. */
  readonly to: string;
}

/** The most that the file of a moment takes while it is built; 0 for a moment that can't be reached. */
function momentBytes({ segments }: LocalStream, bases: readonly BackupBase[], wish: WishedMoment): number {
  const plan = planStream(wish, { segments, bases });
  if (plan.outcome !== 'found') return 0;
  const base = plan.base && statSync(plan.base.path, { throwIfNoEntry: false });
  const sizes = plan.segments.map(({ header }) => header.commitPages * header.pageSize);
  return sizes.reduce((most, size) => Math.max(most, size), base?.size ?? 0);
}

/** @throws BackupError NO_MOMENT, BAD_BACKUP, STREAM_UNTRUE, DISK_FULL. */
export async function makeMomentFile(
  { folder, bookmark, to }: MomentFileRequest,
  { signal, onEvent }: StoryContext,
): Promise<null> {
  onEvent({ type: 'step', name: 'fetch' });
  try {
    const stream = new LocalStream(folder);
    stream.refresh();
    const bases = await basesOf(stream);
    const neededBytes = momentBytes(stream, bases, toWish({ bookmark })) + DISK_RESERVE_BYTES;
    if (freeBytes(dirname(to)) < neededBytes) throw diskFull(dirname(to), { neededBytes });
    await materialize(folder, toWish({ bookmark }), to, { bases, signal });
    return null;
  } catch (error) {
    rmSync(to, { force: true });
    throw error;
  }
}

export interface MarkRequest {
  readonly kind: 'mark';
  readonly folder: string;
  readonly name: string;
  /** How long to wait for the replicator to capture what is committed. */
  readonly waitMs: number;
}

export interface Marked {
  readonly name: string;
  readonly bookmark: string;
}

const LOOK_MS = 50;

/**
 * Names what is committed now. Without a replicator the newest captured moment is meant.
 *
 * @throws BackupError BAD_REQUEST for a name that is taken, or would be read as a time or a bookmark; NO_MOMENT for an empty stream; NOT_DURABLE when nothing was
 * captured in time: then the mark is not made.
 */
export async function mark({ folder, name, waitMs }: MarkRequest, { signal, now }: StoryContext): Promise<Marked> {
  if (isBookmark(name) || parseMoment(name, now()) !== null) throw isNoName(name);
  const lock = () => takeLock(join(folder, MARKS_LOCK), { waitMs: 5_000, signal });
  {
    using _lock = await lock();
    const isCapturing = isLocked(join(folder, REPLICATOR_LOCK));
    const stream = new LocalStream(folder);
    stream.refresh();
    const { newest } = stream;
    if (newest === null) throw noMoments();
    const marks = readMarks(folder);
    if (marks.some((one) => one.name === name)) throw isTaken(name);
    const bookmark = isCapturing ? null : bookmarkOf(newest.maxTxid);
    writeMarks(folder, [...marks, { name, at: now().toISOString(), bookmark }]);
    if (bookmark !== null) return { name, bookmark };
  }
  for (const untilMs = performance.now() + waitMs; performance.now() < untilMs;) {
    const bookmark = readMarks(folder).find((one) => one.name === name)?.bookmark ?? null;
    if (bookmark !== null) return { name, bookmark };
    await sleep(LOOK_MS, undefined, { signal });
  }
  using _lock = await lock();
  writeMarks(
    folder,
    readMarks(folder).filter((one) => one.name !== name || one.bookmark !== null),
  );
  throw new BackupError('NOT_DURABLE', `the mark ${name} was not made: nothing was captured in time`, {
    hint: 'See `velist-backup status` for why commits are not captured just now.',
  });
}

function isTaken(name: string): BackupError {
  return new BackupError('BAD_REQUEST', `there is a mark ${JSON.stringify(name)} already`, {
    hint: 'Choose another name; `velist-backup moments` lists the marks.',
  });
}

function isNoName(name: string): BackupError {
  return new BackupError('BAD_REQUEST', `a mark can't be named ${JSON.stringify(name)}: that is a time or a bookmark`, {
    hint: 'Choose a name that `restore --at` can tell from both, such as "before import 42".',
  });
}

function noMoments(): BackupError {
  return new BackupError('NO_MOMENT', 'the stream holds no moment yet', {
    hint: 'Turn continuous backup on: BACKUP_CONTINUOUS=true.',
  });
}
