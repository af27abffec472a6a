/** Addresses that let whoever has one GET or PUT one object for a while. */
import { BackupError } from '../../../words/errors.ts';
import { s3Error } from './errors.ts';
import type { Prefix } from './prefix.ts';

export interface PresignOptions {
  readonly method: 'GET' | 'PUT';
  readonly expiresInSeconds: number;
}

const EXPIRES_IN_SECONDS_MAX = 7 * 24 * 3600;

export async function presignOnS3(
  below: Prefix,
  key: string,
  { method, expiresInSeconds }: PresignOptions,
): Promise<string> {
  const object = below.object(key);
  if (!Number.isInteger(expiresInSeconds) || expiresInSeconds < 1 || expiresInSeconds > EXPIRES_IN_SECONDS_MAX) {
    throw new BackupError('BAD_REQUEST', 'a signed address is valid for 1 second to 7 days', {
      hint: 'Pass expiresInSeconds from 1 to 604800.',
    });
  }
  const { connection, place } = below;
  const [sdk, { getSignedUrl }] = await Promise.all([connection.sdk(), import('@aws-sdk/s3-request-presigner')]);
  // With the default the address would carry the checksum of an empty body, and every upload to it would be refused.
  const client = new sdk.S3Client({ ...connection.config, requestChecksumCalculation: 'WHEN_REQUIRED' });
  try {
    const command = method === 'GET' ? new sdk.GetObjectCommand(object) : new sdk.PutObjectCommand(object);
    return await getSignedUrl(client, command, { expiresIn: expiresInSeconds });
  } catch (error) {
    throw s3Error(error, place, key);
  } finally {
    client.destroy();
  }
}
