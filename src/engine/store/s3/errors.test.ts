import { afterAll, beforeAll, expect, test } from 'bun:test';
import { type S3Server, startS3Server } from '../../../../tests/support/s3-server.ts';
import { refusal } from '../../../../tests/support/scratch.ts';
import { s3Error } from './errors.ts';
import { createS3Store } from './store.ts';

const place = { bucket: 'safe', region: 'eu-central-1', host: 's3.example.com', prefix: 'backups/shop' };
const told = (name: string, status: number, more: object = {}) =>
  s3Error(Object.assign(new Error(name), { name, $metadata: { httpStatusCode: status }, ...more }), place, 'a.sqlite');

test('what a server says keeps its meaning: only a refused key is told as one', () => {
  for (const [name, status, code, message, hint] of [
    ['AccessDenied', 403, 'S3_DENIED', /refused the key/, /needs PutObject/],
    ['ExpiredToken', 400, 'S3_DENIED', /temporary credentials .* no longer valid/, /S3_SESSION_TOKEN/],
    ['TokenRefreshRequired', 403, 'S3_DENIED', /temporary credentials/, /log in again/],
    ['AccountProblem', 403, 'S3_DENIED', /account or user .* is blocked/, /not at fault/],
    ['UserSuspended', 403, 'S3_DENIED', /is blocked/, /ask whoever runs the server/],
    ['UserDisable', 403, 'S3_DENIED', /is blocked/, /the bill/],
    ['AllAccessDisabled', 403, 'S3_DENIED', /is blocked/, /not at fault/],
    ['TransactionCapExceeded', 403, 'S3_FAILED', /a limit of the account .* is reached/, /wait until it is reset/],
    ['StorageCapExceeded', 403, 'S3_FAILED', /is full/, /Raise the quota/],
    ['QuotaExceeded', 403, 'S3_FAILED', /is full/, /Raise the quota/],
    ['XMinioAdminBucketQuotaExceeded', 400, 'S3_FAILED', /is full/, /Raise the quota/],
    ['RequestTimeTooSkewed', 403, 'S3_CLOCK', /clocks .* differ/, /timedatectl/],
    ['KMS.DisabledException', 400, 'S3_FAILED', /key with which the server encrypts/, /check it at the provider/],
    ['InvalidAccessKeyId', 403, 'S3_DENIED', /refused the key/, /does not know this key/],
    ['PermanentRedirect', 301, 'S3_NO_BUCKET', /is not in eu-central-1/, /AWS_REGION is not read/],
  ] as const) {
    const error = told(name, status);
    expect([name, error.code, error.message]).toEqual([name, code, expect.stringMatching(message)]);
    expect(error.hint).toMatch(hint);
  }
});

test('an archived object is told with its class and the hours that it takes, and how to bring it back', () => {
  const known = told('InvalidObjectState', 403, { StorageClass: 'DEEP_ARCHIVE' });
  expect([known.code, known.message]).toEqual([
    'S3_ARCHIVED',
    '"a.sqlite" in bucket "safe" at s3.example.com is in the archive class DEEP_ARCHIVE',
  ]);
  expect(known.hint).toContain('takes 12 to 48 hours');
  expect(known.hint).toContain('restore-object --bucket safe --key backups/shop/a.sqlite --restore-request Days=7');
  expect(told('InvalidObjectState', 403).hint).toContain('takes 3 to 48 hours');
});

let server: S3Server;
beforeAll(async () => {
  server = await startS3Server();
  await server.createBucket('safe');
});
afterAll(() => server.close());

test('a refused HEAD, which has no body, is told with its reason all the same', async () => {
  const store = createS3Store({ ...server, bucket: 'safe', prefix: 'p', maxAttempts: 1 });
  server.faults.push({ match: /^(HEAD|GET) \/safe\/p\/a/, effect: { status: 400, code: 'ExpiredToken' } });
  expect((await refusal(() => store.head('a'))).message).toContain('(400 ExpiredToken)');
  server.faults.length = 0;
  server.faults.push({ match: /^HEAD \/safe\/p\/a/, effect: { status: 403 } });
  expect((await refusal(() => store.head('a'))).message).toContain('(403 without a reason)');
  server.faults.length = 0;
  store.close();
});
