/** What the recovery kit tells, gathered from the folder and every target. */
import { otherOf } from '../../engine/catalog/identity.ts';
import { PLAIN } from '../../engine/format/seal.ts';
import { connectS3 } from '../../engine/store/s3/connection.ts';
import { VERSION } from '../../version.ts';
import { BackupError } from '../../words/errors.ts';
import { isOwn, isSound } from '../backups/backup-item.ts';
import type { Backups } from '../backups/backups.ts';
import type { ServiceContext } from '../context.ts';
import type { Offsite } from '../targets/remote-target.ts';
import { type KitS3, recoveryKit } from './recovery-kit.ts';

/** The newest ones, for those who wonder which there were. */
const NAMES_MAX = 5;

export async function writeKit(
  { now, database, folder, places, catalog }: ServiceContext,
  { backups, offsites }: { readonly backups: Backups; readonly offsites: readonly Offsite[] },
): Promise<string> {
  const all = (await backups.at('local')).filter(isOwn);
  const here = all.filter(isSound);
  const newest = here[0] ?? (await backups.everywhere()).filter(isOwn).find(isSound);
  const targets = await Promise.all(offsites.map((offsite) => kitOf(offsite)));
  const kin = [places.folder(await catalog.list()).ownership, ...offsites.map((one) => one.ownership)];
  return recoveryKit({
    writtenAt: now(),
    version: VERSION,
    databasePath: database.path,
    backupsPath: folder.path,
    journalMode: newest?.manifest?.source.journalMode ?? null,
    ids: [...new Set(kin.flatMap(({ ids }) => ids))],
    names: [...new Set(kin.flatMap(({ names }) => names))],
    here: here.slice(0, NAMES_MAX).map(({ name }) => name),
    targets,
  });
}

async function kitOf(offsite: Offsite): Promise<KitS3> {
  const { prefix, s3 } = offsite.access;
  const complaint = await offsite.refresh().then(
    () => null,
    (error: unknown) => BackupError.from(error).message,
  );
  const { bucket, region, endpoint = null, sealing = PLAIN } = s3;
  const { ownership } = offsite;
  const own = offsite.backups.filter((backup) => otherOf(ownership, backup) === null);
  const there = own.filter(isSound).flatMap(({ manifest }) => manifest?.artifact.file ?? []);
  return {
    ...{ name: offsite.target, bucket, region, endpoint, prefix, sealing, complaint },
    baseUrl: connectS3({ ...s3, prefix }).baseUrl,
    there: there.slice(0, NAMES_MAX).map((file) => `s3://${bucket}/${prefix}/${file}`),
  };
}
