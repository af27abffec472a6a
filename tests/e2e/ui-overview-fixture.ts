/**
 * The small server of `ui-fixture.ts` for several databases: the overview as it is built, under the production's policy, and
 * databases in every state. What it is asked for goes on as on the real server, four at a time, in a few steps.
 *
 * By hand: `bun tests/e2e/ui-overview-fixture.ts [how many more] [port]`.
 */
import type { DatabaseRow } from '../../src/http/contract.ts';
import { pageFile, policy } from './ui-fixture.ts';

const pingMs = 1_000;
const megabyte = 1024 * 1024;
const stepMs = 40;
const atOnce = 4;

export interface OverviewFixture {
  readonly url: string;
  /** Every request that asked for a change, as "METHOD /path body". */
  readonly asked: string[];
  /** The names for which bars were asked, one list a request. */
  readonly strips: string[][];
  /** Something happens to one of them, and every open page is told. */
  happensTo(name: string, change: Partial<DatabaseRow>): void;
  /** A file that matches the configuration is there. */
  appears(name: string): void;
  stop(): Promise<void>;
}

export interface OverviewOptions {
  readonly port?: number;
  /** Databases beside those in every state, all protected. */
  readonly more?: number;
  readonly isEmpty?: boolean;
  /** A backup of these fails. */
  readonly failing?: readonly string[];
}

export function startOverview(options: OverviewOptions = {}): OverviewFixture {
  const started = performance.now();
  const origin = Date.parse('2026-11-22T13:34:18.000Z');
  const now = () => origin + (performance.now() - started);
  const rows = new Map((options.isEmpty ? [] : makeRows(origin, options.more ?? 0)).map((row) => [row.name, row]));
  const streams = new Set<ReadableStreamDefaultController<Uint8Array>>();
  const [asked, strips]: [string[], string[][]] = [[], []];
  const encoder = new TextEncoder();
  const event = (type: string, data: object) => encoder.encode(`event: ${type}\ndata: ${JSON.stringify(data)}\n\n`);
  const told = (isAll: boolean, databases: Iterable<DatabaseRow>) =>
    event('databases', { serverTime: new Date(now()).toISOString(), isAll, databases: [...databases] });
  const tell = (bytes: Uint8Array) => {
    for (const stream of streams) stream.enqueue(bytes);
  };
  const pings = setInterval(() => tell(told(false, [])), pingMs);

  const happensTo = (name: string, change: Partial<DatabaseRow>) => {
    const row = rows.get(name);
    if (!row) return;
    rows.set(name, { ...row, ...change });
    tell(told(false, [{ ...row, ...change }]));
  };
  const appears = (name: string) => {
    rows.set(name, makeRow(name, origin));
    happensTo(name, {});
  };
  const waiting: (() => Promise<void>)[] = [];
  let running = 0;
  const goOn = () => {
    while (running < atOnce) {
      const next = waiting.shift();
      if (!next) return;
      running++;
      void next().finally(() => {
        running--;
        goOn();
      });
    }
  };
  const carryOut = async (act: 'backup' | 'verify', name: string) => {
    const before = rows.get(name);
    const errand = (state: 'running' | 'done' | 'failed', detail: string | null = null) => ({ act, state, detail });
    happensTo(name, {
      errand: errand('running'),
      ...(act === 'backup' && { code: 'running', tone: 'blue', label: 'Backing up…', percent: 40, reason: 'copy' }),
    });
    await Bun.sleep(stepMs);
    const { code, tone, label, reason, percent } = before ?? expectRow(name);
    const standing = { code, tone, label, reason, percent };
    if (options.failing?.includes(name))
      happensTo(name, { ...standing, errand: errand('failed', 'the disk is full: 14.2 MB needed, 3.1 MB free') });
    else
      happensTo(name, {
        ...standing,
        errand: errand('done'),
        ...(act === 'backup' && { lastGoodAt: new Date(now()).toISOString() }),
      });
  };
  const begin = (act: 'backup' | 'verify', asked: readonly string[]) => {
    const isOpen = ({ errand }: DatabaseRow) => errand?.act === act && /waiting|running/.test(errand.state);
    const names = asked.filter((name) => !isOpen(rows.get(name) ?? expectRow(name)));
    for (const name of names) {
      happensTo(name, { errand: { act, state: 'waiting', detail: null } });
      waiting.push(() => carryOut(act, name));
    }
    goOn();
    return Response.json({ accepted: names.length }, { status: 202 });
  };

  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: options.port ?? 0,
    idleTimeout: 60,
    async fetch(request) {
      const url = new URL(request.url);
      if (url.pathname === '/backup') return new Response(null, { status: 308, headers: { location: './backup/' } });
      const path = url.pathname.slice('/backup/'.length);
      if (request.method === 'POST') {
        const text = await request.text();
        asked.push(`POST ${path} ${text}`.trim());
        const act = /^api\/databases\/(backup|verify)$/.exec(path)?.[1];
        if (act !== 'backup' && act !== 'verify') return new Response('not found', { status: 404 });
        return begin(act, text === '' ? [...rows.keys()] : JSON.parse(text).names);
      }
      if (path === 'api/events') return stream();
      if (path === 'api/session') return Response.json({ user: null, canSignOut: false, needsPassword: false });
      if (path === 'api/databases/activity') {
        const names = (url.searchParams.get('names') ?? '').split(',');
        strips.push(names);
        return Response.json({
          strips: Object.fromEntries(names.map((name, index) => [name, stripFor(rows.get(name), index)])),
        });
      }
      return await pageFile(path === '' ? 'overview.html' : path);
    },
  });

  function stream(): Response {
    let own: ReadableStreamDefaultController<Uint8Array>;
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        own = controller;
        streams.add(controller);
        controller.enqueue(told(true, rows.values()));
      },
      cancel: () => void streams.delete(own),
    });
    return new Response(body, { headers: { 'content-type': 'text/event-stream', 'content-security-policy': policy } });
  }

  return {
    url: `http://127.0.0.1:${server.port}/backup/`,
    asked,
    strips,
    happensTo,
    appears,
    async stop() {
      clearInterval(pings);
      for (const open of streams) open.close();
      streams.clear();
      await server.stop(true);
    },
  };
}

function expectRow(name: string): never {
  throw new Error(`there is no database ${name}`);
}

const both: DatabaseRow['places'] = [
  { target: 'local', kind: 'local', state: 'stored' },
  { target: 's3', kind: 'bucket', state: 'stored' },
];

function makeRow(
  name: string,
  originMs: number,
  { minutesAgo = 4, megabytes = 14.2, ...change }: RowGiven = {},
): DatabaseRow {
  return {
    name,
    page: `db/${name}/`,
    path: `db/${name.replace('tenants.', 't/')}.sqlite`,
    exists: true,
    state: 'protected',
    code: 'protected',
    label: 'Protected',
    tone: 'green',
    reason: null,
    percent: null,
    sizeBytes: Math.round(megabytes * megabyte),
    lastGoodAt: new Date(originMs - minutesAgo * 60_000).toISOString(),
    nextRunAt: new Date(originMs + 342_000).toISOString(),
    places: both,
    errand: null,
    ...change,
  };
}
type RowGiven = Partial<DatabaseRow> & { readonly minutesAgo?: number; readonly megabytes?: number };

function makeRows(originMs: number, more: number): DatabaseRow[] {
  const row = (name: string, given?: RowGiven) => makeRow(name, originMs, given);
  const sizes = { app: 14.2, auth: 2.1, inbox: 0.625, jobs: 1.4, metrics: 77.5, search: 412, 'tenants.globex': 31.4 };
  return [
    ...Object.entries(sizes).map(([name, megabytes]) => row(name, { megabytes })),
    ...['tenants.initech', 'tenants.umbrella', 'tenants.zoo'].map((name) => row(name)),
    row('billing', {
      ...{ code: 'missing', label: 'File is missing', tone: 'red', state: 'at-risk', exists: false, sizeBytes: 0 },
      minutesAgo: 44,
    }),
    row('shop', {
      ...{ code: 'loss', label: 'Much was lost', tone: 'red', state: 'at-risk', megabytes: 9.8 },
      ...{ reason: 'orders had 8,310 rows, now 0', places: both.slice(0, 1) },
    }),
    row('tenants.acme', {
      ...{ code: 's3-waiting', label: 'Uploads wait', tone: 'amber', state: 'at-risk', megabytes: 31 },
      reason: '`s3.wasabisys.com` does not answer',
      places: [...both.slice(0, 1), { target: 's3', kind: 'bucket', state: 'failing' }],
    }),
    row('events', {
      ...{ code: 'running', label: 'Backing up…', tone: 'blue', megabytes: 1843, minutesAgo: 62 },
      ...{ percent: 62, reason: 'copy' },
    }),
    ...Array.from({ length: more }, (_, index) => row(`customers.c${String(index).padStart(4, '0')}`)),
  ];
}

function stripFor(row: DatabaseRow | undefined, index: number): string {
  const letters = Array.from({ length: 36 }, (_, at): string => ((at * 7 + index * 3) % 41 === 0 ? '-' : 'k'));
  if (row?.code === 'missing') letters.fill('f', 32);
  if (row?.code === 's3-waiting') letters.fill('w', 29);
  if (row?.code === 'loss') letters.fill('f', 35);
  return letters.join('');
}

if (import.meta.main) {
  const [more = 0, port = 0] = process.argv.slice(2).map(Number);
  console.log(startOverview({ more, port }).url);
}
