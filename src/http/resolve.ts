/**
 * Hands a route's handler what its row asks for: the database that the address names, and what came in, read within limits
 * and checked. Makes the answer of what the handler gives.
 *
 * A request reaches the service that its address names and no other: the name is looked up among those that are guarded
 * and becomes part of no path. A file name from outside is matched against the form of a backup's name and then looked up
 * by the service.
 */
import { BackupError } from '../words/errors.ts';
import type { FleetPort } from '../fleet/fleet-port.ts';
import { json, longAnswer } from './answers.ts';
import { type AccessOptions, authorize } from './access/auth.ts';
import { type Allowed, authorizeForSome } from './access/rights.ts';
import type { Entry } from './layout.ts';
import { readBody, readBytes, readForm, readParams, readQuery } from './read-text.ts';
import type { Asked, OfAll, OfOne, Params, Site } from './route.ts';
import { serialize } from './serialize.ts';
import type { ServedDatabase } from './served-database.ts';

interface Call extends Allowed {
  readonly request: Request;
  /** As they came. */
  readonly params: Params;
  readonly user: string | undefined;
}

interface Resolving {
  readonly site: Site;
  readonly access: AccessOptions;
  /** The one of that name among several, or the only one; null if there is none. */
  readonly databaseOf: (name: string | undefined) => ServedDatabase | null;
}

/** @param explain the answer to an error: long work has no other way to tell of it, because the headers may be gone. */
export async function resolve(
  entry: Entry,
  call: Call,
  resolving: Resolving,
  explain: (thrown: unknown) => Response,
): Promise<Response> {
  const { route, place } = entry;
  const { site, databaseOf } = resolving;
  const database = place === 'top' ? null : databaseOf(call.params.database);
  const asked = askedOf(call, resolving);
  if (place !== 'top' && !database && !(await isHidden(entry, asked))) throw gone();
  const { params, query, body } = await readInput(entry, call);

  const work = async (): Promise<Response> => {
    const given = await carryOut(entry, { call, database, site, asked: { ...asked, params, query, body } });
    if (route.changesBackups) database?.backupsChanged();
    return given instanceof Response ? given : json(serialize(given));
  };
  return route.isLong?.(query) ? await longAnswer(work().catch(explain), site.pingMs) : await work();
}

async function readInput(
  { route, place }: Entry,
  { request, params }: Call,
): Promise<Pick<Asked, 'params' | 'query' | 'body'>> {
  // What is answered above is sent there from below as it came; the names of the page's files have no form.
  if (route.fallback || (place === 'below' && route.atTop)) return { params, query: {}, body: undefined };
  return {
    params: readParams(params),
    query: route.query ? readQuery(new URL(request.url).searchParams, route.query) : {},
    body: await readBodyOf(route, request),
  };
}

async function readBodyOf({ body, bytesMax, isForm, wrongBody }: Entry['route'], request: Request): Promise<unknown> {
  if (!body) return undefined;
  if (bytesMax !== undefined) return await readBytes(request, bytesMax);
  return isForm ? await readForm(request, body) : await readBody(request, body, wrongBody);
}

/** An asker who may not read must not learn whether a database is there: what is open, or a file, is answered alike. */
async function isHidden({ route, right }: Entry, { may }: Asked): Promise<boolean> {
  return route.fallback === true || ((right === 'open' || right === 'page') && !(await may('read')));
}

interface Given {
  readonly call: Call;
  readonly database: ServedDatabase | null;
  readonly site: Site;
  readonly asked: Asked;
}

async function carryOut({ route, place }: Entry, { call, database, site, asked }: Given): Promise<unknown> {
  if (route.atTop && place !== 'below') return await route.atTop(asked);
  if (route.ofAll && place === 'top' && site.fleet) return await route.ofAll(withAll(asked, call, site.fleet));
  if (route.handle) return await route.handle(withOne(asked, database, place === 'below'));
  throw new Error(`${route.method} ${route.path} has no handler ${place}`);
}

function askedOf({ request, params, user }: Call, { site, access }: Resolving): Asked {
  const name = params.database ?? null;
  const ask = (action: Parameters<typeof authorize>[1]) => authorize(request, action, access, name);
  return {
    ...{ request, params, query: {}, body: undefined, user, site },
    authorize: ask,
    may: (action) =>
      ask(action).then(
        () => true,
        () => false,
      ),
    async allowed(action) {
      const { allowed = [] } = await authorizeForSome(request, action, site.fleet?.databases ?? [], access);
      return allowed;
    },
  };
}

function withAll(asked: Asked, { allowed, isAllowedAll = false }: Call, fleet: FleetPort): OfAll {
  return { ...asked, fleet, databases: allowed ?? fleet.databases, isAllowedAll };
}

function withOne(asked: Asked, database: ServedDatabase | null, isBelow: boolean): OfOne {
  const found = (): ServedDatabase => {
    if (!database) throw gone();
    return database;
  };
  return {
    ...asked,
    isBelow,
    get database() {
      return found();
    },
    get service() {
      return found().service;
    },
  };
}

function gone(): BackupError {
  return new BackupError('GONE', 'there is no database of that name', {
    hint: 'api/databases, below the first page, lists them.',
  });
}
