/** The page at /backup: members may look, admins may do everything, strangers are sent to the login. */
import { Elysia } from 'elysia';
import { backupService } from 'velist-backup';
import { authorizeBy, backupRoutes } from 'velist-backup/elysia';
import { userOf } from '../auth/users.ts';

const authorize = authorizeBy({
  session: userOf,
  mayDo: (user, action) => user.role === 'admin' || action === 'page' || action === 'read',
  nameOf: (user) => user.name,
});

export const backupApi = new Elysia()
  .onRequest(({ request, redirect }) => {
    const isPage = request.method === 'GET' && /^\/backup\/?$/.test(new URL(request.url).pathname);
    if (isPage && !userOf(request)) return redirect('/login');
  })
  .use(backupRoutes(backupService, { authorize }));
