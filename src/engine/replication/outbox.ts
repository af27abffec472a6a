/**
 * What is on its way to one target: a sealed segment is sealed once to a file here, and the same bytes are sent at each
 * retry, so that a lost answer can be told from another writer. Beside it stands the newest moment that is known to be
 * there: where segments cannot be compared, nothing else tells that this machine was set back.
 */
import { createWriteStream, existsSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { open as openFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { isDeepStrictEqual } from 'node:util';
import { makePrivateFolder } from '../disk/private-folder.ts';
import { writePrivateJson } from '../disk/private-json.ts';
import { seal } from '../format/seal.ts';
import { bytesOf } from '../store/store.ts';
import type { LocalSegment } from './local-stream.ts';
import { bookmarkOf, segmentName } from './segment.ts';

const CHUNK_BYTES = 256 * 1024;
const REACHED = 'reached.json';
const UNFINISHED = '.tmp';

/** Beside the newest moment there: for which place, and to whom it is sealed. */
interface Noted {
  readonly place: string;
  readonly recipients: readonly string[];
  readonly bookmark: string;
  /** The moment with which this line began there: what was captured before may be of another one. */
  readonly from: string;
}

export class Outbox {
  readonly #folder: string;
  readonly #recipients: readonly string[];
  readonly #place: string;

  /** @param folder of the stream. */
  constructor(
    folder: string,
    {
      name,
      recipients,
      place,
    }: { readonly name: string; readonly recipients: readonly string[]; readonly place: string },
  ) {
    this.#folder = join(folder, 'outbox', name);
    this.#recipients = recipients;
    this.#place = place;
    const noted = this.#noted;
    const isSame = noted?.place === place && isDeepStrictEqual(noted.recipients, recipients);
    // It is of another place, or sealed to somebody who is not to read it any more.
    if (noted !== null && !isSame) rmSync(this.#folder, { recursive: true, force: true });
  }

  /** The file to send: the segment itself, or sealed. @throws system errors, ENOENT for one that was merged away. */
  async file(segment: LocalSegment, signal: AbortSignal): Promise<string> {
    if (this.#recipients.length === 0) return segment.path;
    const sealed = this.sealedFile(segment);
    if (existsSync(sealed)) return sealed;
    makePrivateFolder(this.#folder);
    const source = seal(this.read(segment.path), this.#sealing);
    const unfinished = `${sealed}.${process.pid}${UNFINISHED}`;
    await pipeline(Readable.from(source), createWriteStream(unfinished, { mode: 0o600 }), { signal });
    renameSync(unfinished, sealed);
    return sealed;
  }

  /** Where its sealed form lies until it is known to be stored. */
  sealedFile(segment: Pick<LocalSegment, 'level' | 'minTxid' | 'maxTxid'>): string {
    return join(this.#folder, `${segment.level}-${segmentName(segment)}.age`);
  }

  /** Opened when it is asked for the first bytes, so that whoever asks for none leaves nothing open. */
  async *read(path: string): AsyncGenerator<Uint8Array, void> {
    // Most have the pages of one commit, and somebody waits for it.
    if (statSync(path).size <= CHUNK_BYTES) return yield readFileSync(path);
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
  sent(file: string | null): void {
    if (file !== null && this.#recipients.length > 0) rmSync(file, { force: true });
  }

  /** Removes what was sealed and is not to be sent any more: coarser segments took its place. */
  sweep(segments: readonly LocalSegment[]): void {
    if (!existsSync(this.#folder)) return;
    const wanted = new Set(segments.map((segment) => basename(this.sealedFile(segment))));
    const isKept = (name: string) =>
      name === REACHED || wanted.has(name) || name.endsWith(`.${process.pid}${UNFINISHED}`);
    for (const name of readdirSync(this.#folder)) if (!isKept(name)) rmSync(join(this.#folder, name), { force: true });
  }

  /** The newest moment that was known to be there; null where nobody knows. */
  get reached(): bigint | null {
    const noted = this.#noted;
    return noted && BigInt(`0x${noted.bookmark}`);
  }

  /** The moment with which this line began there; null where nobody knows. */
  get from(): bigint | null {
    const noted = this.#noted;
    return noted && BigInt(`0x${noted.from}`);
  }

  noteReached(txid: bigint, from: bigint): void {
    makePrivateFolder(this.#folder);
    const noted: Noted = {
      place: this.#place,
      recipients: this.#recipients,
      bookmark: bookmarkOf(txid),
      from: bookmarkOf(from),
    };
    writePrivateJson(join(this.#folder, REACHED), noted, { isFlushed: false });
  }

  get #noted(): Noted | null {
    try {
      const noted = JSON.parse(readFileSync(join(this.#folder, REACHED), 'utf8')) as Noted; // written by us
      return [noted.bookmark, noted.from].every((text) => /^[0-9a-f]{16}$/.test(text)) ? noted : null;
    } catch {
      return null;
    }
  }

  get #sealing() {
    return { compression: 'none' as const, recipients: this.#recipients };
  }
}
