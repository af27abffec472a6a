/** The way to the page: its files, its address with the last slash, and the page to sign in. */
import type { Action } from './access/authorize.ts';
import { isFromElsewhere } from './access/auth.ts';
import { seeOther } from './access/sign-in-routes.ts';
import type { SignIn } from './access/sign-in.ts';
import { signInPage } from './access/sign-in-page.ts';
import { notFound } from './answers.ts';
import { type PageAssets, sendAsset } from './page-assets.ts';
import type { Route } from './route.ts';

interface DoorOptions {
  readonly signIn: SignIn | undefined;
  readonly page: PageAssets;
  readonly mayRead: (request: Request) => Promise<boolean>;
  /** One signs in above. */
  readonly isAbove: boolean;
}

/** What is answered instead of a page: its address with the last slash, or the way to sign in. */
export async function atDoor(
  request: Request,
  { signIn, page, mayRead, isAbove }: DoorOptions,
): Promise<Response | null> {
  const url = new URL(request.url);
  // Relative, so that it holds behind a proxy that cuts a prefix; the page's own addresses need the last slash.
  if (!url.pathname.endsWith('/')) {
    const location = `./${url.pathname.slice(url.pathname.lastIndexOf('/') + 1)}/${url.search}`;
    return new Response(null, { status: 308, headers: { location } });
  }
  if (signIn && isFromElsewhere(request)) return comeAgain();
  if (!signIn || (await mayRead(request))) return null;
  return isAbove ? seeOther('../../') : signInPage({ assets: page, signIn, status: 401 });
}

export function assetRoute(page: PageAssets, action: Action): Route {
  return {
    method: 'GET',
    path: '/*',
    action,
    fallback: true,
    handle({ request, params }) {
      const asset = page.find(params['*'] ?? '');
      return asset ? sendAsset(request, asset) : notFound();
    },
  };
}

/** A link on another site brings no `SameSite=Strict` cookie; a page of ours that loads the dashboard anew does. */
function comeAgain(): Response {
  return new Response(null, { headers: { refresh: '0; url=./', 'cache-control': 'no-store' } });
}
