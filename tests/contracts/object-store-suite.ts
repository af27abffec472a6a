/**
 * What every object store promises, as tests that each implementation runs, whatever keeps its bytes: a folder, memory,
 * an S3 server in the test's process, a real one.
 */
import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { type GetOptions, isNotThere, isPermanent, type ObjectStore } from '../../src/engine/store/store.ts';
import { smallestPartBytes } from '../../src/engine/store/s3/upload.ts';
import { chunks, digestOf, failure, inLots, keysOf, MiB, once, randomSource, textOf } from '../support/objects.ts';

const oddKeys = [
  "é ü+&%#?'()*!~ ☃.txt",
  'a/b/c.d/..e',
  '.hidden/.x',
  '𝒳/ﬀ',
  'with space/and=sign;comma,',
  '-dash',
  'CON',
  '<b>&amp;"</b>',
];
const badKeys = [
  '',
  '/',
  '/etc/passwd',
  'a//b',
  'a/',
  '../a',
  'a/../b',
  './a',
  'a/.',
  'a\\b',
  'a\0b',
  'a\nb',
  '\ud800',
  'x'.repeat(256),
  `${'x/'.repeat(600)}y`,
];

/**
 * @param create makes a store that holds nothing, again for each test.
 * @param options `createsOnly: false` for a server known to write over what a create-only write should have left.
 */
export function holdToContract(
  name: string,
  create: () => Promise<ObjectStore>,
  { createsOnly = true }: { readonly createsOnly?: boolean } = {},
): void {
  describe(`${name} store`, () => {
    let store: ObjectStore;
    beforeEach(async () => {
      store = await create();
    });
    afterEach(() => store.close());

    test('gives back what was put', async () => {
      expect(await store.put('a/b.txt', once('hello'))).toEqual({ sizeBytes: 5 });
      expect(await textOf(store, 'a/b.txt')).toBe('hello');
      const head = await store.head('a/b.txt');
      expect(head?.sizeBytes).toBe(5);
      expect(Math.abs(Date.now() - (head?.modifiedAt.getTime() ?? 0))).toBeLessThan(10_000);
    });

    test('says the time that it was told, to the millisecond', async () => {
      const modifiedAt = new Date('2024-01-15T10:30:00.123Z');
      await store.put('dated', once('hello'), { modifiedAt });
      expect((await store.head('dated'))?.modifiedAt).toEqual(modifiedAt);
      expect(await textOf(store, 'dated')).toBe('hello');
    });

    test('stores an empty object', async () => {
      expect(await store.put('empty', chunks())).toEqual({ sizeBytes: 0 });
      expect((await store.head('empty'))?.sizeBytes).toBe(0);
      expect(await textOf(store, 'empty')).toBe('');
    });

    test('stores 20 MiB and a bit from a source that reuses its buffer, in uneven chunks', async () => {
      const { source, sizeBytes, digest } = randomSource(20 * MiB + 12_345);
      expect(await store.put('large', source, { sizeBytes, contentType: 'application/octet-stream' })).toEqual({
        sizeBytes,
      });
      expect((await store.head('large'))?.sizeBytes).toBe(sizeBytes);
      expect(await digestOf(store.get('large'))).toBe(digest());
    });

    test('stores exactly one part and exactly two', async () => {
      for (const sizeBytes of [smallestPartBytes, 2 * smallestPartBytes]) {
        const { source, digest } = randomSource(sizeBytes);
        await store.put('even', source);
        expect(await digestOf(store.get('even'))).toBe(digest());
      }
    });

    test('replaces an object as a whole, and its etag changes', async () => {
      await store.put('key', once('the first, longer text'));
      const before = await store.head('key');
      await store.put('key', once('second'));
      expect(await textOf(store, 'key')).toBe('second');
      expect((await store.head('key'))?.etag).not.toBe(before?.etag);
    });

    test.skipIf(!createsOnly)('stores an object only where none is, of one part or several', async () => {
      for (const sizeBytes of [1_000, smallestPartBytes + 1_000]) {
        const { source, digest } = randomSource(sizeBytes);
        const key = `new-${sizeBytes}`;
        expect(await store.put(key, source, { ifAbsent: true })).toEqual({ sizeBytes });
        const error = await failure(store.put(key, randomSource(sizeBytes).source, { ifAbsent: true }));
        expect([error.code, isPermanent(error)]).toEqual(['TARGET_EXISTS', true]);
        expect(await digestOf(store.get(key))).toBe(digest());
        await store.put(key, once('replaced'));
        expect(await textOf(store, key)).toBe('replaced');
      }
    });

    test('a missing object is null to head and GONE to get', async () => {
      expect(await store.head('no/such')).toBeNull();
      const error = await failure(textOf(store, 'no/such'));
      expect(error.code).toBe('GONE');
      expect(isNotThere(error) && isPermanent(error)).toBe(true);
      expect(error.message).toContain('no/such');
    });

    test('reads ranges, both ends inclusive', async () => {
      await store.put('digits', once('0123456789'));
      const range = (options: GetOptions) => textOf(store, 'digits', options);
      expect(await range({ from: 3 })).toBe('3456789');
      expect(await range({ from: 3, to: 5 })).toBe('345');
      expect(await range({ to: 0 })).toBe('0');
      expect(await range({ from: 8, to: 99 })).toBe('89');
      expect(await range({ from: 10 })).toBe('');
      expect(await range({ from: 99 })).toBe('');
      expect(await range({ from: 5, to: 4 })).toBe('');
    });

    test('a reader may stop early', async () => {
      const { source } = randomSource(9 * MiB);
      await store.put('large', source);
      for await (const chunk of store.get('large')) {
        expect(chunk.length).toBeGreaterThan(0);
        break;
      }
      expect(await store.head('large')).not.toBeNull();
    });

    test.skipIf(!createsOnly)('create-only: the first wins, of many at once exactly one', async () => {
      expect(await store.putIfAbsent('lock', Buffer.from('one'))).toBe(true);
      expect(await store.putIfAbsent('lock', Buffer.from('two'))).toBe(false);
      expect(await textOf(store, 'lock')).toBe('one');

      const tries = Array.from({ length: 16 }, (_, index) => store.putIfAbsent('race', Buffer.from(`nonce ${index}`)));
      const won = (await Promise.all(tries)).flatMap((isFirst, index) => (isFirst ? [index] : []));
      expect(won).toHaveLength(1);
      expect(await textOf(store, 'race')).toBe(`nonce ${won[0]}`);
    });

    test.each([0, 3 * MiB, 20 * MiB])(
      'a source that throws after %d bytes leaves nothing, or the old object',
      async (sizeBytes) => {
        const broken = async function* () {
          yield* randomSource(sizeBytes).source;
          throw new RangeError('the disk went away');
        };
        await store.put('old', once('old'));
        for (const key of ['new', 'old']) {
          // The source's own error, not one of ours.
          await expect(store.put(key, broken(), { sizeBytes })).rejects.toThrow(new RangeError('the disk went away'));
        }
        expect(await store.head('new')).toBeNull();
        expect(await textOf(store, 'old')).toBe('old');
        expect(await keysOf(store)).toEqual(['old']);
      },
    );

    test.each([1 * MiB, 18 * MiB])('a put aborted after %d bytes leaves nothing', async (sizeBytes) => {
      const stopper = new AbortController();
      const source = async function* () {
        yield* randomSource(sizeBytes).source;
        stopper.abort();
        yield Buffer.from('more');
      };
      expect((await failure(store.put('key', source(), { signal: stopper.signal }))).code).toBe('ABORTED');
      expect(await keysOf(store)).toEqual([]);
    });

    test('a signal that has fired stops every operation', async () => {
      await store.put('key', once('kept'));
      const signal = AbortSignal.abort();
      const operations: (() => Promise<unknown>)[] = [
        () => store.put('key', once('x'), { signal }),
        () => store.putIfAbsent('other', Buffer.from('x'), { signal }),
        () => textOf(store, 'key', { signal }),
        () => store.head('key', { signal }),
        () => keysOf(store, '', signal),
        () => store.delete('key', { signal }),
        () => store.deleteMany(['key'], { signal }),
      ];
      for (const operation of operations) expect((await failure(operation())).code).toBe('ABORTED');
      expect(await textOf(store, 'key')).toBe('kept');
    });

    test('a get aborted half way rejects and never looks complete', async () => {
      await store.put('large', randomSource(9 * MiB).source);
      const stopper = new AbortController();
      const reading = (async () => {
        for await (const _ of store.get('large', { signal: stopper.signal })) stopper.abort();
      })();
      expect((await failure(reading)).code).toBe('ABORTED');
    });

    test('lists by prefix, in the order of the bytes of the keys', async () => {
      const keys = ['a', 'a-b', 'a.b/c', 'b/c', 'b/cd/e', 'b/d', 'ba'];
      for (const key of keys.toReversed()) await store.put(key, once(key));
      expect(await keysOf(store)).toEqual(keys);
      expect(await keysOf(store, 'b')).toEqual(['b/c', 'b/cd/e', 'b/d', 'ba']);
      expect(await keysOf(store, 'b/')).toEqual(['b/c', 'b/cd/e', 'b/d']);
      expect(await keysOf(store, 'b/c')).toEqual(['b/c', 'b/cd/e']);
      expect(await keysOf(store, 'nothing/here')).toEqual([]);
      for await (const object of store.list('b/d')) {
        const head = await store.head('b/d');
        expect([object.key, object.sizeBytes, object.etag]).toEqual(['b/d', head?.sizeBytes ?? 0, head?.etag ?? '']);
      }
    });

    test('lists and deletes more than a page', async () => {
      const keys = Array.from({ length: 1_203 }, (_, index) => `many/${String(index).padStart(5, '0')}`);
      await inLots(keys, (key) => store.put(key, once(key)));
      await store.put('kept', once('kept'));
      expect(await keysOf(store, 'many/')).toEqual(keys);
      expect(await store.deleteMany([...keys, 'many/never-there'])).toEqual([]);
      expect(await keysOf(store)).toEqual(['kept']);
    });

    test('deleting twice is fine, and so is deleting what never was', async () => {
      await store.put('key', once('x'));
      await store.delete('key');
      await store.delete('key');
      await store.delete('no/such');
      expect(await store.head('key')).toBeNull();
      expect(await store.deleteMany([])).toEqual([]);
    });

    test.each(oddKeys)('keeps the key %j as it is', async (key) => {
      await store.put(key, once(key));
      expect(await textOf(store, key)).toBe(key);
      expect(await keysOf(store)).toEqual([key]);
      expect(await store.deleteMany([key])).toEqual([]);
      expect(await store.head(key)).toBeNull();
    });

    test.each(badKeys.map((key) => [key.slice(0, 20), key] as const))('refuses the key %j', async (_start, key) => {
      const operations: (() => Promise<unknown>)[] = [
        () => store.put(key, once('x')),
        () => store.putIfAbsent(key, Buffer.from('x')),
        () => textOf(store, key),
        () => store.head(key),
        () => store.delete(key),
        () => store.deleteMany(['fine', key]),
      ];
      for (const operation of operations) expect((await failure(operation())).code).toBe('BAD_NAME');
    });
  });
}
