/** Which backup a wish means: the same for the command line, the routes and the library. */
import { type ConsideredCopy, type PlannedPlace, planRestore } from '../../engine/restore-points/plan.ts';
import { BackupError } from '../../words/errors.ts';
import { momentOf, readRestorePoint, type RestorePoint, type RestorePointGiven } from '../../words/restore-point.ts';
import { targetWord } from '../../words/target-word.ts';
import { isHere, type KnownBackup } from '../backups/backup-item.ts';
import type { Backups } from '../backups/backups.ts';
import type { FoundRestorePoint, TargetName } from '../model.ts';
import type { FindOptions } from '../service-port.ts';
import type { RemoteTargets } from '../targets/remote-targets.ts';

interface RestorePointContext {
  readonly backups: Pick<Backups, 'find' | 'places' | 'placeAt'>;
  readonly targets: Pick<RemoteTargets, 'lookRecently'>;
  readonly now: () => Date;
}

/** @throws BackupError BAD_REQUEST, BAD_NAME, NO_BACKUP, GONE, FOREIGN_PLACE, S3_* with `from`. */
export async function findRestorePoint(
  given: RestorePointGiven,
  { from, fromOther }: FindOptions,
  { backups, targets, now }: RestorePointContext,
): Promise<FoundRestorePoint> {
  const point = readRestorePoint(given, now());
  const moment = momentOf(point);
  if ('backup' in point) {
    const copy = await backups.find(point.backup, from);
    return { ...toFound(copy, isHere(copy) ? 'local' : copy.target), moment, warnings: [], skipped: [] };
  }
  const places = from === undefined ? await askedLately({ backups, targets }) : [await backups.placeAt(from)];
  const { chosen, considered, others, isForeign, warnings } = planRestore(
    { point, purpose: 'restore', fromOther },
    places,
    { now: now() },
  );
  if (isForeign) throw onlyOthers(others);
  if (!chosen) throw noneWillDo(point, from, warnings);
  const newer = considered.slice(0, considered.indexOf(chosen));
  return { ...toFound(chosen.copy, chosen.target), moment, warnings, skipped: newer.flatMap(toSkipped) };
}

async function askedLately({
  backups,
  targets,
}: Omit<RestorePointContext, 'now'>): Promise<readonly PlannedPlace<KnownBackup>[]> {
  const silent = new Map((await targets.lookRecently()).map(({ offsite, error }) => [offsite.target, error.message]));
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
