/** All below one prefix of a bucket, as callers name it: the prefix itself they do not see. */
import type * as Sdk from '@aws-sdk/client-s3';
import { checkKey } from '../object-key.ts';
import type { HttpOptions, S3Connection, SendOptions } from './connection.ts';

export class Prefix {
  readonly connection: S3Connection;
  /** Begins each key of the server; empty for the whole bucket. */
  readonly keyBefore: string;
  /** A HEAD answers 404 without a reason, so a missing bucket looks like a missing object until it was seen once. */
  isBucketKnown = false;
  /** A server may have none, or a key not the right to it. */
  hasBulkDelete = true;

  constructor(connection: S3Connection, prefix: string) {
    this.connection = connection;
    this.keyBefore = prefix === '' ? '' : `${prefix}/`;
  }

  get place() {
    return this.connection.place;
  }

  get Bucket(): string {
    return this.place.bucket;
  }

  remote(key: string): string {
    checkKey(key);
    return this.keyBefore + key;
  }

  object(key: string): { readonly Bucket: string; readonly Key: string } {
    return { Bucket: this.Bucket, Key: this.remote(key) };
  }

  async send<Output>(
    request: (client: Sdk.S3Client, sdk: typeof Sdk, http: HttpOptions) => Promise<Output>,
    options?: SendOptions,
  ): Promise<Output> {
    return await this.connection.send(request, options);
  }
}
