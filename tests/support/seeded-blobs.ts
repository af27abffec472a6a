/** Random bytes in SQL that are the same in each run: what damage to a file meets there decides what it does. */
import type { DatabaseSync } from 'node:sqlite';
import type { Random } from './torture-random.ts';

/** From now on `randomblob` of that connection draws from there. */
export function seedBlobs(database: DatabaseSync, { next }: Pick<Random, 'next'>): void {
  database.function('randomblob', (size) => {
    const words = Uint32Array.from({ length: Math.ceil(Number(size) / 4) }, () => next() * 2 ** 32);
    return new Uint8Array(words.buffer).subarray(0, Number(size));
  });
}
