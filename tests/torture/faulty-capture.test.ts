/** Faults in the capture itself, planted in test builds: the proof finds them before anybody restores, and names them. */
import { afterAll, afterEach, expect, setDefaultTimeout, test } from 'bun:test';
import { makeTestBuild, type Patch } from './test-build.ts';

setDefaultTimeout(120_000);
const build = makeTestBuild();
afterEach(() => build.restore());
afterAll(() => build[Symbol.dispose]());

interface Found {
  readonly at: 'file' | 'stream' | null;
  readonly code: string | null;
  readonly isFirstUntrue: boolean;
  readonly rebased: { readonly reason: string; readonly pages: number } | null;
  readonly isSame: boolean;
}

async function played(kind: 'updates' | 'phantom' | 'cut', ...patches: readonly Patch[]): Promise<Found> {
  build.plant(patches);
  const { output } = await build.program('tests/torture/faulty-capture-main.ts', kind);
  const line = output.split('\n').find((text) => text.startsWith('{'));
  if (line === undefined) throw new Error(output);
  return JSON.parse(line); // our own program wrote it
}

const dropped: Patch = {
  file: 'src/engine/replication/log-tail.ts',
  from: '      pages.set(chunk.getUint32(at)',
  to: '      if (chunk.getUint32(at) !== 5 || !fault.isOn) pages.set(chunk.getUint32(at)',
};

test('a frame that was dropped, and a page that was taken for unchanged, are faults of the stream and no damage', async () => {
  const unchanged: Patch = {
    file: 'src/engine/replication/capture.ts',
    from: 'if (!before.isSame(number, sums, at) ||',
    to: 'if (((number !== 5 || !fault.isOn) && !before.isSame(number, sums, at)) ||',
  };
  for (const patch of [dropped, unchanged]) {
    const { rebased, ...found } = await played('updates', patch);
    expect(found).toEqual({ at: 'stream', code: 'STREAM_UNTRUE', isFirstUntrue: true, isSame: true });
    expect(rebased?.reason).toBe('its checksums are lost');
    build.restore();
  }
});

test('a fault that shows as a backup is cut is one of the stream, too', async () => {
  // The log is compared at each look, not only when all of it is merged.
  const comparedAtOnce: Patch = {
    file: 'src/engine/replication/capture.ts',
    from: 'const isAllInMain = isAllMerged(index) &&',
    to: 'const isAllInMain = (fault.isOn || isAllMerged(index)) &&',
  };
  const { rebased, ...found } = await played('cut', dropped, comparedAtOnce);
  expect(found).toEqual({ at: 'stream', code: 'STREAM_UNTRUE', isFirstUntrue: true, isSame: true });
  expect(rebased?.reason).toBe('its checksums are lost');
});

test('a commit that failed, captured all the same, is known at the next look, and captured back', async () => {
  const { rebased, ...found } = await played('phantom', {
    file: 'src/engine/replication/capture.ts',
    from: 'Math.min(end.frames, index.frames) : index.frames;',
    to: 'Math.min(end.frames, index.frames) : index.frames + fault.phantomFrames;',
  });
  expect(found).toEqual({ at: null, code: null, isFirstUntrue: false, isSame: true });
  expect(rebased?.reason).toMatch(/^the log ends before frame \d+$/);
  expect(rebased?.pages).toBeLessThan(10);
});
