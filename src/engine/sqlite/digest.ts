/** SHA-256 of a file, on a thread of its own so that a check of the same file can use the other core. */
import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

const CHUNK_BYTES = 1024 * 1024;

export function digestInBackground(path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: { digestOf: path } });
    worker.once('message', (sha256: string) => resolve(sha256));
    worker.once('error', reject);
    worker.once('exit', (code) => reject(new Error(`the digest thread ended with code ${code}`)));
  });
}

export function digestFile(path: string): string {
  const file = openSync(path, 'r');
  try {
    const hash = createHash('sha256');
    const chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES);
    for (let length = readSync(file, chunk); length > 0; length = readSync(file, chunk))
      hash.update(chunk.subarray(0, length));
    return hash.digest('hex');
  } finally {
    closeSync(file);
  }
}

if (!isMainThread && typeof workerData?.digestOf === 'string') parentPort?.postMessage(digestFile(workerData.digestOf));
