/** The compiled codec in the sources is the one that its source makes. The compiler comes from the registry. */
import { expect, test } from 'bun:test';
import { compileCodec } from '../../codec/build.ts';
import { codecModule } from '../../src/engine/format/ltx/codec-wasm.ts';

test('the codec that is committed is what its source compiles to', () => {
  expect(compileCodec()).toBe(codecModule);
}, 120_000);
