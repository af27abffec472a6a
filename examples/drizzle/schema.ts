import { integer, sqliteTable, text } from 'drizzle-orm/sqlite-core';

export const authors = sqliteTable('authors', { id: integer().primaryKey(), name: text().notNull() });

export const notes = sqliteTable('notes', {
  id: integer().primaryKey(),
  authorId: integer('author_id')
    .notNull()
    .references(() => authors.id),
  text: text().notNull(),
  pinned: integer({ mode: 'boolean' }).notNull().default(false),
});
