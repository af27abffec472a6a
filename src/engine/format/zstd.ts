/**
 * zstd (RFC 8878) as streams, by the runtime's own library, on its threads.
 *
 * The runtimes take a compressed stream that breaks off, or one with something behind its end, for a whole one: of half
 * a backup they silently make a short database. So the frames are followed beside them, and what is not whole is
 * refused. A checksum of the content is stored in the frame, as the `zstd` program does.
 */
import { constants, createZstdCompress, createZstdDecompress } from 'node:zlib';
import type { Transform } from 'node:stream';
import { BackupError } from '../../words/errors.ts';

const LEVEL = 3;
/** The runtime's 16 KiB would cost a trip to a thread for each. */
const CHUNK_BYTES = 256 * 1024;

type Bytes = AsyncIterable<Uint8Array>;

export function compress(source: Bytes): Bytes {
  const params = { [constants.ZSTD_c_compressionLevel]: LEVEL, [constants.ZSTD_c_checksumFlag]: 1 };
  return through(source, () => createZstdCompress({ chunkSize: CHUNK_BYTES, params }));
}

/** @throws BackupError VERIFY_FAILED when the bytes are no zstd, are changed, or end too early or too late. */
export async function* decompress(source: Bytes): Bytes {
  let fault: { readonly error: unknown } | undefined;
  const noted = noteFault(wholeFrames(source), (error) => (fault = { error }));
  try {
    yield* through(noted, () => createZstdDecompress({ chunkSize: CHUNK_BYTES }));
  } catch (error) {
    throw fault ? fault.error : damaged('its checksum or format is wrong', error);
  }
}

/** An upper bound for the size of that many bytes when compressed: zstd's own bound, and the headers of a stream. */
export function compressedBytesMax(sizeBytes: number): number {
  return sizeBytes + Math.ceil(sizeBytes / 256) + 1024;
}

/**
 * One chunk at a time, so that the source may use its memory again, and nothing waits unseen. Whoever leaves early ends
 * the source too.
 */
async function* through(source: Bytes, open: () => Transform): Bytes {
  const transform = open();
  const feeding = feed(source, transform).catch((error: unknown) => {
    transform.destroy(error instanceof Error ? error : new Error(String(error)));
  });
  try {
    for await (const chunk of transform) yield chunk;
  } finally {
    transform.destroy();
    await feeding;
  }
}

async function feed(source: Bytes, transform: Transform): Promise<void> {
  for await (const chunk of source) {
    await new Promise<void>((resolve) => {
      // A write that fails is never called back; the stream closes then.
      transform.once('close', resolve);
      transform.write(chunk, () => {
        transform.off('close', resolve);
        resolve();
      });
    });
    if (transform.destroyed) return;
  }
  transform.end();
}

async function* noteFault(source: Bytes, note: (error: unknown) => void): Bytes {
  try {
    yield* source;
  } catch (error) {
    note(error);
    throw error;
  }
}

/** The same bytes; refused when they are not whole frames from the first to the last. */
async function* wholeFrames(source: Bytes): Bytes {
  const walk = walkFrames();
  let wanted = walk.next().value;
  let header: number[] = [];
  let skipped = 0;
  let isEmpty = true;
  for await (const chunk of source) {
    for (let at = 0; at < chunk.length;) {
      isEmpty = false;
      if ('skip' in wanted) {
        const step = Math.min(wanted.skip - skipped, chunk.length - at);
        skipped += step;
        at += step;
        if (skipped < wanted.skip) break;
      } else {
        header.push(chunk[at] ?? 0);
        at += 1;
        if (header.length < wanted.read) continue;
      }
      wanted = walk.next(littleEndian(header)).value;
      header = [];
      skipped = 0;
    }
    yield chunk;
  }
  if (isEmpty || header.length > 0 || 'skip' in wanted || !wanted.mayEnd) throw damaged('it ends too early');
}

type Wanted = { readonly read: number; readonly mayEnd: boolean } | { readonly skip: number };

const FRAME_MAGIC = 0xfd2fb528;
const SKIPPABLE_MAGIC = 0x184d2a50;
const RESERVED_BLOCK = 3;
const RUN_BLOCK = 1;

/** Asks for the headers of frame after frame and steps over what lies between; never for a skip of nothing. */
function* walkFrames(): Generator<Wanted, never, number> {
  const read = (bytes: number): Wanted => ({ read: bytes, mayEnd: false });
  for (;;) {
    const magic = yield { read: 4, mayEnd: true };
    if (magic - (magic % 16) === SKIPPABLE_MAGIC) {
      const skip = yield read(4);
      if (skip > 0) yield { skip };
      continue;
    }
    if (magic !== FRAME_MAGIC) throw damaged('it does not begin or continue like zstd');

    const descriptor = yield read(1);
    const isSingleSegment = (descriptor & 0b10_0000) !== 0;
    const contentSize = descriptor >> 6;
    const rest =
      (isSingleSegment ? 0 : 1) +
      ([0, 1, 2, 4][descriptor & 0b11] ?? 0) +
      (contentSize === 0 ? Number(isSingleSegment) : 2 ** contentSize);
    if (rest > 0) yield { skip: rest };

    for (let isLast = false; !isLast;) {
      const block = yield read(3);
      isLast = (block & 1) === 1;
      const type = (block >> 1) & 0b11;
      if (type === RESERVED_BLOCK) throw damaged('a part of it has no known format');
      const skip = type === RUN_BLOCK ? 1 : block >> 3;
      if (skip > 0) yield { skip };
    }
    if ((descriptor & 0b100) !== 0) yield { skip: 4 };
  }
}

function littleEndian(bytes: readonly number[]): number {
  return bytes.reduceRight((value, byte) => value * 256 + byte, 0);
}

function damaged(what: string, cause?: unknown): BackupError {
  return new BackupError('VERIFY_FAILED', `the compressed backup is damaged: ${what}`, {
    hint: 'It was changed or cut short after it was stored; use another backup.',
    cause,
  });
}
