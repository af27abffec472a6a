/**
 * From the app's settings to those of its file storage. The environment is read when `createStorage()` is first called
 * without options, never on import.
 */
import { resolve } from 'node:path';
import { type Environment, loadEnvironment } from '../../../../config/env.ts';
import { BackupError } from '../../../../words/errors.ts';
import { savedSettings } from '../../../../service/state/settings.ts';
import type { StorageOptions } from './options.ts';

/** What the storage needs to know of the environment. */
export interface StorageEnvironment extends Pick<Environment, 'databasePath' | 'storage' | 's3'> {
  readonly backup: Pick<Environment['backup'], 'localPath' | 'statePath' | 's3Path'> &
    Partial<Pick<Environment['backup'], 'folder'>>;
}

export function storageOptionsFromEnvironment(): StorageOptions {
  return storageOptionsFrom(loadEnvironment());
}

/** @throws BackupError BAD_CONFIG when S3 is chosen and no bucket is named. */
export function storageOptionsFrom({ databasePath, backup, storage, s3 }: StorageEnvironment): StorageOptions {
  if (storage.driver === 'local') {
    return {
      driver: 'local',
      root: storage.localPath,
      publicUrl: storage.localUrl,
      privatePaths: [backup.localPath, backup.statePath, databasePath, ...(backup.folder ? [backup.folder.path] : [])],
    };
  }
  if (s3.bucket === null) {
    throw new BackupError('BAD_CONFIG', 'STORAGE_DRIVER is s3 and no bucket is named', { hint: 'Set S3_BUCKET.' });
  }
  const folder = resolve(backup.localPath);
  const { bucket, region, endpoint, forcePathStyle, accessKeyId, secretAccessKey, sessionToken } = s3;
  return {
    driver: 's3',
    bucket: { bucket, region, endpoint, forcePathStyle, accessKeyId, secretAccessKey, sessionToken },
    cdnUrl: storage.cdnUrl,
    // The path may be changed on the page at any time; what was stored under the one before is still there.
    backupPrefixes: () => [backup.s3Path, savedSettings(folder).s3Path ?? backup.s3Path],
  };
}
