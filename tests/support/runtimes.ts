/**
 * The oldest and the newest Node that the package promises to run on. They are 380 MB, so that they stay out of `npm ci`:
 * whichever process needs them first installs them in `tests/runtimes`, by the lock file there.
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const folder = fileURLToPath(new URL('../runtimes', import.meta.url));
const programs = join(folder, 'node_modules');

export const node22 = join(programs, 'node/bin/node');
export const node26 = join(programs, 'node-26/bin/node');

installRuntimes();

function installRuntimes(): void {
  if (existsSync(node22) && existsSync(node26)) return;
  // Several processes may do so at once: each installs beside the place, and the first one there is taken.
  const beside = mkdtempSync(join(folder, '.installing-'));
  try {
    for (const file of ['package.json', 'package-lock.json']) copyFileSync(join(folder, file), join(beside, file));
    const { status, stderr } = spawnSync('npm', ['ci'], { cwd: beside, encoding: 'utf8' });
    if (status !== 0) throw new Error(`The versions of Node could not be installed: ${stderr}`);
    renameSync(join(beside, 'node_modules'), programs);
  } catch (error) {
    if (!existsSync(node22) || !existsSync(node26)) throw error;
  } finally {
    rmSync(beside, { recursive: true, force: true });
  }
}
