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
import type { DatabaseSync } from 'node:sqlite';
import { pragma } from './library.ts';
import { MAP_FREE, MAP_ROOT, type PageFile, PageSet } from './pages.ts';

export interface Account {
  /** The first few structural faults, in readable words; empty when all pages are accounted for. */
  readonly complaints: readonly string[];
  /** What the b-trees hold, by the name of the table or index. */
  readonly trees: ReadonlyMap<string, Tree>;
  readonly freePages: number;
}

/** A table or an index, as measured from its pages. */
export interface Tree {
  readonly pages: number;
  /** Entries of the leaves: the rows of a table with rowids. */
  readonly leafCells: number;
  /** Entries of all pages: the rows of a table without rowids, whose inner pages hold rows too. */
  readonly cells: number;
  /** Keys and values, without what is free in the pages. */
  readonly contentBytes: number;
}

/** Further faults add nothing: the file cannot be relied on anyway. */
const COMPLAINTS_MAX = 3;

/**
 * Expects trees that were found sound; it does not report pages that can't be read.
 * @returns null when the SQLite library has no `dbstat`.
 */
export function accountForPages(database: DatabaseSync, file: PageFile): Account | null {
  return openPageList(database) ? new Bookkeeper(database, file).account() : null;
}

/** Our own virtual table, because a table called `dbstat` in the database would hide SQLite's. */
const PAGE_LIST = 'temp.velist_backup_pages';

function openPageList(database: DatabaseSync): boolean {
  try {
    // Even a table in memory counts as a write.
    const isAsking = pragma(database, 'query_only') === 1;
    if (isAsking) database.exec('PRAGMA query_only = OFF');
    try {
      database.exec(`CREATE VIRTUAL TABLE IF NOT EXISTS ${PAGE_LIST} USING dbstat(main)`);
    } finally {
      if (isAsking) database.exec('PRAGMA query_only = ON');
    }
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
      if (free.length > pages) {
        this.#complain('the freelist lists more pages than the file has');
        break;
      }
      if (trunk > pages) {
        this.#complain(`the freelist points to page ${trunk}, but the file has ${pages} pages`);
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
          this.#complain(`the freelist names page ${leaf}, but the file has ${pages} pages`);
        else {
          free.push(leaf);
          this.#claim(leaf, FREELIST);
        }
      }
      trunk = next;
    }
    if (free.length !== header.freePages && this.#complaints.length === 0)
      this.#complain(`the freelist has ${free.length} pages, but the file's header says ${header.freePages}`);
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
      if (row.pageno < 1 || row.pageno > this.#file.pages) this.#complain(`${row.name} points to page ${row.pageno}`);
      else this.#claim(row.pageno, row.name);
    }
    return trees;
  }

  #explainDoubles(): void {
    for (const [page, again] of this.#claimedAgain) {
      const owners = [...this.#ownersOf(page)];
      // The later claimant is named last, even if it claims the page twice.
      owners.splice(owners.indexOf(again), 1);
      const [other = again] = owners;
      if (other === again) this.#complain(`page ${page} is used twice by ${this.#nameOf(again)}`);
      else this.#complain(`page ${page} is used by ${this.#nameOf(other)} and by ${this.#nameOf(again)}`);
    }
  }

  /** Read a second time: keeping the owner of every page would take far more memory than one bit each. */
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

  /** SQLite's check always covers used pages; it covers free pages and roots only if it accounts for all pages. */
  #checkPointerMap(free: readonly number[]): void {
    const { largestRoot, isIncremental } = this.#file.header;
    if (!this.#file.hasPointerMap) {
      if (isIncremental) this.#complain("the file's header asks for incremental vacuum, but there is no pointer map");
      return;
    }
    const roots = this.#database
      .prepare('SELECT name, rootpage FROM main.sqlite_schema WHERE rootpage > 1 ORDER BY rootpage')
      .all()
      .map(({ name, rootpage }) => ({ name: String(name), page: Number(rootpage) }));
    for (const page of free) {
      if (!this.#file.isMappedAs(page, MAP_FREE))
        this.#complain(`the pointer map does not record that page ${page} is free`);
    }
    for (const { name, page } of roots) {
      if (!this.#file.isMappedAs(page, MAP_ROOT))
        this.#complain(`the pointer map does not record that page ${page} is where ${this.#nameOf(name)} begins`);
    }
    const largest = roots.at(-1)?.page ?? 1;
    if (largestRoot !== largest)
      this.#complain(`the file's header says that page ${largestRoot} is the last root, but it is page ${largest}`);
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
