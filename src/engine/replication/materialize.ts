/**
 * Brings a moment of a stream back as one file: the base is written, then each later segment in place, cut to its end.
 * The result must have exactly the state that the stream proves for that moment, read back from the disk; else there is no
 * result.
 */
import { closeSync, fstatSync, fsyncSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { BackupError, errnoCode } from '../../words/errors.ts';
import { lockPageOf, type LtxHeader } from '../format/ltx/header.ts';
import { copyPrivately } from '../sqlite/copy-durably.ts';
import { readHeader, sayRollbackMode } from '../sqlite/header.ts';
import { applySegment } from './apply.ts';
import { LocalStream, type LocalSegment } from './local-stream.ts';
import { stateOf, sumPage } from './page-sums.ts';
import { type Base, type ListedSegment, planStream, type StreamPlan, type WishedMoment } from './plan.ts';
import { headerFieldsOf } from './position.ts';
import { inTurns } from './rest.ts';
import { bookmarkOf } from './segment.ts';

/** A backup whose state is known to be that of a moment. */
export interface BackupBase extends Base {
  readonly path: string;
  /** What its first page has otherwise at that moment: a backup is not in WAL mode. */
  readonly header: Buffer;
  readonly state: bigint;
}

/** Retention may take a segment of a plan; then there is another plan. */
const PLANS_MAX = 5;

/**
 * @param to must not exist.
 * @throws BackupError NO_MOMENT; BAD_BACKUP, STREAM_UNTRUE; DISK_FULL. Then there is no file.
 */
export async function materialize(
  folder: string,
  wish: WishedMoment,
  to: string,
  { bases = [], signal }: { readonly bases?: readonly BackupBase[]; readonly signal?: AbortSignal } = {},
): Promise<void> {
  const stream = new LocalStream(folder);
  let usable = bases;
  for (let plans = 1; ; plans++) {
    stream.refresh();
    const plan = requireFound(planStream(wish, { segments: stream.segments, bases: usable }), wish);
    try {
      return await buildMoment(plan, to, signal);
    } catch (error) {
      rmSync(to, { force: true });
      if (plans === PLANS_MAX) throw error;
      // A backup may have been damaged or removed; the stream has bases of its own.
      if (plan.base !== null) usable = usable.filter((base) => base !== plan.base);
      else if (errnoCode(error) !== 'ENOENT') throw error;
    }
  }
}

type Found<S extends ListedSegment, B extends Base> = Extract<StreamPlan<S, B>, { outcome: 'found' }>;

/** @throws BackupError NO_MOMENT, with the nearest that can be had. */
export function requireFound<S extends ListedSegment, B extends Base>(
  plan: StreamPlan<S, B>,
  wish: WishedMoment,
): Found<S, B> {
  if (plan.outcome === 'found') return plan;
  if (plan.outcome === 'gap') {
    throw new BackupError(
      'NO_MOMENT',
      `a segment behind ${bookmarkOf(plan.txid)} is missing, so the newest moment cannot be reached`,
      {
        hint: `\`--at ${bookmarkOf(plan.txid)}\` restores the last one before it. See \`velist-backup moments\`.`,
      },
    );
  }
  const near = [plan.before, plan.after].flatMap((txid) => (txid === null ? [] : bookmarkOf(txid)));
  const what =
    'txid' in wish
      ? `the moment ${bookmarkOf(wish.txid)}`
      : 'at' in wish
        ? `a moment before ${wish.at.toISOString()}`
        : 'any moment';
  throw new BackupError('NO_MOMENT', `the stream does not hold ${what}`, {
    hint: near.length === 0 ? 'See `velist-backup moments`.' : `The nearest that it holds: ${near.join(', ')}.`,
  });
}

interface Parts {
  readonly txid: bigint;
  readonly base: BackupBase | null;
  /** In order; each is asked for when those before it are applied. */
  readonly segments: Iterable<Pick<LocalSegment, 'path'>> | AsyncIterable<Pick<LocalSegment, 'path'>>;
}

/**
 * @param to must not exist; after an error it is of no use.
 * @throws BackupError BAD_BACKUP, STREAM_UNTRUE; system errors, and those of the segments.
 */
export async function buildMoment(plan: Parts, to: string, signal?: AbortSignal): Promise<void> {
  if (plan.base !== null) copyPrivately(plan.base.path, to);
  const file = openSync(to, plan.base === null ? 'wx+' : 'r+', 0o600);
  try {
    if (plan.base !== null)
      for (const [at, bytes] of headerFieldsOf(plan.base.header)) writeSync(file, bytes, 0, bytes.length, at);
    let last: LtxHeader | undefined;
    let applied = 0;
    for await (const { path } of plan.segments) {
      signal?.throwIfAborted();
      last = (await inTurns(applySegment(file, path), signal)).header;
      applied++;
    }
    const pageSize = last?.pageSize ?? readHeader(file)?.pageSize;
    if (pageSize === undefined) throw untrue(plan, applied);
    const state = await inTurns(stateOfFile(file, pageSize), signal);
    const wanted = last === undefined ? plan.base?.state : last.tag === 0 ? state : last.stateAfter;
    if (state !== wanted) throw untrue(plan, applied);
    // Without a log beside it, as backups are.
    sayRollbackMode(file);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

function untrue({ txid, base }: Parts, segments: number): BackupError {
  const from = base === null ? `${segments} segments` : `a backup and ${segments} segments`;
  return new BackupError(
    'STREAM_UNTRUE',
    `the moment ${bookmarkOf(txid)}, built from ${from}, is not what was captured`,
    {
      hint: 'Nothing was changed. Restore another moment or a backup; the stream begins anew by itself as soon as it notices the fault.',
    },
  );
}

/** The state of a file that nobody writes to. The page of the locks is no part of it. */
export function* stateOfFile(
  file: number,
  pageSize: number,
  changeFirst: (page: Buffer) => void = () => {},
): Generator<void, bigint> {
  const pages = fstatSync(file).size / pageSize;
  const words = new Uint32Array(2 * pages);
  const perChunk = Math.max(1, CHUNK_BYTES / pageSize);
  const chunk = Buffer.allocUnsafeSlow(perChunk * pageSize);
  for (let first = 1; first <= pages; first += perChunk) {
    const count = Math.min(perChunk, pages - first + 1);
    readSync(file, chunk, 0, count * pageSize, (first - 1) * pageSize);
    if (first === 1) changeFirst(chunk.subarray(0, pageSize));
    for (let k = 0; k < count; k++)
      if (first + k !== lockPageOf(pageSize))
        sumPage(chunk.subarray(k * pageSize, (k + 1) * pageSize), words, 2 * (first + k - 1));
    yield;
  }
  return stateOf(words, pageSize);
}

const CHUNK_BYTES = 256 * 1024;
