/** What can go wrong between us and an S3 server, and what must become of it. */
import { MiB } from '../support/objects.ts';
import type { FaultCase } from './fault-scene.ts';

const manifest = /^PUT .*\.json/;
const begin = /^POST .*\?uploads/;
const part = /partNumber=/;
const secondPart = /partNumber=2/;
const complete = /^POST .*uploadId=/;
const download = /^GET .*\.sqlite(\?|$)/;
const anything = /./;

const unavailable = { status: 503, code: 'ServiceUnavailable' };
const broken = { status: 500, code: 'InternalError' };
const errorInside = {
  status: 200,
  body: '<?xml version="1.0" encoding="UTF-8"?><Error><Code>InternalError</Code><Message>try again</Message></Error>',
};
const loginPage = { status: 200, body: '<html><body>Please log in to this network</body></html>' };

export const uploadCases: readonly FaultCase[] = [
  {
    name: 'each kind of request is answered 503 twice',
    job: 'upload',
    code: null,
    provoke: (scene) => {
      for (const match of [/^GET/, begin, secondPart, complete, /^HEAD/, manifest])
        scene.fault(match, unavailable, { times: 2 });
    },
  },
  {
    name: 'each kind of request is answered 500 twice',
    job: 'upload',
    code: null,
    provoke: (scene) => {
      for (const match of [/^GET/, begin, secondPart, complete, /^HEAD/, manifest])
        scene.fault(match, broken, { times: 2 });
    },
  },
  {
    name: 'the server says SlowDown twice',
    job: 'upload',
    code: null,
    provoke: (scene) => scene.fault(part, { status: 503, code: 'SlowDown' }, { times: 2 }),
  },
  {
    name: 'parts are answered 503 for ever',
    job: 'upload',
    code: 'S3_FAILED',
    message: /answered 503 ServiceUnavailable.*, 3 tries$/,
    hint: /temporary/,
    provoke: (scene) => scene.fault(part, unavailable),
  },
  {
    name: 'the completion is answered 500 for ever',
    job: 'upload',
    code: 'S3_FAILED',
    message: /answered 500 InternalError/,
    provoke: (scene) => scene.fault(complete, broken),
  },
  {
    name: 'the manifest is answered 503 for ever',
    job: 'upload',
    code: 'S3_FAILED',
    message: /503/,
    provoke: (scene) => scene.fault(manifest, unavailable),
  },
  {
    name: 'the listing after the upload is answered 500 for ever',
    job: 'upload',
    code: null,
    provoke: (scene) => scene.fault(/list-type=2/, broken, { skip: 1 }),
  },
  {
    name: 'nobody listens at the address',
    job: 'upload',
    code: 'S3_UNREACHABLE',
    message: /does not answer \(ECONNREFUSED, 3 tries\)/,
    provoke: (scene) => scene.proxy.goAway(),
  },
  {
    name: 'the server goes away in the middle, for ever',
    job: 'upload',
    code: 'S3_UNREACHABLE',
    uploadsLeft: 1,
    provoke: (scene) => scene.fault(secondPart, { meanwhile: () => scene.proxy.goAway() }),
  },
  {
    name: 'connections are reset at once, twice for each kind of request',
    job: 'upload',
    code: null,
    provoke: (scene) => {
      for (const match of [/^GET/, begin, secondPart, complete, manifest]) scene.fault(match, 'reset', { times: 2 });
    },
  },
  {
    name: 'connections are reset at once, for ever',
    job: 'upload',
    code: 'S3_UNREACHABLE',
    message: /ECONNRESET/,
    provoke: (scene) => scene.fault(anything, 'reset'),
  },
  {
    name: 'a part is reset in its body, twice',
    job: 'upload',
    code: null,
    provoke: (scene) => scene.fault(secondPart, 'reset in the body', { times: 2 }),
  },
  {
    name: 'a part is reset in its body, for ever',
    job: 'upload',
    code: 'S3_UNREACHABLE',
    provoke: (scene) => scene.fault(secondPart, 'reset in the body'),
  },
  {
    name: 'a part and the completion are reset before the answer, twice',
    job: 'upload',
    code: null,
    provoke: (scene) => {
      for (const match of [secondPart, complete]) scene.fault(match, 'reset before the answer', { times: 2 });
    },
  },
  {
    name: 'the completion is reset before the answer, for ever',
    job: 'upload',
    code: 'S3_UNREACHABLE',
    provoke: (scene) => scene.fault(complete, 'reset before the answer'),
  },
  {
    name: 'the answer to a part is lost after it was stored',
    job: 'upload',
    code: null,
    provoke: (scene) => scene.fault(secondPart, 'lose the answer', { times: 1 }),
  },
  {
    name: 'the answer to the beginning is lost after it was begun',
    job: 'upload',
    code: null,
    uploadsLeft: 1,
    provoke: (scene) => scene.fault(begin, 'lose the answer', { times: 1 }),
  },
  {
    name: 'the answer to the completion is lost after it was done',
    job: 'upload',
    code: null,
    provoke: (scene) => scene.fault(complete, 'lose the answer', { times: 1 }),
  },
  {
    name: 'the answer to the completion is lost each time',
    job: 'upload',
    code: 'S3_UNREACHABLE',
    provoke: (scene) => scene.fault(complete, 'lose the answer'),
  },
  {
    name: 'the answer to the manifest is lost after it was stored',
    job: 'upload',
    code: null,
    provoke: (scene) => scene.fault(manifest, 'lose the answer', { times: 1 }),
  },
  {
    name: 'a part is taken and never answered, once',
    job: 'upload',
    code: null,
    provoke: (scene) => scene.fault(secondPart, 'stall', { times: 1 }),
  },
  {
    name: 'no request is ever answered',
    job: 'upload',
    code: 'S3_UNREACHABLE',
    message: /does not answer/,
    provoke: (scene) => scene.fault(anything, 'stall'),
  },
  {
    name: 'the server stops reading a part, once',
    job: 'upload',
    code: null,
    provoke: (scene) => scene.fault(secondPart, 'stall in the body', { times: 1 }),
  },
  {
    name: 'everything trickles at 6 MB/s',
    job: 'upload',
    code: null,
    provoke: (scene) => scene.fault(anything, { bytesPerSecond: 6 * MiB }),
  },
  {
    name: 'a bit of a part is turned over on the way up',
    job: 'upload',
    code: 'S3_MISMATCH',
    message: /received bytes that differ from those sent/,
    provoke: (scene) => scene.fault(secondPart, 'flip a bit up', { times: 1 }),
  },
  {
    name: 'a bit of the manifest is turned over on the way up',
    job: 'upload',
    code: 'S3_MISMATCH',
    message: /received bytes that differ from those sent/,
    provoke: (scene) => scene.fault(manifest, 'flip a bit up', { times: 1 }),
  },
  {
    name: 'the completion is answered 200 with an error inside, once',
    job: 'upload',
    code: null,
    provoke: (scene) => scene.fault(complete, errorInside, { times: 1 }),
  },
  {
    name: 'the completion is answered 200 with an error inside, for ever',
    job: 'upload',
    code: 'S3_FAILED',
    provoke: (scene) => scene.fault(complete, errorInside),
  },
  {
    name: 'a login page answers 200 to everything',
    job: 'upload',
    code: 'S3_FAILED',
    message: /does not answer as an S3 server does/,
    hint: /S3_ENDPOINT/,
    provoke: (scene) => scene.fault(anything, loginPage),
  },
  {
    name: 'a login page takes over in the middle',
    job: 'upload',
    code: 'S3_FAILED',
    message: /does not answer as an S3 server does/,
    uploadsLeft: 1,
    // Once the upload was begun.
    provoke: (scene) => scene.fault(anything, loginPage, { skip: 6 }),
  },
  {
    name: 'the clock of this machine is a day ahead',
    job: 'upload',
    code: null,
    provoke: (scene) => {
      scene.environment = clockAhead(scene.environment);
    },
  },
  {
    name: 'the clocks differ, and what lies between hides the server’s',
    job: 'upload',
    code: 'S3_CLOCK',
    message: /differ by more than 15 minutes/,
    provoke: (scene) => {
      scene.environment = clockAhead(scene.environment);
      scene.fault(anything, { date: new Date(Date.now() + 86_400_000) });
    },
  },
  {
    name: 'the secret is wrong',
    job: 'upload',
    code: 'S3_DENIED',
    message: /\(403 SignatureDoesNotMatch\)/,
    hint: /S3_SECRET_KEY/,
    provoke: (scene) => {
      scene.access = { ...scene.access, secretAccessKey: 'another-secret' };
    },
  },
  {
    name: 'the key is not known there',
    job: 'upload',
    code: 'S3_DENIED',
    message: /\(403 InvalidAccessKeyId\)/,
    hint: /S3_ACCESS_KEY/,
    provoke: (scene) => {
      scene.access = { ...scene.access, accessKeyId: 'NOBODY' };
    },
  },
  {
    name: 'there is no such bucket',
    job: 'upload',
    code: 'S3_NO_BUCKET',
    message: /there is no bucket "nowhere"/,
    hint: /S3_BUCKET/,
    provoke: (scene) => {
      scene.access = { ...scene.access, bucket: 'nowhere' };
    },
  },
  {
    name: 'the key is revoked in the middle',
    job: 'upload',
    code: 'S3_DENIED',
    message: /is blocked \(403 UserSuspended\)/,
    uploadsLeft: 1,
    provoke: (scene) =>
      scene.fault(secondPart, { meanwhile: () => scene.server.admin('user', 'suspend', '--uid=owner') }),
    mend: (scene) => scene.server.admin('user', 'enable', '--uid=owner'),
  },
  {
    name: 'the bucket is full',
    job: 'upload',
    code: 'S3_FAILED',
    message: /is full \(QuotaExceeded\)/,
    hint: /quota/,
    provoke: async ({ server }) => {
      await server.admin('quota', 'set', '--quota-scope=bucket', '--uid=owner', `--max-size=${MiB}`);
      await server.admin('quota', 'enable', '--quota-scope=bucket', '--uid=owner');
    },
    mend: ({ server }) => server.admin('quota', 'disable', '--quota-scope=bucket', '--uid=owner'),
  },
];

export const fetchCases: readonly FaultCase[] = [
  {
    name: 'each kind of request is answered 503 twice',
    job: 'fetch',
    code: null,
    provoke: (scene) => {
      for (const match of [/^GET .*\.json/, /^HEAD/, download]) scene.fault(match, unavailable, { times: 2 });
    },
  },
  {
    name: 'the download is answered 500 for ever',
    job: 'fetch',
    code: 'S3_FAILED',
    message: /answered 500/,
    provoke: (scene) => scene.fault(download, broken),
  },
  {
    name: 'nobody listens at the address',
    job: 'fetch',
    code: 'S3_UNREACHABLE',
    provoke: (scene) => scene.proxy.goAway(),
  },
  {
    name: 'the download is cut after each 3 MB',
    job: 'fetch',
    code: null,
    provoke: (scene) => scene.fault(download, { cutAfterBytes: 3 * MiB }),
  },
  {
    name: 'the download is cut before its first byte, for ever',
    job: 'fetch',
    code: 'S3_UNREACHABLE',
    provoke: (scene) => scene.fault(download, { cutAfterBytes: 0 }),
  },
  {
    name: 'connections are reset at once, twice for each kind of request',
    job: 'fetch',
    code: null,
    provoke: (scene) => {
      for (const match of [/^GET .*\.json/, /^HEAD/, download]) scene.fault(match, 'reset', { times: 2 });
    },
  },
  {
    name: 'the download stands still twice, after 3 MB each',
    job: 'fetch',
    code: null,
    provoke: (scene) => scene.fault(download, { stallAfterBytes: 3 * MiB }, { times: 2 }),
  },
  {
    name: 'everything trickles at 10 MB/s',
    job: 'fetch',
    code: null,
    provoke: (scene) => scene.fault(anything, { bytesPerSecond: 10 * MiB }),
  },
  {
    name: 'a bit is turned over on the way down',
    job: 'fetch',
    code: 'VERIFY_FAILED',
    message: /is not what was stored: its digest differs/,
    provoke: (scene) => scene.fault(download, 'flip a bit down', { times: 1 }),
  },
  {
    name: 'a login page answers 200 to the download',
    job: 'fetch',
    code: 'S3_FAILED',
    message: /does not answer as an S3 server does/,
    provoke: (scene) => scene.fault(download, loginPage),
  },
  {
    name: 'the key is revoked in the middle',
    job: 'fetch',
    code: 'S3_DENIED',
    message: /is blocked \(403 UserSuspended\)/,
    provoke: (scene) => {
      const meanwhile = () => scene.server.admin('user', 'suspend', '--uid=owner');
      scene.fault(download, { cutAfterBytes: 3 * MiB, meanwhile }, { times: 1 });
    },
    mend: (scene) => scene.server.admin('user', 'enable', '--uid=owner'),
  },
];

/** The job's runtime loads another clock before its own code. */
function clockAhead(environment: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const script = Bun.fileURLToPath(new URL('../faults/hard-cases-clock-main.ts', import.meta.url));
  return { ...environment, BUN_OPTIONS: `--preload=${script}`, TEST_CLOCK_SHIFT_MS: String(86_400_000) };
}
