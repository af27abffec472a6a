import { createHash, timingSafeEqual } from 'node:crypto';
import basicAuth from '@fastify/basic-auth';
import Database from 'better-sqlite3';
import Fastify from 'fastify';
import { backupService } from 'velist-backup';
import { backupListener } from 'velist-backup/http';

const digest = (text) => createHash('sha256').update(text).digest();
const { DATABASE_URL = './app.sqlite', ADMIN_PASSWORD, PORT = '3000' } = process.env;
if (!ADMIN_PASSWORD) throw new Error('Set ADMIN_PASSWORD: it guards /backup.');
process.env.DATABASE_URL = DATABASE_URL; // the backups look for it there

const database = new Database(DATABASE_URL);
database.pragma('journal_mode = WAL');
database.exec('CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL)');

const app = Fastify();
app.get('/notes', () => database.prepare('SELECT id, text FROM notes').all());
app.post('/notes', ({ body }) =>
  database.prepare('INSERT INTO notes (text) VALUES (?) RETURNING id, text').get(body.text),
);

// Judged and counted without an await between: a hundred guesses at once are not one.
const failures = new Map();
function isAdmin(name, password, address) {
  const { count, atMs } = failures.get(address) ?? { count: 0, atMs: 0 };
  if (count >= 5 && Date.now() - atMs < 60_000) return false;
  const isRight = name === 'admin' && timingSafeEqual(digest(password), digest(ADMIN_PASSWORD));
  if (failures.size >= 10_000) failures.clear();
  if (isRight) failures.delete(address);
  else failures.set(address, { count: count + 1, atMs: Date.now() });
  return isRight;
}

await app.register(basicAuth, {
  authenticate: { realm: 'Backup' },
  validate: async (name, password, { ip }) => {
    if (!isAdmin(name, password, ip)) throw new Error('The name or the password is wrong.');
  },
});
await app.register(async (scope) => {
  const listener = backupListener(backupService, { authorize: () => ({ user: 'admin' }) });
  scope.addHook('onRequest', scope.basicAuth);
  // The routes read their bodies themselves.
  scope.removeAllContentTypeParsers();
  scope.addContentTypeParser('*', (_request, _body, done) => done(null));
  for (const path of ['/backup', '/backup/*'])
    scope.all(path, (request, reply) => {
      reply.hijack();
      listener(request.raw, reply.raw);
    });
});

backupService.start();
await app.listen({ host: '127.0.0.1', port: Number(PORT) });
console.log(`listening on http://localhost:${app.server.address().port}`);

process.once('SIGTERM', async () => {
  await backupService.close();
  app.server.closeAllConnections();
  await app.close();
  process.exit(0);
});
