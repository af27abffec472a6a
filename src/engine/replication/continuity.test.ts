import { expect, test } from 'bun:test';
import { renameSync } from 'node:fs';
import { join } from 'node:path';
import { scratchFolders } from '../../../tests/support/scratch.ts';
import { addSegment } from '../../../tests/support/small-stream.ts';
import { followChain } from './continuity.ts';
import { LocalStream } from './local-stream.ts';

const scratch = scratchFolders();

async function makeStream() {
  const stream = new LocalStream(join(scratch(), 'continuous'));
  stream.prepare();
  const at = new Date('2024-01-01T09:12:00Z');
  for (const level of [9, 0]) await addSegment(stream, level, 1n, at);
  for (const txid of [2n, 3n, 4n]) await addSegment(stream, 0, txid, at);
  return stream;
}

test.each([2n, 4n])('segment %p, which one listing did not find, is none that is missing', async (txid) => {
  const stream = await makeStream();
  const { path = '' } = stream.level(0).find(({ maxTxid }) => maxTxid === txid) ?? {};
  renameSync(path, `${path}~`);
  stream.refresh();
  renameSync(`${path}~`, path);
  expect(followChain(stream, 4n)).toEqual({ lastTxid: 4n, fault: null });
  expect(stream.newest?.maxTxid).toBe(4n);
  renameSync(path, `${path}~`);
  stream.refresh();
  const { lastTxid, fault } = followChain(stream, 4n);
  expect([lastTxid, fault?.message]).toEqual([4n, `none goes on from 000000000000000${txid - 1n}`]);
});

test('a status that was written before the newest segment says nothing against it', async () => {
  expect(followChain(await makeStream(), 2n)).toEqual({ lastTxid: 4n, fault: null });
});
