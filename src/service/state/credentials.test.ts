import { expect, test } from 'bun:test';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { scratchFolders } from '../../../tests/support/scratch.ts';
import { Credentials, credentialsPath } from './credentials.ts';

const scratch = scratchFolders();
const hook = { url: 'https://chat.example/services/hush' };
const s3 = {
  ...{ bucket: 'my-backups', region: 'eu-central-1', endpoint: null, forcePathStyle: null, lifecycleDays: null },
  ...{ accessKey: 'AKIA', secretKey: 'hush-hush' },
};

function open(statePath: string, folder = 'backups') {
  const warnings: string[] = [];
  return { warnings, file: new Credentials(statePath, { folder, warn: (message) => warnings.push(message) }) };
}

test('what is set up is kept for the user of this process alone, and gone when it is taken away', () => {
  const folder = join(scratch(), 'storage');
  const state = join(folder, 'velist-backup.sqlite');
  const path = join(folder, 'velist-backup.credentials.json');
  expect([credentialsPath(state), open(state).file.current, existsSync(path)]).toEqual([path, {}, false]);
  const umask = process.umask(0o277);
  try {
    const { file } = open(state);
    file.change('s3', s3);
    file.change('webhook', hook);
    expect(file.current).toEqual({ s3, webhook: hook });
  } finally {
    process.umask(umask);
  }
  expect([statSync(path).mode & 0o777, statSync(folder).mode & 0o777]).toEqual([0o600, 0o700]);
  expect(readdirSync(folder)).toEqual(['velist-backup.credentials.json']);
  const { file, warnings } = open(state);
  expect([file.current, file.complaint, warnings]).toEqual([{ s3, webhook: hook }, null, []]);
  file.change('s3', null);
  file.change('webhook', null);
  expect([open(state).file.current, JSON.parse(readFileSync(path, 'utf8'))]).toEqual([{}, {}]);
});

test('several folders that share a state have each its own', () => {
  const state = join(scratch(), 'state.sqlite');
  const [a, b] = [open(state, 'a').file, open(state, 'b').file];
  a.change('webhook', hook);
  b.change('s3', s3);
  a.change('folder', { path: '/mnt/nas', below: '' });
  expect(open(state, 'a').file.current).toEqual({ webhook: hook, folder: { path: '/mnt/nas', below: '' } });
  expect(open(state, 'b').file.current).toEqual({ s3 });
});

test.each<[string, (path: string) => void, string]>([
  ['others may write', (path) => chmodSync(path, 0o622), 'other users can write to it'],
  ['is no JSON', (path) => writeFileSync(path, '{"backups": {"s3": {"secretKey": "hush-hush"'), 'it is not JSON'],
  ['is no object', (path) => writeFileSync(path, '[]'), 'it holds no settings'],
  [
    'holds half a bucket',
    (path) => writeFileSync(path, JSON.stringify({ backups: { s3: { ...s3, secretKey: '' } } })),
    's3.secretKey is not allowed',
  ],
])(
  'a file that %s is not used, is said without a word of it, and is set aside by the next change',
  (_, spoil, says) => {
    const state = join(scratch(), 'state.sqlite');
    const path = credentialsPath(state);
    open(state).file.change('s3', s3);
    spoil(path);
    const { file, warnings } = open(state);
    expect([file.current, file.complaint]).toEqual([{}, says]);
    expect(warnings.join()).toContain(says);
    expect(warnings.join()).not.toContain('hush');
    file.change('webhook', hook);
    expect([file.complaint, open(state).file.current]).toEqual([null, { webhook: hook }]);
    expect(warnings.at(-1)).toContain('was moved to');
  },
);

test('a file that was spoilt after the start is set aside with what it holds of others, not replaced', () => {
  const folder = scratch();
  const state = join(folder, 'state.sqlite');
  open(state, 'b').file.change('s3', s3);
  const { file, warnings } = open(state, 'a');
  chmodSync(credentialsPath(state), 0o622);
  file.change('webhook', hook);
  const aside = readdirSync(folder).filter((name) => name !== 'state.credentials.json');
  expect(aside.map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')))).toEqual([{ b: { s3 } }]);
  expect(warnings.join()).toContain(`was moved to ${join(folder, aside[0] ?? '')}`);
  expect(open(state, 'a').file.current).toEqual({ webhook: hook });
});

test('a link, a folder, a pipe and a file that cannot be written leave what is there', () => {
  const folder = scratch();
  const state = join(folder, 'state.sqlite');
  const elsewhere = join(folder, 'elsewhere');
  writeFileSync(elsewhere, JSON.stringify({ backups: { webhook: hook } }), { mode: 0o600 });
  symlinkSync(elsewhere, credentialsPath(state));
  expect(open(state).file.complaint).toBe('it is a link');
  const other = join(folder, 'other.sqlite');
  mkdirSync(credentialsPath(other));
  expect(open(other).file.complaint).toBe('it is no file of ours');
  const piped = join(folder, 'piped.sqlite');
  Bun.spawnSync(['mkfifo', '-m', '600', credentialsPath(piped)]);
  // Nobody writes to it: whoever waits for that hangs.
  expect(open(piped).file.complaint).toBe('it is no file of ours');
  // Its folder is a file.
  const none = join(elsewhere, 'state.sqlite');
  const { file } = open(none);
  expect(() => file.change('webhook', hook)).toThrow();
  expect(file.current).toEqual({});
});
