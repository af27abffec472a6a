/**
 * Keeps the triggers of the app from firing for what this connection writes.
 *
 * SQLite has a switch for that, and `node:sqlite` does not hand it out. So the schema is read once without them: in a
 * savepoint their rows are taken out of `sqlite_schema`, the schema is read anew, and the savepoint is rolled back. No byte
 * of the file has changed then, its schema cookie is the same, no other connection notices, and this one knows of no trigger
 * until it reads the schema again. Measured with SQLite 3.49, 3.53 and 3.54, in WAL and rollback mode. Dropping and making
 * them again would give them another order and make each connection of the app prepare its statements anew.
 */
import type { DatabaseSync } from 'node:sqlite';
import { BackupError } from '../../words/errors.ts';

/**
 * Needs a transaction that holds the writer's lock: nobody else can change the schema then.
 *
 * @throws BackupError UNSUPPORTED if a trigger would fire all the same.
 */
export function hideTriggers(db: DatabaseSync, statements: readonly string[]): void {
  const count = "SELECT count(*) AS n FROM main.sqlite_schema WHERE type = 'trigger'";
  if (Number(db.prepare(count).get()?.['n']) === 0) return;
  db.exec("PRAGMA writable_schema = ON; SAVEPOINT hide; DELETE FROM main.sqlite_schema WHERE type = 'trigger'");
  db.exec('PRAGMA writable_schema = RESET');
  db.prepare(count).get();
  db.exec('ROLLBACK TO hide; RELEASE hide');
  const firing = statements.find((sql) => firesTrigger(db, sql));
  if (firing === undefined) return;
  throw new BackupError('UNSUPPORTED', 'the triggers of the database could not be kept from firing', {
    hint: 'Nothing was written. Choose that triggers fire, if what they do is harmless.',
  });
}

/** The program of a statement says so: each trigger is a program of its own in it. */
function firesTrigger(db: DatabaseSync, sql: string): boolean {
  return db
    .prepare(`EXPLAIN ${sql}`)
    .all()
    .some((row) => row['opcode'] === 'Program');
}
