/** What the recovery kit tells, gathered from the folder and every target. */
import { PLAIN } from '../../engine/format/seal.ts';
import { VERSION } from '../../version.ts';
import { BackupError } from '../../words/errors.ts';
import { type Backups, placeOf } from '../backups/backups.ts';
import type { ServiceContext } from '../context.ts';
import type { RemoteTarget } from '../targets/remote-target.ts';
import { type KitTarget, knownGood, recoveryKit } from './recovery-kit.ts';

/** The newest ones, for those who wonder which there were. */
const NAMES_MAX = 5;

export async function writeKit(
  { now, database, folder, places, catalog }: ServiceContext,
  {
    backups,
    remotes,
    isCaptured,
  }: { readonly backups: Backups; readonly remotes: readonly RemoteTarget[]; readonly isCaptured: boolean },
): Promise<string> {
  const here = knownGood([await backups.placeAt('local')], now());
  const newest = here[0] ?? knownGood(await backups.places(), now())[0];
  const targets = await Promise.all(remotes.map((remote) => kitOf(remote, now())));
  const kin = [places.folder(await catalog.list()).ownership, ...remotes.map((one) => one.ownership)];
  return recoveryKit({
    writtenAt: now(),
    version: VERSION,
    databasePath: database.path,
    backupsPath: folder.path,
    journalMode: newest?.manifest?.source.journalMode ?? null,
    ids: [...new Set(kin.flatMap(({ ids }) => ids))],
    names: [...new Set(kin.flatMap(({ names }) => names))],
    here: here.slice(0, NAMES_MAX).map(({ name }) => name),
    ...{ targets, isCaptured },
  });
}

async function kitOf(remote: RemoteTarget, now: Date): Promise<KitTarget> {
  const { prefix, access } = remote.access;
  const complaint = await remote.refresh().then(
    () => null,
    (error: unknown) => BackupError.from(error).message,
  );
  const there = knownGood([placeOf(remote)], now).flatMap(({ manifest }) => manifest?.artifact.file ?? []);
  return {
    ...{ name: remote.target, access, prefix, complaint, sealing: access.sealing ?? PLAIN },
    there: there.slice(0, NAMES_MAX).map((file) => `${remote.address}/${file}`),
  };
}
