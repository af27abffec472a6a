/**
 * From the app's settings to those of its file storage. The environment is read when `createStorage()` is first called
 * without options, never on import.
 */
import { loadEnvironment } from '../../../config/env.ts';
import { BackupError } from '../../../engine/errors.ts';
import type { StorageOptions } from './index.ts';

/** What the storage needs to know of the environment. */
export interface StorageEnvironment {
  readonly databasePath: string;
  readonly backup: { readonly localPath: string; readonly statePath: string; readonly s3Path: string };
  readonly storage: {
    readonly driver: 'local' | 's3';
    readonly localPath: string;
    readonly localUrl: string;
    readonly cdnUrl: string | null;
  };
  readonly s3: {
    readonly bucket: string | null;
    readonly region: string | null;
    readonly endpoint: string | null;
    readonly accessKeyId: string | null;
    readonly secretAccessKey: string | null;
  };
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
      privatePaths: [backup.localPath, backup.statePath, databasePath],
    };
  }
  if (s3.bucket === null) {
    throw new BackupError('BAD_CONFIG', 'STORAGE_DRIVER is s3 and no bucket is named', { hint: 'Set S3_BUCKET.' });
  }
  return { driver: 's3', bucket: { ...s3, bucket: s3.bucket }, cdnUrl: storage.cdnUrl, backupPrefix: backup.s3Path };
}
