/** Where captured moments come from: the stream here, or its copy at a target. */
import type { MomentWish, Moments } from '../../engine/stories/moments.ts';
import type { TargetName } from '../../words/target-word.ts';
import type { JobAsked } from '../runs/jobs.ts';
import type { FromTarget, MomentsAsked } from '../service-port.ts';

/** What opens what is sealed; the stream here needs none of it. */
export interface OpenedBy extends Pick<FromTarget, 'identity' | 'allowPlain'> {
  /** What was downloaded stays for a while: a restore follows its plan. */
  readonly keep?: boolean;
}

export type MomentFile = Disposable & { readonly path: string };

export interface MomentSource {
  readonly target: TargetName;
  /** False where it is known that there is none. */
  readonly hasStream: boolean;
  moments(wish?: MomentWish, asked?: MomentsAsked & OpenedBy & Pick<JobAsked, 'signal'>): Promise<Moments>;
  momentFile(bookmark: string, asked?: JobAsked, opened?: OpenedBy): Promise<MomentFile>;
}

export interface CapturedMoment {
  readonly bookmark: string;
  readonly at: Date;
}

export interface NewestMoment {
  /** Null where none can be reached: segments are missing, or damaged. */
  readonly moment: CapturedMoment | null;
  /** The newest that is known to have been captured; null where nobody knows it any more. */
  readonly until: CapturedMoment | null;
  readonly tag: number | null;
}

/**
 * The newest moment that can be reached, for a database that is gone; null where nothing was ever captured.
 *
 * @param noted elsewhere, of what was captured.
 */
export async function newestMomentOf(
  source: Pick<MomentSource, 'moments'>,
  opened: OpenedBy = {},
  noted: { readonly bookmark: string | null; readonly at: string | null } | null = null,
): Promise<NewestMoment | null> {
  const { found, near, marks, sizeBytes, tag } = await source.moments(undefined, opened);
  const [nearest] = near;
  const reached = found ?? (nearest === undefined ? null : (await source.moments({ bookmark: nearest }, opened)).found);
  const known = [noted, ...marks, found].flatMap((one) => toCaptured(one) ?? []);
  const until = known.toSorted((a, b) => (a.bookmark < b.bookmark ? -1 : 1)).at(-1) ?? null;
  return until !== null || sizeBytes > 0 ? { moment: toCaptured(reached), until, tag } : null;
}

function toCaptured(
  noted: { readonly bookmark: string | null; readonly at: string | null } | null,
): CapturedMoment | null {
  return noted?.bookmark && noted.at ? { bookmark: noted.bookmark, at: new Date(noted.at) } : null;
}
