/**
 * The package as npm ships it, unpacked beside its declared dependencies alone: judged by the linters of packages, then
 * used by the same program on each runtime, then taken in by bundlers.
 */
import { beforeAll, describe, expect, test } from 'bun:test';
import { decode } from '@jridgewell/sourcemap-codec';
import { generateIdentity, identityToRecipient } from 'age-encryption';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { unseal } from '../../src/engine/format/seal.ts';
import { createS3Store } from '../../src/engine/store/s3/store.ts';
import { openBucket } from '../support/bucket.ts';
import { ask, makeDatabase, scratchFolders } from '../support/scratch.ts';
import { bundledApps } from './bundles.ts';
import { deployments } from './deployments.ts';
import { exampleApps } from './examples.ts';
import { packPackage } from './pack.ts';
import { complaints, mustRun, root, run } from './run.ts';
import { node22, node26 } from '../support/runtimes.ts';

const PATIENCE_MS = 600_000;
/** Bun, and the two ends of the Nodes that `engines` promises: the oldest and the newest even one. */
const runtimes = [
  { name: 'Node-22.16', program: node22 },
  { name: 'Node-26', program: node26 },
  { name: 'Bun', program: process.execPath },
];
const newFolder = scratchFolders();
let tarball: string;
let shipped: readonly string[];
let sizeBytes: number;
let installed: string;
let built: string;
const { server } = await openBucket('sealed');

beforeAll(async () => {
  built = newFolder();
  const packed = await packPackage(built);
  ({ tarball, shipped, sizeBytes } = packed);

  installed = newFolder();
  const target = join(installed, 'node_modules/velist-backup');
  mkdirSync(target, { recursive: true });
  await mustRun('tar', ['xzf', tarball, '-C', target, '--strip-components=1'], installed);
  for (const name of packed.dependencies) link(name, installed);
  mkdirSync(join(installed, 'node_modules/.bin'));
  symlinkSync('../velist-backup/dist/cli/main.js', join(installed, 'node_modules/.bin/velist-backup'));
}, PATIENCE_MS);

let otherDriver: Promise<string> | undefined;

/**
 * A driver that is no dependency of ours: npm would compile it at each install, though its builds come with it, and needs
 * a compiler and the network for that. Without scripts it is just unpacked.
 */
function betterSqlite3(): Promise<string> {
  const folder = newFolder();
  otherDriver ??= mustRun(
    'npm',
    ['install', '--prefix', folder, '--ignore-scripts', '--no-audit', '--no-fund', 'better-sqlite3@13.2.0'],
    folder,
    // The way to the registry is in it.
    process.env,
  ).then(() => join(folder, 'node_modules/better-sqlite3'));
  return otherDriver;
}

/** Installs a package of ours in a folder, or another one. */
function link(name: string, folder: string, from = join(root, 'node_modules', name)): void {
  const place = join(folder, 'node_modules', name);
  mkdirSync(dirname(place), { recursive: true });
  symlinkSync(from, place);
}

test('the package holds programs with types and maps, and neither tests nor the sources of the page', () => {
  const modules = shipped.filter((path) => /^dist\/(?!page\/).*\.js$/.test(path));
  expect(modules.length).toBeGreaterThan(40);
  for (const path of modules) expect(shipped).toContain(`${path}.map`);
  // Those that the front doors lead to; the linters of packages below see that none of them is missing.
  for (const door of ['index', 'http/elysia', 'http/mount']) expect(shipped).toContain(`dist/${door}.d.ts`);
  expect(shipped).not.toContain('dist/http/routes/index.d.ts');
  expect(
    shipped.filter((path) =>
      /\.test\.|\.svelte|(^|\/)(src|tests)\/|(?<!\.d)\.ts$|dist\/features\/backup\/pages/.test(path),
    ),
  ).toEqual([]);
  for (const path of [
    'dist/licences.md',
    'dist/man/velist-backup.1',
    'dist/velist-backup.schema.json',
    'package.json',
    'README.md',
    'CHANGELOG.md',
    'SECURITY.md',
    'llms.txt',
    'skills/velist-backup/SKILL.md',
    'LICENSE',
  ])
    expect(shipped).toContain(path);
  expect(shipped.filter((path) => path.startsWith('dist/page'))).toEqual([]);
  for (const path of modules.filter((path) => !/bundled-(job|page)\.js$/.test(path))) {
    const map: { sources: string[]; sourcesContent?: string[] } = JSON.parse(
      readFileSync(join(installed, 'node_modules/velist-backup', `${path}.map`), 'utf8'),
    );
    expect([path, map.sources.length, map.sourcesContent?.length]).toEqual([path, 1, 1]);
  }
});

test('the maps lead each function to its line in the sources', () => {
  let functions = 0;
  for (const path of shipped.filter((name) => /^dist\/.*\.js$/.test(name) && !/bundled-(job|page)\.js$/.test(name))) {
    const file = join(installed, 'node_modules/velist-backup', path);
    const map: { mappings: string; sourcesContent: [string] } = JSON.parse(readFileSync(`${file}.map`, 'utf8'));
    const source = map.sourcesContent[0].split('\n');
    const places = decode(map.mappings);
    for (const [at, line] of readFileSync(file, 'utf8').split('\n').entries()) {
      const [, name] = /^(?:export )?(?:async )?function\*? (\w+)\(/.exec(line) ?? [];
      if (name === undefined) continue;
      functions++;
      expect(source[places[at]?.[0]?.[2] ?? -1]).toMatch(new RegExp(`function\\*? ${name}\\b`));
    }
  }
  expect(functions).toBeGreaterThan(1_000);
});

test('it is small: what it weighs, and how many packages come with it', () => {
  const { packages }: { packages: Record<string, { dev?: boolean }> } = JSON.parse(
    readFileSync(join(root, 'package-lock.json'), 'utf8'),
  );
  const brought = Object.entries(packages).filter(([path, { dev }]) => path !== '' && !dev);
  console.log(`${sizeBytes} bytes in ${shipped.length} files; ${brought.length} packages come with it`);
  // Half of it are maps with the sources; looking inside, shipping and rescue brought 400 KB of the rest.
  expect(sizeBytes).toBeLessThan(2_500_000);
  expect(brought.length).toBeLessThanOrEqual(60);
});

test('the bill of materials lists exactly what comes with it, with versions and digests', () => {
  const { packages }: { packages: Record<string, { dev?: boolean; version: string; integrity: string }> } = JSON.parse(
    readFileSync(join(root, 'package-lock.json'), 'utf8'),
  );
  const brought = Object.entries(packages)
    .filter(([path, { dev }]) => path !== '' && !dev)
    .map(([path, { version, integrity }]) => {
      const [algorithm, digest = ''] = integrity.split('-');
      const content = Buffer.from(digest, 'base64').toString('hex');
      return [`${path.replace(/^.*node_modules\//, '')}@${version}`, `${algorithm}-${content}`];
    });
  const bill: {
    bomFormat: string;
    metadata: { component: { name: string; version: string } };
    components: { 'bom-ref': string; purl: string; hashes: { alg: string; content: string }[] }[];
  } = JSON.parse(readFileSync(join(installed, 'node_modules/velist-backup/dist/sbom.cdx.json'), 'utf8'));
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  expect(bill).toMatchObject({ bomFormat: 'CycloneDX', metadata: { component: { name: 'velist-backup', version } } });
  const listed = bill.components.map(({ 'bom-ref': name, hashes }) => [
    name,
    hashes.map(({ alg, content }) => `${alg.replace('SHA-', 'sha')}-${content}`).join(),
  ]);
  expect(listed.toSorted()).toEqual(brought.toSorted());
});

test('the licences of all that is taken in from others are told', () => {
  const text = readFileSync(join(installed, 'node_modules/velist-backup/dist/licences.md'), 'utf8');
  for (const name of ['svelte', '@lucide/svelte', '@fontsource-variable/geist', '@aws-sdk/client-s3', 'age-encryption'])
    expect(text).toContain(`\n- ${name} `);
  for (const licence of ['SIL OPEN FONT LICENSE', 'Apache License', 'MIT', 'ISC']) expect(text).toContain(licence);
});

test(
  'publint and arethetypeswrong find nothing',
  async () => {
    const bin = join(root, 'node_modules/.bin');
    const lint = await run(process.execPath, [join(bin, 'publint'), tarball, '--strict'], { cwd: root });
    expect([lint.code, lint.stdout]).toEqual([0, expect.stringContaining('All good!')]);
    // The package has modules alone: the oldest Node that it takes can require() them, as a test below does.
    const types = await run(process.execPath, [join(bin, 'attw'), tarball, '--profile', 'esm-only'], { cwd: root });
    expect(types).toMatchObject({ code: 0, stdout: expect.stringContaining('"velist-backup/elysia"') });
  },
  PATIENCE_MS,
);

test(
  'its types are whole: a strict program compiles against them',
  async () => {
    const folder = project();
    link('elysia', folder);
    await Bun.write(
      join(folder, 'app.ts'),
      `import { BackupError, type BackupResult, backupService, createBackups, createStorage, defineConfig } from 'velist-backup';
       import { backupRoutes } from 'velist-backup/elysia';
       import { backupFetch, backupListener, type Fetch } from 'velist-backup/http';
       export const handler: Fetch = backupFetch(backupService, { authorize: () => ({ user: 'me' }) });
       export const listener = backupListener(backupService, { authorize: async () => true });
       // @ts-expect-error authorize is missing
       export const open = backupFetch(backupService, {});
       export const result: Promise<BackupResult> = backupService.performBackup('me');
       export const routes = backupRoutes(backupService, { authorize: () => true });
       export const many = createBackups(defineConfig({ databases: [{ glob: './*.sqlite', s3: { keepDaily: 7 } }] }));
       export const routesOfMany = many.then((backups) => backupRoutes(backups, { prefix: '/b', thisMachineOnly: true }));
       export const storage = createStorage();
       export const code: string = new BackupError('BUSY', 'busy', { hint: 'Wait.' }).code;`,
    );
    const flags = [
      '--strict',
      '--noEmit',
      '--module',
      'nodenext',
      '--target',
      'es2023',
      '--lib',
      'es2024,dom,esnext.disposable',
      '--skipLibCheck',
    ];
    const types = ['--typeRoots', join(root, 'node_modules/@types'), '--types', 'node'];
    const ended = await run(
      process.execPath,
      [join(root, 'node_modules/typescript/bin/tsc'), ...flags, ...types, 'app.ts'],
      { cwd: folder },
    );
    expect(ended.stdout + ended.stderr).toBe('');
  },
  PATIENCE_MS,
);

/** An app's folder with the package installed in it. */
function project(journalMode: 'wal' | 'delete' = 'wal'): string {
  const folder = mkdtempSync(join(installed, 'app-'));
  makeDatabase(join(folder, 'app.sqlite'), { rows: 500, journalMode });
  return folder;
}

const program = `
  import { DatabaseSync } from 'node:sqlite';
  import { BackupService, backupService, createServiceFromEnvironment, createStorage } from 'velist-backup';
  import { backupFetch } from 'velist-backup/http';
  const database = new DatabaseSync('app.sqlite');
  database.exec('PRAGMA busy_timeout = 5000');
  const rows = () => database.prepare('SELECT count(*) AS n FROM notes').get().n;
  const service = createServiceFromEnvironment({ write() {} });
  const out = { isService: service instanceof BackupService, before: rows() };
  const made = await service.performBackup('me');
  out.made = made.success;
  out.listed = (await service.getBackups()).map(({ filename, verified }) => verified && filename === made.filename);
  out.verified = (await service.verifyBackup(made.filename, { full: true })).verification.state;
  database.exec("INSERT INTO notes (text) VALUES ('later')");
  out.later = rows();
  await service.restore(made.filename, { mode: 'file', to: 'copy.sqlite' });
  const copy = new DatabaseSync('copy.sqlite', { readOnly: true });
  out.inCopy = copy.prepare('SELECT count(*) AS n FROM notes').get().n;
  copy.close();
  out.mode = (await service.restore(made.filename, { mode: 'online' })).mode;
  out.restored = rows();
  await service.undoRestore();
  out.undone = rows();
  out.verdict = (await service.getStatus()).verdict.code;
  out.runs = service.getRuns().map((run) => run.kind + ' ' + run.result);
  out.same = (await backupService.getBackups()).length;
  const handler = backupFetch(service, { authorize: (_, action) => action !== 'delete' });
  const ask = (path, init) => handler(new Request('http://localhost/backup/' + path, init));
  const page = await (await ask('')).text();
  out.page = [page.includes('<title>'), (await ask(/src="\\.\\/([^"]+\\.js)"/.exec(page)[1])).status];
  out.refused = (await ask(made.filename, { method: 'DELETE' })).status;
  const events = (await ask('api/events')).body.getReader();
  for (let text = ''; out.event === undefined; out.event = /event: \\w+/.exec(text)?.[0])
    text += new TextDecoder().decode((await events.read()).value);
  await events.cancel();
  const storage = createStorage();
  await storage.upload('notes/one.txt', 'hello');
  out.stored = new TextDecoder().decode(await storage.get('notes/one.txt'));
  storage.close();
  await backupService.close();
  await service.close();
  database.exec("INSERT INTO notes (text) VALUES ('after all')");
  database.close();
  console.log(JSON.stringify(out));
`;

/**
 * The app's SQLite library is not ours. A descriptor of the database that we closed in this process would drop the app's
 * locks, the visitor would take the log away when it leaves, and the last rows would be lost with the app. The visitor
 * is a Node: a Bun that ends leaves the log there.
 */
const otherLibrary = `
  import { execFileSync } from 'node:child_process';
  import Database from 'better-sqlite3';
  import { createServiceFromEnvironment } from 'velist-backup';
  const database = new Database('app.sqlite');
  const insert = database.prepare("INSERT INTO notes (text) VALUES ('more')");
  database.pragma('wal_autocheckpoint = 0');
  const made = await createServiceFromEnvironment({ write() {} }).performBackup();
  if (!made.success) throw made.error;
  console.log('backed up');
  process.stdout.write(execFileSync(process.env.VISITOR, ['visitor.mjs'], { stdio: ['ignore', 'pipe', 'ignore'] }));
  for (let row = 0; row < 100; row++) insert.run();
  process.kill(process.pid, 'SIGKILL');
`;
const visitor = `
  import { DatabaseSync } from 'node:sqlite';
  const database = new DatabaseSync('app.sqlite');
  console.log(database.prepare('SELECT count(*) AS n FROM notes').get().n + ' seen by the visitor');
  database.close();
`;

for (const { name, program: runtime } of runtimes) {
  describe(`on ${name}`, () => {
    const cli = (folder: string, ...args: string[]) =>
      run(runtime, [join(installed, 'node_modules/.bin/velist-backup'), ...args], {
        cwd: folder,
        env: { DATABASE_URL: 'app.sqlite' },
      });

    test.each(['wal', 'delete'] as const)(
      'an app backs up, restores and undoes in the database that it has open (journal mode %s)',
      async (journalMode) => {
        const folder = project(journalMode);
        await Bun.write(join(folder, 'app.mjs'), program);
        const ended = await run(runtime, ['app.mjs'], { cwd: folder, env: { DATABASE_URL: 'app.sqlite' } });
        expect(complaints(ended)).toBe('');
        expect(JSON.parse(ended.stdout)).toEqual({
          isService: true,
          before: 500,
          made: true,
          listed: [true],
          verified: 'verified',
          later: 501,
          inCopy: 500,
          mode: 'online',
          restored: 500,
          undone: 501,
          verdict: 'restored',
          runs: ['undo success', 'restore success', 'verify success', 'backup success'],
          same: 3,
          page: [true, 200],
          refused: 403,
          event: 'event: status',
          stored: 'hello',
        });
      },
      PATIENCE_MS,
    );

    test(
      'a configuration file in TypeScript is run, and an app guards several databases',
      async () => {
        const folder = project();
        await Bun.write(
          join(folder, 'velist-backup.config.ts'),
          `import { type BackupsConfig, defineConfig } from 'velist-backup';
           enum Check { full = 'full' }
           const config: BackupsConfig = { verify: Check.full, databases: [{ path: 'app.sqlite' }, { glob: '*.db' }] };
           export default defineConfig(config);`,
        );
        makeDatabase(join(folder, 'wiki.db'));
        const made = await cli(folder, 'backup', '--json');
        expect([made.code, made.stderr]).toEqual([0, '']);
        expect(Object.keys(JSON.parse(made.stdout).databases)).toEqual(['app', 'database.wiki']);
        await Bun.write(
          join(folder, 'app.mjs'),
          `import { createBackups } from 'velist-backup';
           import { backupFetch } from 'velist-backup/http';
           const backups = await createBackups({ databases: [{ path: 'app.sqlite' }, { glob: './*.db', name: 'w' }] });
           const all = await backupFetch(backups, { authorize: () => true })(new Request('http://localhost/backup/db/app/api/backups'));
           console.log(JSON.stringify([backups.databases.map(({ name }) => name), (await all.json()).backups.length]));
           await backups.close();`,
        );
        const ended = await run(runtime, ['app.mjs'], { cwd: folder });
        expect([ended.code, ended.stdout]).toEqual([0, '[["app","w.wiki"],1]\n']);
      },
      PATIENCE_MS,
    );

    test(
      'the command line answers on standard output, says nothing else, and ends with its codes',
      async () => {
        const folder = project();
        const backup = await cli(folder, 'backup', '--json');
        expect(backup).toMatchObject({ code: 0, stderr: '' });
        const { filename }: { filename: string } = JSON.parse(backup.stdout);
        const list = await cli(folder, 'list', '--json');
        expect(list).toMatchObject({ code: 0, stderr: '' });
        expect(JSON.parse(list.stdout).backups).toMatchObject([{ filename, verified: true }]);
        expect(await cli(folder, 'verify', 'latest')).toMatchObject({ code: 0, stderr: '' });
        expect(await cli(folder, 'restore', 'latest', '--to', 'copy.sqlite')).toMatchObject({ code: 0, stderr: '' });
        expect(await cli(folder, 'restore', 'latest', '--to', 'copy.sqlite')).toMatchObject({ code: 2, stdout: '' });
        expect(await cli(folder, 'prune', '--dry-run')).toMatchObject({
          code: 0,
          stdout: expect.stringMatching(
            /^would keep +backup-.*\.sqlite \(newest verified backup.*\)\n1 kept, 0 to remove\n$/,
          ),
          stderr: '',
        });
        expect(await cli(folder, 'status')).toMatchObject({ code: 0, stderr: '' });
        expect(await cli(folder, 'restore', 'latest', '--online')).toMatchObject({ code: 0 });
        const plan = { stderr: expect.stringMatching(/over app\.sqlite[\s\S]*ROWS NOW/) };
        expect(await cli(folder, 'undo')).toMatchObject({ code: 0, ...plan });
        expect(await cli(folder, 'restore', 'latest', '--in-place', '--yes')).toMatchObject({ code: 0, ...plan });
        expect(await cli(folder, 'undo', '--in-place')).toMatchObject({ code: 0, ...plan });
        expect(await cli(folder, 'verify', 'nothing.sqlite')).toMatchObject({ code: 3, stdout: '' });
        expect(await cli(folder, 'list', '--nonsense')).toMatchObject({ code: 2, stdout: '' });
        expect((await cli(folder, '--version')).stdout).toBe(
          `${JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version}\n`,
        );
      },
      PATIENCE_MS,
    );

    test(
      'a copy on S3 is encrypted; a private key in place of the public one stops the start',
      async () => {
        const folder = project();
        const identity = await generateIdentity();
        const env = {
          DATABASE_URL: 'app.sqlite',
          BACKUP_S3_ENABLED: 'true',
          BACKUP_COMPRESSION: 'zstd',
          BACKUP_ENCRYPTION_RECIPIENT: await identityToRecipient(identity),
          S3_BUCKET: 'sealed',
          S3_ENDPOINT: server.endpoint,
          S3_ACCESS_KEY: server.accessKeyId,
          S3_SECRET_KEY: server.secretAccessKey,
          BACKUP_S3_PATH: name,
        };
        const program = join(installed, 'node_modules/.bin/velist-backup');
        const backup = await run(runtime, [program, 'backup', '--json'], { cwd: folder, env });
        expect(backup).toMatchObject({ code: 0, stderr: '' });
        const { filename }: { filename: string } = JSON.parse(backup.stdout);
        const store = createS3Store({ ...server, bucket: 'sealed', prefix: name });
        const seal = { compression: 'zstd', encryption: 'age' } as const;
        const opened = await Array.fromAsync(unseal(store.get(`${filename}.zst.age`), seal, [identity]));
        store.close();
        expect(Buffer.concat(opened).equals(readFileSync(join(folder, 'storage/backups', filename)))).toBe(true);

        await Bun.write(join(folder, 'key.txt'), `${identity}\n`);
        for (const entry of ['app.sqlite', 'app.sqlite-wal', 'app.sqlite-shm', 'storage'])
          rmSync(join(folder, entry), { recursive: true, force: true });
        const again = await run(runtime, [program, 'restore', '--if-missing', '--json', '--identity', 'key.txt'], {
          ...{ cwd: folder, env },
        });
        expect([again.stderr, JSON.parse(again.stdout)]).toMatchObject(['', { outcome: 'restored', from: 's3' }]);
        expect(ask(join(folder, 'app.sqlite'), 'SELECT count(*) FROM notes')).toBe(500);

        const mistaken = { ...env, BACKUP_ENCRYPTION_RECIPIENT: identity };
        const refused = await run(runtime, [program, 'backup'], { cwd: folder, env: mistaken });
        expect([refused.code, refused.stdout]).toEqual([2, '']);
        expect(refused.stderr).toContain('BACKUP_ENCRYPTION_RECIPIENT: it is a private key');
        expect(refused.stderr).not.toContain(identity.slice(20, 30));
      },
      PATIENCE_MS,
    );

    test(
      'an app on better-sqlite3 keeps all rows: a backup in its process, a visitor, more rows, then it is killed',
      async () => {
        const folder = project();
        link('better-sqlite3', folder, await betterSqlite3());
        await Bun.write(join(folder, 'visitor.mjs'), visitor);
        await Bun.write(join(folder, 'app.mjs'), otherLibrary);
        const env = { DATABASE_URL: 'app.sqlite', VISITOR: node22 };
        const ended = await run(runtime, ['app.mjs'], { cwd: folder, env });
        expect([ended.code, ended.stdout]).toEqual(['SIGKILL', 'backed up\n500 seen by the visitor\n']);
        expect(ask(join(folder, 'app.sqlite'), 'SELECT count(*) FROM notes')).toBe(600);
        expect(ask(join(folder, 'app.sqlite'), 'PRAGMA integrity_check')).toBe('ok');
      },
      PATIENCE_MS,
    );

    test('an app of CommonJS can require it', async () => {
      const program = "console.log(Object.keys(require('velist-backup')).includes('backupService'))";
      const ended = await run(runtime, ['-e', program], { cwd: project() });
      expect([complaints(ended), ended.stdout]).toEqual(['', 'true\n']);
    });

    test(
      "Elysia is the app's own: its plugin answers where it is installed, and nothing else needs it",
      async () => {
        const folder = project();
        link('elysia', folder);
        const app = `
          import { Elysia } from 'elysia';
          import { backupService } from 'velist-backup';
          import { backupRoutes } from 'velist-backup/elysia';
          const app = new Elysia().use(backupRoutes(backupService, { authorize: () => true }));
          console.log((await app.handle(new Request('http://localhost/backup/api/backups'))).status);
          await backupService.close();`;
        await Bun.write(join(folder, 'app.mjs'), app);
        const env = { DATABASE_URL: 'app.sqlite' };
        const missing = await run(runtime, ['app.mjs'], { cwd: folder, env });
        expect([missing.code, missing.stderr]).toEqual([
          1,
          expect.stringMatching(/Cannot find (package|module) 'elysia'/),
        ]);
        cpSync(join(installed, 'node_modules/velist-backup'), join(folder, 'node_modules/velist-backup'), {
          recursive: true,
        });
        const ended = await run(runtime, ['app.mjs'], { cwd: folder, env });
        expect([complaints(ended), ended.stdout]).toEqual(['', '200\n']);
      },
      PATIENCE_MS,
    );

    const servers = [
      { what: '`serve`', file: 'node_modules/.bin/velist-backup', args: ['serve'] },
      { what: 'the app, through a linked folder,', file: 'linked/dist/app/bootstrap.js', args: [] },
    ];
    for (const { what, file, args } of servers) {
      test(
        `${what} answers the page and makes a backup`,
        async () => {
          const folder = project();
          rmSync(join(installed, 'linked'), { force: true });
          symlinkSync('node_modules/velist-backup', join(installed, 'linked'));
          const server = spawn(runtime, [join(installed, file), ...args], {
            cwd: folder,
            env: {
              PATH: process.env.PATH,
              NODE_ENV: 'production',
              PORT: '0',
              DATABASE_URL: 'app.sqlite',
              BACKUP_ENABLED: 'false',
            },
            stdio: ['ignore', 'pipe', 'pipe'],
          });
          let complaints = '';
          server.stderr.on('data', (text) => {
            complaints += text;
          });
          try {
            const url = await new Promise<string>((resolve, reject) => {
              createInterface({ input: server.stdout }).on('line', (line) => {
                const address = / page is at (\S+)/.exec(line)?.[1];
                if (address !== undefined) resolve(address);
              });
              server.once('exit', (code) => reject(new Error(`it ended with ${code}: ${complaints}`)));
            });
            const page = await fetch(`${url}/`);
            expect(page.status).toBe(200);
            const script = /src="([^"]+\.js)"/.exec(await page.text())?.[1] ?? '';
            expect((await fetch(new URL(script, `${url}/`))).status).toBe(200);
            const answer = await fetch(`${url}/now`, { method: 'POST' });
            expect(await answer.json()).toMatchObject({ success: true });
            const { backups }: { backups: { filename: string }[] } = await (await fetch(`${url}/api/backups`)).json();
            const download = await fetch(`${url}/api/backups/${backups[0]?.filename}/download`);
            expect((await download.bytes()).length).toBe(Number(download.headers.get('content-length')));
            expect((await (await fetch(`${url}/api/status`)).json()).verdict.code).toBe('off');
            expect(readdirSync(join(folder, 'storage/backups'))).toContain(backups[0]?.filename ?? '');
          } finally {
            const ended = once(server, 'exit');
            if (server.exitCode === null && server.kill('SIGTERM')) expect((await ended)[0]).toBe(0);
          }
          if (args.length > 0) expect(complaints).toBe('');
        },
        PATIENCE_MS,
      );
    }
  });
}

bundledApps(() => ({ installed, newFolder }));
exampleApps(() => ({ tarball, newFolder }));
deployments(() => ({ tarball, built, newFolder }));
