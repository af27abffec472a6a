/**
 * Writes `dist/sbom.cdx.json`, the packages that are installed with this one, in CycloneDX's form, by `npm sbom`.
 *
 * `--omit dev` leaves out what a development dependency needs too (npm 11: of 50 packages 31). So npm is shown a project
 * without development dependencies: our own lock file, and in it what is not of them alone.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

type Fields = Readonly<Record<string, unknown>>;

const root = fileURLToPath(new URL('.', import.meta.url));
const { devDependencies: _, scripts: __, ...manifest } = readJson('package.json');
const { packages, ...lock } = readJson('package-lock.json') as { packages: Record<string, Fields> };
const { devDependencies: ___, ...own } = packages[''] ?? {};
const brought = Object.entries(packages).filter(([path, { dev }]) => path !== '' && dev !== true);

const around = mkdtempSync(join(tmpdir(), 'velist-sbom-'));
try {
  // npm calls the package as its folder is called.
  const folder = join(around, String(manifest['name']));
  mkdirSync(folder);
  writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest));
  writeFileSync(
    join(folder, 'package-lock.json'),
    JSON.stringify({ ...lock, packages: { '': own, ...Object.fromEntries(brought) } }),
  );
  const asked = ['sbom', '--sbom-format', 'cyclonedx', '--sbom-type', 'library', '--package-lock-only'];
  const { status, stdout, stderr } = spawnSync('npm', asked, { cwd: folder, encoding: 'utf8' });
  if (status !== 0) throw new Error(`npm sbom failed: ${stderr}`);
  writeFileSync(join(root, 'dist/sbom.cdx.json'), stdout);
} finally {
  rmSync(around, { recursive: true });
}

function readJson(name: string): Fields {
  return JSON.parse(readFileSync(join(root, name), 'utf8'));
}
