/** SHA-256 of a file, on a thread of its own so that the copy or the check of the same file can use the other core. */
import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

const CHUNK_BYTES = 1024 * 1024;

export function digestInBackground(path: string): Promise<string> {
  const digest = new FollowingDigest(path);
  return digest.end();
}

/** Digests a file while it is being written, up to the byte that is known to be final. */
export class FollowingDigest implements Disposable {
  readonly #worker: Worker;
  readonly #sha256: Promise<string>;

  constructor(path: string) {
    this.#worker = new Worker(new URL(import.meta.url), { workerData: { digestOf: path } });
    this.#sha256 = new Promise((resolve, reject) => {
      this.#worker.once('message', resolve);
      this.#worker.once('error', reject);
      this.#worker.once('exit', (code) => reject(new Error(`the digest thread ended with code ${code}`)));
    });
    // A caller that another failure stops learns of it from that one.
    this.#sha256.catch(() => {});
  }

  /** This many bytes from the start of the file are final. */
  follow(bytes: number): void {
    this.#worker.postMessage(bytes);
  }

  /** The file is whole. */
  end(): Promise<string> {
    this.#worker.postMessage(Number.POSITIVE_INFINITY);
    return this.#sha256;
  }

  /** Releases a digest that is no longer needed. */
  [Symbol.dispose](): void {
    void this.#worker.terminate();
  }
}

export function digestFile(path: string): string {
  const digest = new PartialDigest(path);
  digest.goOn(Number.POSITIVE_INFINITY);
  return digest.end();
}

class PartialDigest {
  readonly #file: number;
  readonly #hash = createHash('sha256');
  readonly #chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  #done = 0;

  constructor(path: string) {
    this.#file = openSync(path, 'r');
  }

  goOn(untilBytes: number): void {
    while (this.#done < untilBytes) {
      const length = readSync(this.#file, this.#chunk, 0, Math.min(CHUNK_BYTES, untilBytes - this.#done), this.#done);
      if (length === 0) return;
      this.#hash.update(this.#chunk.subarray(0, length));
      this.#done += length;
    }
  }

  end(): string {
    closeSync(this.#file);
    return this.#hash.digest('hex');
  }
}

if (!isMainThread && typeof workerData?.digestOf === 'string') {
  const path: string = workerData.digestOf;
  let digest: PartialDigest | undefined;
  parentPort?.on('message', (bytes: number) => {
    digest ??= new PartialDigest(path);
    digest.goOn(bytes);
    if (bytes !== Number.POSITIVE_INFINITY) return;
    parentPort?.postMessage(digest.end());
    parentPort?.close();
  });
}
