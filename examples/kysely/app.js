import { createServer } from 'node:http';
import { json } from 'node:stream/consumers';
import Database from 'better-sqlite3';
import { Kysely, SqliteDialect } from 'kysely';
import { BackupError, backupService } from 'velist-backup';
import { migrateSafely } from './migrate.js';

const { DATABASE_URL = './app.sqlite', PORT = '3000' } = process.env;
process.env.DATABASE_URL = DATABASE_URL; // the backups look for it there

const database = new Database(DATABASE_URL);
database.pragma('journal_mode = WAL');
const db = new Kysely({ dialect: new SqliteDialect({ database }) });
try {
  await migrateSafely(db);
} catch (error) {
  if (!(error instanceof BackupError)) throw error;
  console.error(`${error.message}\n${error.hint}`);
  process.exit(1);
}

const server = createServer(async (request, response) => {
  if (request.method === 'POST') {
    const { text } = await json(request);
    await db.insertInto('notes').values({ text, length: text.length }).execute();
  }
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify(await db.selectFrom('notes').selectAll().execute()));
});
server.listen(Number(PORT), '127.0.0.1', () => {
  backupService.start();
  console.log(`listening on http://localhost:${server.address().port}`);
});

process.once('SIGTERM', async () => {
  await backupService.close();
  server.closeAllConnections();
  server.close(() => process.exit(0));
});
