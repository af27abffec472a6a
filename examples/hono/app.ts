import { Database } from 'bun:sqlite';
import { createHash, timingSafeEqual } from 'node:crypto';
import { type Context, Hono } from 'hono';
import { basicAuth } from 'hono/basic-auth';
import { backupService } from 'velist-backup';
import { backupFetch } from 'velist-backup/http';

const { DATABASE_URL = './app.sqlite', ADMIN_PASSWORD, PORT = '3000' } = process.env;
if (!ADMIN_PASSWORD) throw new Error('Set ADMIN_PASSWORD: it guards /backup.');
process.env['DATABASE_URL'] = DATABASE_URL; // the backups look for it there

const database = new Database(DATABASE_URL, { create: true, strict: true });
database.run('PRAGMA journal_mode = WAL');
database.run('CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL)');

// Bun's server, as the second argument, tells who asks and waits for slow answers.
const backup = backupFetch(backupService, { authorize: () => ({ user: 'admin' }) });

// Judged and counted without an await between: a hundred guesses at once are not one.
const digest = (text: string) => createHash('sha256').update(text).digest();
const failures = new Map<string, { readonly count: number; readonly atMs: number }>();
const onlyAdmin = basicAuth({
  verifyUser(name, password, c: Context<{ Bindings: Bun.Server<undefined> }>) {
    const address = c.env.requestIP(c.req.raw)?.address ?? '';
    const { count, atMs } = failures.get(address) ?? { count: 0, atMs: 0 };
    if (count >= 5 && Date.now() - atMs < 60_000) return false;
    const isRight = name === 'admin' && timingSafeEqual(digest(password), digest(ADMIN_PASSWORD));
    if (failures.size >= 10_000) failures.clear();
    if (isRight) failures.delete(address);
    else failures.set(address, { count: count + 1, atMs: Date.now() });
    return isRight;
  },
});

const app = new Hono<{ Bindings: Bun.Server<undefined> }>()
  .get('/notes', (c) => c.json(database.query('SELECT id, text FROM notes').all()))
  .post('/notes', async (c) => {
    const { text }: { text: string } = await c.req.json();
    return c.json(database.query('INSERT INTO notes (text) VALUES (?) RETURNING id, text').get(text));
  })
  .use('/backup/*', onlyAdmin) // `/backup` itself too
  .all('/backup', (c) => backup(c.req.raw, c.env))
  .all('/backup/*', (c) => backup(c.req.raw, c.env));

backupService.start();
const server = Bun.serve({ hostname: '127.0.0.1', port: PORT, fetch: app.fetch });
console.log(`listening on http://localhost:${server.port}`);

process.once('SIGTERM', async () => {
  await backupService.close();
  await server.stop(true);
  process.exit(0);
});
