import { Elysia } from 'elysia';
import { backupService } from 'velist-backup';
import { authApi } from './features/auth/api.ts';
import { addUser } from './features/auth/users.ts';
import { backupApi } from './features/backup/api.ts';
import { notesApi } from './features/notes/api.ts';

const { ADMIN_PASSWORD, MEMBER_PASSWORD, PORT = '3000' } = process.env;
if (ADMIN_PASSWORD) await addUser({ name: 'admin', role: 'admin' }, ADMIN_PASSWORD);
if (MEMBER_PASSWORD) await addUser({ name: 'mia', role: 'member' }, MEMBER_PASSWORD);

const app = new Elysia().use(authApi).use(notesApi).use(backupApi).listen({ hostname: '127.0.0.1', port: PORT });
backupService.start(); // a backup now, then every BACKUP_INTERVAL_MINUTES
console.log(`listening on http://localhost:${app.server?.port}`);

process.once('SIGTERM', async () => {
  await backupService.close(); // what is running is ended cleanly
  await app.stop(true);
  process.exit(0);
});
