/**
 * The routes where one service guards many databases: an overview of all, and below `/db/:database` each one's own,
 * which are the routes of a single database under a longer address. One signs in once, at the top.
 *
 * A request reaches the service that its address names and no other: the name is looked up among those that are guarded
 * and becomes part of no path. What is of all of them is of those that the asker may read: the overview, the list, the
 * figures, the audit record, and what health says beside its one word.
 */
import { BackupError } from '../words/errors.ts';
import { isFailing } from '../service/protection/freshness.ts';
import type { Guarded, GuardPort } from '../fleet/fleet-port.ts';
import type { Status as ServiceStatus, VerdictCode } from '../service/model.ts';
import type { BackupServicePort } from '../service/service-port.ts';
import { json } from './answers.ts';
import type { Action } from './access/authorize.ts';
import type { AuditAnswer, DatabasesAnswer, Health } from './contract.ts';
import { renderMetricsOfAll } from './metrics.ts';
import { overviewPage } from './overview-page.ts';
import type { PageAssets } from './page-assets.ts';
import { readAuditQuery } from './read-text.ts';
import type { Call, Route } from './route.ts';
import { serialize } from './serialize.ts';

const words: Readonly<Record<VerdictCode, string>> = {
  restoring: 'Restoring…',
  running: 'Backing up…',
  restored: 'Restored',
  missing: 'The database is missing',
  loss: 'Much was lost',
  stalled: 'The schedule is stuck',
  'not-captured': 'Commits are not captured',
  'foreign-place': 'The place belongs to another database',
  'other-writer': 'Another machine writes there',
  cloned: 'This machine was cloned',
  none: 'Not protected yet',
  'too-old': 'Last good backup is too old',
  damaged: 'Backups are damaged',
  changed: 'A backup was changed',
  'last-failed': 'The last backup failed',
  's3-waiting': 'Uploads wait',
  off: 'Auto-backup is off',
  'disk-low': 'Disk is nearly full',
  protected: 'Protected',
};

/** How each stands; one that can't be read never hides the others. */
export async function describeDatabases(
  databases: readonly Guarded[],
  { isMany, current }: { readonly isMany: boolean; readonly current: string | null },
): Promise<DatabasesAnswer> {
  const described = databases.map(async ({ name, service }) => {
    const base = { name, page: isMany ? `db/${name}/` : '', path: service.getConfig().databasePath };
    const status = await service.getStatus().catch(() => null);
    if (status === null) {
      const unknown = { state: 'unprotected', label: 'Its state can’t be read', tone: 'red' } as const;
      return { ...base, ...unknown, exists: true, sizeBytes: 0, lastGoodAt: null };
    }
    const { database, verdict, freshness, lastGood } = status;
    return {
      ...base,
      state: freshness.state,
      label: database.exists ? words[verdict.code] : 'The file is gone',
      tone: database.exists || verdict.tone === 'red' ? verdict.tone : ('amber' as const),
      exists: database.exists,
      sizeBytes: database.sizeBytes,
      lastGoodAt: lastGood?.holdsAt.toISOString() ?? null,
    };
  });
  return { current, databases: await Promise.all(described) };
}

export interface ManyOptions {
  readonly page: PageAssets;
  /** The rights that the files of the dashboard and the front page need. */
  readonly actions: { readonly assets: Action; readonly front: Action };
  readonly mayRead: (request: Request, database: string) => Promise<boolean>;
  readonly nowMs: (() => number) | undefined;
  /** Those of which health tells more than a word. */
  readonly readable: (request: Request) => Promise<readonly Guarded[]>;
  /** The routes of one; of which the dashboard's own are answered without asking which. */
  readonly routesOf: (database: Guarded) => readonly Route[];
  /** At the top: to sign in, and the dashboard's files. */
  readonly shared: readonly Route[];
  /** Instead of the page, for who must sign in first or wants the last slash. */
  readonly door: (request: Request) => Promise<Response | null>;
}

export function manyRoutes(guard: GuardPort, options: ManyOptions): readonly Route[] {
  const atTop = { isMany: true, current: null };
  const wordHolds = heldFor(WORD_HOLDS_MS, () => statusOfAll(guard.databases), options.nowMs);
  return [
    ...options.shared,
    {
      method: 'GET',
      path: '/',
      action: options.actions.front,
      each: true,
      handle: async ({ request, allowed = guard.databases }) =>
        (await options.door(request)) ?? overviewPage(await describeDatabases(allowed, atTop), options.page),
    },
    {
      method: 'GET',
      path: '/health',
      action: 'open',
      handle: async ({ request }) => healthOfAll(guard, await options.readable(request), wordHolds),
    },
    {
      method: 'GET',
      path: '/metrics',
      action: 'metrics',
      each: true,
      async handle({ allowed = [] }) {
        const { text, contentType } = await renderMetricsOfAll(allowed);
        return new Response(text, { headers: { 'content-type': contentType, 'cache-control': 'no-store' } });
      },
    },
    {
      method: 'GET',
      path: '/api/databases',
      action: 'read',
      each: true,
      handle: async ({ allowed = [] }) => json<DatabasesAnswer>(await describeDatabases(allowed, atTop)),
    },
    {
      method: 'GET',
      path: '/api/audit',
      action: 'audit',
      each: true,
      handle({ query, allowed = [], isAllowedAll }) {
        const filter = readAuditQuery(query);
        if (isAllowedAll) return json<AuditAnswer>({ entries: serialize(guard.getAudit(filter)) });
        const entries = allowed.flatMap(({ service }) => service.getAudit(filter));
        const newest = entries.sort((a, b) => b.at.getTime() - a.at.getTime()).slice(0, filter.limit);
        return json<AuditAnswer>({ entries: serialize(newest) });
      },
    },
    ...eachOf(guard, options),
  ];
}

/** The table of each database has the same form; which one's row is asked is decided when a request comes. */
function eachOf(guard: GuardPort, { routesOf, mayRead }: ManyOptions): readonly Route[] {
  const tables = new WeakMap<BackupServicePort, readonly Route[]>();
  const tableOf = ({ params }: Call): readonly Route[] | null => {
    const found = guard.databases.find(({ name }) => name === params.database);
    if (!found) return null;
    const table = tables.get(found.service) ?? routesOf(found);
    tables.set(found.service, table);
    return table;
  };
  const form = routesOf({ name: '', service: {} as BackupServicePort }); // its service is asked nothing
  return form.map((route, index) => ({
    ...route,
    path: `/db/:database${route.path}`,
    // Open at the top alone: who may not read learns of no database whether it is there.
    action: route.path === '/health' ? 'read' : route.action,
    async handle(call) {
      const row = tableOf(call)?.[index];
      if (row) return row.handle(call);
      const isShared = route.action === 'open' || route.action === 'page';
      const { database = '' } = call.params;
      if (route.fallback || (isShared && !(await mayRead(call.request, database)))) return route.handle(call);
      throw new BackupError('GONE', 'there is no database of that name', {
        hint: 'api/databases, below the first page, lists them.',
      });
    },
  }));
}

type Stand = Readonly<{ name: string; status: ServiceStatus | null }>;

function statusOfAll(databases: readonly Guarded[]): Promise<readonly Stand[]> {
  return Promise.all(
    databases.map(async ({ name, service }) => ({ name, status: await service.getStatus().catch(() => null) })),
  );
}

/**
 * 503 as soon as one is not protected; so too where none is found, because somebody meant to protect one. Whoever may
 * read some of them hears of those alone; a stranger hears one word of all, which is as old as `heldFor` lets it be.
 */
async function healthOfAll(
  { databases }: GuardPort,
  readable: readonly Guarded[],
  held: () => Promise<readonly Stand[]>,
): Promise<Response> {
  const all = readable.length === 0 ? await held() : await statusOfAll(readable);
  const isBad = (status: ServiceStatus | null) => status === null || isFailing(status.freshness);
  const failing = databases.length === 0 || all.some(({ status }) => isBad(status));
  const told = all.map(({ name, status }) => ({
    name,
    status: isBad(status) ? ('failing' as const) : ('ok' as const),
    state: status?.freshness.state ?? ('unprotected' as const),
    verdict: status?.verdict.code ?? null,
    lastGoodAt: status?.lastGood?.holdsAt.toISOString() ?? null,
  }));
  const word: Health = { status: failing ? 'failing' : 'ok' };
  return json<Health>(readable.length > 0 ? { ...word, databases: told } : word, failing ? 503 : 200);
}

/** What strangers may ask is not worked out anew for each of them. */
export const WORD_HOLDS_MS = 1_000;

/** The answer of `ask`, shared by all who want it meanwhile and for a moment afterwards; a failure is not kept. */
export function heldFor<Answer>(
  ms: number,
  ask: () => Promise<Answer>,
  nowMs: () => number = () => performance.now(),
): () => Promise<Answer> {
  let held: { readonly answer: Promise<Answer>; readonly atMs: number } | null = null;
  return () => {
    if (held && Math.abs(nowMs() - held.atMs) < ms) return held.answer;
    const asked = { answer: ask(), atMs: nowMs() };
    held = asked;
    asked.answer.catch(() => {
      if (held === asked) held = null;
    });
    return asked.answer;
  };
}
