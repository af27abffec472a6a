/** The order is that of the names. */
export const migrations = {
  '0001-notes': {
    up: (db) =>
      db.schema
        .createTable('notes')
        .addColumn('id', 'integer', (column) => column.primaryKey())
        .addColumn('text', 'text', (column) => column.notNull())
        .execute(),
  },
  '0002-length': {
    up: (db) => db.schema.alterTable('notes').addColumn('length', 'integer').execute(),
  },
};
