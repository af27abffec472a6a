/**
 * The drill of one moment of the stream at a target: it is brought back from there alone, to a hidden place, and judged as a
 * backup is. Without the private key of sealed segments it proves what can be proven: the plan is whole, all of its segments
 * are there in their sizes, and they begin like encrypted files.
 */
import { join } from 'node:path';
import { BackupError } from '../../words/errors.ts';
import type { StoryContext } from '../../words/story.ts';
import { targetWord } from '../../words/target-word.ts';
import { FORM_BYTES, formOf } from '../format/seal.ts';
import { requireFound } from '../replication/materialize.ts';
import { type RemoteSegment, type RemoteStream, sayRemote } from '../replication/remote-stream.ts';
import { bookmarkOf } from '../replication/segment.ts';
import { getBytes } from '../store/store.ts';
import { NO_REMARKS } from '../sqlite/rules.ts';
import { type Drilled, type DrillRequest, rehearse } from './drill.ts';
import { type PickedMoment, pickFrom, type PickMomentRequest } from './drill-moment.ts';
import { toWish } from './moments.ts';
import { basesAt, makeRemoteMomentFile, type StreamPlace, withStream } from './remote-moments.ts';

export interface PickRemoteMomentRequest extends Pick<PickMomentRequest, 'dice'> {
  readonly kind: 'pick-remote-moment';
  readonly place: StreamPlace;
}

/** @throws BackupError NO_MOMENT for an empty stream; STREAM_UNTRUE where a segment is missing; S3_*. */
export async function pickRemoteMoment(
  { place, dice }: PickRemoteMomentRequest,
  { signal }: StoryContext,
): Promise<PickedMoment> {
  return await withStream(place, signal, async (stream) => {
    const segments = stream.segments.map((one) => ({ ...one, at: one.modifiedAt }));
    const plan = pickFrom({ segments, bases: basesAt(place, await stream.tag()) }, dice);
    const last = plan.segments.at(-1);
    const at = last === undefined ? plan.at : await stream.timeOf(last);
    return { bookmark: bookmarkOf(plan.txid), at: at.toISOString() };
  });
}

export interface DrillRemoteMomentRequest extends Pick<DrillRequest, 'staging' | 'assertions' | 'lockWaitMs'> {
  readonly kind: 'drill-remote-moment';
  readonly place: StreamPlace;
  readonly bookmark: string;
}

/** @throws BackupError STREAM_UNTRUE, BAD_BACKUP, VERIFY_FAILED, DRILL_FAILED; NO_MOMENT, DISK_FULL, BUSY, S3_*, ABORTED. */
export async function drillRemoteMoment(request: DrillRemoteMomentRequest, context: StoryContext): Promise<Drilled> {
  const { place, bookmark, staging, lockWaitMs } = request;
  return await rehearse(
    // Its room is asked for when the plan is known.
    { ...request, name: `moment-${bookmark}.sqlite`, sizeBytes: 0 },
    context,
    async (to) => {
      const downloads = join(staging, 'segments');
      await makeRemoteMomentFile({ place, bookmark, to, staging: downloads, keep: false, lockWaitMs }, context);
      return null;
    },
    async () => (place.identities.length === 0 ? await proveSealed(request, context) : null),
  );
}

/** Null where nothing of the plan is sealed. */
async function proveSealed(
  { place, bookmark }: DrillRemoteMomentRequest,
  { signal }: StoryContext,
): Promise<Drilled | null> {
  return await withStream(place, signal, async (stream) => {
    const wish = toWish({ bookmark });
    const plan = requireFound(await stream.plan(wish, basesAt(place, null)), wish);
    const sealed = plan.segments.filter(({ isSealed }) => isSealed);
    if (sealed.length === 0) return null;
    for (const segment of sealed) await requireSealed(stream, segment, place.target, signal);
    const sizeBytes = plan.segments.reduce((sum, one) => sum + one.sizeBytes, 0);
    return { ...NO_REMARKS, proof: 'sealed', sizeBytes, assertions: 0 };
  });
}

async function requireSealed(
  { store }: RemoteStream,
  segment: RemoteSegment,
  target: string,
  signal: AbortSignal,
): Promise<void> {
  const asked = { from: 0, to: FORM_BYTES - 1, limitBytes: FORM_BYTES, signal };
  if (formOf(await getBytes(store, segment.key, asked)) === 'age') return;
  throw new BackupError(
    'VERIFY_FAILED',
    `the ${sayRemote(segment)} on ${targetWord(target)} is not an encrypted file`,
    {
      hint: 'It was changed after it was stored. Use another moment, or a backup.',
    },
  );
}
