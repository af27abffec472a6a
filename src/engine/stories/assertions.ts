/**
 * The owner's own questions to a restored database: `SELECT count(*) > 0 FROM users`. SQLite's check says that a file is
 * sound; only its owner can say that what is in it makes sense. Each statement must answer at least one row, and each
 * row must begin with a value that is true. The file is opened for reading alone.
 */
import { accessSync, constants, existsSync, readFileSync, statSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import { BackupError } from '../../words/errors.ts';
import { askFile } from '../sqlite/verify.ts';

/** A statement in a message; the rest of a long one says nothing new. */
const SHOWN_CHARACTERS_MAX = 200;

/**
 * The text of the statements: what was given, or the file that it names.
 *
 * @throws BackupError BAD_CONFIG when it is neither.
 */
export function readAssertions(given: string): string {
  refuseUnreadable(given);
  if (!isPath(given)) return given;
  try {
    return readFileSync(given, 'utf8');
  } catch (error) {
    throw unreadable(given, "can't be read", error);
  }
}

/** A larger file is a database that was named by mistake. */
const TEXT_BYTES_MAX = 1024 * 1024;

/**
 * Judges by `stat` alone: in the app's process no file is opened, because it might be the live database.
 *
 * @throws BackupError BAD_CONFIG
 */
export function refuseUnreadable(given: string): void {
  if (!isPath(given)) return;
  const found = statSync(given, { throwIfNoEntry: false });
  if (!found) throw unreadable(given, 'does not exist');
  if (!found.isFile() || found.size > TEXT_BYTES_MAX) throw unreadable(given, 'is not a file of SQL statements');
  try {
    accessSync(given, constants.R_OK);
  } catch (error) {
    throw unreadable(given, "can't be read", error);
  }
}

function unreadable(path: string, why: string, cause?: unknown): BackupError {
  return new BackupError('BAD_CONFIG', `the file ${path} that BACKUP_DRILL_SQL names ${why}`, {
    hint: 'Name a file with SQL statements, or write one statement that begins with SELECT.',
    cause,
  });
}

/** A file may be called `select.sql`; a statement goes on with a blank, a comment, a text or a bracket. */
export function isPath(given: string): boolean {
  return !/^\s*(--|\/\*|(select|with|values|pragma|explain)(?=[\s(*'"]|--|\/\*))/i.test(given) || existsSync(given);
}

/** Attaching and vacuuming make files, which `query_only` does not refuse. */
const asks = /^(select|with|values|pragma|explain)\b/i;

/**
 * How many statements held.
 *
 * @throws BackupError DRILL_FAILED that names the first one that does not hold, BAD_CONFIG when there is none.
 */
export function checkAssertions(path: string, sql: string): number {
  const statements = splitStatements(sql);
  if (statements.length === 0) {
    throw new BackupError('BAD_CONFIG', 'BACKUP_DRILL_SQL contains no statement', {
      hint: 'Write one, such as SELECT count(*) > 0 FROM users, or leave the variable out.',
    });
  }
  const other = statements.find((statement) => !asks.test(statement));
  if (other !== undefined) throw failed(other, 'it does not begin with SELECT, WITH, VALUES, PRAGMA or EXPLAIN');
  // The drill runs them under a clock of its own.
  return askFile(path, (database) => holding(database, statements), { isClocked: false });
}

function holding(database: DatabaseSync, statements: readonly string[]): number {
  for (const statement of statements) {
    const complaint = complaintOf(database, statement);
    if (complaint !== null) throw failed(statement, complaint);
  }
  return statements.length;
}

/** Null when it holds. */
function complaintOf(database: DatabaseSync, statement: string): string | null {
  try {
    const prepared = database.prepare(statement);
    // Sums of money may be larger than a double counts exactly.
    prepared.setReadBigInts(true);
    // As an object, a column that is called `0` would come first.
    prepared.setReturnArrays(true);
    let rows = 0;
    for (const row of prepared.iterate()) {
      rows += 1;
      const value = (row as unknown as readonly unknown[])[0]; // as it was told above
      if (!isTrue(value)) return `row ${rows} begins with ${value === null ? 'NULL' : JSON.stringify(String(value))}`;
    }
    return rows === 0 ? 'it returns no row' : null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** NULL, 0, an empty text and "0" are not. */
function isTrue(value: unknown): boolean {
  return Boolean(value) && value !== '0';
}

function failed(statement: string, complaint: string): BackupError {
  const line = statement.replaceAll(/\s+/g, ' ');
  const shown = line.length > SHOWN_CHARACTERS_MAX ? `${line.slice(0, SHOWN_CHARACTERS_MAX)}…` : line;
  return new BackupError('DRILL_FAILED', `an assertion does not hold on the restored backup: ${shown}: ${complaint}`, {
    hint: 'Check whether the data or the statement is wrong. Earlier backups are unchanged.',
  });
}

/**
 * Statements apart, without comments around them. A semicolon in a text, a name or a comment separates nothing
 * (https://sqlite.org/lang_comment.html, https://sqlite.org/lang_keywords.html).
 */
export function splitStatements(sql: string): readonly string[] {
  const parts =
    sql.match(/'[^']*'?|"[^"]*"?|`[^`]*`?|\[[^\]]*\]?|--[^\n]*|\/\*[\s\S]*?(?:\*\/|$)|;|[^'"`[\-/;]+|[-/]/g) ?? [];
  const statements: string[] = [''];
  for (const part of parts) {
    if (part === ';') statements.push('');
    else if (/^(--|\/\*)/.test(part)) statements[statements.length - 1] += ' ';
    else statements[statements.length - 1] += part;
  }
  return statements.map((statement) => statement.trim()).filter((statement) => statement !== '');
}
