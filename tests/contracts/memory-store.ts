/**
 * An object store in memory: a small real implementation for tests that need a store and no disk. It passes the same
 * contract suite as the others, except that nothing here survives the process.
 */
import { randomUUID } from 'node:crypto';
import { checkKey, compareKeys } from '../../src/engine/store/object-key.ts';
import { s3Words } from '../../src/engine/store/s3/words.ts';
import {
  alreadyThere,
  notThere,
  type ObjectHead,
  type ObjectStore,
  throwIfAborted,
} from '../../src/engine/store/store.ts';

interface StoredObject extends ObjectHead {
  readonly bytes: Uint8Array;
}

export function createMemoryStore({ now = () => new Date() }: { readonly now?: () => Date } = {}): ObjectStore {
  const objects = new Map<string, StoredObject>();
  const place = 'memory';

  const store = (key: string, bytes: Uint8Array, modifiedAt = now()): void => {
    objects.set(key, { bytes, sizeBytes: bytes.length, etag: randomUUID(), modifiedAt });
  };

  return {
    place,
    words: s3Words,

    async put(key, source, { signal, ifAbsent, modifiedAt } = {}) {
      checkKey(key);
      throwIfAborted(signal);
      const chunks: Uint8Array[] = [];
      for await (const chunk of source) {
        throwIfAborted(signal);
        chunks.push(Buffer.from(chunk));
      }
      throwIfAborted(signal);
      const bytes = Buffer.concat(chunks);
      if (ifAbsent && objects.has(key)) throw alreadyThere(key, place);
      store(key, bytes, modifiedAt);
      return { sizeBytes: bytes.length };
    },

    async putIfAbsent(key, bytes, { signal } = {}) {
      checkKey(key);
      throwIfAborted(signal);
      if (objects.has(key)) return false;
      store(key, Buffer.from(bytes));
      return true;
    },

    async *get(key, { from = 0, to = Number.POSITIVE_INFINITY, signal } = {}) {
      checkKey(key);
      throwIfAborted(signal);
      const object = objects.get(key);
      if (object === undefined) throw notThere(key, place);
      const end = Math.min(to + 1, object.sizeBytes);
      for (let position = from; position < end; position += chunkBytes) {
        throwIfAborted(signal);
        yield object.bytes.slice(position, Math.min(position + chunkBytes, end));
      }
    },

    async head(key, { signal } = {}) {
      checkKey(key);
      throwIfAborted(signal);
      const object = objects.get(key);
      if (object === undefined) return null;
      return { sizeBytes: object.sizeBytes, etag: object.etag, modifiedAt: object.modifiedAt };
    },

    async *list(prefix, { signal } = {}) {
      const keys = [...objects.keys()].filter((key) => key.startsWith(prefix)).sort(compareKeys);
      for (const key of keys) {
        throwIfAborted(signal);
        const object = objects.get(key);
        if (object === undefined) continue;
        yield { key, sizeBytes: object.sizeBytes, etag: object.etag, modifiedAt: object.modifiedAt };
      }
    },

    async delete(key, { signal } = {}) {
      checkKey(key);
      throwIfAborted(signal);
      objects.delete(key);
    },

    async deleteMany(keys, { signal } = {}) {
      for (const key of keys) checkKey(key);
      throwIfAborted(signal);
      for (const key of keys) objects.delete(key);
      return [];
    },

    close() {},
  };
}

const chunkBytes = 64 * 1024;
