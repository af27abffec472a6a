/** What an older version left, in a folder of the test's own, at a moment soon after the last backup there. */
import type { S3Server } from '../support/s3-server.ts';
import { s3Variables } from '../support/s3-environment.ts';
import { BUCKET, copyScene, type Scene } from './fixtures.ts';

/** All scenes end by then: 14:00 of the fourth of March 2026. */
export const AFTER = new Date('2026-03-04T14:00:00.000Z');

export function copyOf(scene: Scene, folder: string): string {
  copyScene(scene, folder);
  return folder;
}

export const bucketVariables = (server: S3Server, prefix: string) => ({
  ...s3Variables(server, { bucket: BUCKET, prefix }),
  BACKUP_S3_ENABLED: 'true',
});
