/** The dashboard as its sources are now: tests ask for it first, so that none looks at the build of yesterday. */
import { execFile } from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const root = fileURLToPath(new URL('../..', import.meta.url));
const sources = ['src/page', 'vite.config.ts', 'svelte.config.js', 'package-lock.json'];

/**
 * Takes a second or two, and nothing where the build is newer than its sources, as it is for the test files that `npm test`
 * runs side by side. A build that fails rejects with what Vite said.
 */
export async function buildPage(): Promise<void> {
  const builtAt = changedAt('dist/page/index.html');
  if (sources.flatMap(below).every((path) => changedAt(path) < builtAt)) return;
  await promisify(execFile)(process.execPath, ['node_modules/vite/bin/vite.js', 'build', '--logLevel', 'warn'], {
    cwd: root,
    env: { ...process.env, NODE_ENV: 'production' },
  });
}

/** 0 for what is not there. */
function changedAt(path: string): number {
  return statSync(join(root, path), { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

/** The path itself, and all in it; a folder's time is that of the last file that went. */
function below(path: string): string[] {
  if (!statSync(join(root, path)).isDirectory()) return [path];
  return [
    path,
    ...readdirSync(join(root, path), { recursive: true, encoding: 'utf8' }).map((name) => join(path, name)),
  ];
}
