/** Retention on S3 by its own numbers: the plan that is shown, and the same plan carried out. */
import { expect, test } from 'bun:test';
import { join } from 'node:path';
import { createServiceFromEnvironment } from '../../src/service/from-environment.ts';
import { s3Environment } from '../support/s3-environment.ts';
import { openBucket } from '../support/bucket.ts';
import { makeDatabase, refusal, scratchFolders } from '../support/scratch.ts';

const BUCKET = 'my-backups';
const PREFIX = 'kept';
const newFolder = scratchFolders();
const { server, store } = await openBucket(BUCKET, PREFIX);

async function remoteBackups(): Promise<string[]> {
  const names: string[] = [];
  for await (const { key } of store.list('')) if (!key.endsWith('.json')) names.push(key);
  return names.toReversed();
}

test('the plan for S3 tells a reason for each, by the numbers of S3, and is what prune carries out', async () => {
  const folder = newFolder();
  makeDatabase(join(folder, 'app.sqlite'));
  const open = (environment: Record<string, string>) =>
    createServiceFromEnvironment({
      env: s3Environment(folder, server, { bucket: BUCKET, prefix: PREFIX, extra: environment }),
      write: () => {},
    });
  const made: string[] = [];
  await using closing = new AsyncDisposableStack();
  const generous = closing.use(disposable(open({})));
  for (let round = 0; round < 4; round++) made.unshift((await generous.performBackup()).filename ?? '');
  await generous.updateBackup(made[3] ?? '', { pinned: true });
  expect(await remoteBackups()).toEqual(made);

  const strict = closing.use(
    disposable(open({ BACKUP_KEEP_MONTHLY: '1', BACKUP_S3_RETENTION_COUNT: '1', BACKUP_S3_KEEP_YEARLY: '1' })),
  );
  const plan = await strict.prune({ dryRun: true, target: 's3' });
  const [month, year] = [made[0]?.slice(7, 14), made[0]?.slice(7, 11)];
  expect(plan.kept[0]).toEqual({
    filename: made[0] ?? '',
    reasons: [
      'newest verified backup',
      'one of the newest 1 (1)',
      `newest of month ${month} (monthly 1 of 1)`,
      `newest of year ${year} (yearly 1 of 1)`,
    ],
  });
  expect(plan.kept[1]).toEqual({ filename: made[3] ?? '', reasons: ['pinned'] });
  const reason = 'older than the newest 1, and not the newest of a kept month, year';
  expect(plan).toMatchObject({
    target: 's3',
    dryRun: true,
    removed: made.slice(1, 3).map((filename) => ({ filename, reason })),
  });
  expect(await remoteBackups()).toEqual(made);
  expect((await strict.prune({ dryRun: true })).removed).toEqual([]);

  expect((await strict.prune({ target: 's3' })).removed).toEqual(plan.removed);
  expect(await remoteBackups()).toEqual([made[0] ?? '', made[3] ?? '']);
  // Removed on purpose: what is still in the folder is not uploaded again.
  expect((await strict.getBackup(made[1] ?? '')).placements.map(({ target }) => target)).toEqual(['local']);
  expect((await strict.prune({ target: 's3' })).removed).toEqual([]);
});

test('without a bucket there is no plan for S3', async () => {
  const folder = newFolder();
  const service = createServiceFromEnvironment({
    env: { DATABASE_URL: join(folder, 'app.sqlite'), BACKUP_LOCAL_PATH: join(folder, 'backups') },
    statePath: join(folder, 'state.sqlite'),
  });
  expect((await refusal(() => service.prune({ dryRun: true, target: 's3' }))).code).toBe('BAD_REQUEST');
  await service.close();
});

function disposable<Service extends { close(): Promise<void> }>(service: Service): Service & AsyncDisposable {
  return Object.assign(service, { [Symbol.asyncDispose]: () => service.close() });
}
