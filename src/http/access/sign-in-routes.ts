/**
 * Signing in and out: `GET` and `POST /login` for the form, `POST /logout` for the dashboard's button, `POST /confirm`
 * for the password once more, before what can't be taken back. Redirects are relative, so that they hold behind a proxy
 * that adds or cuts a prefix.
 */
import { z } from 'zod';
import { json, problem } from '../answers.ts';
import { clientAddressOf } from '../client.ts';
import { type ConfirmAnswer, confirmBody, type SignOutAnswer } from '../contract.ts';
import type { PageAssets } from '../page-assets.ts';
import { TooMany } from './rate-limits.ts';
import { BadInput, readText } from '../read-text.ts';
import type { Recorder, Route } from '../route.ts';
import { passwordAgain, type SignIn, type SignInAttempt } from './sign-in.ts';
import { signInPage } from './sign-in-page.ts';

export function signInRoutes(signIn: SignIn, assets: PageAssets, record: Recorder): readonly Route[] {
  const form = { assets, signIn };
  async function attempt(
    request: Request,
    act: 'sign-in' | 'confirm-password',
    password: string,
  ): Promise<SignInAttempt> {
    const attempted = await signIn.attempt(request, password, clientAddressOf(request));
    if (attempted.status === 'signed-in') record(request, { act }, 'admin');
    else if (attempted.status === 'refused')
      record(request, { act, result: 'refused', code: 'UNAUTHORIZED', detail: 'not the password' });
    else record(request, { act, result: 'refused', code: 'TOO_MANY', detail: 'too many attempts' });
    return attempted;
  }
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
        const attempted = await attempt(request, 'sign-in', password);
        if (attempted.status === 'signed-in') return toDashboard(attempted.cookies);
        if (attempted.status === 'refused')
          return signInPage({ ...form, status: 401, complaint: 'That is not the password.' });
        const seconds = Math.ceil(attempted.ms / 1_000);
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
      handle({ request }) {
        const signedOut = signIn.hasSession(request);
        if (signedOut) record(request, { act: 'sign-out' }, 'admin');
        return json<SignOutAnswer>({ signedOut }, 200, { 'set-cookie': signIn.signOut(request) });
      },
    },
    {
      method: 'POST',
      path: '/confirm',
      action: 'read',
      async handle({ request }) {
        const password = passwordIn(await readText(request));
        const attempted = await attempt(request, 'confirm-password', password);
        // Answered and not thrown: it is in the record already.
        if (attempted.status === 'refused') return problem(passwordAgain('that is not the password'));
        if (attempted.status === 'wait') throw new TooMany(attempted.ms, { message: 'too many attempts' });
        const answer = json<ConfirmAnswer>({ confirmed: true });
        for (const cookie of attempted.cookies) answer.headers.append('set-cookie', cookie);
        return answer;
      },
    },
  ];
}

/** @throws BadInput */
function passwordIn(text: string): string {
  try {
    return confirmBody.parse(JSON.parse(text)).password;
  } catch (error) {
    const isForm = error instanceof z.ZodError;
    throw new BadInput('BAD_REQUEST', isForm ? { password: 'is wanted, as text' } : { body: 'is not JSON' });
  }
}

/** Below the page of one database of many: one signs in at the top. */
export function signInAboveRoutes(signIn: SignIn, record: Recorder): readonly Route[] {
  return [
    { method: 'GET', path: '/login', action: 'open', handle: () => seeOther('../../login') },
    // With its method and its body; a cookie that is set there holds for all.
    { method: 'POST', path: '/confirm', action: 'read', handle: () => seeOther('../../confirm', 307) },
    ...signInRoutes(signIn, { find: () => undefined }, record).filter(({ path }) => path === '/logout'),
  ];
}

export function seeOther(location: string, status: 303 | 307 = 303): Response {
  return new Response(null, { status, headers: { location, 'cache-control': 'no-store' } });
}

function toDashboard(cookies: readonly string[] = []): Response {
  const headers = new Headers({ location: './', 'cache-control': 'no-store' });
  for (const cookie of cookies) headers.append('set-cookie', cookie);
  return new Response(null, { status: 303, headers });
}
