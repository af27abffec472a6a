/** Which backup a wish means: the same for the command line, the routes and the library. */
import { type ConsideredCopy, type PlannedPlace, planRestore } from '../../engine/restore-points/plan.ts';
import { BackupError } from '../../words/errors.ts';
import {
  isBookmark,
  momentOf,
  readRestorePoint,
  type RestorePoint,
  type RestorePointGiven,
} from '../../words/restore-point.ts';
import { type TargetName, targetWord } from '../../words/target-word.ts';
import { isHere, type KnownBackup } from '../backups/backup-item.ts';
import type { Backups } from '../backups/backups.ts';
import type { CapturedMoment, Continuous } from '../continuous/continuous.ts';
import type { FoundRestorePoint } from './restore-result.ts';
import type { FindOptions } from '../service-port.ts';
import type { RemoteTargets } from '../targets/remote-targets.ts';

interface RestorePointContext {
  readonly backups: Pick<Backups, 'find' | 'places' | 'placeAt'>;
  readonly continuous: Pick<Continuous, 'hasStream' | 'moments'>;
  readonly targets: Pick<RemoteTargets, 'lookRecently'>;
  readonly now: () => Date;
}

/** @throws BackupError BAD_REQUEST, BAD_NAME, NO_BACKUP, GONE, FOREIGN_PLACE, S3_* with `from`. */
export async function findRestorePoint(
  given: RestorePointGiven,
  { from, fromOther }: FindOptions,
  { backups, continuous, targets, now }: RestorePointContext,
): Promise<FoundRestorePoint> {
  const named = from === undefined || from === 'local' ? await namedMoment(given, continuous, now()) : null;
  if (named !== null) return { ...captured(named), moment: null, warnings: [], skipped: [] };
  const point = readRestorePoint(given, now());
  const moment = momentOf(point);
  if ('backup' in point) {
    const copy = await backups.find(point.backup, from);
    return { ...toFound(copy, isHere(copy) ? 'local' : copy.target), moment, warnings: [], skipped: [] };
  }
  const places = from === undefined ? await askedLately({ backups, targets }) : [await backups.placeAt(from)];
  const wish = { point, purpose: 'restore', fromOther } as const;
  const stream = from === undefined || from === 'local' ? await momentFor(point, continuous) : null;
  const {
    chosen,
    considered,
    others,
    isForeign,
    warnings,
    moment: newer,
  } = planRestore(wish, places, {
    now: now(),
    moment: stream,
  });
  if (newer) return { ...captured(newer), moment, warnings, skipped: [] };
  if (isForeign) throw onlyOthers(others);
  if (!chosen) throw noneWillDo(point, from, warnings);
  const passedOver = considered.slice(0, considered.indexOf(chosen));
  return { ...toFound(chosen.copy, chosen.target), moment, warnings, skipped: passedOver.flatMap(toSkipped) };
}

/** The captured moment alone that is meant: by bookmark, time or mark. @throws BackupError NO_MOMENT, BAD_REQUEST. */
export async function findMoment(
  at: Date | string,
  continuous: RestorePointContext['continuous'],
  now: Date,
): Promise<CapturedMoment> {
  const named = await namedMoment({ at }, continuous, now);
  const found = named ?? (await momentFor(readRestorePoint({ at }, now), continuous));
  if (found !== null) return found;
  throw new BackupError('NO_MOMENT', 'the stream holds no moment that is as old', {
    hint: 'See `velist-backup moments`. If no commits were captured yet: BACKUP_CONTINUOUS=true.',
  });
}

function captured({ bookmark: filename, at: createdAt }: CapturedMoment) {
  return { filename, createdAt, target: 'local', other: null };
}

/** A bookmark, or a mark where the text is no time. @throws BackupError NO_MOMENT for one that is not there. */
async function namedMoment(
  given: RestorePointGiven,
  continuous: RestorePointContext['continuous'],
  now: Date,
): Promise<CapturedMoment | null> {
  const text = 'at' in given ? given.at : 'backup' in given ? given.backup : null;
  if (typeof text !== 'string' || !continuous.hasStream) return null;
  const bookmark = isBookmark(text)
    ? text
    : 'at' in given && !isTime(text, now)
      ? await markNamed(text, continuous)
      : null;
  if (bookmark === null) return null;
  const { found, near } = await continuous.moments({ bookmark });
  if (found !== null) return { bookmark, at: new Date(found.at) };
  throw new BackupError('NO_MOMENT', `the stream does not hold the moment ${bookmark}`, {
    hint: near.length === 0 ? 'See `velist-backup moments`.' : `The nearest that it holds: ${near.join(', ')}.`,
  });
}

function isTime(text: string, now: Date): boolean {
  try {
    readRestorePoint({ at: text }, now);
    return true;
  } catch {
    return false;
  }
}

async function markNamed(name: string, continuous: RestorePointContext['continuous']): Promise<string | null> {
  const { marks } = await continuous.moments();
  return marks.find((mark) => mark.name === name)?.bookmark ?? null;
}

/** What the stream has for a wish of a time, or of the newest; null where it has nothing. */
async function momentFor(
  point: RestorePoint,
  continuous: RestorePointContext['continuous'],
): Promise<CapturedMoment | null> {
  if (!continuous.hasStream || 'backup' in point) return null;
  const { found } = await continuous.moments('at' in point ? { at: point.at.toISOString() } : { latest: true });
  return found && { bookmark: found.bookmark, at: new Date(found.at) };
}

async function askedLately({
  backups,
  targets,
}: Omit<RestorePointContext, 'now' | 'continuous'>): Promise<readonly PlannedPlace<KnownBackup>[]> {
  const silent = new Map((await targets.lookRecently()).map(({ remote, error }) => [remote.target, error.message]));
  return (await backups.places()).map((place) => ({ ...place, silent: silent.get(place.target) ?? null }));
}

function toFound({ name: filename, createdAt, other }: KnownBackup, target: TargetName) {
  return { filename, createdAt, target, other: other ?? null };
}

function toSkipped({ copy, target, passedOver }: ConsideredCopy<KnownBackup>): FoundRestorePoint['skipped'] {
  if (!passedOver || passedOver.reason === 'other-copy' || passedOver.reason === 'later') return [];
  return [{ filename: copy.name, target, why: passedOver.why }];
}

function onlyOthers(names: readonly string[]): BackupError {
  return new BackupError('FOREIGN_PLACE', `the backups there are of other databases: ${names.join(', ')}`, {
    hint: 'Nothing was changed. Name one of `velist-backup list` and restore it to a new file with --to.',
  });
}

function noneWillDo(point: RestorePoint, from: TargetName | undefined, warnings: readonly string[]): BackupError {
  const where = from === undefined || from === 'local' ? '' : ` on ${targetWord(from)}`;
  const moment = momentOf(point);
  const message = moment
    ? `there is no backup${where} from ${moment.said} or before`
    : `there is no verified backup${where === '' ? ' yet' : where}`;
  return new BackupError('NO_BACKUP', message, {
    hint: [...warnings, 'List the backups to see what is there.'].join(' '),
  });
}
