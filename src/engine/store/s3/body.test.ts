import { afterAll, beforeEach, expect, spyOn, test } from 'bun:test';
import { ANSWER_BYTES_MAX, AnswerRefused, paced, readAnswer, WINDOW_BYTES_MIN } from './body.ts';

/** The clock that a body is measured by: it goes on as a test says, however busy the machine is. */
let nowMs = 0;
const clock = spyOn(performance, 'now').mockImplementation(() => nowMs);
beforeEach(() => {
  nowMs = 0;
});
afterAll(() => clock.mockRestore());

async function* chunks(count: number, sizeBytes: number, everyMs = 0): AsyncGenerator<Uint8Array> {
  for (let sent = 0; sent < count; sent++) {
    nowMs += everyMs;
    yield new Uint8Array(sizeBytes);
  }
}

async function lengthOf(body: AsyncIterable<Uint8Array>): Promise<number> {
  let sizeBytes = 0;
  for await (const chunk of body) sizeBytes += chunk.length;
  return sizeBytes;
}

const limits = { windowMs: 1_000, host: 'host' };

test('a body that drips is given up, one that comes at its pace is not, and a slow consumer is no fault of it', async () => {
  await expect(lengthOf(paced(chunks(1_000, 1, 5), 50))).rejects.toThrow('too slowly');
  expect(nowMs).toBe(50);
  expect(await lengthOf(paced(chunks(8, WINDOW_BYTES_MIN, 10), 20))).toBe(8 * WINDOW_BYTES_MIN);
  let taken = 0;
  for await (const chunk of paced(chunks(4, 1), 20)) {
    nowMs += 30;
    taken += chunk.length;
  }
  expect(taken).toBe(4);
});

test('an answer is read to its limit and no further', async () => {
  expect((await readAnswer(chunks(8, ANSWER_BYTES_MAX / 8), limits)).length).toBe(ANSWER_BYTES_MAX);
  let sent = 0;
  async function* endless(): AsyncGenerator<Uint8Array> {
    for (;;) {
      sent += 1;
      yield new Uint8Array(ANSWER_BYTES_MAX / 8);
    }
  }
  expect(await readAnswer(endless(), limits).catch((error: unknown) => error)).toBeInstanceOf(AnswerRefused);
  expect(sent).toBe(9);
});

test('a document of several types is refused before it is parsed', async () => {
  const read = (text: string) =>
    readAnswer(
      (async function* () {
        yield Buffer.from(text);
      })(),
      limits,
    );
  expect((await read('<!DOCTYPE html><html/>')).length).toBe(22);
  await expect(read('<!doctype a>'.repeat(2))).rejects.toThrow('several types');
});
