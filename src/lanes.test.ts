import { expect, test } from 'bun:test';
import { Glob } from 'bun';
import { join } from 'node:path';
import { lanes, testFolders } from '../tests/lanes.ts';

const root = join(import.meta.dir, '..');

test('each test file of the repository is in exactly one lane', () => {
  const folders = Object.values(testFolders).flat();
  const files = [...new Glob('{src,tests,bench,examples}/**/*.test.ts').scanSync(root)].filter(
    (file) => !file.includes('node_modules/'),
  );
  expect(files.length).toBeGreaterThan(150);
  const lanesOf = (file: string) => folders.filter((folder) => file.startsWith(`${folder}/`));
  expect(files.filter((file) => lanesOf(file).length !== 1)).toEqual([]);
});

test('each lane has a script of its own', async () => {
  const { scripts } = (await Bun.file(join(root, 'package.json')).json()) as { scripts: Record<string, string> };
  for (const lane of lanes) expect(scripts[`test:${lane}`]).toBe(`bun tests/all.ts ${lane}`);
});
