/**
 * A backup's bytes, for a download: whole or a range, read in small chunks, closed also when the reader goes away. The
 * bytes come of the file that was looked at, and of no other that has taken its place since.
 */
import type { Stats } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { BackupError } from '../engine/errors.ts';
import type { OpenedBackup } from './service-port.ts';

const CHUNK_BYTES = 256 * 1024;

interface Source {
  readonly open: () => Promise<FileHandle>;
  /** What the file must have; null when nobody knows. */
  readonly sha256: string | null;
}

/** @throws BackupError as `source.open` does. */
export async function openBackup(source: Source): Promise<OpenedBackup> {
  const file = await source.open();
  const found = await file.stat().finally(() => file.close());
  const { sha256 } = source;
  return {
    sizeBytes: found.size,
    etag: sha256 ? `"${sha256}"` : `"${found.size}-${Math.trunc(found.mtimeMs)}"`,
    modifiedAt: found.mtime,
    stream: (from, to) => streamBytes(openSame(source, found), from, to),
  };
}

async function openSame(source: Source, looked: Stats): Promise<FileHandle> {
  const file = await source.open();
  const found = await file.stat();
  const isSame = (['dev', 'ino', 'size', 'mtimeMs'] as const).every((key) => found[key] === looked[key]);
  if (isSame) return file;
  await file.close();
  throw new BackupError('BAD_BACKUP', 'the backup was exchanged while it was sent', { hint: 'Verify it.' });
}

function streamBytes(opened: Promise<FileHandle>, from: number, to: number): ReadableStream<Uint8Array<ArrayBuffer>> {
  let position = from;
  return new ReadableStream({
    async pull(controller) {
      const file = await opened;
      const chunk = new Uint8Array(Math.min(CHUNK_BYTES, to + 1 - position));
      const { bytesRead } = await file.read(chunk, 0, chunk.length, position);
      position += bytesRead;
      if (bytesRead > 0) controller.enqueue(chunk.subarray(0, bytesRead));
      if (position > to) {
        await file.close();
        controller.close();
      } else if (bytesRead === 0) {
        await file.close();
        controller.error(new Error('the backup became shorter while it was read'));
      }
    },
    async cancel() {
      await opened.then((file) => file.close()).catch(() => {});
    },
  });
}
