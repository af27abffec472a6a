/**
 * Answers the requests under `/backup`, for any host: `mount.ts` and `elysia.ts` mount it.
 *
 * The table of `routes/` is the whole surface. Finding the route, rights, limits, reading what came in, errors, headers and
 * the audit record are the same few functions for each of its rows, because they must behave alike under every host (Bun's
 * server, Node's, another framework that calls `fetch`), and because a plugin must not touch its host's errors.
 */
import { BackupError } from '../words/errors.ts';
import { actingAs } from '../service/audit/actor.ts';
import { isFailing } from '../service/protection/freshness.ts';
import { Errands } from '../fleet/errands.ts';
import { fleetOf, type FleetPort } from '../fleet/fleet-port.ts';
import type { BackupServicePort } from '../service/service-port.ts';
import { withSecurityHeaders, methodNotAllowed, notFound, problem, statusOf } from './answers.ts';
import { type Access, type AccessOptions, authorize, assertGuarded } from './access/auth.ts';
import { RateLimits, TooMany } from './access/rate-limits.ts';
import { type Allowed, authorizeForSome } from './access/rights.ts';
import { rememberClientAddress } from './client.ts';
import { OpenStreams } from './events.ts';
import { routeFinder } from './find-route.ts';
import { inTurns } from './in-turns.ts';
import { heldFor, WORD_HOLDS_MS } from './held-for.ts';
import { type Entry, layOut } from './layout.ts';
import { openApi } from './openapi.ts';
import { type PageAssets, pageAssets } from './page-assets.ts';
import { actorOf, faultLog, recorders } from './recorders.ts';
import { resolve } from './resolve.ts';
import type { Params, Site } from './route.ts';
import { table } from './routes/index.ts';
import { servedDatabases } from './served-database.ts';

export interface BackupRoutesOptions<Prefix extends string = '/backup'> extends AccessOptions {
  /** The routes stand below it; `/backup` by default. */
  readonly prefix?: Prefix;
  /** The dashboard's files; the package's own build by default. */
  readonly page?: PageAssets;
  /** Long answers and event streams send a sign of life this often; servers cut silent ones after 10 seconds. */
  readonly pingMs?: number;
  /** The clock of all limits of rate, and of the one word of health. */
  readonly nowMs?: () => number;
  /** Called with every fault whose cause the client may not read. */
  readonly onError?: (error: unknown, request: Request) => void;
}

/** What Bun's server offers: the client's address, and no limit of time for one request. */
export interface HostServer {
  requestIP?(request: Request): { readonly address: string } | null;
  timeout?(request: Request, seconds: number): void;
  /** Called when a request was let in: our own server spares its connection when there are too many. */
  admitted?(): void;
}

const DEFAULT_PING_MS = 5_000;

/**
 * @returns what answers a request; `path` is the one below the place where the routes stand.
 * @throws BackupError BAD_CONFIG when nobody said who may act.
 */
export function createAnswer(
  given: BackupServicePort | FleetPort,
  options: BackupRoutesOptions<string>,
): (request: Request, path: string, host?: HostServer | null) => Promise<Response> {
  assertGuarded(options);
  const { nowMs = () => performance.now(), onError = faultLog(nowMs) } = options;
  const all = fleetOf(given);
  const fleet = all.isMany || all.databases.length === 0 ? all : null;
  const { record, refuse } = recorders(all, nowMs);
  const signIn = options.authorize ? undefined : options.signIn;
  const entries = layOut(table, { isMany: fleet !== null, hasSignIn: signIn !== undefined });
  const findEntry = routeFinder(entries);
  const rates = new RateLimits(nowMs);
  const site: Site = {
    ...{ fleet, signIn, record, onError },
    page: options.page ?? pageAssets(),
    pingMs: options.pingMs ?? DEFAULT_PING_MS,
    errands: new Errands(nowMs),
    openStreams: new OpenStreams(),
    isAnyFailing: heldFor(WORD_HOLDS_MS, async () => await isAnyFailing(fleet), nowMs),
    document: () => openApi(entries),
  };
  const resolving = { site, access: options, databaseOf: servedDatabases(all, nowMs) };

  return async (request, path, host) => {
    const found = findEntry(request.method, path);
    if (found.kind === 'none') return withSecurityHeaders(request, notFound());
    if (found.kind === 'method') return withSecurityHeaders(request, methodNotAllowed(request.method, found.allowed));
    rememberClientAddress(request, host?.requestIP?.(request)?.address);
    return withSecurityHeaders(request, await answer(request, found.entry, found.params, host));
  };

  async function answer(
    request: Request,
    entry: Entry,
    params: Params,
    host: HostServer | null | undefined,
  ): Promise<Response> {
    const { route, right } = entry;
    let user: string | undefined;
    const explain = (thrown: unknown): Response => {
      refuse(request, { method: route.method, path: entry.path, params, user }, thrown);
      if (statusOf(BackupError.from(thrown).code) >= 500) onError(thrown, request);
      return problemOf(thrown);
    };
    try {
      const access = await letIn(request, entry, fleet, options, params.database);
      user = access.user;
      if (right !== 'open') host?.admitted?.();
      // Bun cuts a request that has no byte of answer after 10 seconds, Elysia after 30; a stranger's may be cut.
      if (route.isSlow) host?.timeout?.(request, 0);
      // By the name of one that is guarded: a stranger must not fill the memory with buckets.
      if (route.costs) rates.take(route.costs, resolving.databaseOf(params.database)?.name ?? null);
      const call = { request, params, ...access };
      return await actingAs(actorOf(request, user), async () => await resolve(entry, call, resolving, explain));
    } catch (error) {
      return explain(error);
    }
  }
}

async function letIn(
  request: Request,
  { route, place, right }: Entry,
  fleet: FleetPort | null,
  options: AccessOptions,
  database: string | undefined,
): Promise<Access & Allowed> {
  const isForEach = fleet && place === 'top' && !route.atTop && right !== 'open';
  return isForEach
    ? await authorizeForSome(request, right, fleet.databases, options)
    : await authorize(request, right, options, database);
}

/** So too if none is found, because somebody meant to protect one. */
async function isAnyFailing(fleet: FleetPort | null): Promise<boolean> {
  const failing = await inTurns(fleet?.databases ?? [], async ({ service }) => {
    const status = await service.getStatus().catch(() => null);
    return status === null || isFailing(status.freshness);
  });
  return failing.length === 0 || failing.includes(true);
}

function problemOf(thrown: unknown): Response {
  const headers = thrown instanceof TooMany ? { 'retry-after': String(thrown.retryAfterSeconds) } : undefined;
  return problem(BackupError.from(thrown), { fields: fieldsOf(thrown), headers });
}

/** Field messages that the service gave along with its error. */
function fieldsOf(error: unknown): Record<string, string> | undefined {
  if (!(error instanceof BackupError) || !('fields' in error)) return undefined;
  const { fields } = error;
  if (typeof fields !== 'object' || fields === null) return undefined;
  return Object.fromEntries(Object.entries(fields).map(([name, message]) => [name, String(message)]));
}
