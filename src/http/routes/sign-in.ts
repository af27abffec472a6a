/**
 * Signing in and out: `GET` and `POST /login` for the form, `POST /logout` for the dashboard's button, `POST /confirm`
 * for the password once more, before what can't be taken back. One signs in once, above however many databases.
 * Redirects are relative, so that they hold behind a proxy that adds or cuts a prefix.
 */
import { z } from 'zod';
import { TooMany } from '../access/rate-limits.ts';
import { passwordAgain, type SignIn, type SignInAttempt } from '../access/sign-in.ts';
import { signInPage } from '../access/sign-in-page.ts';
import { json, problem, seeOther } from '../answers.ts';
import { clientAddressOf } from '../client.ts';
import {
  type ConfirmAnswer,
  confirmAnswer,
  confirmBody,
  type Session,
  session,
  signOutAnswer,
  type SignOutAnswer,
} from '../contract.ts';
import { type Asked, route, type Site } from '../route.ts';

export const signInRoutes = [
  route({
    method: 'GET',
    path: '/login',
    summary: 'The page to sign in',
    right: 'open',
    forSignIn: true,
    answers: { 200: 'text/html' },
    atTop({ request, site }) {
      const signIn = signInOf(site);
      return signIn.hasSession(request) ? toDashboard() : signInPage({ assets: site.page, signIn, status: 200 });
    },
    handle: () => seeOther('../../login'),
  }),
  route({
    method: 'POST',
    path: '/login',
    summary: 'Sign in by a form',
    right: 'open',
    forSignIn: true,
    isForm: true,
    body: z.object({ password: z.string().default('') }),
    answers: { 401: 'text/html', 429: 'text/html' },
    async atTop(asked) {
      const attempted = await attempt(asked, 'sign-in', asked.body.password);
      if (attempted.status === 'signed-in') return toDashboard(attempted.cookies);
      const form = { assets: asked.site.page, signIn: signInOf(asked.site) };
      if (attempted.status === 'refused')
        return signInPage({ ...form, status: 401, complaint: 'That is not the password.' });
      const seconds = Math.ceil(attempted.ms / 1_000);
      const complaint = `Too many attempts. Try again in ${seconds} ${seconds === 1 ? 'second' : 'seconds'}.`;
      return signInPage({ ...form, status: 429, complaint, retryAfterSeconds: seconds });
    },
  }),
  route({
    method: 'POST',
    path: '/logout',
    summary: 'Sign out',
    right: 'open',
    forSignIn: true,
    answers: { 200: signOutAnswer },
    atTop: signOut,
    handle: signOut,
  }),
  route({
    method: 'POST',
    path: '/confirm',
    summary: 'Say the password again, before what can’t be taken back',
    right: 'read',
    forSignIn: true,
    body: confirmBody,
    answers: { 200: confirmAnswer },
    async atTop(asked) {
      const attempted = await attempt(asked, 'confirm-password', asked.body.password);
      // Answered and not thrown: it is in the record already.
      if (attempted.status === 'refused') return problem(passwordAgain('that is not the password'));
      if (attempted.status === 'wait') throw new TooMany(attempted.ms, { message: 'too many attempts' });
      const answer = json<ConfirmAnswer>({ confirmed: true });
      for (const cookie of attempted.cookies) answer.headers.append('set-cookie', cookie);
      return answer;
    },
    // With its method and its body; a cookie that is set there holds for all.
    handle: () => seeOther('../../confirm', 307),
  }),
  route({
    method: 'GET',
    path: '/api/session',
    summary: 'Who is signed in',
    right: 'read',
    answers: { 200: session },
    handle: sessionOf,
    ofAll: sessionOf,
  }),
];

function sessionOf({ request, user, site: { signIn } }: Asked): Session {
  return {
    user: user ?? null,
    canSignOut: signIn?.hasSession(request) ?? false,
    needsPassword: signIn !== undefined && !signIn.isFresh(request),
  };
}

function signInOf({ signIn }: Site): SignIn {
  if (!signIn) throw new Error('a route for signing in stands where nobody signs in');
  return signIn;
}

async function attempt(
  { request, site }: Asked,
  act: 'sign-in' | 'confirm-password',
  password: string,
): Promise<SignInAttempt> {
  const attempted = await signInOf(site).attempt(request, password, clientAddressOf(request));
  if (attempted.status === 'signed-in') site.record(request, { act }, 'admin');
  else if (attempted.status === 'refused')
    site.record(request, { act, result: 'refused', code: 'UNAUTHORIZED', detail: 'not the password' });
  else site.record(request, { act, result: 'refused', code: 'TOO_MANY', detail: 'too many attempts' });
  return attempted;
}

function signOut({ request, site }: Asked): Response {
  const signIn = signInOf(site);
  const signedOut = signIn.hasSession(request);
  if (signedOut) site.record(request, { act: 'sign-out' }, 'admin');
  return json<SignOutAnswer>({ signedOut }, 200, { 'set-cookie': signIn.signOut(request) });
}

function toDashboard(cookies: readonly string[] = []): Response {
  const headers = new Headers({ location: './', 'cache-control': 'no-store' });
  for (const cookie of cookies) headers.append('set-cookie', cookie);
  return new Response(null, { status: 303, headers });
}
