/**
 * Copies an open file in stretches, each flushed while the next is copied: a burst of dirty pages makes the writer's own
 * fsync wait (p99.9 of 128 ms beside an unpaced copy, 20 ms with a `fdatasync` every 8 MB, at about 15 % of the copy's speed).
 */
import { closeSync, fdatasync, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import { promisify } from 'node:util';

const flush = promisify(fdatasync);

export interface PacedOptions {
  readonly signal: AbortSignal;
  readonly onProgress: (bytesDone: number, bytesTotal: number) => void;
  /** Bytes between two `fdatasync`; 0 for none. */
  readonly paceBytes?: number;
}

const PACE_BYTES = 8 * 1024 * 1024;
const CHUNK_BYTES = 1024 * 1024;

/** Copies the bytes of an open file, or its first so many, to a new one. Leaves `from` open. */
export async function copyDescriptor(
  from: number,
  destination: string,
  options: PacedOptions & {
    untilBytes?: number;
    /** Changes what was read before it is written. */
    change?: (chunk: Buffer, position: number) => void;
    onWritten?: (bytes: number) => void;
  },
): Promise<void> {
  const paceBytes = options.paceBytes ?? PACE_BYTES;
  const totalBytes = fstatSync(from).size;
  const untilBytes = options.untilBytes ?? Number.POSITIVE_INFINITY;
  const to = openSync(destination, 'wx', 0o600);
  let flushing: Promise<void> = Promise.resolve();
  try {
    const chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES);
    let unsynced = 0;
    for (let done = 0; ;) {
      const length = readSync(from, chunk, 0, Math.min(CHUNK_BYTES, untilBytes - done), done);
      if (length === 0) break;
      options.change?.(chunk, done);
      writeWhole(to, chunk, length, done);
      done += length;
      options.onWritten?.(done);
      unsynced += length;
      if (paceBytes > 0 && unsynced >= paceBytes) {
        // One stretch is flushed while the next is copied; never more than two are dirty.
        await flushing;
        flushing = flush(to);
        unsynced = 0;
        options.onProgress(done, Math.max(done, totalBytes));
        options.signal.throwIfAborted();
      }
    }
    await flushing;
  } finally {
    // Not closed while a flush is still running: another file could have its descriptor's number by then.
    await flushing.catch(() => {});
    closeSync(to);
  }
}

function writeWhole(to: number, chunk: Buffer, length: number, position: number): void {
  for (let written = 0; written < length;) {
    written += writeSync(to, chunk, written, length - written, position + written);
  }
}
