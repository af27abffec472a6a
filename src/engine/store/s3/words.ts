/** How messages and hints speak of a bucket. */
import type { StoreWords } from '../store.ts';

export const s3Words: StoreWords = {
  noun: 'bucket',
  own: 'a prefix of its own (BACKUP_S3_PATH)',
  setting: 'BACKUP_S3_PATH',
  undeleted: 'The bucket may keep deleted objects (object lock), or the key may lack DeleteObject.',
  silent: 'Check the network and S3_ENDPOINT.',
  codes: { mismatch: 'S3_MISMATCH', silent: 'S3_UNREACHABLE' },
};
