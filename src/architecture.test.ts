/** The arrows of the house, held by its import statements: who may know whom, and which packages the engine may use. */
import { expect, test } from 'bun:test';
import { Glob } from 'bun';
import { readFileSync } from 'node:fs';
import { join, normalize } from 'node:path';

const root = import.meta.dir;
const files = [...new Glob('**/*.{ts,svelte}').scanSync(root)].filter((file) => !/\.test\.ts$/.test(file));
const statement = /(?:^|[;\s])(import|export)(\s+type)?\b[^'"`;]*?\bfrom\s*'([^']+)'|\bimport\s*\(?\s*'([^']+)'/g;

interface Import {
  readonly file: string;
  readonly to: string;
  readonly typeOnly: boolean;
}

const imports: Import[] = files.flatMap((file) =>
  [...readFileSync(join(root, file), 'utf8').matchAll(statement)].map(([, , type, from, bare]) => {
    const to = from ?? bare ?? '';
    return { file, to: to.startsWith('.') ? normalize(join(file, '..', to)) : to, typeOnly: type !== undefined };
  }),
);
const told = (wrong: Import[]) => wrong.map(({ file, to }) => `${file} -> ${to}`);
const inside = (folder: string) => (path: string) => path.startsWith(`${folder}/`);

/** What each place may know besides itself; `words` and `version` are known to all, types of `service` to its faces. */
const mayKnow: Record<string, RegExp> = {
  'words/': /^words\//,
  'engine/sqlite/': /^engine\/(sqlite\/|disk\/sync-folder\.ts$)/,
  'engine/store/': /^engine\/(store\/|disk\/sync-folder\.ts$)/,
  'engine/writer/': /^engine\/(writer|disk|sqlite|store|format)\//,
  'engine/catalog/': /^engine\/(catalog|writer|disk|sqlite|store|format)\//,
  'engine/': /^engine\//,
  'config/': /^(config|engine)\//,
  'service/': /^(service|config|engine)\//,
  'fleet/': /^(fleet|service|config|engine)\//,
  'http/': /^(http|fleet|service)\/|^config\/page-settings\.ts$/,
  'cli/': /^(cli|fleet|service|http)\/|^config\/page-settings\.ts$|^app\/bootstrap\.ts$/,
  'page/': /^page\/|^http\/(contract|requests)\.ts$/,
  'app/': /^(app|fleet|http|service|config|engine\/store)\/|^engine\/sqlite\/real-path\.ts$/,
  'index.ts': /^(app|fleet|service|config)\//,
};
const ruleOf = (file: string) =>
  Object.entries(mayKnow).find(([place]) => file === place || (place.endsWith('/') && file.startsWith(place)));

test('the import statements were found', () => {
  expect(imports.length).toBeGreaterThan(200);
  expect(imports).toContainEqual({ file: 'engine/stories/backup.ts', to: 'words/errors.ts', typeOnly: false });
});

test('arrows between our files point one way', () => {
  const ours = imports.filter(({ to }) => files.includes(to));
  const free = /^(words\/.*|version)\.ts$/;
  expect(told(ours.filter(({ file, to }) => !free.test(to) && ruleOf(file)?.[1].test(to) === false))).toEqual([]);
  expect(files.filter((file) => !ruleOf(file) && file !== 'version.ts')).toEqual([]);
});

test('the engine knows node and zod, its stores the S3 client, and one file the library of age', () => {
  const packages = imports.filter(({ file, to }) => inside('engine')(file) && !files.includes(to));
  const allowed = (file: string) => {
    if (inside('engine/store')(file)) return /^(node:|@aws-sdk\/|@smithy\/)/;
    return file === 'engine/format/age.ts' ? /^(node:|age-encryption$)/ : /^(node:|zod$)/;
  };
  expect(told(packages.filter(({ file, to }) => !allowed(file).test(to)))).toEqual([]);
});

test('the page knows the types of the contract and nothing else of ours', () => {
  const out = imports.filter(({ file, to }) => inside('page')(file) && /^http\//.test(to));
  expect(out.length).toBeGreaterThan(0);
  expect(told(out.filter(({ typeOnly }) => !typeOnly))).toEqual([]);
});

test('the environment is read in one file; the command line asks it for colour alone', () => {
  const readers = files.filter((file) =>
    /\bprocess\.env\b|\bBun\.env\b|\bimport\.meta\.env\b/.test(readFileSync(join(root, file), 'utf8')),
  );
  expect(readers.sort()).toEqual(['cli/main.ts', 'config/env.ts']);
  expect(readFileSync(join(root, 'cli/main.ts'), 'utf8').match(/process\.env\S*/g)).toEqual([
    "process.env['NO_COLOR']",
    "process.env['FORCE_COLOR']",
  ]);
});

test('only jobs know what opens a live database', () => {
  const openers =
    /^engine\/sqlite\/(live-database|snapshot|place)\.ts$|^engine\/(stories\/(backup|restore|upload)|process\/(carry-out|job-main))\.ts$/;
  const knowing = imports.filter(({ file, to, typeOnly }) => openers.test(to) && !typeOnly && !inside('engine')(file));
  expect(told(knowing)).toEqual([]);
  const sqlite = imports.filter(({ to }) => to === 'node:sqlite' || to === 'bun:sqlite').map(({ file }) => file);
  expect(sqlite.filter((file) => !inside('engine')(file)).sort()).toEqual([
    'app/demo-shop.ts',
    'service/state/state-database.ts',
    'service/state/state-schema.ts',
  ]);
});

/** Locks and memory of our own, the run history, the demo's shop. */
const ownDatabases = [
  'engine/stories/backup.ts',
  'engine/disk/lock.ts',
  'engine/sqlite/ending.ts',
  'engine/sqlite/judge.ts',
  'engine/sqlite/staged.ts',
  'app/demo-shop.ts',
  'service/state/state-schema.ts',
];

test('databases of others are opened in one place, which believes nothing that stands in them', () => {
  const opening = files.filter((file) => /new DatabaseSync\(/.test(readFileSync(join(root, file), 'utf8')));
  expect(opening.sort()).toEqual([...ownDatabases, 'engine/sqlite/library.ts'].sort());
  const library = readFileSync(join(root, 'engine/sqlite/library.ts'), 'utf8');
  expect(library.match(/new DatabaseSync\(/g)).toHaveLength(1);
  expect(library).toContain('PRAGMA trusted_schema = OFF');
  const knowing = (name: string) => files.filter((file) => readFileSync(join(root, file), 'utf8').includes(`${name}(`));
  expect(knowing('openLive').sort()).toEqual(['engine/sqlite/library.ts', 'engine/sqlite/live-database.ts']);
});

test('what asks a file from elsewhere does so within limits', () => {
  const sources = new Map(files.map((file) => [file, readFileSync(join(root, file), 'utf8')]));
  const knowing = (name: string) => files.filter((file) => sources.get(file)?.includes(`${name}(`)).sort();
  // The others copy its pages, and ask it nothing.
  expect(knowing('openUnwritten')).toEqual(['engine/sqlite/place.ts', 'engine/sqlite/verify.ts']);
  expect(knowing('openElsewhere')).toEqual([
    ...['engine/sqlite/library.ts', 'engine/sqlite/place.ts', 'engine/sqlite/snapshot.ts', 'engine/sqlite/verify.ts'],
  ]);
  for (const file of ['engine/sqlite/verify.ts', 'engine/sqlite/judge-live.ts', 'engine/sqlite/look.ts'])
    expect(sources.get(file)).toContain('withinLimits(bytesToCheck(path)');
});
