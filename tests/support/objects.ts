/** Bytes to store, and what comes back of them: for every test of a store. */
import { createHash, randomBytes } from 'node:crypto';
import type { BackupError } from '../../src/words/errors.ts';
import { getBytes, type GetOptions, type ObjectStore } from '../../src/engine/store/store.ts';

export const MiB = 1024 ** 2;

export async function* chunks(...texts: string[]): AsyncIterable<Uint8Array> {
  for (const text of texts) yield Buffer.from(text);
}

export const once = (text: string): AsyncIterable<Uint8Array> => chunks(text);

export async function* failingSource(sizeBytes = 3): AsyncIterable<Uint8Array> {
  yield* randomSource(sizeBytes).source;
  throw new Error('the source failed');
}

/** Random bytes from one buffer that is overwritten for each chunk, as a careful reader of files does. */
export function randomSource(sizeBytes: number) {
  const digest = createHash('sha256');
  const source = async function* () {
    const buffer = Buffer.alloc(700_001);
    const pattern = randomBytes(700_001);
    for (let sent = 0, round = 0; sent < sizeBytes; round += 1) {
      buffer.set(pattern);
      buffer.writeUInt32LE(round);
      const chunk = buffer.subarray(0, Math.min(buffer.length, sizeBytes - sent));
      digest.update(chunk);
      sent += chunk.length;
      yield chunk;
    }
  };
  return { source: source(), sizeBytes, digest: () => digest.digest('hex') };
}

export async function digestOf(source: AsyncIterable<Uint8Array>): Promise<string> {
  const digest = createHash('sha256');
  for await (const chunk of source) digest.update(chunk);
  return digest.digest('hex');
}

export async function textOf(store: ObjectStore, key: string, options: GetOptions = {}): Promise<string> {
  return Buffer.from(await getBytes(store, key, { ...options, limitBytes: MiB })).toString();
}

export async function keysOf(store: ObjectStore, prefix = '', signal?: AbortSignal): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of store.list(prefix, { signal })) keys.push(key);
  return keys;
}

/** All but the keys by which a place says whose it is and who writes there. */
export async function storedKeys(store: ObjectStore): Promise<string[]> {
  return (await keysOf(store)).filter((key) => !/^(writer\/|claim-|database\.json$)/.test(key));
}

export async function inLots<Item>(items: readonly Item[], work: (item: Item) => Promise<unknown>): Promise<void> {
  const waiting = items.values();
  await Promise.all(
    Array.from({ length: 16 }, async () => {
      for (const item of waiting) await work(item);
    }),
  );
}

export async function failure(work: Promise<unknown>): Promise<BackupError> {
  try {
    await work;
  } catch (error) {
    return error as BackupError; // The caller checks what it is.
  }
  throw new Error('it should have failed');
}
