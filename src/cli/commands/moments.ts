/** What continuous backup can restore, and what holds it. */
import type { MomentRange, Moments, TargetName } from '../../service/model.ts';
import { exitCodes } from '../exit-codes.ts';
import { sizeText } from '../output.ts';
import type { Session, Work } from '../session.ts';
import { readIdentity } from './restore.ts';

export interface MomentsOptions {
  readonly from?: TargetName;
  readonly identity?: string;
  readonly allowPlain?: boolean;
}

export async function showMoments(
  { service, output }: Session,
  { from, identity, allowPlain }: MomentsOptions,
): Promise<number> {
  const moments = await service.moments({ target: from, identity: readIdentity(identity), allowPlain });
  output.answer(moments, momentsText(moments));
  return exitCodes.done;
}

export async function makeMark({ service, output }: Session, name: string): Promise<number> {
  const made = await service.mark(name);
  output.answer(made, `Marked: ${made.name} is ${made.bookmark}. \`velist-backup restore --at ${made.bookmark}\``);
  return exitCodes.done;
}

export const pauseContinuous: Work = async ({ service, output }) => {
  service.pauseContinuous();
  const paused = 'Paused: the database is let go within an interval; `velist-backup resume` captures it again.';
  output.answer({ paused: true }, paused);
  return exitCodes.done;
};

export const resumeContinuous: Work = async ({ service, output }) => {
  const wasPaused = service.resumeContinuous();
  const text = wasPaused ? 'Resumed: what was committed meanwhile becomes one moment.' : 'It was not paused.';
  output.answer({ paused: false, wasPaused }, text);
  return exitCodes.done;
};

const granularity = ['every captured moment', 'half a minute', 'five minutes', 'an hour'];

function momentsText({ found, near, ranges, gaps, marks, sizeBytes }: Moments): string {
  const newest = found
    ? `newest ${found.bookmark}, ${found.at}, from ${found.segments} segments of ${sizeText(found.bytes)}`
    : `the newest moment cannot be reached${near.length === 0 ? '' : `; the nearest: ${near.join(', ')}`}`;
  const rangeText = ({ level, from, to, moments }: MomentRange) =>
    `  ${from} to ${to}  ${moments} at ${granularity[level] ?? 'whole copies'}`;
  const markText = marks.map(({ name, bookmark, at }) => `  ${bookmark ?? 'not yet captured'}  ${at}  ${name}`);
  return [
    `${newest}; the stream takes ${sizeText(sizeBytes)}`,
    ...ranges.map(rangeText),
    ...gaps.map(
      ({ after, until }) => `  cannot be restored: behind ${after}${until === null ? '' : `, before ${until}`}`,
    ),
    ...(marks.length > 0 ? ['marks:', ...markText] : []),
  ].join('\n');
}
