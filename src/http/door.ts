/** The way to the page: its address with the last slash, and the page to sign in. */
import { isFromElsewhere } from './access/auth.ts';
import { signInPage } from './access/sign-in-page.ts';
import { seeOther } from './answers.ts';
import type { Asked } from './route.ts';

/**
 * What is answered instead of a page: its address with the last slash, or the way to sign in.
 *
 * @param isBelow the page is that of one of several databases; one signs in above.
 */
export async function atDoor(
  { request, site: { signIn, page }, may }: Asked,
  isBelow: boolean,
): Promise<Response | null> {
  const url = new URL(request.url);
  // Relative, so that it holds behind a proxy that cuts a prefix; the page's own addresses need the last slash.
  if (!url.pathname.endsWith('/')) {
    const location = `./${url.pathname.slice(url.pathname.lastIndexOf('/') + 1)}/${url.search}`;
    return new Response(null, { status: 308, headers: { location } });
  }
  if (signIn && isFromElsewhere(request)) return comeAgain();
  if (!signIn || (await may('read'))) return null;
  return isBelow ? seeOther('../../') : signInPage({ assets: page, signIn, status: 401 });
}

/** A link on another site brings no `SameSite=Strict` cookie; a page of ours that loads the dashboard anew does. */
function comeAgain(): Response {
  return new Response(null, { headers: { refresh: '0; url=./', 'cache-control': 'no-store' } });
}
