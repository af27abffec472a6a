import { expect, test } from 'bun:test';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { makeDatabase, manifestOf, refusal, scratchFolders } from '../../../tests/support/scratch.ts';
import { lateLogName, lateLogSetAside, nameBackup, STAGING_FOLDER } from '../format/names.ts';
import { Catalog, inOrder } from './folder-catalog.ts';

const scratch = scratchFolders();
const at = (text: string) => new Date(`2024-01-15T${text}Z`);
const noon = nameBackup(at('12:00:00.000'));

/** A file of two pages with a manifest, as a run leaves it. */
async function addBackup(
  catalog: Catalog,
  time: string,
  change: Parameters<typeof manifestOf>[1] = {},
): Promise<string> {
  const manifest = manifestOf(at(time), change);
  writeFileSync(join(catalog.folder, manifest.name), Buffer.alloc(8192));
  await catalog.writeManifest(manifest);
  return manifest.name;
}

function addForeign(catalog: Catalog, time: string): string {
  const name = nameBackup(at(time));
  writeFileSync(join(catalog.folder, name), 'made by hand');
  return name;
}

const names = async (catalog: Catalog) => (await catalog.list()).map((backup) => backup.name);

test('order is by sequence, although the clock jumped back between the runs', async () => {
  const catalog = new Catalog(scratch());
  const first = await addBackup(catalog, '12:00:00.000', { sequence: 1 });
  const second = await addBackup(catalog, '18:00:00.000', { sequence: 2 });
  const afterTheJump = await addBackup(catalog, '09:00:00.000', { sequence: 3 });
  expect(await names(catalog)).toEqual([afterTheJump, second, first]);
});

test('of two backups with one number, which two machines gave, the later one is the newer', () => {
  const backup = (moment: string) => ({ name: moment, createdAt: at(moment), manifest: { sequence: 5 } });
  const [earlier, later] = [backup('12:00:00.100'), backup('12:00:00.900')];
  expect(inOrder([earlier, later])).toEqual([later, earlier]);
  expect(inOrder([later, earlier])).toEqual([later, earlier]);
});

test('foreign and adopted backups stand where their moment falls among the numbered ones', async () => {
  const catalog = new Catalog(scratch());
  const ten = await addBackup(catalog, '10:00:00.000', { sequence: 7 });
  const twelve = await addBackup(catalog, '12:00:00.000', { sequence: 8 });
  const oldest = addForeign(catalog, '09:00:00.000');
  const adopted = await addBackup(catalog, '11:00:00.000', { sequence: null });
  const justAfter = addForeign(catalog, '11:00:00.001');
  const newest = addForeign(catalog, '13:00:00.000');
  expect(await names(catalog)).toEqual([newest, twelve, justAfter, adopted, ten, oldest]);
});

test('two hundred backups are all listed, in order', async () => {
  const catalog = new Catalog(scratch());
  const made: string[] = [];
  for (let index = 1; index <= 200; index++) {
    const manifest = manifestOf(new Date(at('12:00:00.000').getTime() + index), { sequence: index });
    writeFileSync(join(catalog.folder, manifest.name), Buffer.alloc(8192));
    writeFileSync(join(catalog.folder, `${manifest.name}.json`), JSON.stringify(manifest));
    made.push(manifest.name);
  }
  expect(await names(catalog)).toEqual(made.reverse());
});

test('a file without a manifest is listed as foreign', async () => {
  const catalog = new Catalog(scratch());
  addForeign(catalog, '12:00:00.000');
  expect(await catalog.list()).toEqual([
    {
      name: noon,
      path: join(catalog.folder, noon),
      sizeBytes: 12,
      createdAt: at('12:00:00.000'),
      manifest: null,
      fault: null,
      modifiedNs: expect.any(String),
    },
  ]);
});

test('a manifest that says another size makes a fault, and the backup stays listed', async () => {
  const catalog = new Catalog(scratch());
  await addBackup(catalog, '12:00:00.000', { sizeBytes: 4096 });
  const [backup] = await catalog.list();
  expect(backup?.fault).toBe('the file has 8192 bytes, but its manifest says 4096');
  expect(backup?.manifest).not.toBeNull();
});

test('a manifest that lies, is garbage, huge, a link or a folder is a fault, never another backup', async () => {
  const catalog = new Catalog(scratch());
  const elsewhere = join(scratch(), 'manifest.json');
  writeFileSync(elsewhere, JSON.stringify(manifestOf(at('12:00:00.000'))));
  const plant: Record<string, (path: string) => void> = {
    'names another backup': (path) => writeFileSync(path, JSON.stringify(manifestOf(at('13:00:00.000')))),
    'is not JSON': (path) => writeFileSync(path, Buffer.from([0, 255, 254, 1])),
    'far too large': (path) => writeFileSync(path, Buffer.alloc(1024 * 1024 + 1, ' ')),
    'not a plain file': (path) => symlinkSync(elsewhere, path),
  };
  for (const [complaint, put] of Object.entries(plant)) {
    addForeign(catalog, '12:00:00.000');
    put(join(catalog.folder, `${noon}.json`));
    const [backup] = await catalog.list();
    expect([backup?.name, backup?.manifest]).toEqual([noon, null]);
    expect(backup?.fault).toContain(complaint);
    rmSync(join(catalog.folder, `${noon}.json`));
  }
  mkdirSync(join(catalog.folder, `${noon}.json`));
  expect((await catalog.list())[0]?.fault).toContain('not a plain file');
});

test('a link or a folder under a backup’s name is not listed, and can not be found', async () => {
  const catalog = new Catalog(scratch());
  const secret = join(scratch(), 'secret.sqlite');
  makeDatabase(secret);
  symlinkSync(secret, join(catalog.folder, noon));
  mkdirSync(join(catalog.folder, nameBackup(at('13:00:00.000'))));
  expect(await catalog.list()).toEqual([]);
  expect((await refusal(() => catalog.find(noon))).code).toBe('NO_BACKUP');
});

test('other files of the folder are not backups', async () => {
  const catalog = new Catalog(scratch());
  const names = [
    'settings.json',
    '.velist-backup.lock',
    'notes.sqlite',
    `${noon}.json`,
    `.${noon}.tmp`,
    `${noon}-wal`,
    lateLogName(noon),
    lateLogSetAside(noon, 'log'),
  ];
  for (const name of names) writeFileSync(join(catalog.folder, name), '{}');
  expect(await catalog.list()).toEqual([]);
});

test('what a killed run was about to publish is not listed', async () => {
  const catalog = new Catalog(scratch());
  addForeign(catalog, '12:00:00.000');
  mkdirSync(join(catalog.folder, STAGING_FOLDER, noon), { recursive: true });
  expect(await catalog.list()).toEqual([]);
  expect(await catalog.unpublished()).toEqual(new Set([noon]));
});

test('what was published just before the kill is a backup: its manifest is there', async () => {
  const catalog = new Catalog(scratch());
  await addBackup(catalog, '12:00:00.000');
  mkdirSync(join(catalog.folder, STAGING_FOLDER, noon), { recursive: true });
  expect(await names(catalog)).toEqual([noon]);
});

test('a folder that is not there is an empty catalog', async () => {
  expect(await new Catalog(join(scratch(), 'absent')).list()).toEqual([]);
});

test('a file in place of the folder is an error and not an empty catalog', async () => {
  const file = join(scratch(), 'file');
  writeFileSync(file, '');
  expect((await refusal(() => new Catalog(file).list())).code).toBe('FOLDER_MISSING');
  expect((await refusal(() => new Catalog(file).prepare())).code).toBe('FOLDER_MISSING');
  expect((await refusal(() => new Catalog(join(file, 'below')).prepare())).code).toBe('FOLDER_MISSING');
});

test('manifests are for their owner alone, and a folder that was there before keeps its mode', async () => {
  const folder = join(scratch(), 'backups');
  mkdirSync(folder);
  chmodSync(folder, 0o755);
  const catalog = new Catalog(folder);
  await catalog.prepare();
  const name = await addBackup(catalog, '12:00:00.000');
  expect(statSync(folder).mode & 0o777).toBe(0o755);
  expect(statSync(join(folder, `${name}.json`)).mode & 0o777).toBe(0o600);
  const made = join(folder, 'new', 'one');
  await new Catalog(made).prepare();
  expect([made, dirname(made)].map((path) => statSync(path).mode & 0o777)).toEqual([0o700, 0o700]);
});

test('a name that is none is refused before anything is looked at', async () => {
  const catalog = new Catalog(join(scratch(), 'absent'));
  for (const name of [
    '..',
    '../db/dev.sqlite',
    '/etc/passwd',
    'latest',
    `${noon}/../x`,
    lateLogName(noon),
    `${noon}\0`,
    '__proto__',
    '',
  ]) {
    expect([name, (await refusal(() => catalog.find(name))).code]).toEqual([name, 'BAD_NAME']);
  }
});

test('removing leaves neither file nor manifest, and doing it twice is fine', async () => {
  const catalog = new Catalog(scratch());
  const name = await addBackup(catalog, '12:00:00.000');
  const backup = await catalog.find(name);
  await catalog.remove(backup);
  await catalog.remove(backup);
  expect(readdirSync(catalog.folder)).toEqual([]);
});

test('a changed manifest is seen although the catalog remembers what it read', async () => {
  const [one, other] = [new Catalog(scratch())].flatMap((catalog) => [catalog, new Catalog(catalog.folder)]) as [
    Catalog,
    Catalog,
  ];
  const name = await addBackup(one, '12:00:00.000');
  expect((await one.find(name)).manifest?.note).toBeNull();
  await other.changeManifest(name, (manifest) => ({ ...manifest, note: 'before the migration' }));
  expect((await one.find(name)).manifest?.note).toBe('before the migration');
});

test('a foreign backup has no manifest to change', async () => {
  const catalog = new Catalog(scratch());
  const name = addForeign(catalog, '12:00:00.000');
  expect((await refusal(() => catalog.changeManifest(name, (manifest) => manifest))).code).toBe('BAD_BACKUP');
  expect(existsSync(join(catalog.folder, `${name}.json`))).toBe(false);
});

test('two processes that change one manifest at once lose no change', async () => {
  const catalog = new Catalog(scratch());
  const name = await addBackup(catalog, '12:00:00.000', { note: '' });
  const changes = 12;
  const program = `
    import { Catalog } from ${JSON.stringify(new URL('./folder-catalog.ts', import.meta.url).href)};
    const [folder, name, letter] = process.argv.slice(1);
    const catalog = new Catalog(folder);
    for (let change = 0; change < ${changes}; change++)
      await catalog.changeManifest(name, (manifest) => ({ ...manifest, note: manifest.note + letter }));
  `;
  const writers = ['a', 'b'].map((letter) =>
    spawn(process.execPath, ['--config=/dev/null', '--no-env-file', '-e', program, catalog.folder, name, letter], {
      stdio: 'inherit',
    }),
  );
  expect(await Promise.all(writers.map(async (writer) => (await once(writer, 'exit'))[0]))).toEqual([0, 0]);
  const note = (await catalog.find(name)).manifest?.note ?? '';
  expect([...note].sort().join('')).toBe('a'.repeat(changes) + 'b'.repeat(changes));
});

test('a backup that is being published or removed is never taken for a foreign one', async () => {
  const catalog = new Catalog(scratch());
  const program = `
    import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
    import { dirname, join } from 'node:path';
    import { Catalog } from ${JSON.stringify(new URL('./folder-catalog.ts', import.meta.url).href)};
    import { nameBackup } from ${JSON.stringify(new URL('../format/names.ts', import.meta.url).href)};
    const [folder, text] = process.argv.slice(1);
    const manifest = JSON.parse(text);
    const publish = (name) => {
      const announced = join(folder, ${JSON.stringify(STAGING_FOLDER)}, name);
      mkdirSync(announced, { recursive: true });
      writeFileSync(join(announced, 'snapshot.sqlite'), Buffer.alloc(8192));
      renameSync(join(announced, 'snapshot.sqlite'), join(folder, name));
      writeFileSync(join(folder, '.manifest'), JSON.stringify({ ...manifest, name, artifact: { ...manifest.artifact, file: name } }));
      renameSync(join(folder, '.manifest'), join(folder, name + '.json'));
      rmSync(announced, { recursive: true });
    };
    for (let number = 0; number < 600; number++) {
      publish(nameBackup(new Date(number)));
      if (number < 10) continue;
      const name = nameBackup(new Date(number - 10));
      await new Catalog(folder).remove({ name, path: join(folder, name) });
    }
  `;
  const manifest = JSON.stringify(manifestOf(at('12:00:00.000')));
  const publisher = spawn(
    process.execPath,
    ['--config=/dev/null', '--no-env-file', '-e', program, catalog.folder, manifest],
    { stdio: 'inherit' },
  );
  let ended = false;
  const exited = once(publisher, 'exit').then(([code]) => {
    ended = true;
    return code;
  });
  const seen = new Set<string>();
  while (!ended) for (const backup of await catalog.list()) seen.add(backup.manifest ? 'ours' : 'foreign');
  expect(await exited).toBe(0);
  expect(seen).toEqual(new Set(['ours']));
});

test('a hard link to the live database and a link planted a moment ago are never opened', async () => {
  const catalog = new Catalog(scratch());
  const live = join(scratch(), 'shop.sqlite');
  makeDatabase(live);
  linkSync(live, join(catalog.folder, noon));
  const planted = await catalog.find(noon);
  expect((await refusal(() => catalog.open(planted, { databasePath: live }))).code).toBe('BAD_BACKUP');

  const other = new Catalog(scratch());
  const backup = await other.find(await addBackup(other, '12:00:00.000'));
  rmSync(backup.path);
  expect((await refusal(() => other.open(backup, { databasePath: live }))).code).toBe('GONE');
  symlinkSync('/etc/hostname', backup.path);
  expect((await refusal(() => other.open(backup, { databasePath: live }))).code).toBe('BAD_BACKUP');
});

test('what is held of a folder is never older than what another process did there', async () => {
  const catalog = new Catalog(scratch());
  const [first, second, third] = [
    await addBackup(catalog, '10:00:00.000', { sequence: 1 }),
    await addBackup(catalog, '11:00:00.000', { sequence: 2 }),
    await addBackup(catalog, '12:00:00.000', { sequence: 3 }),
  ];
  const pathOf = (name: string) => join(catalog.folder, name);
  /** Runs a command in the folder, after which the next listing is another one. */
  const changed = async (...command: readonly [string, ...string[]]) => {
    const before = await catalog.list();
    expect(await catalog.list()).toBe(before);
    expect(spawnSync(command[0], command.slice(1), { cwd: catalog.folder }).status).toBe(0);
    const after = await catalog.list();
    expect(after).not.toBe(before);
    return new Map(after.map((backup) => [backup.name, backup]));
  };
  // Until the names themselves are held: the last change of the folder is old enough then.
  while (Date.now() - statSync(catalog.folder).ctimeMs <= 1_600) await Bun.sleep(50);
  // In their place: neither changes the folder.
  expect(
    (await changed('sed', '--in-place=', 's/"pinned": false/"pinned": true/', `${first}.json`)).get(first)?.manifest,
  ).toMatchObject({ pinned: true });
  expect((await changed('truncate', '--size=100', second)).get(second)?.fault).toContain('the file has 100 bytes');
  expect((await changed('truncate', '--size=100', `${third}.json`)).get(third)?.fault).not.toBeNull();
  expect([...(await changed('rm', first, `${first}.json`)).keys()]).toEqual([third, second]);
  expect((await changed('cp', second, first)).get(first)?.manifest).toBeNull();
  expect(existsSync(pathOf(first))).toBe(true);
}, 60_000);
