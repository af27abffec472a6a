/**
 * Opens a sealed artifact with the programs `age` and `zstd` as the distribution ships them. Where they are not
 * installed the answer is null, said aloud; in CI that is a failure.
 */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Seal } from '../../src/engine/format/seal.ts';
import { areMissing } from './programs.ts';

export interface StockOptions {
  readonly sealing: Seal;
  /** `AGE-SECRET-KEY-1…` */
  readonly identity: string;
  readonly folder: string;
}

const PROGRAMS = ['age', 'zstd'];
const LARGEST_BYTES = 512 * 1024 * 1024;

export async function opensWithStockPrograms(artifact: Uint8Array, options: StockOptions): Promise<Buffer | null> {
  if (areMissing(PROGRAMS)) return null;
  const key = join(options.folder, 'key.txt');
  writeFileSync(key, `${options.identity}\n`, { mode: 0o600 });
  let bytes: Uint8Array = artifact;
  if (options.sealing.encryption === 'age') bytes = through('age', ['-d', '-i', key], bytes);
  if (options.sealing.compression === 'zstd') bytes = through('zstd', ['-d', '-c', '-q'], bytes);
  return Buffer.from(bytes);
}

function through(program: string, args: readonly string[], input: Uint8Array): Buffer {
  const { status, stdout, stderr } = spawnSync(program, args, { input, maxBuffer: LARGEST_BYTES });
  if (status !== 0) throw new Error(`${program} ${args[0]} ended with ${status}: ${stderr.toString()}`);
  return stdout;
}
