import { expect, test } from 'bun:test';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { scratchFolders } from '../../../tests/support/scratch.ts';
import type { LtxHeader } from '../format/ltx/header.ts';
import { LocalStream } from './local-stream.ts';
import { readMarks, writeMarks } from './marks.ts';
import { PageSums } from './page-sums.ts';
import { inTurns } from './rest.ts';
import { Upkeep } from './upkeep.ts';

const scratch = scratchFolders();
const PAGE = 512;
const begin = new Date('2024-01-01T09:12:00Z');
const HOUR_MS = 3_600_000;
const windowsMs = [HOUR_MS, 24 * HOUR_MS, 7 * 24 * HOUR_MS, 30 * 24 * HOUR_MS];
const minuteLater = new Date(begin.getTime() + 60_000);

/** Four moments within ten seconds, one page each, after a whole one. */
async function makeStream() {
  const stream = new LocalStream(join(scratch(), 'continuous'));
  stream.prepare();
  const add = async (level: number, txid: bigint, at: Date) => {
    const header: LtxHeader = {
      ...{ pageSize: PAGE, commitPages: 1, minTxid: txid, maxTxid: txid, at, preChecksum: null, nodeId: 0n, tag: 7 },
      ...{ stateBefore: txid - 1n, stateAfter: txid, walOffset: 32, walBytes: 0, salts: [0, 0] as const },
    };
    const write = stream.write(level, header, function* (encoder) {
      yield encoder.page(1, Buffer.alloc(PAGE, Number(txid)));
    });
    return await stream.add(await inTurns(write));
  };
  await add(9, 1n, begin);
  await add(0, 1n, begin);
  const moments = [];
  for (const txid of [2n, 3n, 4n, 5n])
    moments.push(await add(0, txid, new Date(begin.getTime() + 2_000 * Number(txid))));
  return { stream, moments };
}

/** Carried out once. */
async function keptUp(stream: LocalStream, bytesMax: number, now = minuteLater): Promise<Upkeep> {
  const upkeep = new Upkeep(stream, { windowsMs, bytesMax }, () => now);
  upkeep.look({ txid: 5n, at: minuteLater, position: null, sums: new PageSums(PAGE), tag: 7 });
  await upkeep.ended();
  return upkeep;
}

test('what is due is merged, and there is nothing to tell', async () => {
  const { stream } = await makeStream();
  expect((await keptUp(stream, 1_000_000)).warnings()).toEqual([]);
  expect(stream.level(1).map(({ minTxid, maxTxid }) => [minTxid, maxTxid])).toEqual([[2n, 5n]]);
});

test('a segment that is damaged is told, and nothing of its window is removed', async () => {
  const { stream, moments } = await makeStream();
  const path = moments[1]?.path ?? '';
  const bytes = readFileSync(path);
  bytes[bytes.length - 12] = (bytes.at(-12) ?? 0) ^ 4;
  writeFileSync(path, bytes);
  const [warning, ...others] = (await keptUp(stream, 1_000_000)).warnings();
  expect(warning).toMatch(/^What was captured cannot be merged or removed: .+\. .+$/);
  expect([others, stream.level(1).length, stream.level(0).length]).toEqual([[], 0, 5]);
});

test('a stream that takes more than it may says so', async () => {
  const { stream } = await makeStream();
  const warnings = (await keptUp(stream, 10)).warnings();
  expect(warnings).toEqual([expect.stringContaining('BACKUP_CONTINUOUS_LOCAL_MAX')]);
  expect(stream.newest?.maxTxid).toBe(5n);
});

test('a mark holds its moment for as long as the stream reaches back, and no longer', async () => {
  const { stream } = await makeStream();
  const at = new Date(begin.getTime() + 6_000).toISOString();
  const old = { name: 'before import 42', at, bookmark: '0000000000000003' };
  const waiting = { name: 'just now', at, bookmark: null };
  writeMarks(stream.folder, [old, waiting]);
  const monthMs = 30 * 24 * HOUR_MS;
  const isHeld = () => stream.segments.some(({ level, maxTxid }) => level > 0 && maxTxid === 3n);
  await keptUp(stream, 1_000_000, new Date(begin.getTime() + monthMs));
  expect([readMarks(stream.folder), isHeld()]).toEqual([[old, waiting], true]);
  await keptUp(stream, 1_000_000, new Date(begin.getTime() + monthMs + 24 * HOUR_MS));
  expect([readMarks(stream.folder), isHeld()]).toEqual([[waiting], false]);
});

test('while the marks cannot be read nothing is merged or removed, and that is told', async () => {
  const { stream } = await makeStream();
  writeFileSync(join(stream.folder, 'marks.json'), '{');
  const before = stream.segments.length;
  const muchLater = new Date(begin.getTime() + 90 * 24 * HOUR_MS);
  const [warning] = (await keptUp(stream, 1, muchLater)).warnings();
  expect(warning).toContain('marks.json cannot be read (damaged)');
  expect(stream.segments.length).toBe(before);
});
