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
  { accessKey, secretKey, ...place }: NonNullable<Stored['s3']>,
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

/** @param warn hears of what was stored and is not in use, because the environment has something else there by now. */
export function withStored(
  options: BackupServiceOptions,
  stored: Stored,
  { settings, warn }: { readonly settings: Settings; readonly warn: (message: string) => void },
): TargetOptions {
  const given = { s3: options.s3 ?? null, targets: options.targets ?? [], backupsPath: options.backupsPath };
  const hasFolder = given.targets.some(({ name }) => name === FOLDER);
  const all: TargetOptions = {
    ...given,
    s3: given.s3 ?? (stored.s3 ? storedBucket(stored.s3, options.keptByPage) : null),
    targets:
      stored.folder && !hasFolder ? [...given.targets, storedFolder(stored.folder, options.keptByPage)] : given.targets,
  };
  try {
    checkTargets(all, settings);
    return all;
  } catch (error) {
    warn(`Targets that were set up on the page are not in use: ${BackupError.from(error).message}.`);
    return given;
  }
}
