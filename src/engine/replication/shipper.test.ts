/** One target's copy of a stream whose segments are made by hand, at a store that fails as it is told to. */
import { afterEach, expect, setDefaultTimeout, test } from 'bun:test';
import { generateIdentity, identityToRecipient } from 'age-encryption';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { createMemoryStore } from '../../../tests/contracts/memory-store.ts';
import { refusal, scratchFolders } from '../../../tests/support/scratch.ts';
import { addSegment } from '../../../tests/support/small-stream.ts';
import { BackupError } from '../../words/errors.ts';
import type { TargetStore } from '../store/kinds.ts';
import { bytesOf, getBytes, type ObjectStore } from '../store/store.ts';
import { LocalStream } from './local-stream.ts';
import { planStream, SNAPSHOT_LEVEL } from './plan.ts';
import { listSegments } from './remote-segments.ts';
import type { Shipped, ShipTarget } from './shipper.ts';
import { Shipping } from './shipping.ts';
import { segmentKey } from './stream-keys.ts';

setDefaultTimeout(60_000);
const scratch = scratchFolders();
const open: Shipping[] = [];
afterEach(async () => {
  for (const one of open.splice(0)) await one.end(null, 0);
});

const HOUR_MS = 3_600_000;
const windowsMs = [HOUR_MS, 24 * HOUR_MS, 7 * 24 * HOUR_MS, 30 * 24 * HOUR_MS];
const WAIT_MS = 30_000;
/** What is read from the database itself says where in the log it began; what is merged does not. */
const MERGED = { walOffset: 0 };

const target: ShipTarget = {
  ...{ name: 'safe', prefix: 'app', recipients: [] },
  access: { kind: 'folder', path: '/nowhere' },
};

type Fault = 'refuse' | 'lose answer';

/** A store in memory, the faults that a test asks for, and whether what lies there could be restored at each moment. */
class Place {
  readonly store: ObjectStore = createMemoryStore();
  /** Keys in the order in which they were stored. */
  readonly stored: string[] = [];
  /** Each try, with the bytes that came. */
  readonly tried: { readonly key: string; readonly bytes: Buffer }[] = [];
  readonly holes: string[] = [];
  fault: (key: string) => Fault | null = () => null;
  isAway = false;

  open(): TargetStore {
    const refuse = () => {
      if (this.isAway) throw away();
    };
    const { store } = this;
    const faulty: ObjectStore = {
      ...store,
      put: async (key, source, options) => {
        const chunks: Uint8Array[] = [];
        for await (const chunk of source) chunks.push(Buffer.from(chunk));
        const bytes = Buffer.concat(chunks);
        this.tried.push({ key, bytes });
        const fault = this.fault(key);
        if (fault === 'refuse') throw away();
        refuse();
        const done = await store.put(key, once(bytes), options);
        this.stored.push(key);
        await this.#look(key);
        if (fault === 'lose answer') throw away();
        return done;
      },
      get: (...given) => {
        refuse();
        return store.get(...given);
      },
      list: (...given) => {
        refuse();
        return store.list(...given);
      },
    };
    return Object.assign(faulty, { root: faulty, sweepUploads: async () => 0 });
  }

  async keys(): Promise<readonly string[]> {
    const keys: string[] = [];
    for await (const { key } of this.store.list('', {})) keys.push(key);
    return keys;
  }

  /** The newest moment that can be restored from there. */
  async newest(): Promise<bigint | null> {
    const plan = planStream({ latest: true }, { segments: await this.#segments(), bases: [] });
    return plan.outcome === 'found' ? plan.txid : null;
  }

  async #segments() {
    return await listSegments(this.store, 'folder', { signal: new AbortController().signal });
  }

  async #look(key: string): Promise<void> {
    const plan = planStream({ latest: true }, { segments: await this.#segments(), bases: [] });
    if (plan.outcome !== 'found') this.holes.push(`${key}: ${plan.outcome}`);
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array, void> {
  yield bytes;
}

function away(): BackupError {
  return new BackupError('S3_UNREACHABLE', 'nobody answers', { hint: 'Wait.' });
}

const keyOf = (level: number, from: bigint, to: bigint, isSealed = false) =>
  segmentKey('folder', { level, minTxid: from, maxTxid: to, isSealed });

function ship(place: Place, stream: LocalStream, one: ShipTarget = target) {
  const voids: bigint[] = [];
  const looks = new Set<() => void>();
  const shipping = new Shipping({
    ...{ stream, windowsMs, now: () => new Date(), isInDoubt: () => false, onPlace: () => {} },
    onNews: () => {
      for (const look of looks) look();
    },
    onVoid: (txid) => {
      voids.push(txid);
      for (const look of looks) look();
    },
    open: () => place.open(),
  });
  open.push(shipping);
  shipping.setTargets([one]);
  const until = (isThere: (shipped: Shipped) => boolean) =>
    new Promise<Shipped>((resolve) => {
      const look = () => {
        const [shipped] = shipping.shipped;
        if (shipped && isThere(shipped)) resolve(shipped);
      };
      looks.add(look);
      look();
    });
  return { shipping, voids, until, arrived: (txid: bigint) => shipping.durable(txid, null, WAIT_MS) };
}

async function begun(): Promise<LocalStream> {
  const folder = join(scratch(), 'continuous');
  mkdirSync(folder, { recursive: true });
  const stream = new LocalStream(folder);
  stream.prepare();
  await whole(stream, 1n);
  return stream;
}

let clockMs = Date.now() - HOUR_MS / 2;
const nextAt = () => {
  clockMs += 1_000;
  return new Date(clockMs);
};

const commit = (stream: LocalStream, txid: bigint) => addSegment(stream, 0, txid, nextAt());

/** All pages, as they are read from the database: beside what is captured stands a base. */
async function whole(stream: LocalStream, txid: bigint): Promise<void> {
  const at = nextAt();
  await addSegment(stream, SNAPSHOT_LEVEL, txid, at, { minTxid: 1n });
  await addSegment(stream, 0, txid, at);
}

test('all pages first, then each commit in its order, and what is merged once all that it covers is there', async () => {
  const [place, stream] = [new Place(), await begun()];
  for (let txid = 2n; txid <= 5n; txid++) await commit(stream, txid);
  await addSegment(stream, 1, 5n, nextAt(), { minTxid: 2n, ...MERGED });
  const { arrived, until } = ship(place, stream);
  await arrived(5n);
  await until(() => place.stored.includes(keyOf(1, 2n, 5n)));
  const captured = [2n, 3n, 4n, 5n].map((txid) => keyOf(0, txid, txid));
  expect(place.stored[0]).toBe(keyOf(SNAPSHOT_LEVEL, 1n, 1n));
  expect(place.stored.filter((key) => captured.includes(key))).toEqual(captured);
  expect(place.stored.indexOf(keyOf(1, 2n, 5n))).toBeGreaterThan(place.stored.indexOf(captured.at(-1) ?? ''));
  expect(place.holes).toEqual([]);
});

test('an answer that was lost is read back, and nothing is stored twice', async () => {
  const [place, stream] = [new Place(), await begun()];
  const lost = new Set<string>();
  place.fault = (key) => {
    if (lost.has(key)) return null;
    lost.add(key);
    return 'lose answer';
  };
  await commit(stream, 2n);
  const { arrived, shipping } = ship(place, stream);
  await arrived(2n);
  expect(new Set(place.stored).size).toBe(place.stored.length);
  expect([await place.newest(), shipping.shipped[0]?.bookmark]).toEqual([2n, '0000000000000002']);
});

test.each([
  ['what is captured', keyOf(0, 3n, 3n)],
  ['what is merged', keyOf(1, 2n, 3n)],
])('somebody else under our next name, %s: nothing is replaced, and nothing more is sent', async (_, key) => {
  const [place, stream] = [new Place(), await begun()];
  const { arrived, shipping, until } = ship(place, stream);
  await until(() => place.stored.includes(keyOf(0, 1n, 1n)));
  await commit(stream, 2n);
  await arrived(2n);
  await place.store.put(key, bytesOf('of another writer'));
  await commit(stream, 3n);
  await addSegment(stream, 1, 3n, nextAt(), { minTxid: 2n, ...MERGED });
  shipping.wake();
  const { error } = await until(({ error }) => error?.code === 'STREAM_TAKEN');
  expect(error?.message).toContain(key);
  expect(Buffer.from(await getBytes(place.store, key, { limitBytes: 100 })).toString()).toBe('of another writer');
  const before = place.tried.length;
  await commit(stream, 4n);
  shipping.wake();
  const refused = await refusal(() => shipping.durable(4n, null, WAIT_MS));
  expect([refused.code, refused.message]).toEqual(['NOT_DURABLE', expect.stringContaining('somebody else wrote')]);
  expect(place.tried.length).toBe(before);
});

test('after an outage what waits arrives in its order', async () => {
  const [place, stream] = [new Place(), await begun()];
  const { arrived, shipping, until } = ship(place, stream);
  await arrived(1n);
  place.isAway = true;
  for (let txid = 2n; txid <= 20n; txid++) {
    await commit(stream, txid);
    shipping.wake();
  }
  const behind = await until(({ error }) => error !== null);
  expect(behind.error?.code).toBe('S3_UNREACHABLE');
  expect(behind.behindSince).toBe(stream.segments.find(({ maxTxid }) => maxTxid === 2n)?.at.toISOString() ?? '');
  expect(behind.waitingBytes).toBeGreaterThan(0);
  place.isAway = false;
  await arrived(20n);
  const captured = place.stored.filter((key) => key.startsWith('continuous/ltx/0/') && key !== keyOf(0, 1n, 1n));
  expect(captured).toEqual(Array.from({ length: 19 }, (_, k) => keyOf(0, BigInt(k + 2), BigInt(k + 2))));
  expect(place.holes).toEqual([]);
});

test('what was merged away before it could be sent is sent as it was merged', async () => {
  const [place, stream] = [new Place(), await begun()];
  const { arrived, shipping } = ship(place, stream);
  await arrived(1n);
  place.isAway = true;
  for (let txid = 2n; txid <= 6n; txid++) await commit(stream, txid);
  await addSegment(stream, 1, 5n, nextAt(), { minTxid: 2n, ...MERGED });
  stream.remove(stream.segments.filter(({ level, maxTxid }) => level === 0 && maxTxid > 1n && maxTxid <= 5n));
  place.isAway = false;
  shipping.wake();
  await arrived(6n);
  const led = place.stored.filter((key) => key !== keyOf(0, 1n, 1n));
  expect(led).toEqual([keyOf(SNAPSHOT_LEVEL, 1n, 1n), keyOf(1, 2n, 5n), keyOf(0, 6n, 6n)]);
  expect(place.holes).toEqual([]);
});

test('where what waits had to be dropped, all pages lead on', async () => {
  const [place, stream] = [new Place(), await begun()];
  const { arrived, shipping, voids } = ship(place, stream);
  await arrived(1n);
  place.isAway = true;
  for (let txid = 2n; txid <= 6n; txid++) await commit(stream, txid);
  await addSegment(stream, SNAPSHOT_LEVEL, 5n, nextAt(), { minTxid: 1n, ...MERGED });
  stream.remove(stream.segments.filter(({ maxTxid }) => maxTxid < 5n));
  place.isAway = false;
  shipping.wake();
  await arrived(6n);
  // What Litestream looks for on level 0 may come in between, by the other lane.
  const leads = [keyOf(SNAPSHOT_LEVEL, 1n, 5n), keyOf(0, 6n, 6n)];
  expect(place.stored.filter((key) => leads.includes(key))).toEqual(leads);
  expect([voids, place.holes, await place.newest()]).toEqual([[], [], 6n]);
});

test('a place that holds moments of another line: what follows stands above them, and takes the next name first', async () => {
  const [place, stream, other] = [new Place(), await begun(), await begun()];
  for (let txid = 2n; txid <= 9n; txid++) await commit(other, txid);
  const first = ship(place, other);
  await first.arrived(9n);
  place.stored.length = 0;
  // The same number, and not the same bytes.
  await commit(stream, 2n);
  const { voids, until, shipping, arrived } = ship(place, stream);
  await until(() => voids.length > 0);
  expect([voids[0], place.stored]).toEqual([9n, []]);
  await addSegment(stream, 1, 2n, nextAt(), MERGED);
  await whole(stream, 10n);
  await commit(stream, 11n);
  shipping.wake();
  await arrived(11n);
  await until(() => shipping.shipped[0]?.error === null);
  expect(place.stored.slice(0, 3)).toEqual([keyOf(0, 10n, 10n), keyOf(SNAPSHOT_LEVEL, 1n, 10n), keyOf(0, 11n, 11n)]);
  // What was captured before that is of no line that leads there.
  expect(place.stored.filter((key) => key.includes('/1/'))).toEqual([]);
  expect(place.holes).toEqual([]);
  // The one before still runs, and meets us.
  await commit(other, 10n);
  first.shipping.wake();
  await first.until(({ error }) => error?.code === 'STREAM_TAKEN');
});

test('a machine that was set back and went on without the target: no segment leads from the old line to the new one', async () => {
  const [place, stream, other] = [new Place(), await begun(), await begun()];
  for (let txid = 2n; txid <= 20n; txid++) await commit(other, txid);
  const first = ship(place, other);
  await first.arrived(20n);
  await first.shipping.end(null, 0);
  place.stored.length = 0;
  // Its own line went beyond what lies there, and was merged.
  for (let txid = 2n; txid <= 30n; txid++) await commit(stream, txid);
  await addSegment(stream, 1, 22n, nextAt(), { minTxid: 18n, ...MERGED });
  await addSegment(stream, SNAPSHOT_LEVEL, 25n, nextAt(), { minTxid: 1n, ...MERGED });
  await addSegment(stream, 1, 29n, nextAt(), { minTxid: 26n, ...MERGED });
  let one = ship(place, stream);
  await one.arrived(30n);
  await one.until(() => place.stored.includes(keyOf(1, 26n, 29n)));
  // A later start knows it as well.
  await one.shipping.end(null, 0);
  one = ship(place, stream);
  await commit(stream, 31n);
  await one.arrived(31n);
  await addSegment(stream, 1, 31n, nextAt(), { minTxid: 30n, ...MERGED });
  one.shipping.wake();
  await one.until(() => place.stored.includes(keyOf(1, 30n, 31n)));
  expect(place.stored[0]).toBe(keyOf(SNAPSHOT_LEVEL, 1n, 25n));
  expect(place.stored).not.toContain(keyOf(1, 18n, 22n));
  expect([place.holes, await place.newest()]).toEqual([[], 31n]);
});

test('sealed: nothing plain leaves, and each retry sends the same bytes', async () => {
  const [place, stream] = [new Place(), await begun()];
  const recipients = [await identityToRecipient(await generateIdentity())];
  let refusals = 2;
  place.fault = (key) => (key === keyOf(0, 2n, 2n, true) && refusals-- > 0 ? 'refuse' : null);
  await commit(stream, 2n);
  const { arrived } = ship(place, stream, { ...target, recipients });
  await arrived(2n);
  expect((await place.keys()).every((key) => key.endsWith('.ltx.age'))).toBe(true);
  const tries = place.tried.filter(({ key }) => key === keyOf(0, 2n, 2n, true));
  expect(tries.length).toBe(3);
  expect(tries.every(({ bytes }) => tries[0]?.bytes.equals(bytes))).toBe(true);
  expect(tries[0]?.bytes.subarray(0, 14).toString()).toBe('age-encryption');
});

test('whatever fails and is dropped, in any order: no hole before the newest, and at the end all is there', async () => {
  const seed = Number(process.env['SEED'] ?? 7);
  const random = randomOf(seed);
  for (let round = 0; round < 6; round++) {
    const [place, stream] = [new Place(), await begun()];
    let one = ship(place, stream);
    let txid = 1n;
    place.fault = () => (random() < 0.15 ? 'lose answer' : random() < 0.1 ? 'refuse' : null);
    for (let step = 0; step < 25; step++) {
      const dice = random();
      if (dice < 0.6) await commit(stream, ++txid);
      else if (dice < 0.7) place.isAway = !place.isAway;
      else if (dice < 0.8) await addSegment(stream, SNAPSHOT_LEVEL, txid, nextAt(), { minTxid: 1n, ...MERGED });
      else if (dice < 0.9) {
        const base = stream.level(SNAPSHOT_LEVEL).at(-1)?.maxTxid ?? 0n;
        stream.remove(stream.segments.filter(({ maxTxid }) => maxTxid < base));
      } else {
        await one.shipping.end(null, 0);
        one = ship(place, stream);
      }
      one.shipping.wake();
      await Bun.sleep(random() * 5);
    }
    place.fault = () => null;
    place.isAway = false;
    await one.shipping.end(null, 0);
    one = ship(place, stream);
    await one.arrived(txid);
    expect([`seed ${seed}`, round, place.holes, await place.newest()]).toEqual([`seed ${seed}`, round, [], txid]);
  }
});

function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
