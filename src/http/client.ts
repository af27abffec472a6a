/**
 * What is known of who asks: the address that the host tells, what proxies add, and whether the browser used https.
 *
 * An address in a header is believed nowhere: anybody can write one. The headers of proxies only ever take something
 * away (who came through one is not this machine), or bind cookies to https.
 */
import { isIPv6 } from 'node:net';

const clientAddresses = new WeakMap<Request, string>();

/** A host that knows the client's address tells it here, before it hands the request to the routes. */
export function rememberClientAddress(request: Request, address: string | undefined): void {
  if (address !== undefined) clientAddresses.set(request, address);
}

export function clientAddressOf(request: Request): string | undefined {
  return clientAddresses.get(request);
}

/** By RFC 7239 and RFC 9110 (Via), and what proxies, load balancers and networks that deliver content send of their own. */
const ofProxies = new RegExp(
  `^(${[
    ...[
      'via',
      'forwarded',
      'x-forwarded(-.*)?',
      'x-original-.*',
      'x-rewrite-url',
      'x-real-(ip|port|proto)',
      'x-scheme',
    ],
    ...['x-client-ip', 'client-ip', 'true-client-ip', 'x-cluster-client-ip', 'x-remote-(ip|addr)', 'x-originating-ip'],
    ...['x-host', 'x-proxy-.*', 'x-proxyuser-ip', 'x-url-scheme', 'x-http-host-override', 'front-end-https', 'cdn-.*'],
    ...['cf-.*', 'fastly-.*', 'fly-.*', 'akamai-.*', 'x-akamai-.*', 'x-envoy-.*', 'x-amzn-.*', 'x-amz-cf-.*'],
    ...['x-azure-.*', 'x-arr-.*', 'x-appengine-.*', 'x-cloud-trace-context', 'x-vercel-.*', 'x-nf-.*', 'x-traefik-.*'],
    ...['do-connecting-ip', 'wl-proxy-.*', 'x-varnish', 'x-haproxy-.*', 'tailscale-.*', 'ngrok-.*', 'x-ngrok-.*'],
  ].join('|')})$`,
);

/** Whether something between the client and us says that it was there. */
export function isForwarded(request: Request): boolean {
  return [...request.headers.keys()].some((name) => ofProxies.test(name));
}

/** `https` or `http`, as the proxy next to the client tells it; null if none does. */
export function schemeTold(request: Request): string | null {
  const forwarded = /(?:^|[;,\s])proto="?(https?)\b/i.exec(request.headers.get('forwarded') ?? '')?.[1];
  const told = request.headers.get('x-forwarded-proto')?.split(',')[0]?.trim() || forwarded;
  return told ? told.toLowerCase() : null;
}

/** Whether the browser used https, as far as we are told. */
export function isHttps(request: Request): boolean {
  return new URL(request.url).protocol === 'https:' || schemeTold(request) === 'https';
}

/** One subscriber of IPv6 has a /64, 2^64 addresses to come from. IPv4 inside IPv6 is told apart as IPv4 is. */
export function networkOf(address: string): string {
  const bare = address.replace(/%.*$/s, '').toLowerCase();
  if (!isIPv6(bare)) return address;
  const [before = '', after] = new URL(`http://[${bare}]`).hostname.slice(1, -1).split('::');
  const [head, tail] = [before, after ?? ''].map((groups) => groups.split(':').filter((group) => group !== ''));
  const filled = Array.from({ length: 8 - (head?.length ?? 0) - (tail?.length ?? 0) }, () => '0');
  const groups = [...(head ?? []), ...filled, ...(tail ?? [])];
  return groups.slice(0, 6).join(':') === '0:0:0:0:0:ffff' ? groups.join(':') : `${groups.slice(0, 4).join(':')}::/64`;
}

interface Said {
  tokens: number;
  atMs: number;
  leftOut: number;
}

const EACH = { burst: 10, everyMs: 60_000 };
const IN_ALL = { burst: 200, everyMs: 2_000 };
const MOST_REMEMBERED = 10_000;

/** Bounds what is written of one client, and of all together: who asks a million times must not fill a disk. */
export class WordsPerClient {
  readonly #nowMs: () => number;
  readonly #each = new Map<string, Said>();
  readonly #all: Said = { tokens: IN_ALL.burst, atMs: 0, leftOut: 0 };

  constructor(nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs;
  }

  /** Null if nothing is written; else how many of that client were left out since the last time. */
  take(address: string | undefined): number | null {
    const nowMs = this.#nowMs();
    const network = networkOf(address ?? '');
    const own = this.#each.get(network) ?? { tokens: EACH.burst, atMs: nowMs, leftOut: 0 };
    this.#each.delete(network);
    this.#each.set(network, own);
    if (this.#each.size > MOST_REMEMBERED) for (const oldest of this.#each.keys()) if (this.#each.delete(oldest)) break;
    fill(own, EACH, nowMs);
    fill(this.#all, IN_ALL, nowMs);
    if (own.tokens < 1 || this.#all.tokens < 1) {
      own.leftOut++;
      return null;
    }
    own.tokens--;
    this.#all.tokens--;
    const { leftOut } = own;
    own.leftOut = 0;
    return leftOut;
  }
}

function fill(said: Said, { burst, everyMs }: typeof EACH, nowMs: number): void {
  // A clock that was set back fills nothing.
  said.tokens = Math.min(burst, said.tokens + Math.max(0, nowMs - said.atMs) / everyMs);
  said.atMs = nowMs;
}
