/**
 * The routes under `/backup`, for any host: `mount.ts` and `elysia.ts` mount them.
 *
 * The table `routes` is the whole surface: method, path, what right it needs, what it does. Finding the route, reading
 * bodies, rights, errors and files are our own few functions, because they must behave alike under every host (Bun's
 * server, Node's, another framework that calls `fetch`), and because a plugin must not touch its host's errors.
 * A file name from outside is matched against the form of a backup's name and then looked up by the service; it never
 * becomes part of a path.
 */
import { basename, extname } from 'node:path';
import { BackupError, publicError, withoutFolders } from '../words/errors.ts';
import type { RestorePointGiven } from '../words/restore-point.ts';
import { actingAs } from '../service/audit/actor.ts';
import { isFailing } from '../service/protection/freshness.ts';
import { type GuardPort, isGuard } from '../fleet/fleet-port.ts';
import type { BackupServicePort } from '../service/service-port.ts';
import { dress, json, longAnswer, methodNotAllowed, notFound, problem, statusOf } from './answers.ts';
import { type Access, type AccessOptions, admit, assertGuarded } from './access/auth.ts';
import type { Action } from './access/authorize.ts';
import { admitToRetention, admitToSome, changesRetention } from './access/rights.ts';
import { clientAddressOf, rememberClientAddress } from './client.ts';
import {
  type Activity,
  activityQuery,
  type AuditAnswer,
  type Backup,
  type BackupDiff,
  type BackupResult,
  type ClaimAnswer,
  claimBody,
  type BackupsAnswer,
  backupChange,
  backupName,
  type Config,
  type DatabasesAnswer,
  configChange,
  type DeleteAnswer,
  type DoctorReport,
  type DrillReport,
  downloadQuery,
  drillBody,
  type DismissAnswer,
  diffQuery,
  deleteQuery,
  type Health,
  lossAnswer,
  lossReopening,
  nowQuery,
  type PrunePlan,
  planQuery,
  pointPlanQuery,
  pointRestoreBody,
  pruneQuery,
  type RestorePlan,
  type RestoreResult,
  type RunAccepted,
  type RunsAnswer,
  restoreBody,
  runsQuery,
  type Session,
  type Status,
  type StopAnswer,
  type TargetReport,
  targetName,
  undoBody,
  verifyBody,
} from './contract.ts';
import { describeDatabases, heldFor, manyRoutes, WORD_HOLDS_MS } from './databases.ts';
import { assetRoute, atDoor } from './door.ts';
import { eventStream, OpenStreams } from './events.ts';
import { routeFinder } from './find-route.ts';
import { renderMetrics } from './metrics.ts';
import { openApi } from './openapi.ts';
import { type PageAssets, pageAssets, pageNotBuilt, sendAsset } from './page-assets.ts';
import { RateLimits, TooMany } from './access/rate-limits.ts';
import type { Call, Params, Recorder, Route } from './route.ts';
import { sendBackup } from './send-backup.ts';
import { BadInput, readAuditQuery, readBody, readName, readQuery } from './read-text.ts';
import { actorOf, faultLog, recorders } from './recorders.ts';
import { serialize } from './serialize.ts';
import { signInAboveRoutes, signInRoutes } from './access/sign-in-routes.ts';

export interface BackupRoutesOptions<Prefix extends string = '/backup'> extends AccessOptions {
  /** Where the routes stand, `/backup` unless told. */
  readonly prefix?: Prefix;
  /** The dashboard's files; the package's own build unless told. */
  readonly page?: PageAssets;
  /** Long answers and event streams send a sign of life this often; servers cut silent ones after 10 seconds. */
  readonly pingMs?: number;
  /** The clock of the rate limits, and of the one word of health. */
  readonly nowMs?: () => number;
  /** Told of every fault whose cause the client may not read. */
  readonly onError?: (error: unknown, request: Request) => void;
}

/** What Bun's server offers: the client's address, and no limit of time for one request. */
export interface HostServer {
  requestIP?(request: Request): { readonly address: string } | null;
  timeout?(request: Request, seconds: number): void;
  /** Hears whose request was let in: our own server spares such connections when there are too many. */
  admitted?(): void;
}

/**
 * @returns what answers a request; `path` is the one below the place where the routes stand.
 * @throws BackupError BAD_CONFIG when nobody said who may act.
 */
export function createAnswer(
  guarding: BackupServicePort | GuardPort,
  options: BackupRoutesOptions<string>,
): (request: Request, path: string, host?: HostServer | null) => Promise<Response> {
  assertGuarded(options);
  const guard = isGuard(guarding) && guarding.isMany ? guarding : null;
  const told = { ...options, onError: options.onError ?? faultLog() };
  const { record, refuse } = recorders(guarding, guard);
  const table = isGuard(guarding) ? guardRoutes(guarding, told, record) : routes(guarding, told, record);
  const findRoute = routeFinder(withOpenApi(table));
  const rates = new RateLimits(options.nowMs ?? (() => performance.now()));

  return async (request, path, host) => {
    const found = findRoute(request.method, path);
    if (found.kind === 'none') return dress(request, notFound());
    if (found.kind === 'method') return dress(request, methodNotAllowed(request.method, found.allowed));
    rememberClientAddress(request, host?.requestIP?.(request)?.address);
    return answer(request, found.route, found.params, host);
  };

  async function answer(
    request: Request,
    route: Route,
    params: Params,
    host: HostServer | null | undefined,
  ): Promise<Response> {
    let user: string | undefined;
    try {
      const { user: known, ...given } = await letIn(request, route, params.database);
      user = known;
      if (route.action !== 'open') host?.admitted?.();
      // Bun cuts a request that has no byte of answer after 10 seconds, Elysia after 30; a stranger's may be cut.
      if (route.isSlow) host?.timeout?.(request, 0);
      const query = new URL(request.url).searchParams;
      if (route.costs) rates.take(route.costs, nameOf(params));
      const call = { request, params, query, user, ...given };
      return dress(request, await actingAs(actorOf(request, user), async () => route.handle(call)));
    } catch (error) {
      refuse(request, { route, params, user }, error);
      return dress(request, explain(error, request));
    }
  }

  /** As one of those that are guarded. */
  function nameOf({ database }: Params): string | null {
    return guard?.databases.find(({ name }) => name === database)?.name ?? null;
  }

  async function letIn(
    request: Request,
    { action, each }: Route,
    database: string | undefined,
  ): Promise<Access & Pick<Call, 'allowed' | 'isAllowedAll'>> {
    if (!guard || !each || action === 'open') return await admit(request, action, options, database);
    return await admitToSome(request, action, guard.databases, options);
  }

  function explain(thrown: unknown, request: Request): Response {
    if (thrown instanceof BadInput) return problem(thrown, { fields: thrown.fields });
    if (thrown instanceof TooMany)
      return problem(thrown, { headers: { 'retry-after': String(thrown.retryAfterSeconds) } });
    const error = BackupError.from(thrown);
    if (statusOf(error.code) >= 500) told.onError(thrown, request);
    return problem(error, { fields: fieldsOf(thrown) });
  }
}

const DEFAULT_PING_MS = 5_000;

type Told = BackupRoutesOptions<string> & Required<Pick<BackupRoutesOptions, 'onError'>>;

/** @param among the others, where it is one of many. */
function routes(
  service: BackupServicePort,
  options: Told,
  record: Recorder,
  among?: { readonly name: string; readonly guard: GuardPort },
): readonly Route[] {
  const openStreams = new OpenStreams();
  const database = among?.name ?? null;
  const page = options.page ?? pageAssets();
  const pingMs = options.pingMs ?? DEFAULT_PING_MS;
  const watchers = new Set<() => void>();
  const backupsChanged = () => {
    for (const watcher of watchers) watcher();
  };
  const { onError } = options;
  const wordHeld = heldFor(WORD_HOLDS_MS, async () => isFailing((await service.getStatus()).freshness), options.nowMs);
  const signIn = options.authorize ? undefined : options.signIn;
  /** The page's files hold no data, and the sign-in page needs some of them. */
  const assets: Action = signIn ? 'open' : 'page';
  const mayRead = (request: Request) =>
    admit(request, 'read', options, database).then(
      () => true,
      () => false,
    );

  /** For long work: its failure is an answer too, because the headers may be gone when it comes. */
  async function long(work: () => Promise<Response>, request: Request): Promise<Response> {
    const settled = work().catch((thrown: unknown) => {
      const error = BackupError.from(thrown);
      if (statusOf(error.code) >= 500) onError(thrown, request);
      return problem(error);
    });
    return longAnswer(settled, pingMs);
  }

  return [
    ...(signIn ? (among ? signInAboveRoutes(signIn, record) : signInRoutes(signIn, page, record)) : []),
    {
      method: 'GET',
      path: '/',
      // A visitor who is not signed in gets the sign-in page at the dashboard's own address.
      action: signIn ? 'open' : 'page',
      async handle({ request }) {
        const aside = await atDoor(request, { signIn, page, mayRead, isAbove: among !== undefined });
        if (aside) return aside;
        const index = page.find('index.html');
        return index ? sendAsset(request, index) : pageNotBuilt();
      },
    },
    assetRoute(page, assets),
    {
      method: 'POST',
      path: '/now',
      action: 'backup',
      costs: 'backup',
      async handle({ request, user, query }) {
        if (readQuery(query, nowQuery).wait === 'false')
          return json<RunAccepted>(await service.requestBackup(user), 202);
        return long(async () => {
          const result = serialize(await service.performBackup(user));
          return json<BackupResult>(result, result.error ? statusOf(result.error.code) : 200);
        }, request);
      },
    },
    {
      method: 'POST',
      path: '/config',
      action: 'configure',
      async handle({ request }) {
        const change = await readBody(request, configChange, 'BAD_CONFIG');
        if (changesRetention(change, service.getConfig())) await admitToRetention(request, options, database);
        return json<Config>(serialize(service.updateConfig(change)));
      },
    },
    {
      method: 'GET',
      path: '/health',
      action: 'open',
      async handle({ request }) {
        const answer = (failing: boolean, more: Partial<Health> = {}) =>
          json<Health>({ status: failing ? 'failing' : 'ok', ...more }, failing ? 503 : 200);
        if (!(await mayRead(request))) return answer(await wordHeld());
        const { verdict, freshness, lastGood } = await service.getStatus();
        const more = { state: freshness.state, verdict: verdict.code, lastGood: serialize(lastGood) };
        return answer(isFailing(freshness), more);
      },
    },
    {
      method: 'GET',
      path: '/metrics',
      action: 'metrics',
      async handle() {
        const { text, contentType } = await renderMetrics(service);
        return new Response(text, { headers: { 'content-type': contentType, 'cache-control': 'no-store' } });
      },
    },
    {
      method: 'DELETE',
      path: '/:filename',
      action: 'delete',
      isSlow: true,
      async handle({ params, query, user }) {
        const filename = readName(params);
        const { target } = readQuery(query, deleteQuery);
        await service.deleteBackup(filename, { target, user });
        backupsChanged();
        return json<DeleteAnswer>({ deleted: filename });
      },
    },
    {
      // The dashboard's files that lie beside index.html share their depth with the file names above.
      method: 'GET',
      path: '/:filename',
      action: assets,
      fallback: true,
      handle({ request, params }) {
        const name = params.filename ?? '';
        const asset = page.find(name);
        if (asset) return sendAsset(request, asset);
        return backupName.test(name) ? methodNotAllowed(request.method, ['DELETE']) : notFound();
      },
    },
    {
      method: 'GET',
      path: '/api/databases',
      action: 'read',
      async handle({ request }) {
        const name = databaseNameOf(service);
        if (!among)
          return json<DatabasesAnswer>(await describeDatabases([{ name, service }], { isMany: false, current: name }));
        const { allowed = [] } = await admitToSome(request, 'read', among.guard.databases, options);
        return json<DatabasesAnswer>(await describeDatabases(allowed, { isMany: true, current: among.name }));
      },
    },
    {
      method: 'GET',
      path: '/api/status',
      action: 'read',
      async handle() {
        return json<Status>(serialize(await service.getStatus()));
      },
    },
    {
      method: 'GET',
      path: '/api/backups',
      action: 'read',
      async handle() {
        return json<BackupsAnswer>({
          backups: serialize(await service.getBackups()),
        });
      },
    },
    {
      method: 'GET',
      path: '/api/backups/:filename',
      action: 'read',
      async handle({ params }) {
        return json<Backup>(serialize(await service.getBackup(readName(params))));
      },
    },
    {
      method: 'PATCH',
      path: '/api/backups/:filename',
      action: 'change',
      isSlow: true,
      async handle({ request, params }) {
        const filename = readName(params);
        const change = await readBody(request, backupChange);
        // What is not pinned any more is for retention to remove.
        if (change.pinned === false) await admitToRetention(request, options, database);
        const changed = await service.updateBackup(filename, change);
        backupsChanged();
        return json<Backup>(serialize(changed));
      },
    },
    {
      method: 'GET',
      path: '/api/backups/:filename/download',
      action: 'download',
      costs: 'download',
      isSlow: true,
      async handle({ request, params, query }) {
        const filename = readName(params);
        const allowPlain = readQuery(query, downloadQuery).allowPlain !== undefined;
        return sendBackup(request, filename, await service.openBackup(filename, { allowPlain }));
      },
    },
    {
      method: 'POST',
      path: '/api/backups/:filename/verify',
      action: 'verify',
      costs: 'verify',
      async handle({ request, params, user }) {
        const filename = readName(params);
        const asked = await readBody(request, verifyBody);
        return long(async () => {
          const verified = await service.verifyBackup(filename, { full: false, ...asked, user });
          backupsChanged();
          return json<Backup>(serialize(verified));
        }, request);
      },
    },
    {
      method: 'POST',
      path: '/api/backups/:filename/adopt',
      action: 'change',
      costs: 'verify',
      async handle({ request, params }) {
        const filename = readName(params);
        return long(async () => {
          const adopted = await service.adoptBackup(filename);
          backupsChanged();
          return json<Backup>(serialize(adopted));
        }, request);
      },
    },
    {
      method: 'GET',
      path: '/api/backups/:filename/restore',
      action: 'read',
      costs: 'plan',
      async handle({ request, params, query }) {
        const filename = readName(params);
        const { mode, allowPlain } = readQuery(query, planQuery);
        const asked = { mode, allowPlain: allowPlain !== undefined };
        return long(async () => json<RestorePlan>(serialize(await service.planRestore(filename, asked))), request);
      },
    },
    {
      method: 'POST',
      path: '/api/backups/:filename/restore',
      action: 'restore',
      costs: 'restore',
      async handle({ request, params, user }) {
        const filename = readName(params);
        const { confirm, ...options } = await readBody(request, restoreBody);
        if (options.mode !== 'missing') requireConfirmed(service, confirm ?? '');
        return long(
          async () => json<RestoreResult>(serialize(await service.restore(filename, { ...options, user }))),
          request,
        );
      },
    },
    {
      method: 'GET',
      path: '/api/restore',
      action: 'read',
      costs: 'plan',
      async handle({ request, query }) {
        const { mode, allowPlain, ...named } = readQuery(query, pointPlanQuery);
        const point = pointOf(named);
        const asked = { mode, allowPlain: allowPlain !== undefined };
        return long(async () => json<RestorePlan>(serialize(await service.planRestore(point, asked))), request);
      },
    },
    {
      method: 'POST',
      path: '/api/restore',
      action: 'restore',
      costs: 'restore',
      async handle({ request, user }) {
        const { confirm, backup, at, latest: _, ...options } = await readBody(request, pointRestoreBody);
        const point = pointOf({ backup, at });
        if (options.mode !== 'missing') requireConfirmed(service, confirm ?? '');
        return long(
          async () => json<RestoreResult>(serialize(await service.restore(point, { ...options, user }))),
          request,
        );
      },
    },
    {
      method: 'POST',
      path: '/api/claim',
      action: 'configure',
      async handle({ request, user }) {
        const target = (await readBody(request, claimBody))?.target;
        return long(async () => {
          const claimed = serialize(await service.claim({ target, user }));
          backupsChanged();
          return json<ClaimAnswer>(claimed);
        }, request);
      },
    },
    {
      method: 'POST',
      path: '/api/restore/undo',
      action: 'restore',
      costs: 'restore',
      async handle({ request, user }) {
        const { confirm, mode } = await readBody(request, undoBody);
        requireConfirmed(service, confirm);
        return long(async () => json<RestoreResult>(serialize(await service.undoRestore({ mode, user }))), request);
      },
    },
    {
      method: 'POST',
      path: '/api/restore/dismiss',
      action: 'change',
      handle() {
        return json<DismissAnswer>({ dismissed: service.dismissRestore() });
      },
    },
    {
      method: 'GET',
      path: '/api/diff',
      action: 'read',
      async handle({ query }) {
        const { a, b } = readQuery(query, diffQuery);
        return json<BackupDiff>(serialize(await service.diff(a, b)));
      },
    },
    {
      // Retention removes then what is held now.
      method: 'POST',
      path: '/api/loss/accept',
      action: 'delete',
      isSlow: true,
      async handle({ request, user }) {
        const accepted = await service.acceptLoss({ ...(await readBody(request, lossAnswer)), user });
        backupsChanged();
        return json<Backup>(serialize(accepted));
      },
    },
    {
      method: 'POST',
      path: '/api/loss/reopen',
      action: 'delete',
      isSlow: true,
      async handle({ request }) {
        const { filename } = await readBody(request, lossReopening);
        const reopened = await service.reopenLoss(filename);
        backupsChanged();
        return json<Backup>(serialize(reopened));
      },
    },
    {
      method: 'GET',
      path: '/api/activity',
      action: 'read',
      async handle({ query }) {
        const { range } = readQuery(query, activityQuery);
        return json<Activity>(serialize(await service.getActivity(range)));
      },
    },
    {
      method: 'GET',
      path: '/api/runs',
      action: 'read',
      handle({ query }) {
        const { limit } = readQuery(query, runsQuery);
        return json<RunsAnswer>({
          runs: serialize(service.getRuns({ limit })),
        });
      },
    },
    {
      method: 'GET',
      path: '/api/audit',
      action: 'audit',
      handle: ({ query }) => json<AuditAnswer>({ entries: serialize(service.getAudit(readAuditQuery(query))) }),
    },
    {
      method: 'POST',
      path: '/api/runs/stop',
      action: 'backup',
      async handle({ request }) {
        return long(async () => json<StopAnswer>({ stopped: await service.stopRun() }), request);
      },
    },
    {
      method: 'POST',
      path: '/api/targets/:name/test',
      action: 'configure',
      costs: 'test',
      async handle({ request, params }) {
        const name = targetName.safeParse(params.name);
        if (!name.success)
          throw new BadInput('BAD_REQUEST', { target: name.error.issues[0]?.message ?? 'is not the name of a target' });
        return long(async () => json<TargetReport>(serialize(await service.testTarget(name.data))), request);
      },
    },
    {
      // The bucket is not asked: that writes to it, and is `/api/targets/s3/test`.
      method: 'GET',
      path: '/api/doctor',
      action: 'read',
      costs: 'doctor',
      async handle({ request }) {
        return long(async () => {
          const { ok, findings } = await service.diagnose();
          const plain = (text: string | null) => text && withoutFolders(text);
          return json<DoctorReport>({
            ok,
            findings: findings.map(({ what, why, fix, ...rest }) => ({
              ...rest,
              what: withoutFolders(what),
              why: plain(why),
              // Cut short it would be a command for another folder.
              fix: plain(fix?.replace(/^(chmod \d+) \/.*$/s, '$1 on what is named above') ?? null),
            })),
          });
        }, request);
      },
    },
    {
      method: 'POST',
      path: '/api/drill',
      action: 'verify',
      costs: 'drill',
      async handle({ request, user }) {
        const asked = await readBody(request, drillBody);
        return long(async () => {
          const report = serialize(await service.drill({ ...asked, user }));
          backupsChanged();
          const drills = report.drills.map((drill) => ({ ...drill, error: drill.error && publicError(drill.error) }));
          return json<DrillReport>({ ...report, drills });
        }, request);
      },
    },
    {
      method: 'GET',
      path: '/api/config',
      action: 'read',
      handle() {
        return json<Config>(serialize(service.getConfig()));
      },
    },
    {
      method: 'GET',
      path: '/api/prune',
      action: 'read',
      costs: 'plan',
      async handle({ query, request }) {
        const { target } = readQuery(query, pruneQuery);
        return long(async () => json<PrunePlan>(serialize(await service.prune({ dryRun: true, target }))), request);
      },
    },
    {
      method: 'GET',
      path: '/api/session',
      action: 'read',
      handle: ({ request, user }) =>
        json<Session>({
          user: user ?? null,
          canSignOut: signIn?.hasSession(request) ?? false,
          needsPassword: signIn !== undefined && !signIn.isFresh(request),
        }),
    },
    {
      method: 'GET',
      path: '/api/events',
      action: 'read',
      costs: 'watch',
      handle({ request, user }) {
        // Some hosts answer HEAD with a GET and read the body to its end, which never comes.
        if (request.method === 'HEAD')
          return new Response(null, {
            headers: { 'content-type': 'text/event-stream; charset=utf-8' },
          });
        return eventStream(service, {
          pingMs,
          openStreams,
          owner: user ?? clientAddressOf(request) ?? '',
          signal: request.signal,
          mayGoOn: async () => void (await admit(request, 'read', options, database)),
          onError: (error) => onError(error, request),
          onBackupsChanged(listener) {
            watchers.add(listener);
            return () => watchers.delete(listener);
          },
        });
      },
    },
  ];
}

/** One of many has its routes below its name; without a list the one has them all. */
function guardRoutes(guard: GuardPort, options: Told, record: Recorder): readonly Route[] {
  const [only] = guard.databases;
  if (!guard.isMany && only) return routes(only.service, options, record);
  const page = options.page ?? pageAssets();
  const signIn = options.authorize ? undefined : options.signIn;
  const may = (request: Request, database: string | null) =>
    admit(request, 'read', options, database).then(
      () => true,
      () => false,
    );
  const readable = async (request: Request) => {
    const some = admitToSome(request, 'read', guard.databases, options);
    return await some.then(
      ({ allowed = [] }) => allowed,
      () => [],
    );
  };
  const assets: Action = signIn ? 'open' : 'page';
  return manyRoutes(guard, {
    ...{ page, mayRead: may, readable, nowMs: options.nowMs },
    // The overview names databases.
    actions: { assets, front: signIn ? 'open' : 'read' },
    shared: [...(signIn ? signInRoutes(signIn, page, record) : []), { ...assetRoute(page, assets), each: true }],
    door: (request) => atDoor(request, { signIn, page, mayRead: (asked) => may(asked, null), isAbove: false }),
    routesOf: ({ name, service }) => routes(service, { ...options, page }, record, { name, guard }),
  });
}

/** The name of the one database that nobody gave a name. */
function databaseNameOf(service: BackupServicePort): string {
  const file = basename(service.getConfig().databasePath);
  return file.slice(0, file.length - extname(file).length);
}

/** Exactly one of these is there: the schema has seen to that. */
function pointOf({ backup, at }: { readonly backup?: string; readonly at?: string }): RestorePointGiven {
  if (backup !== undefined) return { backup };
  return at === undefined ? { latest: true } : { at };
}

function withOpenApi(table: readonly Route[]): readonly Route[] {
  const own: Route = {
    method: 'GET',
    path: '/api/openapi.json',
    action: 'read',
    handle: () => json(openApi([...table, own])),
  };
  return [...table, own];
}

function requireConfirmed(service: BackupServicePort, confirm: string | undefined): void {
  const name = basename(service.getConfig().databasePath);
  if (confirm === name) return;
  throw new BackupError('CONFIRM_MISMATCH', `the confirmation must be the database's file name, ${name}`, {
    hint: `Send "confirm": "${name}" when you are sure to replace it.`,
  });
}

/** Field messages that the service gave along with its error. */
function fieldsOf(error: unknown): Record<string, string> | undefined {
  if (!(error instanceof BackupError) || !('fields' in error)) return undefined;
  const { fields } = error;
  if (typeof fields !== 'object' || fields === null) return undefined;
  return Object.fromEntries(Object.entries(fields).map(([name, message]) => [name, String(message)]));
}
