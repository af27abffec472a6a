/**
 * Signing in and out: `GET` and `POST /login` for the form, `POST /logout` for the dashboard's button. Redirects are
 * relative, so that they hold behind a proxy that adds or cuts a prefix.
 */
import { json } from './answers.ts';
import { clientAddressOf } from './auth.ts';
import type { SignOutAnswer } from './contract.ts';
import type { PageAssets } from './page-assets.ts';
import { readText } from './read-text.ts';
import type { Route } from './route.ts';
import type { SignIn } from './sign-in.ts';
import { signInPage } from './sign-in-page.ts';

export function signInRoutes(signIn: SignIn, assets: PageAssets): readonly Route[] {
  const form = { assets, hasPassword: signIn.hasPassword };
  return [
    {
      method: 'GET',
      path: '/login',
      action: 'open',
      handle: ({ request }) => (signIn.hasSession(request) ? toDashboard() : signInPage({ ...form, status: 200 })),
    },
    {
      method: 'POST',
      path: '/login',
      action: 'open',
      async handle({ request }) {
        const password = new URLSearchParams(await readText(request)).get('password') ?? '';
        const attempt = await signIn.attempt(request, password, clientAddressOf(request));
        if (attempt.status === 'signed-in') return toDashboard(attempt.cookies);
        if (attempt.status === 'refused')
          return signInPage({ ...form, status: 401, complaint: 'That is not the password.' });
        const seconds = Math.ceil(attempt.ms / 1_000);
        return signInPage({
          ...form,
          status: 429,
          complaint: `Too many attempts. Try again in ${seconds} ${seconds === 1 ? 'second' : 'seconds'}.`,
          retryAfterSeconds: seconds,
        });
      },
    },
    {
      method: 'POST',
      path: '/logout',
      action: 'open',
      handle: ({ request }) =>
        json<SignOutAnswer>({ signedOut: signIn.hasSession(request) }, 200, { 'set-cookie': signIn.signOut(request) }),
    },
  ];
}

/** Below the page of one database of many: one signs in at the top. */
export function signInAboveRoutes(signIn: SignIn): readonly Route[] {
  return [
    { method: 'GET', path: '/login', action: 'open', handle: () => seeOther('../../login') },
    ...signInRoutes(signIn, { find: () => undefined }).filter(({ path }) => path === '/logout'),
  ];
}

export function seeOther(location: string): Response {
  return new Response(null, { status: 303, headers: { location, 'cache-control': 'no-store' } });
}

function toDashboard(cookies: readonly string[] = []): Response {
  const headers = new Headers({ location: './', 'cache-control': 'no-store' });
  for (const cookie of cookies) headers.append('set-cookie', cookie);
  return new Response(null, { status: 303, headers });
}
