/**
 * A backup's bytes, for a download: whole or a range, read in small chunks. Size, tag and bytes are those of one open
 * file, so what takes its place meanwhile under the same name is not sent under another's tag. It is closed when the
 * bytes end, when reading fails and when the reader goes away.
 */
import type { FileHandle } from 'node:fs/promises';
import type { OpenedBackup } from '../service-port.ts';

const CHUNK_BYTES = 256 * 1024;

interface Source {
  readonly file: FileHandle;
  /** What the file must have; null when nobody knows. A download does not compute it. */
  readonly sha256: string | null;
  /** False if the file's time says when it was used. */
  readonly isTimeOfBytes: boolean;
}

export async function openBackup({ file, sha256, isTimeOfBytes }: Source): Promise<OpenedBackup> {
  try {
    const { size, mtime, mtimeMs } = await file.stat();
    const tag = [sha256, size, isTimeOfBytes ? Math.trunc(mtimeMs) : null].filter((part) => part !== null).join('-');
    return {
      sizeBytes: size,
      etag: `"${tag}"`,
      modifiedAt: mtime,
      stream: (from, to) => streamBytes(file, from, to),
      close: () => file.close(),
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}

function streamBytes(file: FileHandle, from: number, to: number): ReadableStream<Uint8Array<ArrayBuffer>> {
  let position = from;
  return new ReadableStream({
    async pull(controller) {
      try {
        const chunk = new Uint8Array(Math.min(CHUNK_BYTES, to + 1 - position));
        const { bytesRead } = await file.read(chunk, 0, chunk.length, position);
        if (bytesRead === 0) throw new Error('the backup became shorter while it was read');
        position += bytesRead;
        controller.enqueue(chunk.subarray(0, bytesRead));
      } catch (error) {
        await file.close();
        throw error;
      }
      if (position <= to) return;
      await file.close();
      controller.close();
    },
    cancel: () => file.close(),
  });
}
