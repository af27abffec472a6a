/** What our builds, and the containers that the documentation shows, take from elsewhere is named by its content. */
import { expect, test } from 'bun:test';
import { Glob, YAML } from 'bun';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const read = (path: string) => readFileSync(join(root, path), 'utf8');

interface Job {
  readonly permissions: Readonly<Record<string, string>>;
  readonly steps: readonly { readonly uses?: string; readonly run?: string; readonly with?: object }[];
}

test('the release is published by a workflow that may do nothing else, without a stored token', () => {
  const text = read('.github/workflows/release.yml');
  const { permissions, jobs } = YAML.parse(text) as { permissions: object; jobs: Record<string, Job> };
  expect(permissions).toEqual({});
  const [publish, ...others] = Object.values(jobs);
  expect([publish?.permissions, others]).toEqual([{ contents: 'read', 'id-token': 'write' }, []]);
  expect(text).not.toMatch(/secrets\.|NODE_AUTH_TOKEN|NPM_TOKEN/);
  const commands = publish?.steps.flatMap(({ run }) => run ?? []) ?? [];
  expect(commands).toContain('.ci/run');
  expect(commands.at(-1)).toContain('npm publish --provenance');
  expect(JSON.parse(read('package.json')).publishConfig).toEqual({ access: 'public', provenance: true });
  const actions = publish?.steps.flatMap(({ uses }) => uses ?? []) ?? [];
  expect(actions.length).toBe(2);
  for (const action of actions) expect(action).toMatch(/^actions\/[\w-]+@[0-9a-f]{40}$/);
});

test('images that the documentation and the examples build on are pinned by digest', () => {
  const files = [
    'README.md',
    'Dockerfile',
    ...['docs/**/*.md', 'examples/**/{Dockerfile*,*.md,*.yml,*.yaml}'].flatMap(found),
  ];
  const images = files.flatMap((file) =>
    [...read(file).matchAll(/^(?:FROM|\s*image:)\s+(\S+)/gm)].map(([, image = '']) => [file, image]),
  );
  expect(images.length).toBeGreaterThan(2);
  // `our-app` stands for the reader's own.
  for (const [file, image] of images.filter(([, image]) => !image?.startsWith('our-')))
    expect([file, image]).toEqual([file, expect.stringMatching(/@sha256:[0-9a-f]{64}$/)]);
});

test('what the package and its tests need is pinned exactly', () => {
  const needed = ['package.json', 'tests/runtimes/package.json'].flatMap((file) => {
    const { dependencies, devDependencies } = JSON.parse(read(file));
    return Object.entries({ ...dependencies, ...devDependencies });
  });
  expect(needed.length).toBeGreaterThan(30);
  for (const [name, version] of needed)
    expect([name, version]).toEqual([name, expect.stringMatching(/^(npm:[\w-]+@)?\d+\.\d+\.\d+$/)]);
});

function found(pattern: string): readonly string[] {
  return [...new Glob(pattern).scanSync(root)].filter((file) => !file.includes('node_modules'));
}
