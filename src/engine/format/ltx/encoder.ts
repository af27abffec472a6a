/**
 * Writes one LTX file: header, a frame for each page with its bytes as one LZ4 block, the index of the frames, trailer. Pages
 * come in ascending order; the bytes leave in pieces of up to a megabyte.
 */
import { BATCH_BYTES, Codec } from './codec.ts';
import { badSegment, encodeHeader, isSnapshot, type LtxHeader, lockPageOf } from './header.ts';
import { putVarint, VARINT_BYTES_MAX } from './varint.ts';

interface WrittenLtx {
  readonly sizeBytes: number;
  readonly pages: number;
  readonly checksum: bigint;
}

const END_OF_PAGES_BYTES = 6;
const TRAILER_BYTES = 16;

export class LtxEncoder {
  readonly #codec = Codec.take();
  readonly #header: LtxHeader;
  readonly #write: (bytes: Uint8Array) => void;
  readonly #batchMax: number;
  readonly #lockPage: number;
  #inBatch = 0;
  #last = 0;
  #sizeBytes = 0;
  #pages = 0;
  #index: { numbers: Uint32Array; sizes: Uint32Array };

  /**
   * @param write takes bytes that are valid until it returns.
   * @throws BackupError BAD_BACKUP for a header that tracks a sum of pages, or that no reader takes.
   */
  constructor(header: LtxHeader, write: (bytes: Uint8Array) => void) {
    if (header.preChecksum !== null) throw badSegment('sums of pages are not written here');
    this.#header = header;
    this.#write = write;
    this.#batchMax = BATCH_BYTES / header.pageSize;
    this.#lockPage = lockPageOf(header.pageSize);
    this.#index = { numbers: new Uint32Array(1024), sizes: new Uint32Array(1024) };
    this.#emit(encodeHeader(header));
  }

  /** @throws BackupError BAD_BACKUP for a page that is out of order, behind the end, or the page of locks. */
  page(number: number, bytes: Uint8Array): void {
    const { pageSize, commitPages } = this.#header;
    const skipped = this.#last + 1 === this.#lockPage ? 2 : 1;
    const isInOrder = isSnapshot(this.#header) ? number === this.#last + skipped : number > this.#last;
    if (!isInOrder || number > commitPages || number === this.#lockPage)
      throw badSegment(`page ${number} behind page ${this.#last}, of ${commitPages}`);
    if (bytes.length !== pageSize) throw badSegment(`page ${number} has ${bytes.length} bytes, not ${pageSize}`);
    this.#last = number;
    this.#codec.pages.set(bytes, this.#inBatch * pageSize);
    this.#codec.numbers[this.#inBatch] = number;
    this.#inBatch++;
    if (this.#inBatch === this.#batchMax) this.#flush();
  }

  /** @throws BackupError BAD_BACKUP when pages of a file that must have all are missing. */
  end(): WrittenLtx {
    const { commitPages } = this.#header;
    const lastOfAll = commitPages === this.#lockPage ? commitPages - 1 : commitPages;
    if (isSnapshot(this.#header) && this.#last !== lastOfAll)
      throw badSegment(`it ends at page ${this.#last} of ${commitPages}`);
    if (commitPages === 0) throw badSegment('an empty database cannot be written without a sum of its pages');
    this.#flush();
    this.#emit(new Uint8Array(END_OF_PAGES_BYTES));
    this.#emitIndex();
    const trailer = new Uint8Array(TRAILER_BYTES);
    this.#emit(trailer.subarray(0, 8));
    const checksum = this.#codec.fileChecksum;
    new DataView(trailer.buffer).setBigUint64(8, checksum);
    this.#codec.release();
    this.#write(trailer.subarray(8));
    this.#sizeBytes += 8;
    return { sizeBytes: this.#sizeBytes, pages: this.#pages, checksum };
  }

  /** Writes what is short, and takes it into the checksum. */
  #emit(bytes: Uint8Array): void {
    this.#codec.frames.set(bytes);
    this.#codec.update(0, bytes.length);
    this.#write(bytes);
    this.#sizeBytes += bytes.length;
  }

  #flush(): void {
    const count = this.#inBatch;
    if (count === 0) return;
    const length = this.#codec.encode(count, this.#header.pageSize);
    this.#write(this.#codec.frames.subarray(0, length));
    this.#noteFrames(count);
    this.#sizeBytes += length;
    this.#inBatch = 0;
  }

  #noteFrames(count: number): void {
    if (this.#pages + count > this.#index.numbers.length) {
      const length = Math.max(this.#index.numbers.length * 2, this.#pages + count);
      const [numbers, sizes] = [new Uint32Array(length), new Uint32Array(length)];
      numbers.set(this.#index.numbers);
      sizes.set(this.#index.sizes);
      this.#index = { numbers, sizes };
    }
    this.#index.numbers.set(this.#codec.numbers.subarray(0, count), this.#pages);
    this.#index.sizes.set(this.#codec.sizes.subarray(0, count), this.#pages);
    this.#pages += count;
  }

  #emitIndex(): void {
    const piece = new Uint8Array(64 * 1024);
    let [used, total, offset] = [0, 0, 100];
    const { numbers, sizes } = this.#index;
    for (let k = 0; k < this.#pages; k++) {
      const size = sizes[k] ?? 0;
      used = putVarint(piece, used, numbers[k] ?? 0);
      used = putVarint(piece, used, offset);
      used = putVarint(piece, used, size);
      offset += size;
      if (used <= piece.length - 3 * VARINT_BYTES_MAX - 1) continue;
      this.#emit(piece.subarray(0, used));
      total += used;
      used = 0;
    }
    piece[used++] = 0;
    this.#emit(piece.subarray(0, used));
    const length = new Uint8Array(8);
    new DataView(length.buffer).setBigUint64(0, BigInt(total + used));
    this.#emit(length);
  }
}
