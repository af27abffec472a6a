/** The environment of a service that uploads to a test's own S3 server. */
import { join } from 'node:path';
import type { Variables } from '../../src/config/env.ts';
import type { S3Server } from './s3-server.ts';

export interface BucketPlace {
  readonly bucket: string;
  readonly prefix: string;
}

/** No more than what a machine needs that has lost everything else. */
export function s3Variables(server: S3Server, { bucket, prefix }: BucketPlace): Record<string, string> {
  return {
    S3_BUCKET: bucket,
    S3_REGION: server.region,
    S3_ENDPOINT: server.endpoint,
    S3_ACCESS_KEY: server.accessKeyId,
    S3_SECRET_KEY: server.secretAccessKey,
    BACKUP_S3_PATH: prefix,
  };
}

/** For `app.sqlite` in that folder, without a schedule. */
export function s3Environment(
  folder: string,
  server: S3Server,
  { extra, ...place }: BucketPlace & { readonly extra?: Record<string, string> },
): Variables {
  return {
    PATH: process.env['PATH'],
    DATABASE_URL: join(folder, 'app.sqlite'),
    BACKUP_LOCAL_PATH: join(folder, 'backups'),
    BACKUP_STATE_PATH: join(folder, 'state.sqlite'),
    BACKUP_ENABLED: 'false',
    BACKUP_S3_ENABLED: 'true',
    ...s3Variables(server, place),
    ...extra,
  };
}
