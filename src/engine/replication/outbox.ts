/**
 * What is on its way to one target: a sealed segment is sealed once to a file here, and the same bytes are sent at each
 * retry, so that a lost answer can be told from another writer. Beside it stands the newest moment that is known to be
 * there: where segments cannot be compared, nothing else tells that this machine was set back.
 */
import { createWriteStream, existsSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { open as openFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { makePrivateFolder } from '../disk/private-folder.ts';
import { writePrivateJson } from '../disk/private-json.ts';
import { seal } from '../format/seal.ts';
import { bytesOf } from '../store/store.ts';
import type { LocalSegment } from './local-stream.ts';
import { bookmarkOf, segmentName } from './segment.ts';

const CHUNK_BYTES = 256 * 1024;
const REACHED = 'reached.json';

export class Outbox {
  readonly #folder: string;
  readonly #recipients: readonly string[];

  /** @param folder of the stream. */
  constructor(folder: string, { name, recipients }: { readonly name: string; readonly recipients: readonly string[] }) {
    this.#folder = join(folder, 'outbox', name);
    this.#recipients = recipients;
  }

  /** The file to send: the segment itself, or sealed. @throws system errors, ENOENT for one that was merged away. */
  async file(segment: LocalSegment, signal: AbortSignal): Promise<string> {
    if (this.#recipients.length === 0) return segment.path;
    const sealed = this.sealedFile(segment);
    if (existsSync(sealed)) return sealed;
    makePrivateFolder(this.#folder);
    const source = seal(this.read(segment.path), this.#sealing);
    await pipeline(Readable.from(source), createWriteStream(`${sealed}.tmp`, { mode: 0o600 }), { signal });
    renameSync(`${sealed}.tmp`, sealed);
    return sealed;
  }

  /** Where its sealed form lies until it is known to be stored. */
  sealedFile(segment: Pick<LocalSegment, 'level' | 'minTxid' | 'maxTxid'>): string {
    return join(this.#folder, `${segment.level}-${segmentName(segment)}.age`);
  }

  /** Opened when it is asked for the first bytes, so that whoever asks for none leaves nothing open. */
  async *read(path: string): AsyncGenerator<Uint8Array, void> {
    await using file = await openFile(path, 'r');
    for (;;) {
      const { bytesRead, buffer } = await file.read(Buffer.allocUnsafeSlow(CHUNK_BYTES));
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
    }
  }

  /** A short text in the form in which it may leave the machine. */
  sealed(text: string): AsyncIterable<Uint8Array> {
    return seal(bytesOf(text), this.#sealing);
  }

  /** It is stored, and no longer needed. */
  sent(file: string): void {
    if (this.#recipients.length > 0) rmSync(file, { force: true });
  }

  /** The newest moment that was known to be there; null where nobody knows. */
  get reached(): bigint | null {
    try {
      const { bookmark } = JSON.parse(readFileSync(join(this.#folder, REACHED), 'utf8')) as { bookmark: string };
      return BigInt(`0x${bookmark}`);
    } catch {
      return null;
    }
  }

  noteReached(txid: bigint): void {
    makePrivateFolder(this.#folder);
    writePrivateJson(join(this.#folder, REACHED), { bookmark: bookmarkOf(txid) }, { isFlushed: false });
  }

  get #sealing() {
    return { compression: 'none' as const, recipients: this.#recipients };
  }
}
