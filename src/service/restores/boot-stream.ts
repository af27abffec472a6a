/**
 * What a stream of commits says to a first boot: when its newest moment is tried, and what a state that comes back lacks.
 * A backup that was compared with the stream is older or newer by its position, any other by its time.
 */
import type { Manifest } from '../../engine/format/manifest.ts';
import type { KnownBackup } from '../backups/backup-item.ts';
import type { CapturedMoment, NewestMoment } from '../continuous/moment-source.ts';
import { BackupError } from '../../words/errors.ts';
import { type TargetName, targetWord } from '../../words/target-word.ts';

type DatedCopy = Pick<KnownBackup, 'name' | 'createdAt' | 'other'> & {
  readonly manifest: Pick<Manifest, 'position'> | null;
};

/** A folder may hold backups of several databases, and the stream is of one of them. */
export function isOfOther({ tag }: NewestMoment, copies: readonly DatedCopy[]): boolean {
  const witnesses = copies.filter(({ manifest }) => manifest?.position !== undefined && manifest.position.tag === tag);
  if (witnesses.length > 0) return witnesses.every(({ other }) => other !== undefined);
  return copies.some(({ other }) => other !== undefined);
}

export function isOlder(copy: DatedCopy, { bookmark, at }: CapturedMoment, tag: number | null): boolean {
  const position = copy.manifest?.position;
  return position?.tag === tag && position !== undefined ? position.bookmark < bookmark : copy.createdAt < at;
}

/** What the moment that came back lacks; null if nothing. */
export function lackOfMoment({ bookmark, at }: CapturedMoment, { until }: NewestMoment): string | null {
  if (until?.bookmark === bookmark) return null;
  const end = until ? `, until ${until.at.toISOString()}` : '';
  return `More was captured after ${at.toISOString()}${end}, and cannot be reached: segments of the stream are missing or damaged. It is not in the database.`;
}

/** What the backup that came back lacks; null if nothing. */
export function lackOfBackup(copy: DatedCopy, { moment, until, tag }: NewestMoment): string | null {
  const newest = until ?? moment;
  if (newest && !isOlder(copy, newest, tag)) return null;
  const end = newest ? ` and ${newest.at.toISOString()}` : '';
  return `What was committed between ${copy.createdAt.toISOString()}${end} is not in the database: it was captured, and the stream does not prove it any more. Its segments are kept; \`velist-backup moments\` shows what they hold, and \`restore --at\` tries an earlier moment.`;
}

/** For a stream of which no moment is left. */
export function noMomentLeft(): BackupError {
  return new BackupError('NO_MOMENT', 'commits were captured, and none of the moments can be reached', {
    hint: 'Segments of the stream are missing or damaged. Look for them in the folder of the backups, `continuous/ltx`.',
  });
}

/** The newest moment first; the stream here before its copies, and one of which no moment is left behind the others. */
export function inOrder<Stream extends NewestMoment>(streams: readonly Stream[]): readonly Stream[] {
  const timeOf = ({ moment, until }: NewestMoment) => (moment ?? until)?.at.getTime() ?? 0;
  return streams.toSorted((a, b) => timeOf(b) - timeOf(a));
}

/** Silence is not taken for an empty place. */
export function unknownThere(target: TargetName, what: string, error: unknown): BackupError {
  const { code, message, hint } = BackupError.from(error);
  return new BackupError(code, `it is not known whether ${targetWord(target)} holds ${what}: ${message}`, {
    hint: `${hint} Nothing was brought back; an app that starts now would begin with an empty database.`,
    cause: error,
  });
}
