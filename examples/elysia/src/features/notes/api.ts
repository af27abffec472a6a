import { Elysia, t } from 'elysia';
import { database } from '../_core/database.ts';

database.run('CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL)');

export const notesApi = new Elysia({ prefix: '/notes' })
  .get('/', () => database.query('SELECT id, text FROM notes').all())
  .post('/', ({ body }) => database.query('INSERT INTO notes (text) VALUES (?) RETURNING id, text').get(body.text), {
    body: t.Object({ text: t.String() }),
  });
