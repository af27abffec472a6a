/** The package as `npm pack` makes it, built from a copy of the sources: an earlier build in `dist` is not what is packed. */
import { cpSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { mustRun, root } from './run.ts';

export interface Packed {
  readonly tarball: string;
  readonly sizeBytes: number;
  /** Paths of the files in it. */
  readonly shipped: readonly string[];
  /** Names of the packages that are installed with it, not counting theirs. */
  readonly dependencies: readonly string[];
}

/** @param folder an empty one, that stays. */
export async function packPackage(folder: string): Promise<Packed> {
  const { files, dependencies }: { files: string[]; dependencies: Record<string, string> } = await Bun.file(
    join(root, 'package.json'),
  ).json();
  const sources = [
    'src',
    'embed.ts',
    'sbom.ts',
    'package.json',
    'package-lock.json',
    'svelte.config.js',
    'vite.config.ts',
  ];
  const configurations = ['tsconfig.json', 'tsconfig.build.json'];
  for (const name of [...sources, ...configurations, ...files.filter((file) => !file.includes('dist'))])
    cpSync(join(root, name), join(folder, name), { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  await mustRun('npm', ['run', 'build'], folder);
  const [packed]: { filename: string; size: number; files: { path: string }[] }[] = JSON.parse(
    await mustRun('npm', ['pack', '--json', '--ignore-scripts'], folder),
  );
  if (!packed) throw new Error('npm packed nothing');
  return {
    tarball: join(folder, packed.filename),
    sizeBytes: packed.size,
    shipped: packed.files.map(({ path }) => path),
    dependencies: Object.keys(dependencies),
  };
}
