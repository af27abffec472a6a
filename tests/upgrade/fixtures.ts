/** What the version at commit 84b75aa left, as `make-fixtures.ts` made it: copied for each test, because tests write. */
import { cpSync, readdirSync, readFileSync, utimesSync } from 'node:fs';
import { join, relative } from 'node:path';
import { createS3Store } from '../../src/engine/store/s3/store.ts';
import type { S3Server } from '../support/s3-server.ts';

/** The last version whose places have no identity. */
export const OLD_COMMIT = '84b75aa';
export const FIXTURES = join(import.meta.dir, 'made-by-84b75aa');
export const BUCKET = 'backups';

export type Scene =
  | 'one'
  | 'replaced'
  | 'glob'
  | 'mixed-names'
  | 'mixed-same-name'
  | 's3-one'
  | 's3-mixed'
  | 's3-same-name'
  | 's3-sealed';

/** Into that folder, which is empty: databases, backups, run history, as they lay beside each other. */
export function copyScene(scene: Scene, folder: string): void {
  cpSync(join(FIXTURES, scene), folder, { recursive: true });
  // Files say when they were changed by the clock of the operating system; the test's own stands elsewhere.
  for (const entry of readdirSync(folder, { recursive: true, encoding: 'utf8' }))
    utimesSync(join(folder, entry), new Date(), new Date());
}

/** Puts what the bucket held under its keys; with a prefix only that one. */
export async function loadBucket(server: S3Server, prefix = ''): Promise<void> {
  const root = join(FIXTURES, 'bucket');
  await server.createBucket(BUCKET);
  const store = createS3Store({ ...server, bucket: BUCKET, prefix: '' });
  try {
    for (const entry of readdirSync(root, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      const key = relative(root, path);
      if (entry.isFile() && key.startsWith(prefix)) await store.put(key, once(readFileSync(path)));
    }
  } finally {
    store.close();
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
