/**
 * The drill of one captured moment: it is brought back to a hidden place and judged as a backup is. Beside that it must
 * have the state that the stream proves for it, and all that say what that state was must agree: the segment that was
 * captured, those that it was merged into, and a backup that was cut there.
 */
import { BackupError } from '../../words/errors.ts';
import type { StoryContext } from '../../words/story.ts';
import { LocalStream } from '../replication/local-stream.ts';
import { materialize } from '../replication/materialize.ts';
import { type Base, type ListedSegment, planStream, type StreamPlan } from '../replication/plan.ts';
import { bookmarkOf } from '../replication/segment.ts';
import { type Drilled, type DrillRequest, rehearse } from './drill.ts';
import { basesOf, endsOf } from './moments.ts';

export interface PickMomentRequest {
  readonly kind: 'pick-moment';
  /** Where the stream lies. */
  readonly folder: string;
  /** From 0 on, below 1: which granularity, and which of its moments. */
  readonly dice: readonly [level: number, moment: number];
}

export interface PickedMoment {
  readonly bookmark: string;
  readonly at: string;
}

/**
 * Any moment that can be restored, the old and coarse ones as likely as the young and fine ones. One that was merged
 * away at the edge of its window gives its turn to the nearest.
 *
 * @throws BackupError NO_MOMENT for an empty stream; STREAM_UNTRUE where a segment is missing.
 */
export async function pickMoment({ folder, dice }: PickMomentRequest): Promise<PickedMoment> {
  const stream = new LocalStream(folder);
  stream.refresh();
  const { segments } = stream;
  const bases = await basesOf(stream);
  const plan = pickFrom({ segments, bases }, dice);
  return { bookmark: bookmarkOf(plan.txid), at: plan.at.toISOString() };
}

/** @throws BackupError as `pickMoment`. */
export function pickFrom<S extends ListedSegment>(
  { segments, bases }: { readonly segments: readonly S[]; readonly bases: readonly Base[] },
  dice: PickMomentRequest['dice'],
): Extract<StreamPlan<S, Base>, { outcome: 'found' }> {
  const newest = planStream({ latest: true }, { segments, bases });
  if (newest.outcome === 'gap') throw missingSegment(newest.txid);
  const levels = endsOf(segments);
  const level = levels[Math.floor(dice[0] * levels.length)] ?? [];
  const picked = level[Math.floor(dice[1] * level.length)];
  if (picked === undefined || newest.outcome === 'none') throw noMoments();
  const plan = planStream({ txid: picked.maxTxid }, { segments, bases });
  if (plan.outcome === 'found') return plan;
  const reached = plan.outcome === 'gap' ? plan.txid : plan.before;
  const next = (reached ?? 0n) + 1n;
  // Nothing goes on from there: what lies behind can't be reached.
  if (!segments.some(({ minTxid, maxTxid }) => minTxid <= next && maxTxid >= next)) throw missingSegment(reached ?? 0n);
  const nearest = reached === null ? newest : planStream({ txid: reached }, { segments, bases });
  if (nearest.outcome !== 'found') throw noMoments();
  return nearest;
}

export interface DrillMomentRequest extends Pick<DrillRequest, 'staging' | 'assertions' | 'lockWaitMs'> {
  readonly kind: 'drill-moment';
  readonly folder: string;
  readonly bookmark: string;
}

/** @throws BackupError STREAM_UNTRUE, BAD_BACKUP, VERIFY_FAILED, DRILL_FAILED; NO_MOMENT, DISK_FULL, BUSY, ABORTED. */
export async function drillMoment(request: DrillMomentRequest, context: StoryContext): Promise<Drilled> {
  const { folder, bookmark } = request;
  const txid = BigInt(`0x${bookmark}`);
  return await rehearse(
    { ...request, name: `moment-${bookmark}.sqlite`, sizeBytes: sizeOf(folder) },
    context,
    async (to) => {
      context.onEvent({ type: 'step', name: 'fetch' });
      const stream = new LocalStream(folder);
      stream.refresh();
      const bases = await basesOf(stream);
      const said = [
        ...stream.segments
          .filter(({ maxTxid, header }) => maxTxid === txid && header.tag !== 0)
          .map(({ header }) => header.stateAfter),
        ...bases.filter((base) => base.txid === txid).map(({ state }) => state),
      ];
      if (new Set(said).size > 1) throw disagreement(bookmark);
      await materialize(folder, { txid }, to, { bases, signal: context.signal });
      return null;
    },
  );
}

/** As the newest segment has it. */
function sizeOf(folder: string): number {
  const stream = new LocalStream(folder);
  stream.refresh();
  const header = stream.newest?.header;
  return header === undefined ? 0 : header.commitPages * header.pageSize;
}

function missingSegment(txid: bigint): BackupError {
  const behind = txid === 0n ? 'at the beginning of the stream' : `behind ${bookmarkOf(txid)}`;
  return new BackupError('STREAM_UNTRUE', `a segment ${behind} is missing, so moments after it cannot be restored`, {
    hint: 'Find out who removed it. Until the stream has a whole copy again, use a backup, or a moment before it.',
  });
}

function disagreement(bookmark: string): BackupError {
  return new BackupError('STREAM_UNTRUE', `the segments and backups of the moment ${bookmark} say different states`, {
    hint: 'One of them is wrong. Restore another moment or a backup, and verify the backups.',
  });
}

function noMoments(): BackupError {
  return new BackupError('NO_MOMENT', 'the stream holds no moment yet', { hint: 'See `velist-backup moments`.' });
}
