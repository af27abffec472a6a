import type { S3Options } from './connection.ts';

/** All that a store needs but its prefix, which each request names. */
export interface S3Access extends Omit<S3Options, 'prefix'> {
  readonly kind: 's3';
  readonly region: string;
}
