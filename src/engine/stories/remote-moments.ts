/**
 * What the stream at a target can bring back, and one of its moments as a file. Names, levels and sizes come from one listing;
 * the segments of a plan come in parallel ranges to a private folder and are applied there in their order. When one of them
 * was removed meanwhile, there is another plan.
 */
import { readdirSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { BackupError, errnoCode } from '../../words/errors.ts';
import { targetWord } from '../../words/target-word.ts';
import { type StoryContext, warnIn } from '../../words/story.ts';
import { prepareOwnFolder } from '../disk/aside.ts';
import { diskFull, freeBytes } from '../disk/folder-error.ts';
import { takeLock } from '../disk/lock.ts';
import { makePrivateFolder } from '../disk/private-folder.ts';
import { DISK_RESERVE_BYTES } from '../disk/share.ts';
import type { Manifest } from '../format/manifest.ts';
import { SegmentDownloads } from '../replication/fetch-segments.ts';
import { type BackupBase, buildMoment, requireFound } from '../replication/materialize.ts';
import type { Base } from '../replication/plan.ts';
import { readRemoteMarks } from '../replication/remote-marks.ts';
import { type RemoteSegment, RemoteStream, sayRemote, type TimedSegment } from '../replication/remote-stream.ts';
import { openTarget, type TargetAccess } from '../store/kinds.ts';
import { isNotThere } from '../store/store.ts';
import { fetchBackup } from './fetch.ts';
import {
  endsOf,
  foundMoment,
  gapsOf,
  type MomentRange,
  type Moments,
  type MomentsRequest,
  nearOf,
  toWish,
} from './moments.ts';

/** Where the stream lies, and who may open it. */
export interface StreamPlace {
  /** As the command line calls it. */
  readonly target: string;
  readonly prefix: string;
  readonly access: TargetAccess;
  /** Private keys for sealed segments; empty when there are none. */
  readonly identities: readonly string[];
  /** Copies there are encrypted: what is not may come from anybody. */
  readonly refusePlain?: boolean;
  /** Good backups of this database there that are moments of a stream. */
  readonly backups: readonly PlacedBackup[];
}

export interface PlacedBackup {
  readonly name: string;
  readonly at: string;
  readonly sizeBytes: number;
  readonly position: NonNullable<Manifest['position']>;
}

interface PlacedBase extends Base, Omit<PlacedBackup, 'at'> {}

export interface RemoteMomentsRequest extends Pick<MomentsRequest, 'wish' | 'from' | 'to'> {
  readonly kind: 'remote-moments';
  readonly place: StreamPlace;
}

/** @throws BackupError PLAIN_COPY, S3_*, ABORTED. */
export async function listRemoteMoments(
  { place, wish = { latest: true }, from, to }: RemoteMomentsRequest,
  { signal }: StoryContext,
): Promise<Moments> {
  return await withStream(place, signal, async (stream) => {
    const { segments, sizeBytes } = stream;
    const tag = await stream.tag();
    const bases = basesAt(place, tag);
    const plan = await stream.plan(toWish(wish), bases);
    const listed = (at: Date) =>
      (from === undefined || at >= new Date(from)) && (to === undefined || at <= new Date(to));
    const marks = await readRemoteMarks(stream.store, { signal, identities: place.identities });
    return {
      found: plan.outcome === 'found' ? foundMoment(plan, segments) : null,
      near: nearOf(plan),
      ranges: await rangesOf(stream, { from, to }),
      gaps: gapsOf(segments, bases),
      marks: marks.filter(({ at }) => listed(new Date(at))),
      ...{ sizeBytes, tag },
    };
  });
}

async function rangesOf(
  stream: RemoteStream,
  { from, to }: Pick<RemoteMomentsRequest, 'from' | 'to'>,
): Promise<readonly MomentRange[]> {
  const ranges = endsOf(stream.segments).map(async (own): Promise<readonly MomentRange[]> => {
    // One that is exactly as old belongs to it.
    const first = from === undefined ? 0 : await stream.countUntil(own, new Date(new Date(from).getTime() - 1));
    const end = to === undefined ? own.length : await stream.countUntil(own, new Date(to));
    const [oldest, newest] = [own[first], own[end - 1]];
    if (oldest === undefined || newest === undefined || end <= first) return [];
    const [oldestAt, newestAt] = await Promise.all([stream.timeOf(oldest), stream.timeOf(newest)]);
    const { level } = oldest;
    return [{ level, from: oldestAt.toISOString(), to: newestAt.toISOString(), moments: end - first }];
  });
  return (await Promise.all(ranges)).flat();
}

export interface RemoteMomentFileRequest {
  readonly kind: 'remote-moment-file';
  readonly place: StreamPlace;
  readonly bookmark: string;
  /** A folder of this place's own, for downloads that may be interrupted. */
  readonly staging: string;
  /** What was downloaded stays there: a restore follows its plan. */
  readonly keep: boolean;
  /** Must not exist. */
  readonly to: string;
  readonly lockWaitMs: number;
}

/** Retention may take a segment of a plan; then there is another plan. */
const PLANS_MAX = 5;

type Building = Omit<RemoteMomentFileRequest, 'kind'>;

/** @throws BackupError NO_MOMENT, BAD_BACKUP, STREAM_UNTRUE, BAD_REQUEST without the right private key, DISK_FULL, S3_*, ABORTED. */
export async function makeRemoteMomentFile(request: Building, context: StoryContext): Promise<null> {
  const { place, staging, to, keep, lockWaitMs } = request;
  const { signal } = context;
  context.onEvent({ type: 'step', name: 'fetch' });
  prepareOwnFolder(staging, warnIn(context));
  makePrivateFolder(staging);
  const lockPath = join(staging, '.lock');
  using _lock = await takeLock(lockPath, { waitMs: lockWaitMs, signal, warn: warnIn(context) });
  try {
    await buildFrom(request, context);
    if (!keep) clear(staging);
    return null;
  } catch (error) {
    rmSync(to, { force: true });
    throw inWords(error, place);
  } finally {
    rmSync(lockPath, { force: true });
  }
}

async function buildFrom(request: Building, context: StoryContext): Promise<void> {
  const { place, bookmark, staging, to } = request;
  const { signal } = context;
  const wish = toWish({ bookmark });
  const without = new Set<string>();
  for (let plans = 1; ; plans++) {
    const isDone = await withStream(place, signal, async (stream) => {
      const bases = basesAt(place, await stream.tag()).filter(({ name }) => !without.has(name));
      const plan = requireFound(await stream.plan(wish, bases), wish);
      refuseWithoutIdentity(plan.segments, place);
      const { store } = stream;
      const downloads = new SegmentDownloads({ store, folder: staging, identities: place.identities, context });
      try {
        await checkRoom(stream, plan, { downloads, to });
        const base = plan.base === null ? null : await fetchBase(plan.base, request, context);
        await buildMoment({ txid: plan.txid, base, segments: downloads.bring(plan.segments) }, to, signal);
        return true;
      } catch (error) {
        rmSync(to, { force: true });
        const known = BackupError.from(error);
        const isLast = plans === PLANS_MAX || signal.aborted;
        const isDamage = known.code === 'BAD_BACKUP' || known.code === 'VERIFY_FAILED';
        const dropped = isDamage ? downloads.dropCurrent() : null;
        if (dropped && !(dropped.wasHere && !isLast)) throw damaged(dropped.segment, place, known);
        if (isLast) throw error;
        // It was here from an earlier try, or removed at the target.
        if (dropped || isNotThere(known)) return false;
        if (plan.base === null || !canBeTheBases(known)) throw error;
        without.add(plan.base.name);
        return false;
      }
    });
    if (isDone) return;
  }
}

/** A backup may have been damaged or removed; the stream has bases of its own. */
function canBeTheBases({ code }: BackupError): boolean {
  return ['STREAM_UNTRUE', 'BAD_BACKUP', 'VERIFY_FAILED', 'NO_BACKUP', 'GONE', 'PLAIN_COPY'].includes(code);
}

export async function withStream<Result>(
  { access, prefix, refusePlain }: StreamPlace,
  signal: AbortSignal,
  work: (stream: RemoteStream) => Promise<Result>,
): Promise<Result> {
  const store = openTarget(access, prefix);
  try {
    return await work(await RemoteStream.list(store, { kind: access.kind, signal, refusePlain }));
  } finally {
    store.close();
  }
}

/** Without a tag that can be read, the state of what is built tells whether a backup is of this stream. */
export function basesAt({ backups }: StreamPlace, tag: number | null): readonly PlacedBase[] {
  return backups
    .filter(({ position }) => tag === null || position.tag === tag)
    .map((backup) => ({ ...backup, txid: BigInt(`0x${backup.position.bookmark}`), at: new Date(backup.at) }));
}

async function fetchBase(
  { name, sizeBytes, position, txid, at }: PlacedBase,
  { place, staging, lockWaitMs }: Building,
  context: StoryContext,
): Promise<BackupBase> {
  const path = join(staging, `base-${name}`);
  // Its content was checked when it came, and the moment is proven by its state.
  if (statSync(path, { throwIfNoEntry: false })?.size !== sizeBytes) {
    rmSync(path, { force: true });
    const { target, prefix, access, identities, refusePlain = false } = place;
    const from = { target, prefix, access, identities, refusePlain, lockWaitMs };
    await fetchBackup({ kind: 'fetch', name, to: path, staging, ...from }, context);
  }
  const proof = { header: Buffer.from(position.header, 'hex'), state: BigInt(`0x${position.state}`) };
  return { txid, at, path, ...proof };
}

function refuseWithoutIdentity(segments: readonly RemoteSegment[], { target, identities }: StreamPlace): void {
  if (identities.length > 0 || !segments.some(({ isSealed }) => isSealed)) return;
  throw new BackupError(
    'BAD_REQUEST',
    `the stream on ${targetWord(target)} is encrypted, and the private key is not on this server`,
    { hint: 'Name the file of the private key: --identity FILE.' },
  );
}

/** For what is still to come, what it is unsealed to, and the file itself. */
async function checkRoom(
  stream: RemoteStream,
  { segments, base }: { readonly segments: readonly TimedSegment[]; readonly base: PlacedBase | null },
  { downloads, to }: { readonly downloads: SegmentDownloads; readonly to: string },
): Promise<void> {
  const last = segments.at(-1);
  const header = last && !last.isSealed ? await stream.headerOf(last) : null;
  const sealedBytes = Math.max(0, ...segments.map(({ isSealed, sizeBytes }) => (isSealed ? sizeBytes : 0)));
  const fileBytes = header === null ? sealedBytes : header.commitPages * header.pageSize;
  const baseBytes = base === null ? 0 : 2 * base.sizeBytes;
  const neededBytes = downloads.missingBytes(segments) + sealedBytes + fileBytes + baseBytes + DISK_RESERVE_BYTES;
  if (freeBytes(dirname(to)) < neededBytes) throw diskFull(dirname(to), { neededBytes });
}

function damaged(segment: RemoteSegment, { target }: StreamPlace, cause: BackupError): BackupError {
  return new BackupError('BAD_BACKUP', `the ${sayRemote(segment)} on ${targetWord(target)} is damaged`, {
    hint: `Nothing was restored. \`velist-backup moments --from ${target}\` shows the moments there; restore another one, or a backup.`,
    cause,
  });
}

/** An error of the stream says where it lies. */
function inWords(error: unknown, { target }: StreamPlace): unknown {
  if (!(error instanceof BackupError) || (error.code !== 'NO_MOMENT' && error.code !== 'STREAM_UNTRUE')) return error;
  const { code, message, hint } = error;
  return new BackupError(code, `${message} (on ${targetWord(target)})`, { hint, cause: error });
}

function clear(staging: string): void {
  for (const entry of readdirSync(staging)) {
    try {
      rmSync(join(staging, entry), { recursive: true, force: true });
    } catch (error) {
      if (errnoCode(error) !== 'ENOENT') throw error;
    }
  }
}
