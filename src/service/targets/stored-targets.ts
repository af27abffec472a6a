/**
 * Targets that were set up on the page, beside those of the environment or the app's code, which win: a bucket of the
 * environment takes the place of a stored one as a whole, so that the key of one account never meets the bucket of another.
 */
import { BackupError } from '../../words/errors.ts';
import type { BackupServiceOptions } from '../service-options.ts';
import type { Settings } from '../state/backup-config.ts';
import type { Stored } from '../state/credentials.ts';
import { checkTargets, type FurtherFolder, type S3Target, type TargetOptions } from './targets.ts';

/** The second folder's name, however it was set up. */
export const FOLDER = 'folder';

type Kept = BackupServiceOptions['keptByPage'];

export function storedBucket(
  { accessKey, secretKey, path: _, ...place }: NonNullable<Stored['s3']>,
  { sealing, s3 = { retentionCount: null } }: NonNullable<Kept> = {},
): S3Target {
  // A rule of the bucket removes what is old: our numbers would say something else.
  const kept = place.lifecycleDays === null ? s3 : { retentionCount: null };
  return { kind: 's3', ...place, accessKeyId: accessKey, secretAccessKey: secretKey, sealing, ...kept };
}

export function storedFolder(
  { path, below }: NonNullable<Stored['folder']>,
  { sealing }: NonNullable<Kept> = {},
): FurtherFolder {
  return { kind: 'folder', name: FOLDER, path, prefix: below, sealing, retentionCount: null };
}

export interface WithStored {
  readonly targets: TargetOptions;
  /** Why one that was stored is not in use: the environment, or the app's code, has something else there by now. */
  readonly conflicts: Readonly<Record<'s3' | 'folder', BackupError | null>>;
}

/** Each that was stored is looked at on its own: one that is in conflict takes no other along. */
export function withStored(options: BackupServiceOptions, stored: Stored, settings: Settings): WithStored {
  const given = { s3: options.s3 ?? null, targets: options.targets ?? [], backupsPath: options.backupsPath };
  // While it is being exchanged: never the new bucket with the path of the old one.
  const isComing = stored.s3?.path !== undefined && stored.s3.path !== settings.s3Path;
  const s3 = stored.s3 && !isComing && !given.s3 ? storedBucket(stored.s3, options.keptByPage) : null;
  const hasFolder = given.targets.some(({ name }) => name === FOLDER);
  const folder = stored.folder && !hasFolder ? storedFolder(stored.folder, options.keptByPage) : null;
  const conflict = (targets: TargetOptions): BackupError | null => {
    try {
      checkTargets(targets, settings);
      return null;
    } catch (error) {
      return BackupError.from(error);
    }
  };
  const conflicts = {
    s3: s3 ? conflict({ ...given, s3 }) : null,
    // A bucket and a folder are never one place.
    folder: folder ? conflict({ ...given, s3: null, targets: [...given.targets, folder] }) : null,
  };
  return {
    targets: {
      ...given,
      s3: given.s3 ?? (conflicts.s3 ? null : s3),
      targets: folder && !conflicts.folder ? [...given.targets, folder] : given.targets,
    },
    conflicts,
  };
}
