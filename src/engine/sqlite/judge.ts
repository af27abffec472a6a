/**
 * The one room in which a database is judged, whoever asks: a new copy, a backup that is verified, a drill, the live
 * database, the result of a restore. It gives three answers that are never mixed:
 *
 * - the structure: pages, trees, freelist, pointer map. A complaint means that the file can't be relied on;
 * - the content: rows that break a rule of their own table. The app lives with them, so they are told and nothing more;
 * - what could not be checked, because this SQLite lacks something of the app. The structure is still checked, by a walk
 *   of our own.
 *
 * `quick_check` (1 GB of text in a third of a second) leaves out what `integrity_check` (26 s) does: whether each index
 * agrees with its table. Foreign keys go with the second.
 */
import { DatabaseSync } from 'node:sqlite';
import { type Account, accountForPages } from './account.ts';
import { type DatabaseFacts, readFacts } from './facts.ts';
import {
  isDamage,
  pragma,
  SQLITE_CORRUPT_VTAB,
  SQLITE_ERROR,
  SQLITE_TOOBIG,
  sqliteCode,
  understandsSchema,
} from './library.ts';
import { PageFile, type PageSource } from './pages.ts';
import { type Remarks, type RuleFinding, tellApart, type Unchecked } from './rules.ts';
import { type Entry, hasPages, knownModules, moduleOf, readEntries, strayRoot } from './schema.ts';
import { type Root, TreeWalker } from './tree.ts';

export type VerifyMethod = 'quick' | 'full';

export interface Judgement extends Remarks {
  /** What is wrong with the structure, the first few; empty when the file can be relied on. */
  readonly structure: readonly string[];
  /** What it holds; null where the structure is broken or the SQLite library can't tell. */
  readonly facts: DatabaseFacts | null;
}

export interface PageSizes {
  readonly pages: number;
  readonly pageSize: number;
}

export interface Judged extends Judgement, Partial<PageSizes> {}

export interface JudgeOptions {
  readonly method: VerifyMethod;
  /** The pages as the connection sees them. */
  readonly openPages: (sizes: PageSizes) => PageSource;
  /** False for a connection that can only read: SQLite passes over the CHECK constraints of such a one. */
  readonly seesChecks: boolean;
}

/**
 * @param database sees one moment throughout: nobody writes to it, or it is inside a transaction.
 * @throws what SQLite throws when it can't read at all: busy, out of memory, an error of the disk.
 */
export function judge(database: DatabaseSync, options: JudgeOptions): Judged {
  let sizes: PageSizes | undefined;
  const findings = new Findings();
  try {
    const isUnderstood = understandsSchema(database);
    sizes = { pageSize: Number(pragma(database, 'page_size')), pages: Number(pragma(database, 'page_count')) };
    const facts = new Judge(database, new PageFile(options.openPages(sizes)), findings, options).judge(isUnderstood);
    return { ...sizes, ...findings.all(), facts };
  } catch (error) {
    if (!isDamage(error)) throw error;
    findings.structure.push(error instanceof Error ? error.message : String(error));
    return { ...sizes, ...findings.all(), facts: null };
  }
}

/** More complaints about structure say nothing new. */
const STRUCTURE_MAX = 3;
/** A manifest is read with each listing. */
const FINDINGS_MAX = 20;
const TEXT_MAX = 200;
/** So many rows that break rules are counted; a table where each row does is the rule, not the exception. */
const ROWS_MAX = 1_000_000;

/** SQLite's own limit for the check of a single table. */
const COMPLAINTS_OF_TABLE_MAX = 100;

class Findings {
  readonly structure: string[] = [];
  readonly #content = new Map<string, RuleFinding>();
  readonly #unchecked = new Map<string, Unchecked>();

  add(text: string, tables: readonly string[]): void {
    const complaint = tellApart(text, tables);
    if (complaint.kind === 'structure') this.structure.push(complaint.text);
    else if (complaint.kind === 'unchecked') this.leave(complaint.what, complaint.why);
    else this.break(complaint.table, complaint.rule, complaint.isRow ? 1 : null);
  }

  break(table: string, rule: string, rows: number | null): void {
    const key = JSON.stringify([table, rule]);
    const before = this.#content.get(key)?.rows ?? 0;
    this.#content.set(key, { table: cut(table), rule: cut(rule), rows: rows === null ? null : before + rows });
  }

  leave(what: string, why: string): void {
    if (!this.#unchecked.has(what)) this.#unchecked.set(what, { what: cut(what), why: cut(why) });
  }

  forgetContent(): void {
    this.#content.clear();
  }

  all(): Omit<Judgement, 'facts'> {
    const unchecked = [...this.#unchecked.values()];
    const further = unchecked.splice(FINDINGS_MAX).length;
    if (further > 0) unchecked.push({ what: `${further} more`, why: 'for like reasons' });
    return {
      structure: this.structure.slice(0, STRUCTURE_MAX),
      content: [...this.#content.values()].slice(0, FINDINGS_MAX),
      unchecked,
    };
  }
}

function cut(text: string): string {
  return text.length <= TEXT_MAX ? text : `${text.slice(0, TEXT_MAX)}…`;
}

class Judge {
  readonly #database: DatabaseSync;
  readonly #file: PageFile;
  readonly #findings: Findings;
  readonly #method: VerifyMethod;
  readonly #seesChecks: boolean;
  readonly #entries: readonly Entry[];
  readonly #tables: readonly string[];

  constructor(database: DatabaseSync, file: PageFile, findings: Findings, options: JudgeOptions) {
    this.#database = database;
    this.#file = file;
    this.#findings = findings;
    this.#method = options.method;
    this.#seesChecks = options.seesChecks;
    this.#entries = readEntries(database);
    this.#tables = this.#entries.filter(({ type }) => type === 'table').map(({ name }) => name);
  }

  judge(isUnderstood: boolean): DatabaseFacts | null {
    const unread = isUnderstood && this.#askAtOnce() ? [] : this.#askOfEach(isUnderstood);
    if (this.#findings.structure.length > 0) return null;
    const walker = new TreeWalker(this.#file);
    for (const root of unread) walker.walk(root);
    this.#findings.structure.push(...walker.complaints);
    if (this.#findings.structure.length > 0) return null;
    const account = accountForPages(this.#database, this.#file);
    if (account === null) this.#findings.leave('the account of all pages', 'this SQLite has no dbstat');
    this.#findings.structure.push(...(account?.complaints ?? []));
    if (this.#findings.structure.length > 0) return null;
    if (this.#method === 'full') this.#checkForeignKeys();
    this.#nameUnseen();
    return account && this.#factsOrNull(account);
  }

  /** False when SQLite could not run its check as a whole. */
  #askAtOnce(): boolean {
    try {
      const count = this.#hear(this.#method, STRUCTURE_MAX);
      if (count < STRUCTURE_MAX || this.#findings.structure.length > 0) return true;
      // Rows that break rules filled the list; the structure's complaints may stand behind them.
      this.#findings.forgetContent();
      this.#hear(this.#method, ROWS_MAX);
      return true;
    } catch (error) {
      if (!couldNotRun(error)) throw error;
      this.#findings.forgetContent();
      return false;
    }
  }

  /** Table by table; what SQLite can't look into is left to our own walk. */
  #askOfEach(isUnderstood: boolean): readonly Root[] {
    const unread: Root[] = [{ page: 1, name: 'table sqlite_schema', isTable: true }];
    const known = this.#understood();
    const asked = new Set<string>();
    let explained = isUnderstood;
    for (const entry of this.#entries.toSorted((a, b) => Number(b.type === 'table') - Number(a.type === 'table'))) {
      const root = rootOf(entry);
      const stray = strayRoot(entry, this.#file.pages);
      const own = isUnderstood ? null : whyNotUnderstood(entry);
      explained ||= own !== null;
      const isOfUnknown = entry.type === 'index' && this.#tables.includes(entry.of) && !asked.has(entry.of);
      const why = own ?? (isOfUnknown && !known.has(root.name) ? `table ${entry.of} is not understood` : null);
      if (why !== null) this.#findings.leave(root.name, why);
      if (stray !== null) this.#findings.structure.push(stray);
      else if (why !== null || isOfUnknown) unread.push(...(hasPages(entry) ? [root] : []));
      else if (hasPages(entry) && !known.has(root.name))
        this.#findings.structure.push(`${root.name} is in the schema, and belongs to nothing`);
      else if (entry.type === 'table' && this.#askOf(entry)) asked.add(entry.name);
      else if (entry.type === 'table' && hasPages(entry)) unread.push(root);
    }
    if (!explained) this.#findings.structure.push('the schema contradicts itself');
    return unread;
  }

  /** What SQLite made out of the schema, each with its type; triggers are not told. */
  #understood(): ReadonlySet<string> {
    const listed = this.#database.prepare('PRAGMA main.table_list').all();
    const tables = listed.map(({ type, name }) => `${type === 'view' ? 'view' : 'table'} ${String(name)}`);
    const indexes = this.#database.prepare(
      'SELECT i.name FROM pragma_table_list AS t, pragma_index_list(t.name, t.schema) AS i',
    );
    return new Set([...tables, ...indexes.all().map(({ name }) => `index ${String(name)}`)]);
  }

  /** One table, as far as SQLite can; false when its pages were not looked at. */
  #askOf(table: Entry): boolean {
    let reason: string | null = null;
    const methods: readonly VerifyMethod[] = this.#method === 'full' ? ['full', 'quick'] : ['quick'];
    // SQLite takes a name that begins like a number for a number of complaints.
    if (/^[-+\d]/.test(table.name)) {
      this.#findings.leave(`the content of table ${table.name}`, 'SQLite checks no single table with such a name');
      return false;
    }
    for (const method of methods) {
      for (const isBlind of [false, true]) {
        this.#database.exec(`PRAGMA ignore_check_constraints = ${isBlind ? 'ON' : 'OFF'}`);
        try {
          // Noted only when the check came to its end: what it began is begun anew.
          const texts: string[] = [];
          const count = this.#hear(method, table.name, (text) => texts.push(text));
          for (const text of texts) this.#findings.add(text, this.#tables);
          if (reason !== null) this.#findings.leave(`table ${table.name}`, reason);
          if (count < COMPLAINTS_OF_TABLE_MAX) return true;
          this.#findings.leave(`table ${table.name} behind its first ${count} complaints`, 'SQLite gives no more');
          return false;
        } catch (error) {
          if (!couldNotRun(error)) throw error;
          reason ??= error instanceof Error ? error.message : String(error);
        } finally {
          this.#database.exec('PRAGMA ignore_check_constraints = OFF');
        }
      }
    }
    const kind = moduleOf(table) === null ? 'table' : 'virtual table';
    this.#findings.leave(`${kind} ${table.name}`, reason ?? 'SQLite could not look into it');
    return false;
  }

  /** Asks SQLite of one table, or of all up to so many complaints; how many there were. */
  #hear(
    method: VerifyMethod,
    of: string | number,
    note: (text: string) => void = (text) => this.#findings.add(text, this.#tables),
  ): number {
    const check = method === 'quick' ? 'quick_check' : 'integrity_check';
    const argument = typeof of === 'number' ? of : `'${of.replaceAll("'", "''")}'`;
    let count = 0;
    for (const row of this.#database.prepare(`PRAGMA main.${check}(${argument})`).iterate()) {
      const text = String(Object.values(row)[0]);
      if (text === 'ok') continue;
      note(text);
      count += 1;
    }
    return count;
  }

  #checkForeignKeys(): void {
    for (const table of this.#tables) {
      try {
        const rows = this.#database.prepare(`PRAGMA main.foreign_key_check('${table.replaceAll("'", "''")}')`);
        for (const { parent } of rows.iterate()) this.#findings.break(table, `FOREIGN KEY to ${String(parent)}`, 1);
      } catch (error) {
        if (!couldNotRun(error)) throw error;
        this.#findings.leave(`the foreign keys of table ${table}`, error instanceof Error ? error.message : '');
      }
    }
  }

  /** What SQLite passes over without a word. */
  #nameUnseen(): void {
    const modules = knownModules(this.#database);
    for (const entry of this.#entries) {
      const module = moduleOf(entry);
      if (module !== null && !modules.has(module))
        this.#findings.leave(`virtual table ${entry.name}`, `no such module: ${module}`);
    }
    const hasChecks = this.#entries.some(({ type, sql }) => type === 'table' && /\bCHECK\s*\(/i.test(sql ?? ''));
    if (hasChecks && !this.#seesChecks) this.#findings.leave('CHECK constraints', 'the file could only be read');
  }

  /** What a sound file holds is worth no failure of its backup. */
  #factsOrNull(account: Account): DatabaseFacts | null {
    try {
      return readFacts(this.#database, account, this.#file);
    } catch {
      return null;
    }
  }
}

function rootOf({ type, name, rootPage, sql }: Entry): Root {
  const mayLackRowids = type === 'table' && /\bWITHOUT\s+ROWID\b/i.test(sql ?? '');
  return { page: rootPage, name: `${type} ${name}`, isTable: mayLackRowids ? null : type === 'table' };
}

/** The words of a definition that this SQLite has no use for; null where they are no reason. */
function whyNotUnderstood({ sql }: Entry): string | null {
  // Bytes that no program writes are damage, not words of a newer SQLite.
  if (sql === null || !/^CREATE\s/i.test(sql) || garbled.test(sql)) return null;
  using empty = new DatabaseSync(':memory:');
  try {
    empty.prepare(sql);
    return null;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return /^no such table/.test(why) ? null : why;
  }
}

/** Control characters but blanks, and what is no text. */
const garbled = /[^\P{Cc}\t\n\f\r]|\ufffd/u;

/** What a module keeps in its tables is content: their pages are accounted for like any others. */
function isDamagedModule(error: unknown): boolean {
  return error instanceof Error && 'errcode' in error && error.errcode === SQLITE_CORRUPT_VTAB;
}

/** Not damage, not the disk: something of the app that this SQLite does not have. */
function couldNotRun(error: unknown): boolean {
  const code = sqliteCode(error);
  return code === SQLITE_ERROR || code === SQLITE_TOOBIG || isDamagedModule(error);
}
