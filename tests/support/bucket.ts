import { afterAll } from 'bun:test';
import { createS3Store, type S3Store } from '../../src/engine/store/s3/store.ts';
import { type S3Server, startS3Server } from './s3-server.ts';

/** An S3 server with an empty bucket, and a store in it; both end with the file's tests. Called at the top of a test file. */
export async function openBucket(bucket: string, prefix = ''): Promise<{ server: S3Server; store: S3Store }> {
  const server = await startS3Server();
  await server.createBucket(bucket);
  const store = createS3Store({ ...server, bucket, prefix });
  afterAll(async () => {
    store.close();
    await server.close();
  });
  return { server, store };
}
