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
  isBeyondFile,
  isDamage,
  pragma,
  SQLITE_CORRUPT_VTAB,
  SQLITE_ERROR,
  SQLITE_NOMEM,
  SQLITE_TOOBIG,
  sqliteCode,
  notUnderstood,
} from './library.ts';
import { PageFile, type PageSource } from './pages.ts';
import { type Complaint, type Remarks, type RuleFinding, tellApart, type Unchecked } from './rules.ts';
import { type Entry, hasPages, knownModules, moduleOf, readEntries, strayRoot } from './schema.ts';
import { type Root, TreeWalker } from './tree.ts';

export type VerifyMethod = 'quick' | 'full';

export interface Judgement extends Remarks {
  /** What is wrong with the structure, the first few; empty when the file can be relied on. */
  readonly structure: readonly string[];
  /** What it holds; null if the structure is broken or the SQLite library can't tell. */
  readonly facts: DatabaseFacts | null;
}

export interface PageSizes {
  readonly pages: number;
  readonly pageSize: number;
}

export interface Judged extends Judgement, Partial<PageSizes> {}

interface JudgeOptions {
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
    const contradiction = notUnderstood(database);
    sizes = { pageSize: Number(pragma(database, 'page_size')), pages: Number(pragma(database, 'page_count')) };
    const file = new PageFile(options.openPages(sizes));
    if (file.header.pages > sizes.pages)
      findings.structure.push(`the header says ${file.header.pages} pages, but there are ${sizes.pages}`);
    const { textEncoding } = file.header;
    // SQLite uses the last two bits. If neither is set, it first assumes UTF-8, and later calls that a contradiction.
    if (textEncoding !== 0 && textEncoding % 4 === 0)
      findings.structure.push(`the header says text encoding ${textEncoding}, which does not exist`);
    const facts = new Judge(database, file, findings, options).judge(contradiction);
    return { ...sizes, ...findings.all(), facts };
  } catch (error) {
    if (!isDamage(error)) throw error;
    findings.structure.push(error instanceof Error ? error.message : String(error));
    return { ...sizes, ...findings.all(), facts: null };
  }
}

/** Further complaints about the structure add nothing: the file cannot be relied on anyway. */
const STRUCTURE_MAX = 3;
const TEXT_MAX = 200;
/** Rows that break rules are counted up to this limit, because often every row of a table breaks one. */
const ROWS_MAX = 1_000_000;

/** What `index_xinfo` gives instead of a column. */
const EXPRESSION = -2;
const SEEN_MAX = 1_000;
/** SQLite's own limit for the check of a single table. */
const COMPLAINTS_OF_TABLE_MAX = 100;

class Findings {
  readonly structure: string[] = [];
  /** Each row that breaks a rule has the same text. */
  readonly #seen = new Map<string, Complaint>();
  readonly #content = new Map<string, RuleFinding>();
  readonly #unchecked = new Map<string, Unchecked>();

  /** @param isCounted false if the list was cut off: then nobody knows how many there are. */
  add(text: string, tables: ReadonlySet<string>, { isCounted = true } = {}): void {
    let complaint = this.#seen.get(text);
    if (complaint === undefined) {
      complaint = tellApart(text, tables);
      if (this.#seen.size < SEEN_MAX) this.#seen.set(text, complaint);
    }
    if (complaint.kind === 'structure') {
      if (this.structure.length < STRUCTURE_MAX) this.structure.push(complaint.text);
    } else if (complaint.kind === 'unchecked') this.leave(complaint.what, complaint.why);
    else this.break(complaint.table, complaint.rule, complaint.isRow && isCounted ? 1 : null);
  }

  break(table: string, rule: string, rows: number | null): void {
    const key = JSON.stringify([table, rule]);
    const before = this.#content.get(key);
    const counted = rows === null || before?.rows === null ? null : (before?.rows ?? 0) + rows;
    this.#content.set(key, { table: cut(table), rule: cut(rule), rows: counted });
  }

  leave(what: string, why: string): void {
    if (!this.#unchecked.has(what)) this.#unchecked.set(what, { what: cut(what), why: cut(why) });
  }

  forgetContent(): void {
    this.#content.clear();
  }

  all(): Omit<Judgement, 'facts'> {
    const [content, unchecked] = [[...this.#content.values()], [...this.#unchecked.values()]];
    return { structure: this.structure.slice(0, STRUCTURE_MAX), content, unchecked };
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
  readonly #tables: ReadonlySet<string>;

  constructor(database: DatabaseSync, file: PageFile, findings: Findings, options: JudgeOptions) {
    this.#database = database;
    this.#file = file;
    this.#findings = findings;
    this.#method = options.method;
    this.#seesChecks = options.seesChecks;
    this.#entries = readEntries(database);
    this.#tables = new Set(this.#entries.filter(({ type }) => type === 'table').map(({ name }) => name));
  }

  /** @param contradiction name of the entry that SQLite could not read; null if it understands all of the schema. */
  judge(contradiction: string | null): DatabaseFacts | null {
    const unread = contradiction === null && this.#askAtOnce() ? [] : this.#askOfEach(contradiction);
    if (this.#findings.structure.length > 0) return null;
    const walker = new TreeWalker(this.#file);
    for (const root of unread) walker.walk(root);
    this.#findings.structure.push(...walker.complaints);
    if (this.#findings.structure.length > 0) return null;
    const account = accountForPages(this.#database, this.#file);
    if (account === null) this.#findings.leave('the accounting of all pages', 'this SQLite has no dbstat');
    this.#findings.structure.push(...(account?.complaints ?? []));
    if (this.#findings.structure.length > 0) return null;
    if (this.#method === 'full') this.#checkForeignKeys(this.#understood());
    this.#nameUnseen();
    return account && this.#factsOrNull(account);
  }

  /** False when SQLite could not run its check as a whole. */
  #askAtOnce(): boolean {
    try {
      const count = this.#check(this.#method, STRUCTURE_MAX);
      if (count < STRUCTURE_MAX || this.#findings.structure.length > 0) return true;
      // Rows that break rules filled the list; the structure's complaints may stand behind them.
      this.#findings.forgetContent();
      if (this.#check(this.#method, ROWS_MAX) < ROWS_MAX) return true;
      this.#findings.forgetContent();
      return false;
    } catch (error) {
      if (!couldNotRun(error, this.#database, { maybeInModule: true })) throw error;
      this.#findings.forgetContent();
      return false;
    }
  }

  /** Table by table; what SQLite can't look into is left to our own walk. */
  #askOfEach(contradiction: string | null): readonly Root[] {
    const unread: Root[] = [{ page: 1, name: 'table sqlite_schema', isTable: true }];
    const known = this.#understood();
    const asked = new Set<string>();
    using empty = new DatabaseSync(':memory:', { enableDoubleQuotedStringLiterals: true });
    this.#findings.structure.push(...namedTwice(this.#entries));
    let explained = contradiction === null;
    for (const entry of this.#entries.toSorted((a, b) => Number(b.type === 'table') - Number(a.type === 'table'))) {
      const root = rootOf(entry);
      const stray = strayRoot(entry, this.#file.pages);
      // SQLite names the entry that it stumbled over, and the reason of that one counts.
      const isNamed = contradiction?.startsWith(`malformed database schema (${entry.name})`) ?? false;
      const isInDoubt = isNamed || (contradiction !== null && !known.has(root.name));
      const own = isInDoubt ? whyNotUnderstood(entry, empty) : null;
      explained ||= own !== null && isNamed;
      const isOfUnknown = entry.type === 'index' && this.#tables.has(entry.of) && !asked.has(entry.of);
      const why = own ?? (isOfUnknown && !known.has(root.name) ? `table ${entry.of} is not understood` : null);
      if (why !== null) this.#findings.leave(root.name, why);
      if (stray !== null) this.#findings.structure.push(stray);
      else if (why !== null || isOfUnknown) unread.push(...(hasPages(entry) ? [root] : []));
      else if (entry.type !== 'trigger' && !known.has(root.name))
        this.#findings.structure.push(`${root.name} is in the schema, but belongs to nothing`);
      else if (entry.type === 'table' && this.#askOf(entry)) asked.add(entry.name);
      else if (entry.type === 'table' && hasPages(entry)) unread.push(root);
    }
    if (!explained) this.#findings.structure.push(`the schema contradicts itself: ${contradiction}`);
    return unread;
  }

  /** What SQLite made of the schema, each entry with its type; triggers are not included. */
  #understood(): ReadonlySet<string> {
    const listed = this.#database.prepare('PRAGMA main.table_list').all();
    const names = listed.map(({ type, name }) => `${type === 'view' ? 'view' : 'table'} ${String(name)}`);
    const indexes = this.#entries.some(({ type }) => type === 'index') ? [...this.#tables] : [];
    for (const table of indexes) {
      const found = this.#database.prepare(`PRAGMA main.index_list(${literal(table)})`).all();
      names.push(...found.map(({ name }) => `index ${String(name)}`));
    }
    return new Set(names);
  }

  /** One table, as far as SQLite can; false when its pages were not looked at. */
  #askOf(table: Entry): boolean {
    let reason: string | null = null;
    const methods: readonly VerifyMethod[] = this.#method === 'full' ? ['full', 'quick'] : ['quick'];
    // SQLite takes a name that begins like a number for a number of complaints.
    if (/^[-+\d]/.test(table.name)) {
      this.#findings.leave(`the content of table ${table.name}`, 'SQLite cannot check a single table with such a name');
      return false;
    }
    for (const method of methods) {
      for (const isBlind of [false, true]) {
        if (isBlind) this.#database.exec('PRAGMA ignore_check_constraints = ON');
        try {
          // Noted only when the check came to its end: what it began is begun anew.
          const texts: string[] = [];
          const count = this.#check(method, table.name, (text) => texts.push(text));
          for (const text of texts) this.#note(text, { isCounted: count < COMPLAINTS_OF_TABLE_MAX });
          if (reason !== null) this.#findings.leave(`table ${table.name}`, reason);
          if (count < COMPLAINTS_OF_TABLE_MAX) return true;
          this.#findings.leave(`table ${table.name} after its first ${count} complaints`, 'SQLite reports no more');
          return false;
        } catch (error) {
          if (!couldNotRun(error, this.#database, { maybeInModule: moduleOf(table) !== null })) throw error;
          reason ??= error instanceof Error ? error.message : String(error);
        } finally {
          if (isBlind) this.#database.exec('PRAGMA ignore_check_constraints = OFF');
        }
      }
    }
    const kind = moduleOf(table) === null ? 'table' : 'virtual table';
    this.#findings.leave(`${kind} ${table.name}`, reason ?? 'SQLite could not look into it');
    return false;
  }

  /** Runs SQLite's check on one table, or on all, up to a number of complaints. Returns how many there were. */
  #check(method: VerifyMethod, of: string | number, note: (text: string) => void = (text) => this.#note(text)): number {
    const check = method === 'quick' ? 'quick_check' : 'integrity_check';
    const argument = typeof of === 'number' ? of : literal(of);
    let count = 0;
    for (const row of this.#database.prepare(`PRAGMA main.${check}(${argument})`).iterate()) {
      const text = String(Object.values(row)[0]);
      if (text === 'ok') continue;
      note(text);
      count += 1;
    }
    return count;
  }

  #note(text: string, how: { readonly isCounted?: boolean } = {}): void {
    const [, index = ''] = /^(?:row -?\d+ missing from|wrong # of entries in) index (.+)$/s.exec(text) ?? [];
    const entry = this.#entries.find(({ type, name }) => type === 'index' && name === index);
    // The app may have a function of that name which says otherwise (ICU's `lower`).
    if (entry && this.#isOfExpression(entry)) this.#findings.break(entry.of, `index ${index}`, null);
    else this.#findings.add(text, this.#tables, how);
  }

  #isOfExpression({ name, of }: Entry): boolean {
    const columns = this.#database.prepare(`PRAGMA main.index_xinfo(${literal(name)})`).all();
    if (columns.some(({ cid }) => cid === EXPRESSION)) return true;
    const listed = this.#database.prepare(`PRAGMA main.index_list(${literal(of)})`).all();
    return listed.some((index) => index['name'] === name && index['partial'] === 1);
  }

  #checkForeignKeys(known: ReadonlySet<string>): void {
    for (const table of this.#tables) {
      if (!known.has(`table ${table}`)) continue;
      try {
        const rows = this.#database.prepare(`PRAGMA main.foreign_key_check(${literal(table)})`);
        rows.setReadBigInts(true);
        for (const { parent } of rows.iterate()) this.#findings.break(table, `FOREIGN KEY to ${String(parent)}`, 1);
      } catch (error) {
        if (!couldNotRun(error, this.#database, { maybeInModule: false })) throw error;
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
    if (hasChecks && !this.#seesChecks) this.#findings.leave('CHECK constraints', 'the file was opened read-only');
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

function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** Tables, views and indexes share one space of names. */
function namedTwice(entries: readonly Entry[]): readonly string[] {
  const named = entries.filter(({ type }) => type !== 'trigger');
  const same = Map.groupBy(named, ({ name }) => name.toLowerCase());
  return [...same.values()].flatMap(([first, second]) =>
    second ? [`${first?.type} ${first?.name} is in the schema twice`] : [],
  );
}

function rootOf({ type, name, rootPage, sql }: Entry): Root {
  const mayLackRowids = type === 'table' && /\bWITHOUT\s+ROWID\b/i.test(sql ?? '');
  return { page: rootPage, name: `${type} ${name}`, isTable: mayLackRowids ? null : type === 'table' };
}

/** What SQLite itself writes before the name, whatever the app wrote. */
const beginnings: Readonly<Record<string, RegExp>> = {
  table: /^CREATE (VIRTUAL )?TABLE /i,
  view: /^CREATE VIEW /i,
  index: /^CREATE (UNIQUE )?INDEX /i,
  trigger: /^CREATE TRIGGER /i,
};

/** Complaints about what a definition refers to, which another entry may have: no word of a newer SQLite is in them. */
const aboutOthers =
  /^(no such (table|column|index|collation|function|module|view)|object name reserved|there is already)/;

/** Literals, quoted names and comments may hold anything. */
const quoted = /'(?:[^']|'')*'|"(?:[^"]|"")*"|\/\*.*?\*\/|--[^\n]*/gs;
/** Control characters but blanks, and what is no text. */
const garbled = /[^\P{Cc}\t\n\f\r]|\ufffd/u;

/** The words of a definition that this SQLite has no use for; null if they are no reason. */
function whyNotUnderstood({ type, sql, of }: Entry, empty: DatabaseSync): string | null {
  // Bytes that no program writes are damage, not words of a newer SQLite.
  if (sql === null || beginnings[type]?.test(sql) !== true || garbled.test(sql.replaceAll(quoted, ''))) return null;
  empty.exec('BEGIN');
  try {
    // The body of a trigger is read only where its table is.
    if (type === 'trigger') empty.exec(`CREATE TABLE "${of.replaceAll('"', '""')}" (x)`);
    empty.prepare(sql);
    return null;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return aboutOthers.test(why) ? null : why;
  } finally {
    empty.exec('ROLLBACK');
  }
}

/** What a module keeps in its tables is content: their pages are accounted for like any others. */
function isDamagedModule(error: unknown): boolean {
  return error instanceof Error && 'errcode' in error && error.errcode === SQLITE_CORRUPT_VTAB;
}

/**
 * Not damage and not the disk: the app uses something that this SQLite lacks. A module whose own records are damaged
 * may ask for more memory than SQLite ever grants; anywhere else, a lack of memory is the machine's.
 */
function couldNotRun(error: unknown, database: DatabaseSync, where: { readonly maybeInModule: boolean }): boolean {
  const code = sqliteCode(error);
  if (code === SQLITE_NOMEM) return where.maybeInModule;
  if (code === SQLITE_TOOBIG) return !isBeyondFile(database, error);
  return code === SQLITE_ERROR || isDamagedModule(error);
}
