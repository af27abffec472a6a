/** An S3 server whose certificate comes from an authority of the user's own. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServiceFromEnvironment } from '../../src/service/from-environment.ts';
import { makeBank } from '../support/bank.ts';
import { type FaultProxy, startFaultProxy } from '../support/fault-proxy.ts';
import { ownCertificate } from '../support/own-certificate.ts';
import { s3Environment } from '../support/s3-environment.ts';
import { openBucket } from '../support/bucket.ts';

const { server } = await openBucket('my-backups');
let proxy: FaultProxy;
let folder: string;

beforeAll(async () => {
  proxy = await startFaultProxy(server.endpoint, { tls: ownCertificate });
  folder = mkdtempSync(join(tmpdir(), 'velist-own-ca-'));
  makeBank(join(folder, 'app.sqlite'), { sizeBytes: 1024 * 1024 });
  writeFileSync(join(folder, 'authority.pem'), ownCertificate.cert);
});

afterAll(async () => {
  await proxy.close();
  rmSync(folder, { recursive: true, force: true });
});

test('an upload trusts the authority that NODE_EXTRA_CA_CERTS names, and no other', async () => {
  const backUp = async (environment: Record<string, string>) => {
    const service = createServiceFromEnvironment({
      env: s3Environment(folder, server, {
        ...{ bucket: 'my-backups', prefix: 'backups/database' },
        extra: { S3_ENDPOINT: proxy.endpoint, ...environment },
      }),
      write: () => {},
    });
    try {
      const { s3Uploaded } = await service.performBackup();
      return { s3Uploaded, error: (await service.getStatus()).s3.error };
    } finally {
      await service.close();
    }
  };

  const refused = await backUp({});
  expect(refused.s3Uploaded).toBe(false);
  expect(refused.error?.code).toBe('S3_UNREACHABLE');
  expect(refused.error?.message).toContain('is not trusted');
  expect(refused.error?.hint).toContain('NODE_EXTRA_CA_CERTS');

  const trusted = await backUp({ NODE_EXTRA_CA_CERTS: join(folder, 'authority.pem') });
  expect(trusted).toEqual({ s3Uploaded: true, error: null });
});
