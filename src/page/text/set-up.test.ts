import { expect, test } from 'bun:test';
import type { Finding } from '../../http/contract.ts';
import { loadEnvironment } from '../../config/env.ts';
import { envLines, fieldOf, placeOf, serviceNames, testRows, whereOf } from './set-up.ts';

const form = {
  region: ' eu-central-1 ',
  account: 'abc123',
  address: 'minio:9000',
  bucket: ' my-backups ',
  path: 'shop',
};

test('each service has its address, and is known again by it', () => {
  const places = serviceNames.map((service) => {
    const place = placeOf({ ...form, service });
    const { service: known } = whereOf({ ...place, endpoint: place.endpoint ?? null }, 'shop');
    return [service, place.endpoint, place.region, known];
  });
  expect(places).toEqual([
    ['amazon', null, 'eu-central-1', 'amazon'],
    ['wasabi', 'https://s3.eu-central-1.wasabisys.com', 'eu-central-1', 'wasabi'],
    ['r2', 'https://abc123.r2.cloudflarestorage.com', 'auto', 'r2'],
    ['b2', 'https://s3.eu-central-1.backblazeb2.com', 'eu-central-1', 'b2'],
    ['minio', 'https://minio:9000', 'us-east-1', 'other'],
    ['other', 'https://minio:9000', 'eu-central-1', 'other'],
  ]);
  expect(placeOf({ ...form, service: 'minio', address: 'http://minio:9000' }).endpoint).toBe('http://minio:9000');
  expect([fieldOf('endpoint', 'r2'), fieldOf('endpoint', 'minio'), fieldOf('bucket', 'r2')]).toEqual([
    ...['account', 'address', 'bucket'],
  ]);
});

test('the lines for the environment say the same to us, whatever is in a key', () => {
  const place = { ...placeOf({ ...form, service: 'wasabi' as const }), lifecycleDays: 90 };
  const lines = envLines(place, { accessKey: 'AKIA', secretKey: 'a b#c$d' });
  expect(lines).toContain("S3_SECRET_KEY='a b#c$d'");
  const variables = Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  );
  const { backup, s3 } = loadEnvironment(variables);
  expect([backup.s3Enabled, backup.s3Path, backup.s3StoredAs.lifecycleDays]).toEqual([true, 'shop', 90]);
  expect(s3).toMatchObject({
    ...{ bucket: 'my-backups', region: 'eu-central-1', endpoint: 'https://s3.eu-central-1.wasabisys.com' },
    ...{ accessKeyId: 'AKIA', secretAccessKey: 'a b#c$d' },
  });
});

test('what belongs together is one row, with the worst of its results and the time of all', () => {
  const finding = (check: Finding['check'], result: Finding['result'], ms: number): Finding => ({
    ...{ check, result, message: check, hint: null, ms },
  });
  const rows = testRows([finding('write', 'ok', 10), finding('head', 'failed', 5), finding('reach', 'ok', 1)]);
  expect(rows.map(({ title, result, ms }) => [title, result, ms])).toEqual([
    ['Reach the address', 'ok', 1],
    ['Write a small file and read it back', 'failed', 15],
  ]);
});
