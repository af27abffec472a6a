/**
 * One file of a stream, by its name: `<first TXID>-<last TXID>.ltx`, 16 hex digits each, so that a listing is in order. Other
 * names in its folder are nothing of ours, nor of Litestream's.
 */
import { closeSync, openSync, readSync } from 'node:fs';
import { LtxDecoder, type LtxPage, type ReadLtx } from '../format/ltx/decoder.ts';
import { badSegment, type LtxHeader } from '../format/ltx/header.ts';

export interface SegmentSpan {
  readonly minTxid: bigint;
  readonly maxTxid: bigint;
}

/** A moment by its TXID: 16 hex digits, which sort as the moments do. */
export function bookmarkOf(txid: bigint): string {
  return txid.toString(16).padStart(16, '0');
}

export function segmentName({ minTxid, maxTxid }: SegmentSpan): string {
  return `${bookmarkOf(minTxid)}-${bookmarkOf(maxTxid)}.ltx`;
}

/** Null for another name. */
export function parseSegmentName(name: string): SegmentSpan | null {
  const [, min, max] = /^([0-9a-f]{16})-([0-9a-f]{16})\.ltx$/.exec(name) ?? [];
  if (min === undefined || max === undefined) return null;
  const span = { minTxid: BigInt(`0x${min}`), maxTxid: BigInt(`0x${max}`) };
  return span.minTxid >= 1n && span.maxTxid >= span.minTxid ? span : null;
}

const CHUNK_BYTES = 64 * 1024;

/** Reads a segment from the disk, page by page; as a whole it is known to be sound once `end` has returned. */
export class SegmentReader {
  readonly #descriptor: number;
  readonly #decoder = new LtxDecoder();
  readonly #pages: Generator<LtxPage, void>;
  #current: LtxPage | null;
  readonly header: LtxHeader;

  /** @throws BackupError BAD_BACKUP; system errors. */
  constructor(path: string) {
    this.#descriptor = openSync(path, 'r');
    try {
      this.#pages = this.#read();
      this.#current = this.#next();
      const { header } = this.#decoder;
      if (header === undefined) throw badSegment('it ends in its header');
      this.header = header;
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /** Null behind the last page. Its bytes are valid until `advance`. */
  get page(): LtxPage | null {
    return this.#current;
  }

  advance(): void {
    this.#current = this.#next();
  }

  /** @throws BackupError BAD_BACKUP; only behind the last page. */
  end(): ReadLtx {
    return this.#decoder.end();
  }

  [Symbol.dispose](): void {
    this.#decoder.close();
    closeSync(this.#descriptor);
  }

  #next(): LtxPage | null {
    const { value, done } = this.#pages.next();
    return done ? null : value;
  }

  *#read(): Generator<LtxPage, void> {
    const chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES);
    for (;;) {
      const bytes = readSync(this.#descriptor, chunk, 0, CHUNK_BYTES, null);
      if (bytes === 0) return;
      yield* this.#decoder.push(chunk.subarray(0, bytes));
    }
  }
}
