/** The stream at a target, in a folder and at S3: what it says it holds, and what comes back from there alone. */
import { afterAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { generateIdentity, identityToRecipient } from 'age-encryption';
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { startFaultProxy } from '../../../tests/support/fault-proxy.ts';
import {
  copyToTarget,
  makeStream,
  makeTargetFolder,
  mergeSpan,
  STREAM_TAG,
} from '../../../tests/support/remote-stream.ts';
import { startS3Server } from '../../../tests/support/s3-server.ts';
import { refusal, scratchFolders } from '../../../tests/support/scratch.ts';
import { bookmarkOf } from '../replication/segment.ts';
import { openTarget, type TargetAccess } from '../store/kinds.ts';
import { listRemoteMoments, makeRemoteMomentFile, type StreamPlace } from './remote-moments.ts';
import { drillRemoteMoment, pickRemoteMoment } from './drill-remote-moment.ts';

setDefaultTimeout(60_000);
const scratch = scratchFolders();
const server = await startS3Server();
await server.createBucket('streams');
afterAll(() => server.close());
const { signal } = new AbortController();
const context = { signal, now: () => new Date(), onEvent: () => {} };
let prefixes = 0;

const accesses: Record<TargetAccess['kind'], () => TargetAccess> = {
  folder: () => ({ kind: 'folder', path: makeTargetFolder(scratch()) }),
  s3: () => s3Access(server.endpoint),
};

function s3Access(endpoint: string): TargetAccess {
  const { region, accessKeyId, secretAccessKey } = server;
  return { kind: 's3', bucket: 'streams', region, endpoint, accessKeyId, secretAccessKey };
}

interface Placed {
  readonly recipients?: readonly string[];
  readonly identities?: readonly string[];
  readonly refusePlain?: boolean;
}

/** A stream of some commits, copied to a place of its own. */
async function ship(
  kind: TargetAccess['kind'],
  commits: number,
  { recipients = [], identities = [], ...more }: Placed = {},
  prepare: (folder: string) => Promise<unknown> = async () => {},
) {
  const made = await makeStream(join(scratch(), 'continuous'), commits);
  await prepare(made.folder);
  const place: StreamPlace = {
    ...{ target: 'nas', prefix: `app-${prefixes++}`, access: accesses[kind](), identities, backups: [], ...more },
  };
  const store = openTarget(place.access, place.prefix);
  await copyToTarget(made.folder, store, { kind, recipients });
  return { ...made, place, store };
}

function asked(place: StreamPlace, txid: number) {
  const folder = scratch();
  const [to, staging] = [join(folder, 'moment.sqlite'), join(folder, 'staging')];
  return {
    kind: 'remote-moment-file',
    place,
    bookmark: bookmarkOf(BigInt(txid)),
    to,
    staging,
    keep: false,
    lockWaitMs: 60_000,
  } as const;
}

async function bringBack(place: StreamPlace, txid: number): Promise<Buffer> {
  const request = asked(place, txid);
  await makeRemoteMomentFile(request, context);
  expect(readdirSync(request.staging)).toEqual([]);
  return readFileSync(request.to);
}

const list = (place: StreamPlace, more: Partial<Parameters<typeof listRemoteMoments>[0]> = {}) =>
  listRemoteMoments({ kind: 'remote-moments', place, ...more }, context);

describe.each(['folder', 's3'] as const)('at a %s', (kind) => {
  test('each moment comes back as it was, and its time finds it', async () => {
    const { place, states, atOf } = await ship(kind, 12, {}, async (folder) => {
      await mergeSpan(folder, 1, 2, 6);
      await mergeSpan(folder, 1, 7, 9);
    });
    for (const txid of [1, 4, 6, 9, 12])
      expect((await bringBack(place, txid)).equals(states[txid] ?? Buffer.of())).toBe(true);
    const found = async (at: Date) => (await list(place, { wish: { at: at.toISOString() } })).found;
    for (const txid of [1, 5, 12]) {
      expect(await found(atOf(txid))).toMatchObject({
        bookmark: bookmarkOf(BigInt(txid)),
        at: atOf(txid).toISOString(),
      });
      expect(await found(new Date(atOf(txid).getTime() + 999))).toMatchObject({ bookmark: bookmarkOf(BigInt(txid)) });
    }
    expect(await found(new Date(atOf(1).getTime() - 1))).toBeNull();
  });

  test('what it holds is said by ranges, with the newest and its neighbours', async () => {
    const { place, atOf } = await ship(kind, 9, {}, (folder) => mergeSpan(folder, 1, 2, 6));
    const [first, last] = [atOf(1).toISOString(), atOf(9).toISOString()];
    const moments = await list(place);
    expect(moments).toMatchObject({
      found: { bookmark: bookmarkOf(9n), at: last, segments: 5, before: bookmarkOf(8n), after: null },
      ...{ near: [], gaps: [], marks: [], tag: STREAM_TAG },
    });
    expect(moments.ranges).toEqual([
      { level: 0, from: atOf(2).toISOString(), to: last, moments: 8 },
      { level: 1, from: atOf(6).toISOString(), to: atOf(6).toISOString(), moments: 1 },
      { level: 9, from: first, to: first, moments: 1 },
    ]);
    const some = await list(place, { from: atOf(3).toISOString(), to: atOf(5).toISOString() });
    expect(some.ranges).toEqual([{ level: 0, from: atOf(3).toISOString(), to: atOf(5).toISOString(), moments: 3 }]);
  });

  test('a hole is named, and what lies before it comes back', async () => {
    const { place, store, states } = await ship(kind, 8);
    const [hole] = await keysEndingWith(store, `-${bookmarkOf(5n)}.ltx`);
    await store.delete(hole ?? '');
    const moments = await list(place);
    expect([moments.found, moments.near]).toEqual([null, [bookmarkOf(4n)]]);
    expect(moments.gaps).toEqual([{ after: bookmarkOf(4n), until: null }]);
    const { code, message, hint } = await refusal(() => bringBack(place, 8));
    expect([code, message, hint]).toEqual([
      'NO_MOMENT',
      expect.stringContaining('nas'),
      expect.stringContaining(bookmarkOf(4n)),
    ]);
    expect((await bringBack(place, 4)).equals(states[4] ?? Buffer.of())).toBe(true);
  });

  test('a damaged segment is refused by its name, and leaves no file', async () => {
    const { place, store } = await ship(kind, 5);
    const [key = ''] = await keysEndingWith(store, `-${bookmarkOf(4n)}.ltx`);
    const bytes = await bytesOf(store, key);
    bytes[130] = (bytes[130] ?? 0) ^ 1;
    await store.put(
      key,
      (async function* () {
        yield bytes;
      })(),
    );
    const request = asked(place, 5);
    const { code, message } = await refusal(() => makeRemoteMomentFile(request, context));
    expect([code, message]).toEqual(['BAD_BACKUP', expect.stringContaining(`${bookmarkOf(4n)} of level 0`)]);
    expect(existsSync(request.to)).toBe(false);
    expect((await drilled(place, 5)).code).toBe('BAD_BACKUP');
  });

  test('sealed segments open with their key alone', async () => {
    const [identity, other] = [await generateIdentity(), await generateIdentity()];
    const recipients = [await identityToRecipient(identity)];
    const { place, states, atOf } = await ship(kind, 6, { recipients, refusePlain: true });
    // Without a key it is known what is there, but not opened.
    expect((await list(place)).found).toMatchObject({ bookmark: bookmarkOf(6n), at: atOf(6).toISOString() });
    expect((await refusal(() => bringBack(place, 6))).message).toContain('the private key is not on this server');
    expect((await refusal(() => bringBack({ ...place, identities: [other] }, 6))).code).toBe('BAD_REQUEST');
    const open = { ...place, identities: [identity] };
    expect((await bringBack(open, 6)).equals(states[6] ?? Buffer.of())).toBe(true);
    expect((await list(open, { wish: { at: atOf(3).toISOString() } })).found?.bookmark).toBe(bookmarkOf(3n));
  });

  test('what is not sealed is taken only where that is expected', async () => {
    const { place, states } = await ship(kind, 3, { refusePlain: true });
    expect((await refusal(() => bringBack(place, 3))).code).toBe('PLAIN_COPY');
    expect((await bringBack({ ...place, refusePlain: false }, 3)).equals(states[3] ?? Buffer.of())).toBe(true);
  });

  test('a stream of more than a page of the listing', async () => {
    const { place, states } = await ship(kind, 1_100);
    expect((await list(place)).found?.segments).toBe(1_100);
    expect((await bringBack(place, 1_100)).equals(states[1_100] ?? Buffer.of())).toBe(true);
  });
});

test('cut and refused on the way, it goes on, and a second try takes what the first one brought', async () => {
  const proxy = await startFaultProxy(server.endpoint);
  try {
    const made = await makeStream(join(scratch(), 'continuous'), 4, 40_000);
    const place: StreamPlace = {
      ...{ target: 'nas', prefix: 'cut', access: s3Access(proxy.endpoint), identities: [], backups: [] },
    };
    const store = openTarget(s3Access(server.endpoint), 'cut');
    await copyToTarget(made.folder, store, { kind: 's3' });
    proxy.faults.push({ match: /^GET .*\/0009\//, effect: { cutAfterBytes: 3_000_000 }, times: 2 });
    proxy.faults.push({ match: /^GET .*\/0000\/.*3\.ltx/, effect: { status: 403, code: 'AccessDenied' } });
    const request = { ...asked(place, 4), keep: true };
    expect((await refusal(() => makeRemoteMomentFile(request, context))).code).toBe('S3_DENIED');
    expect(existsSync(request.to)).toBe(false);
    proxy.faults.length = 0;
    proxy.requests.length = 0;
    await makeRemoteMomentFile(request, context);
    expect(readFileSync(request.to).equals(made.states[4] ?? Buffer.of())).toBe(true);
    rmSync(request.to);
    proxy.requests.length = 0;
    await makeRemoteMomentFile(request, context);
    expect(proxy.requests.filter((text) => /^GET .*\.ltx\?/.test(text) && !text.includes('list-type'))).toHaveLength(1);
  } finally {
    await proxy.close();
  }
});

test('a segment that retention takes meanwhile is no obstacle: a coarser one covers it', async () => {
  const proxy = await startFaultProxy(server.endpoint);
  try {
    const made = await makeStream(join(scratch(), 'continuous'), 6);
    const store = openTarget(s3Access(server.endpoint), 'taken');
    await copyToTarget(made.folder, store, { kind: 's3' });
    const takeAway = async () => {
      await mergeSpan(made.folder, 1, 2, 6);
      await copyToTarget(made.folder, store, { kind: 's3' });
      await store.deleteMany([2n, 3n, 4n].map((txid) => `continuous/0000/${bookmarkOf(txid)}-${bookmarkOf(txid)}.ltx`));
    };
    proxy.faults.push({ match: /list-type=2/, effect: { meanwhile: takeAway }, times: 1 });
    const place: StreamPlace = {
      ...{ target: 'nas', prefix: 'taken', access: s3Access(proxy.endpoint), identities: [], backups: [] },
    };
    expect((await bringBack(place, 6)).equals(made.states[6] ?? Buffer.of())).toBe(true);
  } finally {
    await proxy.close();
  }
});

test('any moment there may be drilled, and sealed ones without a key as far as that goes', async () => {
  const { place, atOf } = await ship('s3', 6);
  const pick = (dice: readonly [number, number]) =>
    pickRemoteMoment({ kind: 'pick-remote-moment', place, dice }, context);
  expect(await pick([0, 0])).toEqual({ bookmark: bookmarkOf(2n), at: atOf(2).toISOString() });
  expect((await pick([0.99, 0.5])).bookmark).toBe(bookmarkOf(1n));
  const recipients = [await identityToRecipient(await generateIdentity())];
  const sealed = await ship('s3', 6, { recipients });
  expect(await drill(sealed.place, 6)).toMatchObject({ proof: 'sealed' });
});

test('a stream that is empty holds no moment', async () => {
  const place: StreamPlace = {
    ...{ target: 'nas', prefix: 'nothing', access: s3Access(server.endpoint), identities: [], backups: [] },
  };
  expect(await list(place)).toMatchObject({ found: null, near: [], ranges: [], gaps: [], sizeBytes: 0, tag: null });
  expect((await refusal(() => bringBack(place, 1))).code).toBe('NO_MOMENT');
});

function drill(place: StreamPlace, txid: number) {
  const staging = join(scratch(), '.drill');
  const bookmark = bookmarkOf(BigInt(txid));
  return drillRemoteMoment(
    { kind: 'drill-remote-moment', place, bookmark, staging, assertions: null, lockWaitMs: 60_000 },
    context,
  );
}

const drilled = (place: StreamPlace, txid: number) => refusal(() => drill(place, txid));

async function keysEndingWith(store: ReturnType<typeof openTarget>, end: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { key } of store.list('continuous/')) if (key.endsWith(end)) found.push(key);
  return found;
}

async function bytesOf(store: ReturnType<typeof openTarget>, key: string): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of store.get(key)) chunks.push(chunk);
  return Buffer.concat(chunks);
}
