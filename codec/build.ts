/**
 * Compiles `codec.ts` and writes it as base64 into the sources, so that neither a build nor an app needs the compiler:
 *
 *     npm run codec
 *
 * The compiler comes from the registry for this one call: it is 100 MB, for 2 KB that hardly ever change.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const source = fileURLToPath(new URL('codec.ts', import.meta.url));
const target = fileURLToPath(new URL('../src/engine/format/ltx/codec-wasm.ts', import.meta.url));

const options = ['-O3', '--noAssert', '--runtime', 'stub', '--initialMemory', '16'];

/** The module as base64. */
export function compileCodec(): string {
  const folder = mkdtempSync(join(tmpdir(), 'velist-codec-'));
  try {
    const file = join(folder, 'codec.wasm');
    const npx = ['--yes', '--package', 'assemblyscript@0.28.20', 'asc', source, ...options, '--outFile', file];
    execFileSync('npx', npx, { cwd: folder, stdio: ['ignore', 'inherit', 'inherit'] });
    return readFileSync(file).toString('base64');
  } finally {
    rmSync(folder, { recursive: true });
  }
}

if (import.meta.main) {
  const lines = compileCodec().match(/.{1,110}/g) ?? [];
  writeFileSync(
    target,
    `/** Made from codec/codec.ts by \`npm run codec\`; base64 of a WebAssembly module. */\nexport const codecModule =\n${lines.map((line) => `  '${line}'`).join(' +\n')};\n`,
  );
}
