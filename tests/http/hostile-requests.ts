/**
 * What a hostile page, client or network sends, and what it gets: one list, held by `hostile.test.ts` and written to
 * `docs/hostile-requests.md` by `bun tests/http/hostile-table.ts`. Requests go over a real socket, as they are.
 */
import { request } from 'node:http';
import { createServer } from '../../src/http/server.ts';
import { createSignIn } from '../../src/http/access/sign-in.ts';
import { createFakeService, firstBackup, missingBackup } from './fake-service.ts';

export const password = 'correct horse';
export const token = '0123456789abcdef';
const metricsToken = 'fedcba9876543210';
const bearer = { authorization: `Bearer ${token}` };

export interface HostileRequest {
  readonly what: string;
  readonly method: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Sent so often before the one that counts. */
  readonly before?: number;
  /** `open`: the server without a password. `locked`: with one. */
  readonly door: 'open' | 'locked';
  readonly status: number;
  /** The `code` of the error; left out where the answer is none. */
  readonly code?: string;
}

const open = 'open' as const;
const locked = 'locked' as const;

export const hostileRequests: readonly HostileRequest[] = [
  ...(
    [
      ['POST', '/backup/now'],
      ['DELETE', `/backup/${firstBackup}`],
      ['POST', `/backup/api/backups/${firstBackup}/restore`],
    ] as const
  ).map(([method, path]) => ({
    ...{ what: 'a form or script of another site', door: open, method, path },
    ...{ headers: { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' }, status: 403, code: 'FORBIDDEN' },
  })),
  {
    what: 'another site, in a browser that sends `Origin` alone',
    ...{ door: open, method: 'POST', path: '/backup/config', body: '{"enabled":false}' },
    ...{ headers: { origin: 'https://evil.example' }, status: 403, code: 'FORBIDDEN' },
  },
  {
    what: 'a sandboxed frame, whose origin is `null`',
    ...{ door: open, method: 'POST', path: '/backup/now', headers: { origin: 'null' } },
    ...{ status: 403, code: 'FORBIDDEN' },
  },
  {
    what: 'another port of this machine',
    ...{ door: open, method: 'POST', path: '/backup/now', headers: { origin: 'http://localhost:1' } },
    ...{ status: 403, code: 'FORBIDDEN' },
  },
  {
    what: 'a page over plain http of the host whose page is over https',
    ...{ door: locked, method: 'POST', path: '/backup/now' },
    headers: { ...bearer, host: 'nas.example', origin: 'http://nas.example', 'x-forwarded-proto': 'https' },
    ...{ status: 403, code: 'FORBIDDEN' },
  },
  {
    what: 'a page over https of the host whose page is over plain http',
    ...{ door: locked, method: 'POST', path: '/backup/now' },
    ...{ headers: { ...bearer, host: 'nas.example', origin: 'https://nas.example' }, status: 403, code: 'FORBIDDEN' },
  },
  {
    what: 'another site, although the browser has the token',
    ...{ door: locked, method: 'POST', path: '/backup/now' },
    ...{ headers: { ...bearer, origin: 'https://evil.example' }, status: 403, code: 'FORBIDDEN' },
  },
  {
    what: 'another site reads the list as a script or image',
    ...{ door: open, method: 'GET', path: '/backup/api/backups', headers: { 'sec-fetch-site': 'cross-site' } },
    ...{ status: 403, code: 'FORBIDDEN' },
  },
  {
    what: 'another site downloads a backup',
    ...{ door: open, method: 'GET', path: `/backup/api/backups/${firstBackup}/download` },
    ...{ headers: { 'sec-fetch-site': 'same-site' }, status: 403, code: 'FORBIDDEN' },
  },
  {
    what: 'another site asks whether it may (CORS)',
    ...{ door: open, method: 'OPTIONS', path: '/backup/now' },
    headers: { origin: 'https://evil.example', 'access-control-request-method': 'POST' },
    status: 204,
  },
  {
    what: 'another site signs its victim in',
    ...{ door: locked, method: 'POST', path: '/backup/login', body: `password=${encodeURIComponent(password)}` },
    ...{ headers: { origin: 'https://evil.example' }, status: 403, code: 'FORBIDDEN' },
  },
  ...['evil.example', 'evil.example:3000', '127.0.0.1.nip.io', 'localhost.evil.example', '127.0.0.1@evil.example'].map(
    (host) => ({
      ...{ what: 'a DNS name of the attacker that points to this machine', method: 'GET', path: '/backup/api/status' },
      ...{ door: open, headers: { host }, status: 403, code: 'FORBIDDEN' },
    }),
  ),
  ...['x-forwarded-for', 'x-real-ip', 'cf-connecting-ip', 'true-client-ip', 'x-envoy-external-address', 'via'].map(
    (header) => ({
      ...{ what: 'a stranger through a proxy of this machine', method: 'GET', path: '/backup/api/status' },
      ...{ door: open, headers: { [header]: '203.0.113.9' }, status: 403, code: 'FORBIDDEN' },
    }),
  ),
  ...(['/backup/api/status', '/backup/api/audit'] as const).map((path) => ({
    ...{ what: 'the token of the metrics, for something else', door: locked, method: 'GET', path },
    ...{ headers: { authorization: `Bearer ${metricsToken}` }, status: 401, code: 'UNAUTHORIZED' },
  })),
  ...(
    [
      ['GET', '/backup/api/status'],
      ['GET', '/backup/api/events'],
      ['GET', '/backup/metrics'],
      ['GET', `/backup/api/backups/${firstBackup}/download`],
      ['HEAD', `/backup/api/backups/${firstBackup}/download`],
      ['POST', '/backup/now'],
      ['POST', '/backup/config'],
      ['DELETE', `/backup/${firstBackup}`],
      ['PATCH', `/backup/api/backups/${firstBackup}`],
      ['GET', '/backup/api/audit'],
      ['POST', '/backup/confirm'],
    ] as const
  ).map(([method, path]) => ({
    ...{ what: 'nobody in particular', door: locked, method, path },
    ...{ status: 401, ...(method === 'HEAD' ? {} : { code: 'UNAUTHORIZED' }) },
  })),
  { what: 'nobody in particular', door: locked, method: 'GET', path: '/backup/', status: 401 },
  {
    what: 'a wrong token',
    ...{ door: locked, method: 'GET', path: '/backup/api/status', headers: { authorization: `Bearer ${token}x` } },
    ...{ status: 401, code: 'UNAUTHORIZED' },
  },
  {
    what: 'the token as a query',
    ...{ door: locked, method: 'GET', path: `/backup/api/status?token=${token}`, status: 401, code: 'UNAUTHORIZED' },
  },
  {
    what: 'an invented session',
    ...{ door: locked, method: 'GET', path: '/backup/api/status' },
    ...{ headers: { cookie: `velist-backup=${'A'.repeat(43)}` }, status: 401, code: 'UNAUTHORIZED' },
  },
  {
    what: 'guesses at the password, the fourth at once',
    ...{ door: locked, method: 'POST', path: '/backup/login', body: 'password=guess', before: 3, status: 429 },
  },
  {
    what: 'a loop that backs up, the 31st at once',
    ...{ door: open, method: 'POST', path: '/backup/now?wait=false', before: 30, status: 429, code: 'TOO_MANY' },
  },
  {
    what: 'a loop that tests S3, the 11th at once',
    ...{ door: open, method: 'POST', path: '/backup/api/targets/s3/test', before: 10, status: 429, code: 'TOO_MANY' },
  },
  {
    what: 'a loop that drills, the 11th at once',
    ...{ door: open, method: 'POST', path: '/backup/api/drill', before: 10, status: 429, code: 'TOO_MANY' },
  },
  {
    what: 'a loop that asks the doctor, the 31st at once',
    ...{ door: open, method: 'GET', path: '/backup/api/doctor', before: 30, status: 429, code: 'TOO_MANY' },
  },
  {
    what: 'a loop that plans restores, the 31st at once',
    ...{ door: open, method: 'GET', path: `/backup/api/backups/${firstBackup}/restore` },
    ...{ before: 30, status: 429, code: 'TOO_MANY' },
  },
  {
    what: 'a body of a megabyte',
    ...{ door: open, method: 'POST', path: '/backup/config', body: `{"s3Path":"${'x'.repeat(1_000_000)}"}` },
    ...{ status: 422, code: 'BAD_REQUEST' },
  },
  {
    what: 'a body of a thousand nested lists',
    ...{ door: open, method: 'POST', path: '/backup/config', body: '['.repeat(1_000) + ']'.repeat(1_000) },
    ...{ status: 422, code: 'BAD_CONFIG' },
  },
  {
    what: '`__proto__` as a setting',
    ...{ door: open, method: 'POST', path: '/backup/config', body: '{"__proto__":{"enabled":false}}' },
    ...{ status: 422, code: 'BAD_CONFIG' },
  },
  {
    what: 'a path as a setting, which the environment alone decides',
    ...{ door: open, method: 'POST', path: '/backup/config', body: '{"localPath":"/etc"}' },
    ...{ status: 422, code: 'BAD_CONFIG' },
  },
  {
    what: 'a restore without the confirmation',
    ...{ door: open, method: 'POST', path: `/backup/api/backups/${firstBackup}/restore`, body: '{"confirm":"yes"}' },
    ...{ status: 409, code: 'CONFIRM_MISMATCH' },
  },
  {
    what: 'a restore to a path',
    ...{ door: open, method: 'POST', path: `/backup/api/backups/${firstBackup}/restore` },
    ...{ body: '{"confirm":"dev.sqlite","to":"/etc/cron.d/x"}', status: 422, code: 'BAD_REQUEST' },
  },
  ...[
    '..%2F..%2Fdb%2Fdev.sqlite',
    '..%252F..%252Fdb%252Fdev.sqlite',
    '%2Fetc%2Fpasswd',
    `${firstBackup}%00.txt`,
    `${firstBackup}.json`,
    'C:%5CWindows',
    firstBackup.replace('.sqlite', '%EF%BC%8Esqlite'),
  ].map((name) => ({
    ...{ what: 'a name that is a path', door: open, method: 'GET' },
    ...{ path: `/backup/api/backups/${name}/download`, status: 400, code: 'BAD_NAME' },
  })),
  {
    what: 'a path that climbs',
    ...{ door: open, method: 'GET', path: '/backup/../../../etc/passwd', status: 404 },
    code: 'BAD_REQUEST',
  },
  {
    what: 'a name of 10,000 characters',
    ...{ door: open, method: 'DELETE', path: `/backup/${'a'.repeat(10_000)}`, status: 400, code: 'BAD_NAME' },
  },
  {
    what: 'a backup that is not there',
    ...{ door: open, method: 'GET', path: `/backup/api/backups/${missingBackup}`, status: 404, code: 'GONE' },
  },
  {
    what: 'the backup as a static file',
    ...{ door: open, method: 'GET', path: `/backup/${firstBackup}`, status: 405, code: 'BAD_REQUEST' },
  },
  {
    what: 'a method that is not for this address',
    ...{ door: open, method: 'PUT', path: '/backup/config', body: '{}', status: 405, code: 'BAD_REQUEST' },
  },
];

export interface Answer {
  readonly status: number;
  readonly code: string | undefined;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
  /** What the service was asked for by the request that counts. */
  readonly calls: readonly string[];
}

/** Sends it to a server of its own. */
export async function answerTo(hostile: HostileRequest): Promise<Answer> {
  const service = createFakeService();
  const signIn = hostile.door === locked ? createSignIn({ password, token, nowMs: () => 0 }) : undefined;
  const server = createServer({ service, signIn, port: 0, nowMs: () => 0, onError: () => {} });
  const { port } = await server.listen();
  try {
    for (let sent = 0; sent < (hostile.before ?? 0); sent++) await send(port, hostile);
    service.calls.length = 0;
    const answer = await send(port, hostile);
    return { ...answer, calls: [...service.calls] };
  } finally {
    await server.stop();
  }
}

function send(port: number, { method, path, headers, body }: HostileRequest): Promise<Omit<Answer, 'calls'>> {
  return new Promise((resolve, reject) => {
    const asked = request(
      { host: '127.0.0.1', port, method, path, headers: { host: `localhost:${port}`, ...headers } },
      async (answer) => {
        let text = '';
        answer.setEncoding('utf8');
        for await (const chunk of answer) text += chunk;
        const code = /"error":\{"code":"(\w+)"/.exec(text)?.[1];
        resolve({ status: answer.statusCode ?? 0, code, headers: answer.headers, body: text });
      },
    );
    asked.once('error', reject);
    asked.end(body);
  });
}
