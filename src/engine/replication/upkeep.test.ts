import { expect, test } from 'bun:test';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { scratchFolders } from '../../../tests/support/scratch.ts';
import { addSegment, SMALL_PAGE } from '../../../tests/support/small-stream.ts';
import { LocalStream } from './local-stream.ts';
import { readMarks, writeMarks } from './marks.ts';
import { PageSums } from './page-sums.ts';
import { Upkeep } from './upkeep.ts';

const scratch = scratchFolders();
const begin = new Date('2024-01-01T09:12:00Z');
const HOUR_MS = 3_600_000;
const windowsMs = [HOUR_MS, 24 * HOUR_MS, 7 * 24 * HOUR_MS, 30 * 24 * HOUR_MS];
const minuteLater = new Date(begin.getTime() + 60_000);

/** Four moments within ten seconds, one page each, after a whole one. */
async function makeStream() {
  const stream = new LocalStream(join(scratch(), 'continuous'));
  stream.prepare();
  const add = (level: number, txid: bigint, at: Date) => addSegment(stream, level, txid, at);
  await add(9, 1n, begin);
  await add(0, 1n, begin);
  const moments = [];
  for (const txid of [2n, 3n, 4n, 5n])
    moments.push(await add(0, txid, new Date(begin.getTime() + 2_000 * Number(txid))));
  return { stream, moments, add };
}

/** Carried out once. */
async function keptUp(stream: LocalStream, bytesMax: number, now = minuteLater): Promise<Upkeep> {
  const upkeep = new Upkeep(stream, { windowsMs, bytesMax }, () => now);
  upkeep.look({ txid: 5n, at: minuteLater, position: null, sums: new PageSums(SMALL_PAGE), tag: 7 });
  await upkeep.ended();
  return upkeep;
}

test('what is due is merged, and there is nothing to tell', async () => {
  const { stream } = await makeStream();
  expect((await keptUp(stream, 1_000_000)).warnings()).toEqual([]);
  expect(stream.level(1).map(({ minTxid, maxTxid }) => [minTxid, maxTxid])).toEqual([[2n, 5n]]);
});

function damage(path = '') {
  const bytes = readFileSync(path);
  bytes[bytes.length - 12] = (bytes.at(-12) ?? 0) ^ 4;
  writeFileSync(path, bytes);
}

test('a segment that is damaged is told, and nothing of its window is removed', async () => {
  const { stream, moments } = await makeStream();
  damage(moments[1]?.path);
  const upkeep = await keptUp(stream, 1_000_000);
  const [warning, ...others] = upkeep.warnings();
  expect(warning).toMatch(/^A part of what was captured cannot be merged, and stays: .+\. .+$/);
  expect([others, stream.level(1).length, stream.level(0).length]).toEqual([[], 0, 4]);
  expect(upkeep.damage()?.code).toBe('BAD_BACKUP');
});

test('a segment that is damaged, or gone, holds up no other merge, and what is covered goes', async () => {
  for (const spoil of [damage, (path = '') => rmSync(path)]) {
    const { stream, moments, add } = await makeStream();
    spoil(moments[1]?.path);
    for (const txid of [6n, 7n]) await add(0, txid, new Date(begin.getTime() + 60_000 + 1_000 * Number(txid)));
    const hoursLater = new Date(begin.getTime() + 2 * HOUR_MS);
    await add(0, 8n, hoursLater);
    const upkeep = await keptUp(stream, 1_000_000, hoursLater);
    const spans = (level: number) => stream.level(level).map(({ minTxid, maxTxid }) => `${minTxid}-${maxTxid}`);
    expect([spans(1), spans(2), spans(3)]).toEqual([['6-7'], ['6-7'], ['6-7']]);
    expect(spans(0)).toEqual(['2-2', '3-3', '4-4', '5-5', '8-8']);
    expect(upkeep.damage()).not.toBeNull();
    // With a new beginning the newest moment does not rest on it any more.
    await add(9, 9n, hoursLater);
    expect([upkeep.damage(), upkeep.warnings().length]).toEqual([null, 1]);
  }
});

test('a merged segment that is damaged takes the place of none', async () => {
  const { stream } = await makeStream();
  await keptUp(stream, 1_000_000);
  damage(stream.level(1)[0]?.path);
  await keptUp(stream, 1_000_000, new Date(begin.getTime() + 2 * HOUR_MS));
  expect(stream.level(0).map(({ maxTxid }) => maxTxid)).toEqual([2n, 3n, 4n, 5n]);
});

test('a stream with a damaged segment takes no more than it may', async () => {
  const { stream, moments, add } = await makeStream();
  damage(moments[1]?.path);
  const dayLater = new Date(begin.getTime() + 24 * HOUR_MS);
  await add(9, 5n, dayLater);
  await add(0, 6n, dayLater);
  const upkeep = await keptUp(stream, 10, dayLater);
  expect(stream.segments.map(({ level, maxTxid }) => `${level}: ${maxTxid}`)).toEqual(['0: 6', '9: 5']);
  expect(upkeep.damage()).toBeNull();
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
