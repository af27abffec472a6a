/**
 * Walks b-trees as `quick_check` does, for the tables that SQLite itself can't look into because it lacks something of
 * the app: a collation, a function, a word of a newer version. It needs none of them: pages and cells have their form
 * whatever they mean. Only the order of keys in an index stays unchecked, which is what the collation says.
 *
 * https://sqlite.org/fileformat2.html#b_tree_pages
 */
import { MAP_CHILD, MAP_FIRST_OVERFLOW, MAP_OVERFLOW, type PageFile, PageSet } from './pages.ts';

/** More say nothing new about whether the file can be relied on. */
const COMPLAINTS_MAX = 3;
/** SQLite's own limit; a tree of twenty levels has more pages than a file can. */
const DEPTH_MAX = 20;

const INDEX_INNER = 2;
const TABLE_INNER = 5;
const INDEX_LEAF = 10;
const TABLE_LEAF = 13;

type Rowid = number | bigint;

/** What a page says of what is above it: how deep it goes, and its least row. */
interface Walked {
  readonly depth: number;
  readonly least: Rowid | null;
}

interface Form {
  readonly isLeaf: boolean;
  /** With rowids; a table without them has the form of an index. */
  readonly isTable: boolean;
}

/** The first page of a b-tree. */
export interface Root {
  readonly page: number;
  /** For the words. */
  readonly name: string;
  /** Whether its pages have rowids; null if nobody knows. */
  readonly isTable: boolean | null;
}

interface Cell extends Payload {
  readonly start: number;
  readonly end: number;
  readonly child: number;
  readonly rowid: Rowid | null;
}

interface Payload {
  readonly payloadBytes: number;
  /** Where the part of it that is in the page begins, and how long that is. */
  readonly at: number;
  readonly localBytes: number;
}

/** Ends the walk of one tree: what a damaged page says leads nowhere. */
class Damaged extends Error {}

export class TreeWalker {
  readonly #file: PageFile;
  readonly #seen: PageSet;
  readonly #complaints: string[] = [];

  constructor(file: PageFile) {
    this.#file = file;
    this.#seen = new PageSet(file.pages);
  }

  /** What is wrong with the trees that were walked, in words for people, the first few. */
  get complaints(): readonly string[] {
    return this.#complaints;
  }

  walk({ page, name, isTable }: Root): void {
    if (this.#complaints.length >= COMPLAINTS_MAX) return;
    try {
      this.#claim(page, 'its first page');
      this.#walkPage(page, { isTable, below: null, levels: 1 });
    } catch (error) {
      if (!(error instanceof Damaged)) throw error;
      this.#complaints.push(`${name}: ${error.message}`);
    }
  }

  #claim(page: number, what: string): void {
    if (page < 1 || page > this.#file.pages)
      throw new Damaged(`${what} is page ${page}, but the file has ${this.#file.pages} pages`);
    if (!this.#seen.add(page)) throw new Damaged(`page ${page} is used twice`);
  }

  /** @param above the row that all of these come before or are, and how many levels the page is from the root. */
  #walkPage(
    page: number,
    above: { readonly isTable: boolean | null; readonly below: Rowid | null; readonly levels: number },
  ): Walked {
    if (above.levels > DEPTH_MAX) throw new Damaged(`page ${page} is deeper than any tree`);
    const bytes = this.#file.read(page);
    const start = page === 1 ? 100 : 0;
    const form = formOf(bytes.readUInt8(start));
    if (form === null || (above.isTable ?? form.isTable) !== form.isTable)
      throw new Damaged(`page ${page} does not belong to its tree`);
    const cells = this.#cellsOf(page, bytes, start, form);
    for (const cell of cells) this.#followPayload(page, bytes, cell);

    // From the last to the first: each child's rows come before those of its neighbour.
    let below = above.below;
    let depth: number | null = null;
    const descend = (child: number) => {
      this.#claim(child, `a child of page ${page}`);
      this.#checkMap(child, MAP_CHILD, page);
      const walked = this.#walkPage(child, { isTable: form.isTable, below, levels: above.levels + 1 });
      if (depth !== null && depth !== walked.depth)
        throw new Damaged(`the children of page ${page} have unequal depths`);
      depth = walked.depth;
      return walked.least;
    };
    let least: Rowid | null = null;
    // A child may hold the row that its cell names; rows before it may not.
    let mayEqual = true;
    if (!form.isLeaf) {
      least = descend(bytes.readUInt32BE(start + 8));
      below = least ?? below;
      mayEqual = false;
    }
    for (const cell of cells.toReversed()) {
      if (cell.rowid !== null) {
        if (below !== null && (mayEqual ? cell.rowid > below : cell.rowid >= below))
          throw new Damaged(`row ${cell.rowid} on page ${page} is out of order`);
        below = least = cell.rowid;
        mayEqual = false;
      }
      if (!form.isLeaf) {
        least = descend(cell.child) ?? least;
        below = least ?? below;
      }
    }
    return { depth: (depth ?? 0) + 1, least };
  }

  /** The cells in their order, after a check that cells, free blocks and fragments fill the page without overlapping. */
  #cellsOf(page: number, bytes: Buffer, start: number, form: Form): readonly Cell[] {
    const usable = bytes.length;
    const count = bytes.readUInt16BE(start + 3);
    const pointers = start + (form.isLeaf ? 8 : 12);
    const content = bytes.readUInt16BE(start + 5) || 65_536;
    if (pointers + 2 * count > content || content > usable)
      throw new Damaged(`page ${page} says that its content begins at byte ${content}`);
    const cells = Array.from({ length: count }, (_, index) => {
      const at = bytes.readUInt16BE(pointers + 2 * index);
      if (at < content || at > usable - 4) throw new Damaged(`a cell of page ${page} begins at byte ${at}`);
      return readCell(page, bytes, at, form);
    });
    const blocks = [...cells, ...freeBlocks(page, bytes, start)].toSorted((a, b) => a.start - b.start);
    let fragments = 0;
    let reached = content;
    for (const block of blocks) {
      if (block.start < reached) throw new Damaged(`byte ${block.start} of page ${page} is used twice`);
      fragments += block.start - reached;
      reached = block.end;
    }
    fragments += usable - reached;
    const said = bytes.readUInt8(start + 7);
    if (fragments !== said) throw new Damaged(`page ${page} has ${fragments} bytes of fragments, but says ${said}`);
    return cells;
  }

  #followPayload(page: number, bytes: Buffer, cell: Cell): void {
    checkRecord(page, bytes, cell);
    if (cell.payloadBytes <= cell.localBytes) return;
    const roomBytes = this.#file.header.usableBytes - 4;
    let left = Math.ceil((cell.payloadBytes - cell.localBytes) / roomBytes);
    let next = bytes.readUInt32BE(cell.at + cell.localBytes);
    for (let from = page; next !== 0; left--) {
      if (left === 0) throw new Damaged(`an overflow chain of page ${page} is too long`);
      this.#claim(next, `the overflow of page ${page}`);
      this.#checkMap(next, from === page ? MAP_FIRST_OVERFLOW : MAP_OVERFLOW, from);
      from = next;
      next = this.#file.read(next).readUInt32BE(0);
    }
    if (left > 0) throw new Damaged(`an overflow chain of page ${page} is too short`);
  }

  #checkMap(page: number, kind: number, parent: number): void {
    if (!this.#file.hasPointerMap || this.#file.isMappedAs(page, kind, parent)) return;
    throw new Damaged(`the pointer map does not record that page ${page} is below page ${parent}`);
  }
}

function formOf(flags: number): Form | null {
  const isTable = flags === TABLE_INNER || flags === TABLE_LEAF;
  const isLeaf = flags === INDEX_LEAF || flags === TABLE_LEAF;
  return isTable || isLeaf || flags === INDEX_INNER ? { isTable, isLeaf } : null;
}

function readCell(page: number, bytes: Buffer, start: number, form: Form): Cell {
  let at = start;
  const number = (): Rowid => {
    const read = readVarint(bytes, at);
    if (read === null) throw new Damaged(`a cell of page ${page} extends beyond its end`);
    at += read.bytes;
    return read.value;
  };
  const child = form.isLeaf ? 0 : bytes.readUInt32BE(at);
  if (!form.isLeaf) at += 4;
  if (form.isTable && !form.isLeaf) {
    const rowid = number();
    return { start, end: Math.max(at, start + 4), child, rowid, payloadBytes: 0, at, localBytes: 0 };
  }
  const payloadBytes = Number(number());
  const rowid = form.isTable ? number() : null;
  const localBytes = localOf(payloadBytes, bytes.length, form);
  const end = Math.max(at + localBytes + (payloadBytes > localBytes ? 4 : 0), start + 4);
  if (payloadBytes < 0 || end > bytes.length) throw new Damaged(`a cell of page ${page} extends beyond its end`);
  return { start, end, child, rowid, payloadBytes, at, localBytes };
}

/** https://sqlite.org/fileformat2.html#cell_payload_overflow_pages */
function localOf(payload: number, usable: number, { isTable }: Form): number {
  const most = isTable ? usable - 35 : Math.floor(((usable - 12) * 64) / 255) - 23;
  if (payload <= most) return payload;
  const least = Math.floor(((usable - 12) * 32) / 255) - 23;
  const kept = least + ((payload - least) % (usable - 4));
  return kept <= most ? kept : least;
}

function* freeBlocks(page: number, bytes: Buffer, start: number): Generator<{ start: number; end: number }> {
  let reached = 0;
  for (let at = bytes.readUInt16BE(start + 1); at !== 0;) {
    if (at < reached || at > bytes.length - 4) throw new Damaged(`the list of free blocks of page ${page} is broken`);
    const end = at + bytes.readUInt16BE(at + 2);
    if (end < at + 4 || end > bytes.length) throw new Damaged(`a free block of page ${page} extends beyond its end`);
    yield { start: at, end };
    // Blocks that touch, or all but touch, would be one.
    reached = end + 4;
    at = bytes.readUInt16BE(at);
  }
}

/** The values have to fill the record. https://sqlite.org/fileformat2.html#record_format */
function checkRecord(page: number, bytes: Buffer, { payloadBytes, at, localBytes }: Payload): void {
  if (payloadBytes === 0) return;
  const header = readVarint(bytes, at);
  const headerBytes = Number(header?.value ?? 0);
  if (header === null || headerBytes < header.bytes || headerBytes > payloadBytes)
    throw new Damaged(`a record of page ${page} has no header`);
  // A header that goes on in the overflow is longer than that of a hundred columns; it is left alone.
  if (headerBytes > localBytes) return;
  let sum = headerBytes;
  let position = at + header.bytes;
  while (position < at + headerBytes) {
    const type = readVarint(bytes, position);
    if (type === null) throw new Damaged(`a record of page ${page} has no header`);
    position += type.bytes;
    sum += valueBytes(Number(type.value));
  }
  if (position !== at + headerBytes || sum !== payloadBytes)
    throw new Damaged(`a record of page ${page} is longer or shorter than its values`);
}

const FIXED_BYTES = [0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0];

function valueBytes(type: number): number {
  return FIXED_BYTES[type] ?? Math.floor((type - 12) / 2);
}

/** Null when it reaches over the end. https://sqlite.org/fileformat2.html#varint */
function readVarint(bytes: Buffer, at: number): { readonly value: Rowid; readonly bytes: number } | null {
  let value = 0;
  for (let length = 1; length <= 7; length++) {
    const byte = bytes[at + length - 1];
    if (byte === undefined) return null;
    value = value * 128 + (byte & 0x7f);
    if (byte < 0x80) return { value, bytes: length };
  }
  let long = BigInt(value);
  for (let length = 8; length <= 9; length++) {
    const byte = bytes[at + length - 1];
    if (byte === undefined) return null;
    if (length === 9) return { value: BigInt.asIntN(64, (long << 8n) | BigInt(byte)), bytes: length };
    long = (long << 7n) | BigInt(byte & 0x7f);
    if (byte < 0x80) return { value: long, bytes: length };
  }
  return null;
}
