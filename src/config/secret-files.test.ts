/** `<name>_FILE`, from the environment and from a configuration. */
import { expect, test } from 'bun:test';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { refusal, scratchFolders } from '../../tests/support/scratch.ts';
import { openSecretsAmong } from '../service/doctor/facts.ts';
import { readConfig } from './config-file.ts';
import type { BackupsConfig } from './define-config.ts';
import { type Environment, loadEnvironment, type Variables } from './env.ts';
import { secretVariables } from './read-settings.ts';
import { fileVariable } from './secret-files.ts';

const folder = scratchFolders()();
function file(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content, { mode: 0o600 });
  return path;
}
async function faults(variables: Variables): Promise<readonly string[]> {
  const { code, message } = await refusal(() => loadEnvironment(variables));
  expect(code).toBe('BAD_CONFIG');
  return message.split('\n').slice(1);
}

/** Where each secret ends up, and a value that it may have. */
const places: Readonly<Record<string, [value: string, of: (environment: Environment) => unknown, Variables?]>> = {
  S3_ACCESS_KEY: ['key of the file', ({ s3 }) => s3.accessKeyId, { S3_SECRET_KEY: 's' }],
  S3_SECRET_KEY: ['secret of the file', ({ s3 }) => s3.secretAccessKey, { S3_ACCESS_KEY: 'k' }],
  S3_SESSION_TOKEN: ['t', ({ s3 }) => s3.sessionToken, { S3_ACCESS_KEY: 'k', S3_SECRET_KEY: 's' }],
  BACKUP_WEBHOOK_URL: ['https://chat.example.com/hunter2', ({ backup }) => backup.webhookUrl],
  BACKUP_HEARTBEAT_URL: ['https://hc.example.com/hunter2', ({ backup }) => backup.heartbeatUrl],
  BACKUP_ADMIN_PASSWORD: ['with blanks at its end  ', ({ signIn }) => signIn.password],
  BACKUP_API_TOKEN: ['0123456789abcdef', ({ signIn }) => signIn.token],
  BACKUP_METRICS_TOKEN: ['fedcba9876543210', ({ signIn }) => signIn.metricsToken, { BACKUP_API_TOKEN: 'x'.repeat(16) }],
};

test('each secret may stand in a file, whose last line ends are no part of it', () => {
  for (const name of secretVariables) {
    const [value, of, beside] = places[name] ?? expect.unreachable(`${name} is not tried`);
    for (const end of ['', '\n', '\r\n', '\n\n']) {
      const path = file('secret', value + end);
      const environment = loadEnvironment({ ...beside, [fileVariable(name)]: path });
      expect([name, of(environment), environment.secretFiles]).toEqual([name, value, [path]]);
      expect(environment.jobEnvironment).toEqual({});
    }
  }
});

test('both forms, and a file that can not be what it should, are refused by name, and no content is repeated', async () => {
  mkdirSync(join(folder, 'a-folder'));
  for (const [variables, line] of [
    [
      { BACKUP_API_TOKEN: 'x'.repeat(16), BACKUP_API_TOKEN_FILE: file('t', 'y') },
      /^ {2}BACKUP_API_TOKEN, BACKUP_API_TOKEN_FILE: both are set; keep one/,
    ],
    [{ BACKUP_API_TOKEN_FILE: join(folder, 'none') }, /^ {2}BACKUP_API_TOKEN_FILE: ".*none" can't be read: ENOENT/],
    [
      { BACKUP_API_TOKEN_FILE: join(folder, 'a-folder') },
      /^ {2}BACKUP_API_TOKEN_FILE: ".*a-folder" can't be read: EISDIR/,
    ],
    [{ BACKUP_ADMIN_PASSWORD_FILE: file('e', ' \n') }, /^ {2}BACKUP_ADMIN_PASSWORD_FILE: ".*" is empty$/],
    [
      { BACKUP_ADMIN_PASSWORD_FILE: file('l', 'hunter2'.repeat(9_000)) },
      /^ {2}BACKUP_ADMIN_PASSWORD_FILE: ".*" does not contain a secret: it is too long$/,
    ],
    [
      { BACKUP_API_TOKEN_FILE: file('s', 'hunter2') },
      /^ {2}BACKUP_API_TOKEN_FILE: \(secret\) is not allowed; at least 16/,
    ],
    [
      { BACKUP_WEBHOOK_URL_FILE: file('w', 'hunter2') },
      /^ {2}BACKUP_WEBHOOK_URL_FILE: \(secret\) is not allowed; a URL/,
    ],
    [{ S3_ACCESS_KEY_FILE: file('k', 'hunter2') }, /^ {2}S3_ACCESS_KEY_FILE, S3_SECRET_KEY: one is missing/],
    [{ BACKUP_API_TOKE_FILE: 'x' }, /^ {2}BACKUP_API_TOKE_FILE: unknown setting; did you mean BACKUP_API_TOKEN_FILE\?/],
    [{ BACKUP_INTERVAL_MINUTES_FILE: 'x' }, /^ {2}BACKUP_INTERVAL_MINUTES_FILE: unknown setting/],
  ] as const) {
    const lines = await faults(variables);
    expect(lines).toEqual([expect.stringMatching(line)]);
    expect(lines.join()).not.toContain('hunter2');
  }
});

test('in a configuration a file stands at the top, beside a database and beside a target', async () => {
  const [top, own, there] = [file('top', 'top\n'), file('own', 'own\n'), file('there', 'there\n')];
  const hook = file('hook', 'https://chat.example.com/x\n');
  const config: BackupsConfig = {
    s3: { bucket: 'b', accessKey: 'k', secretKeyFile: top },
    targets: { eu: { bucket: 'c', accessKey: 'k', secretKeyFile: there } },
    databases: [
      { path: 'a', s3: { secretKeyFile: own }, webhookUrlFile: hook },
      { path: 'b', s3: { secretKey: 'said' } },
      { path: 'c' },
    ],
  };
  // What stands in the environment is another's: the file at the top wins over it, and with that no two are set.
  const { entries } = readConfig(config, { file: 'c.ts', variables: { S3_SECRET_KEY: 'environment' } });
  const environments = entries.flatMap((entry) => (entry.kind === 'database' ? [entry.environment] : []));
  expect(environments.map(({ s3 }) => s3.secretAccessKey)).toEqual(['own', 'said', 'top']);
  expect(environments.map(({ targets }) => targets?.[0]?.environment.s3.secretAccessKey)).toEqual(
    Array(3).fill('there'),
  );
  expect(environments.map(({ secretFiles }) => secretFiles)).toEqual([[own, hook], [], [top]]);
  const both = { s3: { bucket: 'b', accessKey: 'k', secretKey: 's', secretKeyFile: top } };
  expect((await refusal(() => readConfig(both, { file: 'c.ts', variables: {} }))).message).toContain(
    'c.ts: s3.secretKey (S3_SECRET_KEY), c.ts: s3.secretKeyFile (S3_SECRET_KEY_FILE): both are set',
  );
});

test('the doctor is told of files that every user may read, those of containers left out', () => {
  const path = file('seen', 'x');
  expect(openSecretsAmong([path, '/run/secrets/s3', join(folder, 'gone')])).toEqual([]);
  chmodSync(path, 0o644);
  expect(openSecretsAmong([path, path])).toEqual([path]);
});
