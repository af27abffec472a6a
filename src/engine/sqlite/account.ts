/**
 * Accounts for the pages of one SQLite file that nobody writes to: each of them belongs to exactly one table or index,
 * to the freelist or the pointer map, or is the lock page.
 *
 * SQLite's own checks do the same, except where a view or a virtual table happens to stand first in their list: then they
 * leave the freelist, unused pages and the pointer map's word on free and root pages out, also in `integrity_check`
 * (60 of 150 random schemas). A page that a table and the freelist both claim passes such a check, and the next insert
 * overwrites it. So we do it ourselves: `dbstat` walks the b-trees, at a third of the time of `quick_check`, and what it
 * sees on the way is what `facts.ts` tells of each table. Freelist and pointer map are read from the file.
 *
 * https://sqlite.org/fileformat2.html, https://sqlite.org/dbstat.html
 */
import { closeSync, openSync, readSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import { pragma } from './live-database.ts';

export interface Account {
  /** What is wrong with the structure, in words for people, the first few; empty when all pages are accounted for. */
  readonly complaints: readonly string[];
  /** What the b-trees hold, by the name of the table or index. */
  readonly trees: ReadonlyMap<string, Tree>;
  readonly freePages: number;
}

/** A table or an index, as its pages tell. */
export interface Tree {
  readonly pages: number;
  /** Entries of the leaves: the rows of a table with rowids. */
  readonly leafCells: number;
  /** Entries of all pages: the rows of a table without rowids, whose inner pages hold rows too. */
  readonly cells: number;
  /** Keys and values, without what is free in the pages. */
  readonly contentBytes: number;
}

/** More say nothing new about whether the file can be relied on. */
const COMPLAINTS_MAX = 3;

/**
 * Needs a file that passed `quick_check`: pages that can't be read are its business.
 *
 * @returns null when the SQLite library has no `dbstat`.
 */
export function accountForPages(path: string, database: DatabaseSync): Account | null {
  if (!openPageList(database)) return null;
  const descriptor = openSync(path, 'r');
  try {
    const file = new PageFile(descriptor, Number(pragma(database, 'page_count')));
    return new Bookkeeper(database, file).account();
  } finally {
    closeSync(descriptor);
  }
}

/** A table of its own: one of the database that is called `dbstat` would hide SQLite's. */
const PAGE_LIST = 'temp.velist_backup_pages';

function openPageList(database: DatabaseSync): boolean {
  try {
    database.exec(`PRAGMA temp_store = MEMORY; CREATE VIRTUAL TABLE IF NOT EXISTS ${PAGE_LIST} USING dbstat(main)`);
    return true;
  } catch (error) {
    if (error instanceof Error && /no such module/.test(error.message)) return false;
    throw error;
  }
}

class Bookkeeper {
  readonly #database: DatabaseSync;
  readonly #file: PageFile;
  readonly #claimed: PageSet;
  readonly #complaints: string[] = [];
  /** Pages that were claimed again, and by whom. */
  readonly #claimedAgain = new Map<number, string>();

  constructor(database: DatabaseSync, file: PageFile) {
    this.#database = database;
    this.#file = file;
    this.#claimed = new PageSet(file.pages);
  }

  account(): Account {
    if (this.#file.lockPage <= this.#file.pages) this.#claim(this.#file.lockPage, LOCK_PAGE);
    for (const page of this.#file.pointerMapPages()) this.#claim(page, POINTER_MAP);
    const free = this.#claimFreelist();
    const trees = this.#claimTrees();
    this.#explainDoubles();
    this.#findUnclaimed();
    if (this.#complaints.length === 0) this.#checkPointerMap(free);
    return { complaints: this.#complaints, trees, freePages: free.length };
  }

  #claim(page: number, owner: string): void {
    if (!this.#claimed.add(page) && this.#claimedAgain.size < COMPLAINTS_MAX) this.#claimedAgain.set(page, owner);
  }

  #complain(what: string): void {
    if (this.#complaints.length < COMPLAINTS_MAX) this.#complaints.push(what);
  }

  /** The freelist is a chain of trunk pages, each with a list of leaves. */
  #claimFreelist(): readonly number[] {
    const { pages, header } = this.#file;
    const free: number[] = [];
    for (let trunk = header.firstFreePage; trunk !== 0;) {
      if (trunk > pages) {
        this.#complain(`the freelist leads to page ${trunk}, and the file has ${pages} pages`);
        break;
      }
      // A chain that comes back to itself has no end.
      if (this.#claimed.has(trunk) && free.includes(trunk)) {
        this.#complain(`the freelist names page ${trunk} twice`);
        break;
      }
      free.push(trunk);
      this.#claim(trunk, FREELIST);
      const [next, leaves] = this.#file.readTrunk(trunk);
      if (leaves === null) {
        this.#complain(`page ${trunk} of the freelist claims to list more pages than it has room for`);
        break;
      }
      for (const leaf of leaves) {
        if (leaf < 2 || leaf > pages)
          this.#complain(`the freelist names page ${leaf}, and the file has ${pages} pages`);
        else {
          free.push(leaf);
          this.#claim(leaf, FREELIST);
        }
      }
      trunk = next;
    }
    if (free.length !== header.freePages && this.#complaints.length === 0)
      this.#complain(`the freelist has ${free.length} pages, and the file's header says ${header.freePages}`);
    return free;
  }

  #claimTrees(): ReadonlyMap<string, Tree> {
    const trees = new Map<string, { -readonly [Key in keyof Tree]: Tree[Key] }>();
    const rows = this.#database.prepare(`SELECT name, pageno, pagetype, ncell, payload FROM ${PAGE_LIST}`).iterate();
    for (const row of rows as Iterable<PageRow>) {
      const tree = trees.get(row.name) ?? { pages: 0, leafCells: 0, cells: 0, contentBytes: 0 };
      if (tree.pages === 0) trees.set(row.name, tree);
      tree.pages += 1;
      tree.cells += row.ncell;
      tree.contentBytes += row.payload;
      if (row.pagetype === 'leaf') tree.leafCells += row.ncell;
      if (row.pagetype === 'corrupted') this.#complain(`page ${row.pageno} of ${row.name} can't be read`);
      if (row.pageno < 1 || row.pageno > this.#file.pages) this.#complain(`${row.name} leads to page ${row.pageno}`);
      else this.#claim(row.pageno, row.name);
    }
    return trees;
  }

  #explainDoubles(): void {
    for (const [page, again] of this.#claimedAgain) {
      const owners = [...this.#ownersOf(page)];
      // The one that came last is named at the end, also where it has the page twice.
      owners.splice(owners.indexOf(again), 1);
      const [other = again] = owners;
      if (other === again) this.#complain(`page ${page} is used twice by ${this.#nameOf(again)}`);
      else this.#complain(`page ${page} is used by ${this.#nameOf(other)} and by ${this.#nameOf(again)}`);
    }
  }

  /** Read once more, because it is kept of no page who has it: that would take far more memory than one bit. */
  *#ownersOf(page: number): Generator<string> {
    if (page === this.#file.lockPage) yield LOCK_PAGE;
    if (this.#file.isPointerMapPage(page)) yield POINTER_MAP;
    const trees = this.#database.prepare(`SELECT name FROM ${PAGE_LIST} WHERE pageno = ?`).all(page);
    for (const { name } of trees) yield String(name);
    yield FREELIST;
  }

  #nameOf(owner: string): string {
    if (owner === LOCK_PAGE || owner === POINTER_MAP || owner === FREELIST) return owner;
    const row = this.#database.prepare('SELECT type FROM main.sqlite_schema WHERE name = ?').get(owner);
    return `${typeof row?.['type'] === 'string' ? row['type'] : 'table'} ${owner}`;
  }

  #findUnclaimed(): void {
    const { first, count } = this.#claimed.missing();
    if (count === 1) this.#complain(`page ${first} is neither used nor free`);
    if (count > 1) this.#complain(`${count} pages are neither used nor free, page ${first} is the first`);
  }

  /** What SQLite's check says of used pages in any case; of free ones and of roots only where it accounts for all pages. */
  #checkPointerMap(free: readonly number[]): void {
    const { largestRoot, isIncremental } = this.#file.header;
    if (!this.#file.hasPointerMap) {
      if (isIncremental) this.#complain("the file's header asks for incremental vacuum, and there is no pointer map");
      return;
    }
    const roots = this.#database
      .prepare('SELECT name, rootpage FROM main.sqlite_schema WHERE rootpage > 1 ORDER BY rootpage')
      .all()
      .map(({ name, rootpage }) => ({ name: String(name), page: Number(rootpage) }));
    for (const page of free) {
      if (!this.#file.isMappedAs(page, MAP_FREE))
        this.#complain(`the pointer map does not know that page ${page} is free`);
    }
    for (const { name, page } of roots) {
      if (!this.#file.isMappedAs(page, MAP_ROOT))
        this.#complain(`the pointer map does not know that page ${page} is where ${this.#nameOf(name)} begins`);
    }
    const largest = roots.at(-1)?.page ?? 1;
    if (largestRoot !== largest)
      this.#complain(`the file's header says that page ${largestRoot} is the last root, and it is page ${largest}`);
  }
}

interface PageRow {
  readonly name: string;
  readonly pageno: number;
  readonly pagetype: 'internal' | 'leaf' | 'overflow' | 'corrupted';
  readonly ncell: number;
  readonly payload: number;
}

/** Names that no table has: these have a blank, and SQLite's own begin with `sqlite_`. */
const FREELIST = 'the freelist';
const POINTER_MAP = 'the pointer map';
const LOCK_PAGE = 'the lock page';

const MAP_ROOT = 1;
const MAP_FREE = 2;
const MAP_ENTRY_BYTES = 5;

const HEADER_BYTES = 100;
/** SQLite locks bytes at 1 GiB; the page that holds them is never used. */
const LOCK_BYTE = 2 ** 30;

interface Header {
  readonly pageSize: number;
  /** Bytes of each page that SQLite itself uses. */
  readonly usableBytes: number;
  readonly firstFreePage: number;
  readonly freePages: number;
  /** 0 in a database without `auto_vacuum`. */
  readonly largestRoot: number;
  readonly isIncremental: boolean;
}

/** The file below SQLite: its header, freelist pages and pointer map. */
class PageFile {
  readonly pages: number;
  readonly header: Header;
  readonly #descriptor: number;
  #map: { readonly page: number; readonly bytes: Buffer } | undefined;

  constructor(descriptor: number, pages: number) {
    this.#descriptor = descriptor;
    this.pages = pages;
    const bytes = this.#read(0, HEADER_BYTES);
    const size = bytes.readUInt16BE(16);
    const pageSize = size === 1 ? 65_536 : size;
    this.header = {
      pageSize,
      usableBytes: pageSize - bytes.readUInt8(20),
      firstFreePage: bytes.readUInt32BE(32),
      freePages: bytes.readUInt32BE(36),
      largestRoot: bytes.readUInt32BE(52),
      isIncremental: bytes.readUInt32BE(64) !== 0,
    };
  }

  get lockPage(): number {
    return LOCK_BYTE / this.header.pageSize + 1;
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

  /** Does the pointer map say that the page is of this kind and has no parent? */
  isMappedAs(page: number, kind: number): boolean {
    const mapPage = this.#mapPageOf(page);
    if (this.#map?.page !== mapPage) this.#map = { page: mapPage, bytes: this.#readPage(mapPage) };
    const at = MAP_ENTRY_BYTES * (page - mapPage - 1);
    return this.#map.bytes.readUInt8(at) === kind && this.#map.bytes.readUInt32BE(at + 1) === 0;
  }

  /** The next trunk page, and the leaves that this one lists; null when it can't have so many. */
  readTrunk(page: number): readonly [next: number, leaves: readonly number[] | null] {
    const bytes = this.#readPage(page);
    const count = bytes.readUInt32BE(4);
    const room = this.header.usableBytes / 4 - 2;
    if (count > room) return [0, null];
    return [bytes.readUInt32BE(0), Array.from({ length: count }, (_, at) => bytes.readUInt32BE(8 + 4 * at))];
  }

  get #mappedPages(): number {
    return Math.floor(this.header.usableBytes / MAP_ENTRY_BYTES);
  }

  #mapPageOf(page: number): number {
    const group = Math.floor((page - 2) / (this.#mappedPages + 1));
    const mapPage = group * (this.#mappedPages + 1) + 2;
    return mapPage === this.lockPage ? mapPage + 1 : mapPage;
  }

  #readPage(page: number): Buffer {
    return this.#read((page - 1) * this.header.pageSize, this.header.usableBytes);
  }

  #read(position: number, length: number): Buffer {
    const bytes = Buffer.alloc(length);
    readSync(this.#descriptor, bytes, 0, length, position);
    return bytes;
  }
}

/** One bit for each page: 32 MB for a terabyte. */
class PageSet {
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

  /** Of the pages from 1 on, those that are not in it. */
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
