/**
 * Where recipients are set for a target, a copy there that is not encrypted may be anybody's: whoever has a key of the
 * bucket can put one there. It is taken only on purpose, whichever way it is asked for.
 */
import { afterEach, beforeEach, expect, test } from 'bun:test';
import { generateIdentity, identityToRecipient } from 'age-encryption';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createServiceFromEnvironment } from '../../src/service/from-environment.ts';
import { keysOf } from '../support/objects.ts';
import { s3Environment } from '../support/s3-environment.ts';
import { openBucket } from '../support/bucket.ts';
import { ask, makeDatabase, refusal, scratchFolders } from '../support/scratch.ts';

const BUCKET = 'my-backups';
const PREFIX = 'plain';
const newFolder = scratchFolders();
const identity = await generateIdentity();
const encrypted = { BACKUP_ENCRYPTION_RECIPIENT: await identityToRecipient(identity) };

const { server, store } = await openBucket(BUCKET, PREFIX);
let folder: string;
let lines: string[];
const opened: { close(): Promise<void> }[] = [];
const database = () => join(folder, 'app.sqlite');
const keyFile = () => join(folder, 'key.txt');

beforeEach(async () => {
  await store.deleteMany(await keysOf(store));
  folder = newFolder();
  lines = [];
  makeDatabase(database(), { rows: 10 });
  writeFileSync(keyFile(), `${identity}\n`);
});

afterEach(async () => {
  for (const service of opened.splice(0)) await service.close();
});

function newService(environment: Record<string, string> = {}) {
  const service = createServiceFromEnvironment({
    env: s3Environment(folder, server, { bucket: BUCKET, prefix: PREFIX, extra: environment }),
    write: (line) => void lines.push(line),
  });
  opened.push(service);
  return service;
}

async function backUp(environment: Record<string, string> = {}): Promise<string> {
  const service = newService(environment);
  const { filename = '', s3Uploaded } = await service.performBackup();
  await service.close();
  expect(s3Uploaded).toBe(true);
  return filename;
}

/** The disk is gone, the bucket is left. */
function loseTheDisk(): void {
  for (const name of ['app.sqlite', 'backups', 'state.sqlite', 'velist-backup.installation.json'])
    rmSync(join(folder, name), { recursive: true, force: true });
}

const PLAIN_COPY = expect.objectContaining({ code: 'PLAIN_COPY', hint: expect.stringContaining('--allow-plain') });

test('every way to a plain copy is refused until somebody says so, and then open', async () => {
  const name = await backUp();
  loseTheDisk();
  makeDatabase(database(), { rows: 1 });
  const service = newService(encrypted);
  await service.getBackups({ target: 's3' });
  const to = join(folder, 'restored.sqlite');
  const ways: Record<string, (allowPlain?: boolean) => Promise<unknown>> = {
    'to a new file': (allowPlain) => service.restore(name, { mode: 'file', to, allowPlain }),
    'a plan': (allowPlain) => service.planRestore(name, { allowPlain }),
    'over the database': (allowPlain) => service.restore(name, { mode: 'online', allowPlain }),
    'a check': (allowPlain) => service.verifyBackup(name, { from: 's3', allowPlain }),
    'a download': async (allowPlain) => await (await service.openBackup(name, { allowPlain })).close(),
  };
  for (const [way, go] of Object.entries(ways)) expect([way, await refusal(go)]).toEqual([way, PLAIN_COPY]);
  expect(existsSync(to)).toBe(false);
  expect(ask(database(), 'SELECT count(*) FROM notes')).toBe(1);

  for (const go of Object.values(ways)) await go(true);
  expect(ask(to, 'SELECT count(*) FROM notes')).toBe(10);
  // What was fetched on purpose lies there by now, and is for nobody else.
  for (const [way, go] of Object.entries(ways).slice(1)) expect([way, await refusal(go)]).toEqual([way, PLAIN_COPY]);
});

test('a backup in the folder is a plain file, and is restored as ever', async () => {
  await backUp(encrypted);
  const service = newService(encrypted);
  const [backup] = await service.getBackups();
  const to = join(folder, 'restored.sqlite');
  await service.restore(backup?.filename ?? '', { mode: 'file', to });
  expect(ask(to, 'SELECT count(*) FROM notes')).toBe(10);
  expect(await service.drill({ target: 'local' })).toMatchObject({ ok: true });
});

test('a first boot passes over a plain copy, says so, and brings the encrypted one before it back', async () => {
  const good = await backUp(encrypted);
  ask(database(), "INSERT INTO notes VALUES (1001, 'planted') RETURNING id");
  const planted = await backUp();
  loseTheDisk();
  const service = newService(encrypted);
  expect(await service.restoreIfMissing({ identityFile: keyFile() })).toMatchObject({
    outcome: 'restored',
    backup: good,
    skipped: [{ filename: planted, from: 's3', reason: expect.stringContaining('not encrypted') }],
  });
  expect(lines.join('\n')).toContain(`Not brought back: ${planted} (s3)`);
  expect(ask(database(), 'SELECT count(*) FROM notes')).toBe(10);
});

test('where all are from before the encryption, a first boot stops, and goes on when told to', async () => {
  const name = await backUp();
  loseTheDisk();
  const service = newService(encrypted);
  const error = await refusal(() => service.restoreIfMissing());
  expect(error).toMatchObject({ code: 'NO_BACKUP', hint: expect.stringContaining('--allow-plain') });
  expect(existsSync(database())).toBe(false);
  expect(await service.restoreIfMissing({ allowPlain: true })).toMatchObject({ outcome: 'restored', backup: name });
});

test('a drill proves the encrypted copy behind a plain one, and fails where there are only plain ones', async () => {
  const plain = await backUp();
  const service = newService(encrypted);
  const refused = await service.drill({ target: 's3' });
  expect(refused).toMatchObject({ ok: false, drills: [{ backup: plain, error: { code: 'PLAIN_COPY' } }] });
  expect(await service.drill({ target: 's3', allowPlain: true })).toMatchObject({ ok: true });

  const good = await backUp(encrypted);
  ask(database(), "INSERT INTO notes VALUES (1001, 'planted') RETURNING id");
  const planted = await backUp();
  await service.getBackups({ target: 's3' });
  const proven = await service.drill({ target: 's3', identity });
  expect(proven).toMatchObject({ ok: true, drills: [{ backup: good, result: 'proven' }] });
  expect(lines.join('\n')).toContain(planted);
});

test('a manifest that changes after it was listed is met by the job', async () => {
  const name = await backUp(encrypted);
  const listed = newService(encrypted);
  await listed.getBackups({ target: 's3' });
  // The same backup, stored anew without encryption by whoever has a key.
  await store.deleteMany((await keysOf(store)).filter((key) => key.startsWith('backup-')));
  rmSync(join(folder, 'state.sqlite'));
  const other = newService();
  await other.getBackups({ target: 's3' });
  await other.performBackup();
  await other.close();
  rmSync(join(folder, 'backups', name));
  const to = join(folder, 'restored.sqlite');
  expect(await refusal(() => listed.restore(name, { mode: 'file', to, from: 's3', identity }))).toEqual(PLAIN_COPY);
});
