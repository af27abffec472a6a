/**
 * The last step of the build: writes the job's program and the dashboard into modules of `dist`, as text. So they are
 * there below any bundler, which follows imports and nothing else, and in a binary of `bun build --compile`.
 *
 * The licences of what is taken in from other packages go beside them, and declarations that nobody reaches are left out.
 * Source maps lead to lines: columns would be a seventh of the package.
 */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { decode, encode } from '@jridgewell/sourcemap-codec';
import { build, type Plugin } from 'vite';

const root = fileURLToPath(new URL('.', import.meta.url));
const page = join(root, 'dist/page');

const files = readdirSync(page, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && !entry.parentPath.includes('.vite'))
  .map((entry) => join(entry.parentPath, entry.name));
fill(
  'dist/http/bundled-page.js',
  'bundledPage',
  Object.fromEntries(
    files.map((file) => [file.slice(page.length + 1), gzipSync(readFileSync(file), { level: 9 }).toString('base64')]),
  ),
);

const digest = await bundle('src/engine/sqlite/digest.ts', { format: 'es' });
const job = await bundle('src/engine/process/job-main.ts', {
  format: 'cjs',
  plugins: [
    // The job has no file of its own any more: its thread gets its program in the address, the library is taken in.
    replace(
      'sqlite/digest.ts',
      'import.meta.url',
      JSON.stringify(`data:text/javascript,${encodeURIComponent(digest.code)}`),
    ),
    replace('format/age.ts', 'createRequire(here)', 'require'),
    atOnce('process/carry-out.ts'),
    atOnce('process/work.ts'),
  ],
});
fill('dist/engine/process/bundled-job.js', 'bundledJob', job.code);

writeFileSync(
  join(root, 'dist/licences.md'),
  licencesText([
    ...readLicences(readFileSync(join(page, '.vite/licences.json'), 'utf8')),
    ...job.licences,
    ...['@fontsource-variable/geist', '@fontsource-variable/geist-mono', 'tailwindcss'].map(licenceOf),
  ]),
);

keepDeclarations(['index.d.ts', 'http/elysia.d.ts', 'http/mount.d.ts']);
leaveColumnsOut();

/** Types of rooms that no front door of the package leads to are of no use to an app. */
function keepDeclarations(doors: readonly string[]): void {
  const dist = join(root, 'dist');
  const kept = new Set<string>();
  const walk = (path: string): void => {
    if (kept.has(path)) return;
    kept.add(path);
    for (const [, one, other] of readFileSync(path, 'utf8').matchAll(
      /(?:from|import) '(\.[^']+)'|import\("(\.[^"]+)"\)/g,
    ))
      walk(join(path, '..', String(one ?? other).replace(/\.[jt]s$/, '.d.ts')));
  };
  for (const door of doors) walk(join(dist, door));
  for (const name of readdirSync(dist, { recursive: true, encoding: 'utf8' }))
    if (name.endsWith('.d.ts') && !kept.has(join(dist, name))) rmSync(join(dist, name));
}

/** A place in a map stays if it begins a line, or leads to another line of the source than the one before it. */
function leaveColumnsOut(): void {
  const dist = join(root, 'dist');
  for (const name of readdirSync(dist, { recursive: true, encoding: 'utf8' })) {
    if (!name.endsWith('.js.map')) continue;
    const map: { mappings: string } = JSON.parse(readFileSync(join(dist, name), 'utf8'));
    const lines = decode(map.mappings).map((line) => line.filter((place, at) => place[2] !== line[at - 1]?.[2]));
    writeFileSync(join(dist, name), JSON.stringify({ ...map, mappings: encode(lines) }));
  }
}

interface Licence {
  readonly name: string;
  readonly version: string;
  readonly identifier: string | null;
  readonly text?: string | null;
}

async function bundle(entry: string, options: { format: 'es' | 'cjs'; plugins?: Plugin[] }) {
  const built = await build({
    configFile: false,
    root,
    logLevel: 'warn',
    plugins: options.plugins ?? [],
    ssr: { noExternal: true, target: 'node' },
    build: {
      ssr: join(root, entry),
      write: false,
      minify: true,
      target: 'es2022',
      license: { fileName: 'licences.json' },
      rolldownOptions: { output: { format: options.format, codeSplitting: false } },
    },
  });
  if (!('output' in built)) throw new Error(`${entry} was not built once`);
  const [chunk, ...others] = built.output.filter((output) => output.type === 'chunk');
  if (!chunk || others.length > 0) throw new Error(`${entry} became ${others.length + 1} files`);
  const licences = built.output.find((output) => output.fileName === 'licences.json');
  return { code: chunk.code, licences: licences?.type === 'asset' ? readLicences(licences.source.toString()) : [] };
}

/** What a file loads when it needs it is one text with it here: a seam around each module would only make that longer. */
function atOnce(file: string): Plugin {
  return {
    name: `at-once-in-${file}`,
    enforce: 'pre',
    transform(code, id) {
      if (!id.endsWith(file)) return;
      const modules: string[] = [];
      const body = code.replaceAll(/\(await import\(('[^']+')\)\)/g, (_, module: string) => {
        if (!modules.includes(module)) modules.push(module);
        return `loaded${modules.indexOf(module)}`;
      });
      if (modules.length === 0 || body.includes('import(')) throw new Error(`${file} loads its modules otherwise`);
      return modules.map((module, at) => `import * as loaded${at} from ${module};\n`).join('') + body;
    },
  };
}

function replace(file: string, text: string, by: string): Plugin {
  return {
    name: `replace-in-${file}`,
    enforce: 'pre',
    transform(code, id) {
      if (!id.endsWith(file)) return;
      if (code.split(text).length !== 2) throw new Error(`${file} does not say ${text} once`);
      return code.replace(text, () => by);
    },
  };
}

/** Puts a value in the place of the null that the sources have there. */
function fill(file: string, name: string, value: unknown): void {
  const path = join(root, file);
  const empty = `export const ${name} = null;`;
  const code = readFileSync(path, 'utf8');
  if (!code.includes(empty)) throw new Error(`${file} does not say ${empty}`);
  writeFileSync(
    path,
    code.replace(empty, () => `export const ${name} = ${JSON.stringify(value)};`),
  );
}

function readLicences(text: string): readonly Licence[] {
  return JSON.parse(text); // Vite wrote it
}

/** Vite tells of scripts only. */
function licenceOf(name: string): Licence {
  const folder = join(root, 'node_modules', name);
  const { version, license }: { version: string; license: string } = JSON.parse(
    readFileSync(join(folder, 'package.json'), 'utf8'),
  );
  return { name, version, identifier: license, text: readFileSync(join(folder, 'LICENSE'), 'utf8') };
}

/** Each text once, below the packages that it is of. */
function licencesText(licences: readonly Licence[]): string {
  const packagesByText = new Map<string, string[]>();
  for (const { name, version, identifier, text } of licences) {
    const key = text?.trim() ?? '';
    packagesByText.set(key, [
      ...(packagesByText.get(key) ?? []),
      `- ${name} ${version} (${identifier ?? 'see below'})`,
    ]);
  }
  const parts = [...packagesByText].map(([text, packages]) => `${[...new Set(packages)].join('\n')}\n\n${text}\n`);
  return `# Licences of what \`bundled-job.js\` and \`bundled-page.js\` take in from others\n\n${parts.join('\n---\n\n')}`;
}
