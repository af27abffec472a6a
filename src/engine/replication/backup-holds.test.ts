import { expect, test } from 'bun:test';
import { refusal } from '../../../tests/support/scratch.ts';
import { BackupHolds } from './backup-holds.ts';
import { PageSums } from './page-sums.ts';

const signal = new AbortController().signal;
const END = { salts: 'aa', frames: 3 };

function held(captureTo: () => Promise<boolean> = async () => true) {
  const sums = PageSums.of(4_096, new Uint32Array(2));
  const head = { txid: 7n, at: new Date(0), position: null, sums, tag: 9 };
  const capture = { captureTo, head, headerFields: () => Buffer.from('00ff', 'hex') };
  const holds = new BackupHolds(() => {});
  return { holds, serve: () => holds.serve(capture, signal) };
}

test('a backup is held, and cut at its end', async () => {
  const { holds, serve } = held();
  using _open = holds.open();
  const hold = holds.hold();
  const served = serve();
  await hold;
  const moment = await holds.cut(END);
  expect(moment).toMatchObject({ bookmark: '0000000000000007', tag: 9, header: '00ff' });
  await served;
});

test('nothing waits for a capture that has not begun, or has ended', async () => {
  const { holds } = held();
  const answers = async () => [(await refusal(() => holds.hold())).code, await holds.cut(END)];
  expect(await answers()).toEqual(['NOT_DURABLE', null]);
  const open = holds.open();
  const asked = answers();
  open[Symbol.dispose]();
  expect(await asked).toEqual(['NOT_DURABLE', null]);
  expect(holds.areWanted).toBe(false);
  expect(await answers()).toEqual(['NOT_DURABLE', null]);
});

test('a cut that waits when the capture ends is answered', async () => {
  const { holds } = held();
  const open = holds.open();
  const cut = holds.cut(END);
  open[Symbol.dispose]();
  expect(await cut).toBeNull();
});

test('a cut is answered when its capture fails, and the failure is told', async () => {
  const { holds, serve } = held(async () => {
    throw new Error('the disk is full');
  });
  using _open = holds.open();
  const hold = holds.hold();
  const served = serve();
  await hold;
  const cut = holds.cut(END);
  await expect(served).rejects.toThrow('the disk is full');
  expect(await cut).toBeNull();
});

test('a cut that comes during another one does not get the moment of that one', async () => {
  const late: Promise<unknown>[] = [];
  const { holds, serve } = held(async () => {
    late.push(holds.cut({ salts: 'aa', frames: 4 }));
    return true;
  });
  using _open = holds.open();
  const hold = holds.hold();
  const served = serve();
  await hold;
  expect((await holds.cut(END))?.bookmark).toBe('0000000000000007');
  await served;
  await serve();
  expect(await late[0]).toBeNull();
});
