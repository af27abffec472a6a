import { expect, test } from 'bun:test';
import { generateIdentity, identityToRecipient } from 'age-encryption';
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { scratchFolders } from '../support/scratch.ts';
import { node22 } from '../support/runtimes.ts';

const MIB = 1024 * 1024;
const newFolder = scratchFolders();
const identity = await generateIdentity();
const recipient = await identityToRecipient(identity);

const MEBIBYTES = 256;
const memoryProgram = `
  import { randomFillSync } from 'node:crypto';
  import { seal, unseal } from ${JSON.stringify(new URL('../../src/engine/format/seal.ts', import.meta.url).href)};
  const [recipients, identities, mebibytes] = JSON.parse(process.argv[2]);
  const block = Buffer.alloc(1 << 20);
  async function* source() {
    // Half of it new each time: the same block again would vanish in the compression.
    for (let i = 0; i < mebibytes; i++) yield randomFillSync(block, 0, block.length / 2);
  }
  let stored = 0, size = 0, peak = 0;
  async function* counted(artifact) {
    for await (const chunk of artifact) {
      stored += chunk.length;
      yield chunk;
    }
  }
  const before = process.memoryUsage.rss();
  const sealed = counted(seal(source(), { compression: 'zstd', recipients }));
  for await (const chunk of unseal(sealed, { compression: 'zstd', encryption: 'age' }, identities)) {
    size += chunk.length;
    peak = Math.max(peak, process.memoryUsage.rss());
  }
  console.log(JSON.stringify({ size, stored, grown: peak - before }));
`;

test.each([
  ['Bun', process.execPath, []],
  ['Node', node22, ['--experimental-strip-types']],
] as const)(
  '256 MB pass through sealing and unsealing on %s in bounded memory',
  async (_name, program, flags) => {
    const path = join(newFolder(), 'memory.mjs');
    writeFileSync(path, memoryProgram);
    const input = JSON.stringify([[recipient], [identity], MEBIBYTES]);
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    execFile(program, [...flags, path, input], (error, stdout) => (error ? reject(error) : resolve(stdout)));
    const { size, stored, grown }: { size: number; stored: number; grown: number } = JSON.parse(await promise);
    expect(size).toBe(MEBIBYTES * MIB);
    expect(stored).toBeGreaterThan((MEBIBYTES * MIB) / 2);
    // The libraries and their compiled code are in it; what passes through is 384 MB in all.
    expect(grown).toBeLessThan(150 * MIB);
  },
  180_000,
);
