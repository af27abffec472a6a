/** A database in use, a backup of it, and rescues from one into the other: for tests of the engine. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { planRescue, rescueRows } from '../../src/engine/inside/rescue.ts';
import type { RescuedTableWish, RescueWish } from '../../src/engine/inside/rescue-plan.ts';
import { newRescueId, requireRecord } from '../../src/engine/inside/rescue-record.ts';
import { undoRescue } from '../../src/engine/inside/rescue-undo.ts';

/** An app's database beside one backup of it. */
export class RescueScene {
  readonly folder: string;
  readonly databasePath: string;
  readonly source: string;
  readonly rescues: string;
  readonly app: DatabaseSync;

  constructor(folder: string, schema: string, mode = 'wal') {
    this.folder = folder;
    this.databasePath = join(folder, 'shop.sqlite');
    this.source = join(folder, 'then.sqlite');
    this.rescues = join(folder, 'rescues');
    this.app = new DatabaseSync(this.databasePath);
    this.app.exec(`PRAGMA journal_mode = ${mode}; ${schema}`);
    this.backUp(this.source);
  }

  backUp(to: string): string {
    rmSync(to, { force: true });
    this.app.prepare('VACUUM INTO ?').run(to);
    return to;
  }

  wish(tables: readonly RescuedTableWish[], wish: Partial<RescueWish> = {}) {
    return { tables, triggers: false, withNeeded: true, ...wish };
  }

  #files(since: string | null) {
    return {
      databasePath: this.databasePath,
      source: this.source,
      sourceName: 'then.sqlite',
      since,
      folder: this.rescues,
    };
  }

  plan(tables: readonly RescuedTableWish[], wish: Partial<RescueWish> = {}, since: string | null = null) {
    return planRescue({ ...this.#files(since), wish: this.wish(tables, wish) });
  }

  rescue(tables: readonly RescuedTableWish[], wish: Partial<RescueWish> = {}, since: string | null = null) {
    const files = this.#files(since);
    const { expected } = this.plan(tables, wish, since);
    return rescueRows({
      ...files,
      wish: this.wish(tables, wish),
      ...{ id: newRescueId(new Date()), at: new Date(), user: null, expected },
    });
  }

  undo(id: string) {
    return undoRescue({
      ...{ databasePath: this.databasePath, folder: this.rescues, at: new Date() },
      record: requireRecord(this.rescues, id),
    });
  }

  rows(sql: string): unknown[] {
    return this.app
      .prepare(sql)
      .all()
      .map((row) => Object.values(row));
  }

  /** All that is in it, to the bit, with its rowids. */
  dump(): string {
    const tables = this.rows("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").flat().map(String);
    const lines = tables.map((name) => {
      const columns = this.rows(
        `SELECT name FROM pragma_table_xinfo('${name.replaceAll("'", "''")}') WHERE hidden <> 1`,
      )
        .flat()
        .map(String);
      const cells = columns.map((column) => `typeof("${column}"), quote("${column}")`).join(', ');
      const hasRowid =
        this.rows(
          `SELECT wr FROM pragma_table_list WHERE schema = 'main' AND name = '${name.replaceAll("'", "''")}'`,
        ).flat()[0] === 0;
      const rows = this.rows(`SELECT ${hasRowid ? 'rowid' : "''"}, ${cells} FROM "${name.replaceAll('"', '""')}"`);
      return `${name}:\n${rows
        .map((row) => JSON.stringify(row))
        .sort()
        .join('\n')}`;
    });
    const schema = JSON.stringify(this.rows('SELECT rowid, type, name, tbl_name, sql FROM sqlite_schema'));
    return [schema, JSON.stringify(this.rows('PRAGMA schema_version')), ...lines].join('\n');
  }
}
