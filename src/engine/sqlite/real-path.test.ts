import { expect, test } from 'bun:test';
import { mkdirSync, readFileSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Glob } from 'bun';
import { scratchFolders } from '../../../tests/support/scratch.ts';
import { realPathOfFile } from './real-path.ts';

const scratch = scratchFolders();

test('links are followed as the system follows them, relative ones, chains and those of folders too', () => {
  const folder = scratch();
  mkdirSync(join(folder, 'data', 'deep'), { recursive: true });
  writeFileSync(join(folder, 'data', 'shop.sqlite'), '');
  symlinkSync('../shop.sqlite', join(folder, 'data', 'deep', 'up.sqlite'));
  symlinkSync('data/deep', join(folder, 'short'));
  symlinkSync(join(folder, 'short', 'up.sqlite'), join(folder, 'chain.sqlite'));
  const paths = ['data/shop.sqlite', 'data/deep/up.sqlite', 'short/up.sqlite', 'chain.sqlite', 'short', '.'];
  for (const path of paths) expect(realPathOfFile(join(folder, path))).toBe(realpathSync(join(folder, path)));
  expect(realPathOfFile('/')).toBe('/');
});

test('what is missing, leads nowhere or leads to itself is refused as the system refuses it', () => {
  const folder = scratch();
  symlinkSync('nowhere', join(folder, 'dangling'));
  symlinkSync('circle', join(folder, 'circle'));
  writeFileSync(join(folder, 'file'), '');
  const codes = { absent: 'ENOENT', dangling: 'ENOENT', 'file/below': 'ENOTDIR', circle: 'ELOOP' };
  for (const [name, code] of Object.entries(codes))
    expect(() => realPathOfFile(join(folder, name))).toThrow(expect.objectContaining({ code }));
});

test('no other file asks the system for a real path but of a folder, or of the program itself', () => {
  const root = join(import.meta.dir, '../..');
  const asking = [...new Glob('**/*.ts').scanSync(root)].filter(
    (file) => !file.endsWith('.test.ts') && /\brealpathSync\b/.test(readFileSync(join(root, file), 'utf8')),
  );
  expect(asking.sort()).toEqual([
    'app/bootstrap.ts',
    'engine/sqlite/open-files.ts',
    'engine/sqlite/real-path.ts',
    'engine/store/folder/apart.ts',
    'engine/stories/backup.ts',
  ]);
});
