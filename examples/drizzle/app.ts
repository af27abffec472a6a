import { Database } from 'bun:sqlite';
import { drizzle } from 'drizzle-orm/bun-sqlite';
import { BackupError, backupService } from 'velist-backup';
import { migrateSafely } from './migrate.ts';
import { authors, notes } from './schema.ts';

const { DATABASE_URL = './app.sqlite', PORT = '3000' } = process.env;
process.env['DATABASE_URL'] = DATABASE_URL; // the backups look for it there

const database = new Database(DATABASE_URL, { create: true, strict: true });
database.run('PRAGMA journal_mode = WAL');
try {
  await migrateSafely(database);
} catch (error) {
  if (!(error instanceof BackupError)) throw error;
  console.error(`${error.message}\n${error.hint}`);
  process.exit(1);
}

const db = drizzle(database);
const server = Bun.serve({
  hostname: '127.0.0.1',
  port: PORT,
  routes: {
    '/notes': {
      GET: () => Response.json(db.select().from(notes).all()),
      POST: async (request) => {
        const { author, text }: { author: string; text: string } = await request.json();
        const { id } = db.insert(authors).values({ name: author }).returning().get();
        return Response.json(db.insert(notes).values({ authorId: id, text }).returning().get());
      },
    },
  },
});
backupService.start();
console.log(`listening on http://localhost:${server.port}`);

process.once('SIGTERM', async () => {
  await backupService.close();
  await server.stop(true);
  process.exit(0);
});
