/**
 * A database below SQLite: its pages by number, what its header says, its freelist and its pointer map.
 *
 * https://sqlite.org/fileformat2.html
 */
import { readSync } from 'node:fs';

/** The pages of one moment. */
export interface PageSource {
  readonly pages: number;
  readonly pageSize: number;
  /** All bytes of the page; zeros where the file is shorter. */
  read(page: number): Buffer;
}

/** The pages of a file that nobody writes to. The descriptor stays open as long as they are read. */
export function pagesOf(descriptor: number, sizes: Pick<PageSource, 'pages' | 'pageSize'>): PageSource {
  return {
    ...sizes,
    read(page) {
      const bytes = Buffer.alloc(sizes.pageSize);
      readSync(descriptor, bytes, 0, sizes.pageSize, (page - 1) * sizes.pageSize);
      return bytes;
    },
  };
}

/** Kinds of the pointer map's entries. https://sqlite.org/fileformat2.html#pointer_map_or_ptrmap_pages */
export const MAP_ROOT = 1;
export const MAP_FREE = 2;
export const MAP_FIRST_OVERFLOW = 3;
export const MAP_OVERFLOW = 4;
export const MAP_CHILD = 5;
const MAP_ENTRY_BYTES = 5;

/** SQLite locks bytes at 1 GiB; the page that holds them is never used. */
const LOCK_BYTE = 2 ** 30;

interface Header {
  /** Bytes of each page that SQLite itself uses. */
  readonly usableBytes: number;
  /** As the last writer that knew of it left it; 0 where another one wrote since. */
  readonly pages: number;
  readonly firstFreePage: number;
  readonly freePages: number;
  /** 0 in a database without `auto_vacuum`. */
  readonly largestRoot: number;
  readonly isIncremental: boolean;
  /** 1 to 3; 0 as long as it never had a table. */
  readonly textEncoding: number;
}

export class PageFile {
  readonly pages: number;
  readonly pageSize: number;
  readonly header: Header;
  readonly #source: PageSource;
  #map: { readonly page: number; readonly bytes: Buffer } | undefined;

  constructor(source: PageSource) {
    this.#source = source;
    this.pages = source.pages;
    this.pageSize = source.pageSize;
    const bytes = source.read(1);
    this.header = {
      usableBytes: source.pageSize - bytes.readUInt8(20),
      pages: bytes.readUInt32BE(24) === bytes.readUInt32BE(92) ? bytes.readUInt32BE(28) : 0,
      firstFreePage: bytes.readUInt32BE(32),
      freePages: bytes.readUInt32BE(36),
      largestRoot: bytes.readUInt32BE(52),
      isIncremental: bytes.readUInt32BE(64) !== 0,
      textEncoding: bytes.readUInt32BE(56),
    };
  }

  get lockPage(): number {
    return LOCK_BYTE / this.pageSize + 1;
  }

  get hasPointerMap(): boolean {
    return this.header.largestRoot !== 0;
  }

  *pointerMapPages(): Generator<number> {
    if (!this.hasPointerMap) return;
    for (let page = 2; page <= this.pages; page += this.#mappedPages + 1) {
      const moved = page === this.lockPage ? page + 1 : page;
      if (moved <= this.pages) yield moved;
    }
  }

  isPointerMapPage(page: number): boolean {
    return this.hasPointerMap && page > 1 && this.#mapPageOf(page) === page;
  }

  /** Does the pointer map say that the page is of this kind, and below this one? */
  isMappedAs(page: number, kind: number, parent = 0): boolean {
    const mapPage = this.#mapPageOf(page);
    // The page of a map has no entry.
    if (page <= mapPage) return false;
    if (this.#map?.page !== mapPage) this.#map = { page: mapPage, bytes: this.read(mapPage) };
    const at = MAP_ENTRY_BYTES * (page - mapPage - 1);
    return this.#map.bytes.readUInt8(at) === kind && this.#map.bytes.readUInt32BE(at + 1) === parent;
  }

  /** The next trunk page, and the leaves that this one lists; null when it can't have so many. */
  readTrunk(page: number): readonly [next: number, leaves: readonly number[] | null] {
    const bytes = this.read(page);
    const count = bytes.readUInt32BE(4);
    const room = this.header.usableBytes / 4 - 2;
    if (count > room) return [0, null];
    return [bytes.readUInt32BE(0), Array.from({ length: count }, (_, at) => bytes.readUInt32BE(8 + 4 * at))];
  }

  /** The bytes of a page that SQLite itself uses. */
  read(page: number): Buffer {
    return this.#source.read(page).subarray(0, this.header.usableBytes);
  }

  get #mappedPages(): number {
    return Math.floor(this.header.usableBytes / MAP_ENTRY_BYTES);
  }

  #mapPageOf(page: number): number {
    const group = Math.floor((page - 2) / (this.#mappedPages + 1));
    const mapPage = group * (this.#mappedPages + 1) + 2;
    return mapPage === this.lockPage ? mapPage + 1 : mapPage;
  }
}

/** One bit for each page: 32 MB for a terabyte. */
export class PageSet {
  readonly #pages: number;
  readonly #bits: Uint8Array;

  constructor(pages: number) {
    this.#pages = pages;
    this.#bits = new Uint8Array((pages >> 3) + 1);
  }

  has(page: number): boolean {
    return ((this.#bits[page >> 3] ?? 0) & (1 << (page & 7))) !== 0;
  }

  /** False when it was in it before. */
  add(page: number): boolean {
    if (this.has(page)) return false;
    this.#bits[page >> 3] = (this.#bits[page >> 3] ?? 0) | (1 << (page & 7));
    return true;
  }

  /** The pages from 1 on that are not in it. */
  missing(): { readonly first: number; readonly count: number } {
    let first = 0;
    let count = 0;
    for (let page = 1; page <= this.#pages; page++) {
      if ((page & 7) === 0 && this.#bits[page >> 3] === 0xff) page += 7;
      else if (!this.has(page)) {
        count += 1;
        first ||= page;
      }
    }
    return { first, count };
  }
}
