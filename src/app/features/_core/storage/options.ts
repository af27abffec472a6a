/** Where the files of the app are kept. */
import type { S3Options } from '../../../../engine/store/s3/store.ts';

export type StorageOptions = LocalStorageOptions | S3StorageOptions;

export interface LocalStorageOptions {
  readonly driver: 'local';
  readonly root: string;
  /** What the addresses of files begin with: a path of the app, or a URL. */
  readonly publicUrl: string;
  /** Backup folder, state and database: the root may neither contain one of them nor lie inside. */
  readonly privatePaths: readonly string[];
}

export interface S3StorageOptions {
  readonly driver: 's3';
  readonly bucket: Omit<S3Options, 'prefix'>;
  /** What the addresses of files begin with, instead of the bucket's own. */
  readonly cdnUrl: string | null;
  /** Keys at and below them belong to the backups. Asked with every key, because the backups may move. */
  readonly backupPrefixes: () => readonly string[];
}
