/**
 * Reads one LTX file as it comes, in pieces of any size, and believes nothing: every size is bounded before it is used, the
 * index must name exactly the frames that were there, the checksum must be right, and nothing may follow. Both encodings of
 * a page are read: one LZ4 block (since ltx 0.5.2, Litestream 0.5.16), or one LZ4 frame (before).
 */
import { Codec, FRAMES_MAX } from './codec.ts';
import { badSegment, decodeHeader, HEADER_BYTES, isSnapshot, type LtxHeader, lockPageOf } from './header.ts';
import { readVarint, VARINT_BYTES_MAX } from './varint.ts';

export interface ReadLtx {
  readonly header: LtxHeader;
  readonly pages: number;
  readonly sizeBytes: number;
  readonly checksum: bigint;
  /** Sum of all pages after it; null for a file that tracks none. */
  readonly postChecksum: bigint | null;
}

export interface LtxPage {
  readonly number: number;
  /** Valid until the next page is asked for. */
  readonly bytes: Uint8Array;
}

const PAGE_HEADER_BYTES = 6;
const SIZE_FOLLOWS = 1;
const LENGTH_BYTES = 8;
const TRAILER_BYTES = 16;
/** The codec may read a little further than it needs. */
const SLACK_BYTES = 64;
/** An LZ4 block is larger than its page by 1 in 255 at most; writers may waste a little. */
const BLOCK_BYTES_MAX = 65_536 + 1_024;
/** The end of a frame of LZ4: an end mark and a checksum of the page. */
const LZ4_FRAME_END_BYTES = 8;

type Part = 'header' | 'pages' | 'index' | 'length' | 'trailer' | 'end';

export class LtxDecoder {
  readonly #codec = Codec.take();
  readonly #view: DataView;
  #part: Part = 'header';
  #header: LtxHeader | undefined;
  /** Bytes in the codec's area of frames, and how far they are read. */
  #have = 0;
  #at = 0;
  /** Bytes of the file that lie before that area. */
  #before = 0;
  #last = 0;
  #frames = { numbers: new Uint32Array(1024), sizes: new Uint32Array(1024) };
  #pages = 0;
  #indexed = 0;
  #indexOffset = HEADER_BYTES;
  #indexBytes = 0;
  #result: ReadLtx | undefined;
  #isOver = false;

  constructor() {
    const { buffer, byteOffset, byteLength } = this.#codec.frames;
    this.#view = new DataView(buffer, byteOffset, byteLength);
  }

  /** Known once its first bytes were pushed. */
  get header(): LtxHeader | undefined {
    return this.#header;
  }

  /**
   * The pages that these bytes complete. All of them must be taken before the next bytes come.
   *
   * @throws BackupError BAD_BACKUP as soon as it is seen.
   */
  *push(bytes: Uint8Array): Generator<LtxPage, void> {
    if (this.#isOver) throw new Error('a file that was read, or refused, takes no more');
    try {
      for (let taken = 0; taken < bytes.length;) {
        taken += this.#take(bytes.subarray(taken));
        for (;;) {
          const before = this.#pages;
          if (!this.#step()) break;
          if (this.#pages > before) yield { number: this.#last, bytes: this.#codec.pages.subarray(0, this.#pageSize) };
        }
      }
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** @throws BackupError BAD_BACKUP for a file that was cut off. */
  end(): ReadLtx {
    this.close();
    if (this.#result === undefined) throw badSegment(`it ends in its ${this.#part}`);
    return this.#result;
  }

  /** For whoever does not read to the end. */
  close(): void {
    if (!this.#isOver) this.#codec.release();
    this.#isOver = true;
  }

  /** Behind what is not read yet. @returns how many bytes there was room for. */
  #take(bytes: Uint8Array): number {
    this.#codec.frames.copyWithin(0, this.#at, this.#have);
    this.#before += this.#at;
    this.#have -= this.#at;
    this.#at = 0;
    const room = Math.min(FRAMES_MAX - SLACK_BYTES - this.#have, bytes.length);
    this.#codec.frames.set(bytes.subarray(0, room), this.#have);
    this.#have += room;
    return room;
  }

  /** Reads one thing. False where its bytes are not all there yet. */
  #step(): boolean {
    switch (this.#part) {
      case 'header':
        return this.#readHeader();
      case 'pages':
        return this.#readPage();
      case 'index':
        return this.#readIndexEntry();
      case 'length':
        return this.#readLength();
      case 'trailer':
        return this.#readTrailer();
      case 'end':
        if (this.#have > this.#at) throw badSegment('bytes follow its end');
        return false;
    }
  }

  #has(bytes: number): boolean {
    return this.#have - this.#at >= bytes;
  }

  /** Takes bytes into the checksum, and goes on behind them. */
  #pass(bytes: number): void {
    this.#codec.update(this.#at, bytes);
    this.#at += bytes;
  }

  #known(): LtxHeader {
    if (this.#header === undefined) throw new Error('pages come behind the header');
    return this.#header;
  }

  get #pageSize(): number {
    return this.#known().pageSize;
  }

  #readHeader(): boolean {
    if (!this.#has(HEADER_BYTES)) return false;
    this.#header = decodeHeader(this.#codec.frames.slice(this.#at, this.#at + HEADER_BYTES));
    this.#pass(HEADER_BYTES);
    this.#part = 'pages';
    return true;
  }

  #readPage(): boolean {
    if (!this.#has(PAGE_HEADER_BYTES)) return false;
    const number = this.#view.getUint32(this.#at);
    const flags = this.#view.getUint16(this.#at + 4);
    if (number === 0 && flags === 0) {
      this.#checkLast();
      this.#pass(PAGE_HEADER_BYTES);
      this.#part = 'index';
      return true;
    }
    if ((flags & ~SIZE_FOLLOWS) !== 0) throw badSegment(`page ${number} has flags ${flags}`);
    const size = flags === SIZE_FOLLOWS ? this.#readBlock(number) : this.#readLz4Frame(number);
    if (size === null) return false;
    this.#note(number, size);
    if (this.#known().preChecksum !== null) this.#codec.sumPage(number, this.#pageSize);
    return true;
  }

  /** @returns the size of the frame; null where it is not all there. */
  #readBlock(number: number): number | null {
    const head = PAGE_HEADER_BYTES + 4;
    if (!this.#has(head)) return null;
    const size = this.#view.getUint32(this.#at + PAGE_HEADER_BYTES);
    if (size === 0 || size > BLOCK_BYTES_MAX) throw badSegment(`page ${number} has ${size} bytes`);
    if (!this.#has(head + size)) return null;
    this.#checkOrder(number);
    const { pageSize } = this.#known();
    if (this.#codec.decompress(this.#at + head, size, 0, pageSize) !== pageSize)
      throw badSegment(`page ${number} cannot be decompressed`);
    this.#pass(head);
    this.#codec.updateWithPage(pageSize);
    this.#at += size;
    return head + size;
  }

  /**
   * https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md, of which ltx wrote one form: version 1, independent blocks of
   * 64 KiB, a checksum of the content, no dictionary and no size. A page fits into one block.
   */
  #readLz4Frame(number: number): number | null {
    const head = PAGE_HEADER_BYTES + 11;
    if (!this.#has(head)) return null;
    const from = this.#at + PAGE_HEADER_BYTES;
    if (!this.#isLz4Frame(from)) throw badSegment(`page ${number} is no LZ4 frame that is known here`);
    const word = this.#view.getUint32(from + 7, true);
    const [isStored, size] = [word >>> 31 === 1, word & 0x7fffffff];
    if (size === 0 || size > BLOCK_BYTES_MAX) throw badSegment(`page ${number} has ${size} bytes`);
    if (!this.#has(head + size + LZ4_FRAME_END_BYTES)) return null;
    this.#checkOrder(number);
    const { pageSize } = this.#known();
    const block = this.#at + head;
    if (isStored) this.#codec.pages.set(this.#codec.frames.subarray(block, block + Math.min(size, pageSize)));
    const length = isStored ? size : this.#codec.decompress(block, size, 0, pageSize);
    const end = block + size;
    const isWhole = length === pageSize && this.#view.getUint32(end, true) === 0;
    if (!isWhole || this.#view.getUint32(end + 4, true) !== this.#codec.xxh32OfPage(pageSize))
      throw badSegment(`page ${number} cannot be decompressed`);
    this.#pass(PAGE_HEADER_BYTES);
    this.#codec.updateWithPage(pageSize);
    this.#at = end + LZ4_FRAME_END_BYTES;
    return head + size + LZ4_FRAME_END_BYTES;
  }

  /** Magic, version 1 with independent blocks and a checksum of the content, blocks of 64 KiB, the check of these. */
  #isLz4Frame(from: number): boolean {
    const bytes = this.#codec.frames.subarray(from, from + 7);
    return [0x04, 0x22, 0x4d, 0x18, 0x64, 0x40, 0xa7].every((byte, k) => bytes[k] === byte);
  }

  #checkOrder(number: number): void {
    const header = this.#known();
    const lockPage = lockPageOf(header.pageSize);
    const next = this.#last + (this.#last + 1 === lockPage ? 2 : 1);
    const isInOrder = isSnapshot(header) ? number === next : number > this.#last;
    if (!isInOrder || number > header.commitPages || number === lockPage)
      throw badSegment(`page ${number} behind page ${this.#last}, of ${header.commitPages}`);
  }

  #checkLast(): void {
    const header = this.#known();
    const { commitPages } = header;
    const lastOfAll = commitPages === lockPageOf(header.pageSize) ? commitPages - 1 : commitPages;
    if (isSnapshot(header) && this.#last !== lastOfAll)
      throw badSegment(`its pages end at ${this.#last} of ${commitPages}`);
  }

  #note(number: number, size: number): void {
    if (this.#pages === this.#frames.numbers.length) {
      const [numbers, sizes] = [new Uint32Array(this.#pages * 2), new Uint32Array(this.#pages * 2)];
      numbers.set(this.#frames.numbers);
      sizes.set(this.#frames.sizes);
      this.#frames = { numbers, sizes };
    }
    this.#frames.numbers[this.#pages] = number;
    this.#frames.sizes[this.#pages] = size;
    this.#pages++;
    this.#last = number;
  }

  #readIndexEntry(): boolean {
    const values: number[] = [];
    let at = this.#at;
    while (values.length < 3) {
      const varint = readVarint(this.#codec.frames, at, this.#have);
      if (varint === null && this.#have - at >= VARINT_BYTES_MAX) throw badSegment('a number of its index has no end');
      if (varint === null) return false;
      at += varint.bytes;
      values.push(varint.value);
      if (values.length === 1 && varint.value === 0) break;
    }
    const [number, offset, size] = values;
    const length = at - this.#at;
    this.#pass(length);
    this.#indexBytes += length;
    if (number === 0) {
      if (this.#indexed !== this.#pages) throw badSegment(`its index has ${this.#indexed} of ${this.#pages} pages`);
      this.#part = 'length';
      return true;
    }
    const frame = this.#frames.sizes[this.#indexed];
    const isRight = number === this.#frames.numbers[this.#indexed] && offset === this.#indexOffset && size === frame;
    if (this.#indexed >= this.#pages || !isRight) throw badSegment('its index is not of its pages');
    this.#indexOffset += frame ?? 0;
    this.#indexed++;
    return true;
  }

  #readLength(): boolean {
    if (!this.#has(LENGTH_BYTES)) return false;
    if (this.#view.getBigUint64(this.#at) !== BigInt(this.#indexBytes))
      throw badSegment('its index has another length');
    this.#pass(LENGTH_BYTES);
    this.#part = 'trailer';
    return true;
  }

  #readTrailer(): boolean {
    if (!this.#has(TRAILER_BYTES)) return false;
    const header = this.#known();
    const post = this.#view.getBigUint64(this.#at);
    this.#pass(8);
    const checksum = this.#view.getBigUint64(this.#at);
    this.#at += 8;
    if (checksum !== this.#codec.fileChecksum) throw badSegment('its checksum is another');
    const isTracked = header.preChecksum !== null;
    if (isTracked ? post >> 63n !== 1n : post !== 0n) throw badSegment('its sum of pages is none');
    if (isTracked && isSnapshot(header) && post !== this.#codec.pageSum)
      throw badSegment('its sum of pages is another');
    this.#part = 'end';
    const sizeBytes = this.#before + this.#at;
    this.#result = { header, pages: this.#pages, sizeBytes, checksum, postChecksum: isTracked ? post : null };
    return true;
  }
}
