/** Which backup a wish means: the same for the command line, the routes and the library. */
import { type ConsideredCopy, type PlannedPlace, planRestore } from '../../engine/restore-points/plan.ts';
import { BackupError } from '../../words/errors.ts';
import { momentOf, readRestorePoint, type RestorePoint, type RestorePointGiven } from '../../words/restore-point.ts';
import { type TargetName, targetWord } from '../../words/target-word.ts';
import { isHere, type KnownBackup } from '../backups/backup-item.ts';
import type { Backups } from '../backups/backups.ts';
import type { MomentSource } from '../continuous/moment-source.ts';
import { type FoundMoment, type MomentPlaces, MomentSearch } from './find-moment.ts';
import type { FoundRestorePoint } from './restore-result.ts';
import type { FindOptions } from '../service-port.ts';
import type { RemoteTargets } from '../targets/remote-targets.ts';

interface RestorePointContext {
  readonly backups: Pick<Backups, 'find' | 'places' | 'placeAt'>;
  readonly streams: MomentPlaces;
  readonly targets: Pick<RemoteTargets, 'lookRecently'>;
  readonly now: () => Date;
}

/** @throws BackupError BAD_REQUEST, BAD_NAME, NO_BACKUP, GONE, FOREIGN_PLACE, S3_* with `from`. */
export async function findRestorePoint(
  given: RestorePointGiven,
  { from, fromOther, identity, allowPlain }: FindOptions,
  { backups, streams, targets, now }: RestorePointContext,
): Promise<FoundRestorePoint> {
  const search = new MomentSearch(streams, { from, identity, allowPlain, now: now() });
  const named = await search.named(given);
  if (named !== null) return { ...captured(named), moment: null, warnings: [], skipped: [] };
  const point = readRestorePoint(given, now());
  const moment = momentOf(point);
  if ('backup' in point) {
    const copy = await backups.find(point.backup, from);
    return { ...toFound(copy, isHere(copy) ? 'local' : copy.target), moment, warnings: [], skipped: [] };
  }
  const places = from === undefined ? await askedLately({ backups, targets }) : [await backups.placeAt(from)];
  const wish = { point, purpose: 'restore', fromOther } as const;
  const stream = await search.nearest(point);
  const planned = planRestore(wish, places, { now: now(), moment: stream });
  const { chosen, considered, others, isForeign } = planned;
  const warnings = [...planned.warnings, ...search.warnings];
  if (planned.moment && stream) return { ...captured(stream), moment, warnings, skipped: [] };
  if (isForeign) throw onlyOthers(others);
  if (!chosen) throw noneWillDo(point, from, warnings);
  const passedOver = considered.slice(0, considered.indexOf(chosen));
  return { ...toFound(chosen.copy, chosen.target), moment, warnings, skipped: passedOver.flatMap(toSkipped) };
}

/** The captured moment alone that is meant: by bookmark, time or mark. @throws BackupError NO_MOMENT, BAD_REQUEST. */
export async function findMoment(at: Date | string, source: MomentSource, now: Date): Promise<FoundMoment> {
  const places = { here: source, isCapturedNow: false, there: [], at: () => source };
  const search = new MomentSearch(places, { from: source.target, now });
  const found = (await search.named({ at })) ?? (await search.nearest(readRestorePoint({ at }, now)));
  if (found !== null) return found;
  throw new BackupError('NO_MOMENT', 'the stream holds no moment that is as old', {
    hint: 'See `velist-backup moments`. If no commits were captured yet: BACKUP_CONTINUOUS=true.',
  });
}

function captured({ bookmark: filename, at: createdAt, target }: FoundMoment) {
  return { filename, createdAt, target, other: null };
}

async function askedLately({
  backups,
  targets,
}: Omit<RestorePointContext, 'now' | 'streams'>): Promise<readonly PlannedPlace<KnownBackup>[]> {
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
