import { describe, expect, test } from 'bun:test';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { refusal } from '../../../../tests/support/scratch.ts';
import { Codec } from './codec.ts';
import { LtxDecoder } from './decoder.ts';
import { LtxEncoder } from './encoder.ts';
import { encodeHeader, type LtxHeader, lockPageOf } from './header.ts';

const golden = join(import.meta.dir, '../../../../tests/ltx');

function decode(bytes: Uint8Array, pieceBytes = bytes.length) {
  const pages = new Map<number, Uint8Array>();
  const decoder = new LtxDecoder();
  for (let at = 0; at < bytes.length; at += pieceBytes)
    for (const page of decoder.push(bytes.subarray(at, at + pieceBytes))) pages.set(page.number, page.bytes.slice());
  return { ...decoder.end(), content: pages };
}

function encode(header: LtxHeader, pages: Iterable<readonly [number, Uint8Array]>) {
  const pieces: Buffer[] = [];
  const encoder = new LtxEncoder(header, (piece) => pieces.push(Buffer.from(piece)));
  for (const [number, page] of pages) encoder.page(number, page);
  const written = encoder.end();
  const bytes = Buffer.concat(pieces);
  expect(written.sizeBytes).toBe(bytes.length);
  return { ...written, bytes };
}

const plain: LtxHeader = {
  pageSize: 512,
  commitPages: 5,
  minTxid: 1n,
  maxTxid: 7n,
  at: new Date(1_700_000_000_123),
  walOffset: 32,
  walBytes: 2680,
  salts: [0xdeadbeef, 0xcafebabe],
  preChecksum: null,
  nodeId: 0x0102030405060708n,
  stateBefore: 0n,
  stateAfter: 0n,
  tag: 0,
};

/** Files that the Go library wrote, as blocks and as frames, tracked and not; each with the database that it is of. */
describe.each(readdirSync(golden).filter((name) => name.endsWith('.ltx')))('%s', (name) => {
  const bytes = readFileSync(join(golden, name));
  const database = readFileSync(join(golden, `${name}.db`));

  test('is read, in one piece and byte by byte', () => {
    for (const pieceBytes of [bytes.length, 1, 1000]) {
      const { header, content, sizeBytes } = decode(bytes, pieceBytes);
      expect(sizeBytes).toBe(bytes.length);
      for (const [number, page] of content) {
        const at = (number - 1) * header.pageSize;
        expect(page.every((byte, k) => byte === database[at + k])).toBe(true);
      }
      expect(content.size).toBe(database.length / header.pageSize);
    }
  });

  test('is the same once it is written again', () => {
    const { header, content } = decode(bytes);
    const again = decode(encode({ ...header, preChecksum: null }, content).bytes);
    expect(again.header).toEqual({ ...header, preChecksum: null });
    expect([...again.content].map(([number, page]) => [number, Bun.hash(page)])).toEqual(
      [...content].map(([number, page]) => [number, Bun.hash(page)]),
    );
  });
});

test('five empty pages are read as the Go library writes them, to the byte', () => {
  const block = Buffer.from(`1f000100ffda000200000200b0${'00'.repeat(11)}`, 'hex');
  const frames = [1, 2, 3, 4, 5].map((number) => {
    const head = Buffer.alloc(10);
    head.writeUInt32BE(number);
    head.writeUInt16BE(1, 4);
    head.writeUInt32BE(block.length, 6);
    return Buffer.concat([head, block]);
  });
  const index = [1, 2, 3, 4, 5].flatMap((number) => {
    const offset = 100 + (number - 1) * 34;
    return [number, ...(offset < 128 ? [offset] : [(offset & 127) | 128, offset >> 7]), 34];
  });
  const tail = Buffer.from(`00${'00'.repeat(7)}14${'00'.repeat(8)}c60a22476887d177`, 'hex');
  const bytes = Buffer.concat([encodeHeader(plain), ...frames, Buffer.alloc(6), Buffer.from(index), tail]);
  const { pages, content } = decode(bytes);
  expect([pages, content.get(5)?.every((byte) => byte === 0)]).toEqual([5, true]);
});

test('the CRC is that of its standard', () => {
  const codec = Codec.take();
  codec.pages.set(Buffer.from('123456789'));
  const sums = new Uint32Array(2);
  codec.checksumOf(codec.pages.slice(0, 9), sums, 0);
  expect([sums[1], sums[0]].map((word) => word?.toString(16))).toEqual(['b90956c7', '75a41001']);
});

test('the state of a database tells pages that changed places, and the same bit flipped in two of them', () => {
  const codec = Codec.take();
  const sums = new Uint32Array(2);
  const stateOf = (...pages: number[]) => {
    codec.state = 0n;
    for (const [index, fill] of pages.entries()) {
      codec.pages.fill(fill, 0, 512);
      codec.checksumOf(codec.pages.slice(0, 512), sums, 0);
      codec.changeState('add', index + 1, sums, 0);
    }
    return codec.state;
  };
  const states = [stateOf(1, 2, 3), stateOf(2, 1, 3), stateOf(1 ^ 4, 2 ^ 4, 3), stateOf(1, 2), stateOf(1, 2, 3, 0)];
  expect(new Set(states).size).toBe(states.length);
  codec.changeState('take', 4, new Uint32Array([1, 2]), 0);
  codec.changeState('add', 4, new Uint32Array([1, 2]), 0);
  expect(codec.state).toBe(stateOf(1, 2, 3, 0));
});

test('our proof travels in bytes that others ignore', () => {
  const header = { ...plain, minTxid: 2n, stateBefore: 0x1122334455667788n, stateAfter: 0xffeeddccbbaa9988n, tag: 42 };
  expect(decode(encode(header, [[3, new Uint8Array(512).fill(7)]]).bytes).header).toEqual(header);
});

test('the page of locks is in no file, and the others around it are', () => {
  const pageSize = 65_536;
  const lock = lockPageOf(pageSize);
  const header = { ...plain, pageSize, minTxid: 2n, commitPages: lock + 1 };
  const page = new Uint8Array(pageSize);
  expect(
    decode(
      encode(header, [
        [lock - 1, page],
        [lock + 1, page],
      ]).bytes,
    ).pages,
  ).toBe(2);
  expect(() => encode(header, [[lock, page]])).toThrow(`page ${lock}`);
});

test('a writer is held to the order of pages, and a snapshot to all of them', () => {
  const page = new Uint8Array(512);
  const cases: [Partial<LtxHeader>, number[]][] = [
    [{}, [1, 2, 3, 4]],
    [{}, [2, 3, 4, 5]],
    [{}, [1, 3]],
    [{ minTxid: 2n }, [3, 2]],
    [{ minTxid: 2n }, [6]],
    [{ minTxid: 2n, commitPages: 0 }, []],
    [{ pageSize: 1000 }, []],
    [{ maxTxid: 0n }, []],
    [{ walOffset: 0 }, []],
  ];
  for (const [change, numbers] of cases)
    expect(() =>
      encode(
        { ...plain, ...change },
        numbers.map((number) => [number, page] as const),
      ),
    ).toThrow();
});

test('a file that is cut off at any byte, or goes on, is refused', async () => {
  const { bytes } = encode(
    plain,
    [1, 2, 3, 4, 5].map((number) => [number, new Uint8Array(512).fill(number)] as const),
  );
  for (let length = 0; length < bytes.length; length++)
    expect((await refusal(() => decode(bytes.subarray(0, length)))).code).toBe('BAD_BACKUP');
  expect((await refusal(() => decode(Buffer.concat([bytes, Buffer.from([0])])))).message).toContain('bytes follow');
});

/** The long form: LTX_FUZZ=1000000 bun test src/engine/format/ltx */
const FUZZ = Number(process.env['LTX_FUZZ'] ?? 20_000);
const SEED = Number(process.env['LTX_SEED'] ?? 1);

test(`${FUZZ} damaged files (seed ${SEED}): none is taken for another`, () => {
  const names = readdirSync(golden).filter((name) => /(512|1024).*\.ltx$/.test(name));
  const files = names.map((name) => readFileSync(join(golden, name)));
  const hashes = files.map((bytes) =>
    JSON.stringify([...decode(bytes).content].map(([n, page]) => [n, String(Bun.hash(page))])),
  );
  let state = SEED;
  const random = (below: number) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  let accepted = 0;
  for (let round = 0; round < FUZZ; round++) {
    const which = random(files.length);
    const original = files[which] ?? Buffer.alloc(0);
    let bytes = Buffer.from(original);
    for (let changes = 1 + random(3); changes > 0; changes--) {
      const at = random(bytes.length);
      const kind = random(6);
      if (kind === 0) bytes[at] = (bytes[at] ?? 0) ^ (1 << random(8));
      else if (kind === 1) bytes[at] = random(256);
      else if (kind === 2) bytes = bytes.subarray(0, at);
      else if (kind === 3) bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + random(16))]);
      else if (kind === 4) bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(random(at + 1))]);
      else bytes.fill(255, at, Math.min(at + 4, bytes.length));
      if (bytes.length === 0) break;
    }
    try {
      const { content } = decode(bytes);
      const found = JSON.stringify([...content].map(([n, page]) => [n, String(Bun.hash(page))]));
      if (found !== hashes[which]) throw new Error(`round ${round}: another content was accepted`);
      accepted++;
    } catch (error) {
      if ((error as { code?: string }).code !== 'BAD_BACKUP') throw error;
    }
  }
  // Compressed bytes may say the same in another way: then the content is right, and the checksum of it as well.
  expect(accepted).toBeLessThan(FUZZ / 100);
}, 3_600_000);
