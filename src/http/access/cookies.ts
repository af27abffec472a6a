/**
 * Cookies of ours, which no script can read and no other site can send. Over https their name begins with `__Host-`
 * (RFC 6265bis, 4.1.3.2), which no other host and no page over plain http can set, and they hold for the whole host. Over
 * plain http they bear no `Path`: browsers then take the folder of the sign-in page, which is right behind a proxy that adds
 * or cuts a prefix too, and which no server behind one can know.
 */
import { isHttps } from '../client.ts';

export function cookie(
  request: Request,
  { name, value, forMs }: { name: string; value: string; forMs: number },
): string {
  const bound = isHttps(request) ? '; Path=/; Secure' : '';
  return `${cookieName(request, name)}=${value}; Max-Age=${forMs / 1_000}; HttpOnly; SameSite=Strict${bound}`;
}

/** Browsers take one of that name over https alone, for this host alone, with `Path=/`. */
function cookieName(request: Request, name: string): string {
  return isHttps(request) ? `__Host-${name}` : name;
}

export function cookieOf(request: Request, name: string): string | undefined {
  const wanted = cookieName(request, name);
  const cookies = (request.headers.get('cookie') ?? '').split(';').map((part) => part.trim().split('='));
  return cookies.find(([given, value]) => given === wanted && value)?.[1];
}
