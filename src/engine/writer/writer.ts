/**
 * One writer per place. Whoever writes at a target holds the newest epoch there (`writer-objects.ts`) and renews a
 * heartbeat; a writer that was not released and was silent for three ticks is gone, and the next one takes over. Without
 * it two machines with one prefix, such as staging with a copy of production's environment, prune each other's backups.
 *
 * `judgeWriter` decides and does nothing. `holdPlace` learns what it needs, acts, and is the first step of every job that
 * writes at a target. `claimWriter` makes the place ours because a person said so.
 *
 * What we know of the place lies in the file of the installation, and is written there before the target hears of it:
 * the token before the epoch, the count before the heartbeat. After a crash the target therefore never knows more of us
 * than we do. If it does, this machine was cloned, or set back to an older image.
 *
 * An installation that takes over without knowing the place, or after another one wrote there, removes for a week only
 * what it made itself. Where the file can't be written that holds for good.
 */
import { isBackupName } from '../format/names.ts';
import { BackupError } from '../../words/errors.ts';
import { judgeWriter, type Life, type Outcome } from './judge.ts';
import { isToBeRenewed } from '../store/lifecycle.ts';
import type { WriterSelf } from './self.ts';
import { openPlaceMemory, type PlaceMemory } from './memory.ts';
import {
  createEpoch,
  EVERY_MAX_MS,
  forgetClone,
  hostOfClone,
  keyAt,
  knock,
  lastBeat,
  lookAt,
  markClone,
  type Place,
  type PlaceLook,
  placeText,
  type SeenEpoch,
  tidy,
  timeOf,
} from './objects.ts';
import type { ClaimedWriting, Writing } from './writing.ts';
import type { OtherWriter, StoryContext, WriterNews } from '../../words/story.ts';

/** Ticks without a heartbeat until a writer is gone. */
const SILENT_TICKS = 3;
const SPARED_MS = 7 * 86_400_000;
/** Each attempt that is lost means that another machine took that epoch. */
const TAKES_MAX = 5;
/** Longer than a small write takes to arrive. */
const SECOND_LOOK_MS = 2_000;
const CLONES_MAX = 3;

export interface Holding {
  readonly epoch: number;
  /** The only installation whose backups may be removed there; null if that does not hold. */
  readonly sparesAllBut: string | null;
  /**
   * To be asked before something is removed: an upload may take hours, or the machine was paused.
   *
   * @throws BackupError PLACE_TAKEN when another machine became the writer meanwhile.
   */
  confirm(): Promise<void>;
}

export interface HoldRequest {
  readonly self: WriterSelf;
  readonly writing: Writing;
  /** The place, as the file of the installation calls it. */
  readonly address: string;
  readonly secondLookMs?: number;
}

type Context = Pick<StoryContext, 'signal' | 'now' | 'onEvent'>;

/**
 * Makes sure that we are the writer, and takes the next epoch where the place is free.
 *
 * @throws BackupError PLACE_TAKEN while another installation writes there, CLONED while one with our id does, S3_*.
 */
export async function holdPlace(place: Place, request: HoldRequest, context: Context): Promise<Holding> {
  using memory = await openPlaceMemory(request.self, request.address, context);
  const tell = (news: WriterNews) => context.onEvent({ type: 'writer', news });
  const { address } = request;
  for (let takes = 0; takes < TAKES_MAX; takes++) {
    const { outcome, look, writer } = await examine(place, request, memory, context);
    if (writer && (outcome === 'other' || outcome === 'clone')) {
      if (outcome === 'clone') await leaveMark(place, look, request, context);
      tell({ type: 'stopped', address, by: writer });
      throw refusalBy(writer, placeText(place), place.store.words.own);
    }
    const isRenewed = outcome === 'hold' && isAging(look, request, context);
    const held =
      outcome === 'hold' && !isRenewed
        ? heldFrom(look, request)
        : await takeEpoch(place, request, { memory, look }, context);
    if (held === null) continue;
    const clones = await takeClones(place, look, context);
    const isTakeover =
      outcome === 'take' && writer !== null && look.newest?.writer?.installation !== memory.installation;
    const from = isTakeover ? { ...writer, wasReleased: look.newest?.isReleased ?? false } : null;
    const { sparesOthersUntil = null } = memory.held ?? {};
    tell({ type: 'holds', address, ...held, from, sparesOthersUntil, clones });
    return {
      epoch: held.epoch,
      sparesAllBut: (await isSparing(place, memory, context)) ? memory.installation : null,
      confirm: confirmer(place, held, context),
    };
  }
  throw busy(place, 'begin to write');
}

/**
 * Makes this installation the writer, whoever is: the one before finds that out at its next write. It may remove from
 * then on what others made.
 *
 * @throws BackupError S3_*.
 */
export async function claimWriter(place: Place, request: HoldRequest, context: Context): Promise<ClaimedWriting> {
  using memory = await openPlaceMemory(request.self, request.address, context);
  for (let takes = 0; takes < TAKES_MAX; takes++) {
    const look = await lookAt(place, context);
    const held = await takeEpoch(place, request, { memory, look, isClaim: true }, context);
    if (held === null) continue;
    const news = { address: request.address, ...held, from: null, sparesOthersUntil: null, clones: [] };
    context.onEvent({ type: 'writer', news: { type: 'holds', ...news } });
    const { writer, since } = look.newest ?? {};
    const from = writer &&
      since && { installation: writer.installation, host: writer.host, since: since.toISOString() };
    return { epoch: held.epoch, from: from ?? null };
  }
  throw busy(place, 'claim');
}

/** Looks as `holdPlace` does and takes nothing; null if the place is free or ours. */
export async function otherWriterAt(place: Place, request: HoldRequest, context: Context): Promise<OtherWriter | null> {
  using memory = await openPlaceMemory(request.self, request.address, context);
  const { outcome, look, writer } = await examine(place, request, memory, context);
  if (outcome === 'clone') await leaveMark(place, look, request, context);
  return outcome === 'other' || outcome === 'clone' ? writer : null;
}

/** What a listing tells of the writer. It writes nothing, so it can't tell whether the writer is alive. */
export async function seeWriter(
  place: Place,
  { self, address }: Pick<HoldRequest, 'self' | 'address'>,
  context: Pick<Context, 'signal'>,
): Promise<WriterNews> {
  const look = await lookAt(place, context);
  const { newest } = look;
  return {
    ...{ type: 'seen', address, clones: await clonesOf(place, look, context) },
    newest: newest && {
      token: newest.writer?.token ?? '',
      isReleased: newest.isReleased,
      by: describe(newest, self.maker.installation, null),
    },
  };
}

/** The error of a place where another machine writes. */
export function refusalBy({ kind, host, since, seenAt }: OtherWriter, where: string, own: string): BackupError {
  const seen = seenAt === null ? '' : `, last seen at ${seenAt}`;
  if (kind === 'other') {
    return new BackupError('PLACE_TAKEN', `${host} has been writing to ${where} since ${since}${seen}`, {
      hint: `Give this machine ${own}. If it replaces the other one, stop that one: then this one continues by itself, at once or after three ticks. If it is the same database and the other machine should no longer write, \`velist-backup claim\` takes over without waiting.`,
    });
  }
  return new BackupError(
    'CLONED',
    `a machine with the id of this one (${host}) has been writing to ${where} since ${since}${seen}`,
    {
      hint: `One of them is a copy of the other. Stop velist-backup on the copy, move velist-backup.installation.json away there, and give it ${own}. A machine that was set back to an older image continues by itself after three ticks.`,
    },
  );
}

interface Examined {
  readonly outcome: Outcome;
  readonly look: PlaceLook;
  /** The newest, whoever it is. */
  readonly writer: OtherWriter | null;
}

async function examine(
  place: Place,
  { writing: { token, isFirst } }: HoldRequest,
  memory: PlaceMemory,
  context: Context,
): Promise<Examined> {
  const look = await lookAt(place, context);
  const { newest } = look;
  let life: Life = {};
  let seenAt: Date | null | undefined;
  for (;;) {
    const { installation, held, taking } = memory;
    const outcome = judgeWriter(newest, { installation, token, isFirst, held, taking }, life);
    if (typeof outcome === 'string') {
      return { outcome, look, writer: newest && describe(newest, installation, seenAt ?? null) };
    }
    if (newest === null) throw new Error('an empty place has no heartbeat'); // judged without one
    if (life.beats === undefined) {
      const beat = await lifeOf(place, newest, context);
      memory.reread();
      life = { beats: beat.beats };
      seenAt = beat.seenAt;
    }
    if (outcome.learn === 'silence')
      life = { ...life, isSilent: await isSilent(place, newest, { seenAt, installation }, context) };
  }
}

/** The last sign of life: the heartbeat, or the epoch itself before the first one. Null if it may not be seen. */
async function lifeOf(
  { store }: Place,
  { writer, since }: SeenEpoch,
  { signal }: Context,
): Promise<{ readonly beats: number; readonly seenAt: Date | null }> {
  if (writer === null) return { beats: 0, seenAt: since };
  try {
    const beat = await lastBeat(store, writer.beat, { signal });
    if (beat === null) return { beats: 0, seenAt: since };
    const beats = beat.token === writer.token ? beat.beats : 0;
    return { beats, seenAt: beat.modifiedAt > since ? beat.modifiedAt : since };
  } catch (error) {
    // It lies below the prefix of another database, which this key may not read.
    if (error instanceof BackupError && error.code === 'S3_DENIED') return { beats: 0, seenAt: null };
    throw error;
  }
}

/** Compares only the server's times. A writer whose heartbeat can't be seen counts as alive. */
async function isSilent(
  place: Place,
  { writer }: SeenEpoch,
  { seenAt, installation }: { readonly seenAt: Date | null | undefined; readonly installation: string },
  context: Context,
): Promise<boolean> {
  if (!seenAt) return false;
  const everyMs = Math.min(writer?.everyMs ?? EVERY_MAX_MS, EVERY_MAX_MS);
  const now = await knock(place, installation, context);
  return now.getTime() - seenAt.getTime() > SILENT_TICKS * everyMs;
}

interface Held {
  readonly epoch: number;
  readonly token: string;
  readonly isOwn: boolean;
  readonly everyMs: number;
}

/** Is it this start's, and on its way to be removed by a rule of the bucket? The place would be free then. */
function isAging({ newest }: PlaceLook, { writing }: HoldRequest, { now }: Context): boolean {
  if (!writing.lifecycleDays || newest?.writer?.token !== writing.token) return false;
  return isToBeRenewed(newest.since, writing.lifecycleDays, now());
}

function heldFrom({ newest }: PlaceLook, { writing }: HoldRequest): Held | null {
  if (!newest?.writer) return null;
  const { token, everyMs } = newest.writer;
  return { epoch: newest.epoch, token, isOwn: token === writing.token, everyMs };
}

/** Null if another machine was faster. */
async function takeEpoch(
  place: Place,
  { self, writing, secondLookMs = SECOND_LOOK_MS }: HoldRequest,
  {
    memory,
    look,
    isClaim = false,
  }: { readonly memory: PlaceMemory; readonly look: PlaceLook; readonly isClaim?: boolean },
  context: Context,
): Promise<Held | null> {
  const { token, everyMs, beat } = writing;
  // Ours may have been removed there by hand, or by a rule of the bucket.
  const epoch = Math.max(look.newest?.epoch ?? 0, memory.held?.epoch ?? 0) + 1;
  const isSpared = !isClaim && (await mustSpare(place, { memory, look, knowsPlace: writing.knowsPlace }, context));
  await memory.noteTaking(token);
  const { databaseId, pathDigest, maker } = self;
  const created = await createEpoch(
    place,
    epoch,
    {
      ...{ format: 'velist-backup-writer/1', token, installation: memory.installation, host: maker.host },
      ...{ databaseId, path: pathDigest, at: context.now().toISOString(), everyMs, beat, claimed: isClaim },
    },
    { signal: context.signal, secondLookMs },
  );
  if (!created) return null;
  const sparesOthersUntil = isSpared
    ? await sparedUntil(place, epoch, context)
    : isClaim
      ? null
      : (memory.held?.sparesOthersUntil ?? null);
  // A command that claims the place ends, and what process goes on there is not known.
  await memory.noteTaken({ epoch, token, isHeld: !isClaim, sparesOthersUntil });
  await tidy(place, look, epoch, context);
  return { epoch, token, isOwn: true, everyMs };
}

/** Are there backups of somebody whom we know nothing about, or who wrote there after us? */
async function mustSpare(
  place: Place,
  {
    memory,
    look,
    knowsPlace,
  }: { readonly memory: PlaceMemory; readonly look: PlaceLook; readonly knowsPlace: boolean },
  { signal }: Context,
): Promise<boolean> {
  const isTaken = look.newest !== null && !isRemembered(look, memory);
  if (!isTaken && (memory.held !== null || knowsPlace)) return false;
  const before = keyAt(place, '').replace(/writer\/$/, '');
  for await (const { key } of place.store.list(`${before}backup-`, { signal }))
    if (isBackupName(key.slice(before.length).replace(/\.json$/, ''))) return true;
  return false;
}

/** By its token: an epoch of this installation that is not known here is from before it was set back. */
function isRemembered({ newest }: PlaceLook, { held, taking }: PlaceMemory): boolean {
  const token = newest?.writer?.token;
  return token !== undefined && (token === held?.token || token === taking);
}

/** Counted by the server's clock, or by ours in case the epoch that was just created can't be looked up. */
async function sparedUntil(place: Place, epoch: number, context: Context): Promise<string> {
  const from = (await timeOf(place, epoch, context)) ?? context.now();
  return new Date(from.getTime() + SPARED_MS).toISOString();
}

/** It ends when our clock and the server's both say so: one that jumps ahead must not end it. */
async function isSparing(place: Place, memory: PlaceMemory, context: Context): Promise<boolean> {
  if (!memory.isKept) return true;
  const until = memory.held?.sparesOthersUntil ?? null;
  if (until === null) return false;
  const untilMs = Date.parse(until);
  if (context.now().getTime() < untilMs) return true;
  if ((await knock(place, memory.installation, context)).getTime() < untilMs) return true;
  await memory.noteSparing(null);
  return false;
}

/** Looks every time: a virtual machine that was paused since the last look does not know how long ago that was. */
function confirmer(place: Place, held: Held, context: Context): () => Promise<void> {
  return async () => {
    const { newest } = await lookAt(place, context);
    if (newest === null || (newest.epoch === held.epoch && newest.writer?.token === held.token)) return;
    throw refusalBy(describe(newest, '', null), placeText(place), place.store.words.own);
  };
}

function describe({ writer, since }: SeenEpoch, installation: string, seenAt: Date | null): OtherWriter {
  return {
    kind: writer?.installation === installation ? 'clone' : 'other',
    host: writer?.host ?? 'a machine of unknown name',
    since: since.toISOString(),
    seenAt: seenAt?.toISOString() ?? null,
  };
}

// ── clones ──

async function leaveMark(place: Place, look: PlaceLook, { writing }: HoldRequest, { signal }: Context): Promise<void> {
  // If the mark can't be written, we stop all the same.
  await markClone(place, look.newest?.epoch ?? 0, writing.token, { signal }).catch((error: unknown) => {
    if (BackupError.from(error).code === 'ABORTED') throw error;
  });
}

async function clonesOf(
  place: Place,
  { clones }: PlaceLook,
  { signal }: Pick<Context, 'signal'>,
): Promise<readonly OtherWriter[]> {
  const found: OtherWriter[] = [];
  for (const clone of clones.slice(-CLONES_MAX)) {
    const host = await hostOfClone(place, clone, { signal });
    const seenAt = clone.seenAt.toISOString();
    found.push({ kind: 'clone', host, since: seenAt, seenAt });
  }
  return found;
}

/** The marks are removed where that is allowed: a clone that still tries leaves another one. */
async function takeClones(place: Place, look: PlaceLook, context: Context): Promise<readonly OtherWriter[]> {
  const clones = await clonesOf(place, look, context);
  for (const clone of look.clones) await forgetClone(place, clone, context);
  return clones;
}

function busy(place: Place, doing: string): BackupError {
  return new BackupError('PLACE_TAKEN', `several machines ${doing} to ${placeText(place)} at this moment`, {
    hint: `It is retried. Give each machine ${place.store.words.own}.`,
  });
}
