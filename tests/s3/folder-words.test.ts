/**
 * Whoever has a folder as the only target is never told of S3 or of a bucket: each command is typed in each state that
 * has words of its own, and all that it says is read.
 */
import { expect, setDefaultTimeout, test } from 'bun:test';
import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import { cpSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createServiceFromEnvironment } from '../../src/service/from-environment.ts';
import { newDisk } from '../support/disk.ts';
import { type Machine, machine, type } from '../support/many-machines.ts';
import { ask, scratchFolders } from '../support/scratch.ts';

setDefaultTimeout(120_000);

const newFolder = scratchFolders();
const recipient = await identityToRecipient(await generateX25519Identity());

function newMachine(root: string, diskPath: string, env: Record<string, string> = {}): Machine {
  return machine(root, { env: { BACKUP_ENABLED: 'false', BACKUP_FOLDER_PATH: diskPath, ...env } });
}

/** What people read of the commands, each with its exit code; a name of the other kind in it fails. */
async function said(where: Machine, ...commands: readonly string[]): Promise<string> {
  let all = '';
  for (const command of commands) {
    const { code, stdout, stderr } = await type(where, command);
    const text = `$ ${command}\n${stdout}${stderr}(${code})\n`;
    expect([command, ...namesIn(text)]).toEqual([command]);
    all += text;
  }
  return all;
}

/** `s3-waiting` is a code for programs, and as old as the first kind of target. */
const namesIn = (text: string) =>
  text.split('\n').filter((line) => /\bS3|_S3|bucket/i.test(line.replaceAll('s3-waiting', '')));

const everyDay = [
  ...['status', 'list', 'list --target folder', 'doctor --targets', 'test-target folder', 'drill --from folder'],
  ...['prune --dry-run --target folder', 'claim --target folder', 'kit', 'test-target'],
];

test('while all is well, open or sealed', async () => {
  for (const env of [undefined, { BACKUP_ENCRYPTION_RECIPIENT: recipient }]) {
    const root = newFolder();
    const disk = newDisk(root);
    const here = newMachine(root, disk.path, env);
    expect(await said(here, 'backup')).toContain('(0)');
    expect(await said(here, ...everyDay)).toContain(`${disk.path}, 1 stored`);
  }
});

test('while the disk is away, read-only for us, or has lost a file', async () => {
  const root = newFolder();
  const disk = newDisk(root);
  const here = newMachine(root, disk.path);
  await said(here, 'backup');
  disk.unmount();
  expect(await said(here, 'backup', ...everyDay)).toContain('its disk is not mounted');
  disk.mount();
  const [file = ''] = readdirSync(disk.path).filter((name) => name.endsWith('.sqlite'));
  rmSync(join(disk.path, file));
  expect(await said(here, ...everyDay, `restore ${file} --from folder --to ${join(root, 'back.sqlite')}`)).toContain(
    'its file is not there',
  );
  // A folder in the place of the record: it can't be read, and nobody may write.
  rmSync(join(disk.path, 'database.json'));
  mkdirSync(join(disk.path, 'database.json'));
  await said(here, 'backup', ...everyDay);
});

test('while another database, another machine or a copy of this one has the folder', async () => {
  const root = newFolder();
  const disk = newDisk(root);
  const here = newMachine(join(root, 'here'), disk.path);
  await said(here, 'backup');
  const other = newMachine(join(root, 'other'), disk.path);
  expect(await said(other, 'backup', ...everyDay.filter((command) => !command.startsWith('claim')))).toContain(
    'a folder of its own (BACKUP_FOLDER_PATH)',
  );

  // The service goes on, and gives the folder back at its end.
  const running = createServiceFromEnvironment({ env: { ...here.env, BACKUP_ENABLED: 'true' }, write: () => {} });
  running.start();
  ask(here.database, "INSERT INTO notes VALUES (NULL, 'more') RETURNING 1");
  expect(await running.performBackup()).toMatchObject({ success: true });
  const copy = newMachine(join(root, 'copy'), disk.path);
  cpSync(join(here.root, 'state'), join(copy.root, 'state'), { recursive: true });
  expect(await said(copy, 'claim --target folder', 'backup', ...everyDay)).toContain('folder');
  await running.close();
});

test('at the first boot of a machine that has nothing', async () => {
  const root = newFolder();
  const disk = newDisk(root);
  const here = newMachine(root, disk.path);
  rmSync(here.database);
  expect(await said(here, 'restore --if-missing')).toContain(`none in ${disk.path}`);
  disk.unmount();
  await said(here, 'restore --if-missing', ...everyDay);
  disk.mount();
  const sealed = newMachine(join(root, 'sealed'), disk.path, { BACKUP_ENCRYPTION_RECIPIENT: recipient });
  await said(sealed, 'backup');
  for (const name of ['backups', 'state']) rmSync(join(sealed.root, name), { recursive: true });
  rmSync(sealed.database);
  expect(await said(sealed, 'restore --if-missing')).toContain('no private key was given');
  for (const name of readdirSync(disk.path)) if (name.endsWith('.json')) writeFileSync(join(disk.path, name), '{');
  await said(sealed, 'restore --if-missing', ...everyDay);
});
