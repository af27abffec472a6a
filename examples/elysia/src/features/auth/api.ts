import { Elysia, t } from 'elysia';
import { signIn } from './users.ts';

const form = `<!doctype html><title>Sign in</title>
<form method="post"><input name="name" required><input name="password" type="password" required><button>Sign in</button></form>`;

export const authApi = new Elysia()
  .get('/login', ({ set }) => {
    set.headers['content-type'] = 'text/html; charset=utf-8';
    return form;
  })
  .post(
    '/login',
    async ({ body, cookie: { session }, redirect, request, server, status }) => {
      const address = server?.requestIP(request)?.address ?? '';
      const token = await signIn(body.name, body.password, address);
      if (token === null) return status(401, 'The name or the password is wrong.');
      const secure = process.env['NODE_ENV'] === 'production';
      session?.set({ value: token, httpOnly: true, sameSite: 'strict', secure, path: '/' });
      return redirect('/backup/');
    },
    { body: t.Object({ name: t.String({ maxLength: 100 }), password: t.String({ maxLength: 1_000 }) }) },
  );
