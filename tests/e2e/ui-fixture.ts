/**
 * A small real server for looking at the page: it serves `dist/page` under the production's content security policy
 * and answers the contract's routes from a canned state. A run that it is asked for goes through its steps, a restore
 * ends with the verdict "restored"; nothing is stored.
 *
 * By hand: `bun tests/e2e/ui-fixture.ts [state] [port]`.
 */
import { join, normalize } from 'node:path';
import type {
  Activity,
  AuditAnswer,
  Backup,
  Config,
  DoctorReport,
  DrillReport,
  ErrorAnswer,
  RestorePlan,
  RestoreResult,
  Run,
  RunProgress,
  Status,
  TargetReport,
} from '../../src/http/contract.ts';
import { FixtureSetUps, type SetUpScene } from './ui-set-up.ts';
import { type ArrivalScene, FixtureArrivals } from './ui-arrivals.ts';
import { makeActivity, olderRuns } from './ui-activity.ts';
import {
  type Alarm,
  type AlarmState,
  alarmStates,
  countRows,
  diffOf,
  isAlarm,
  noAlarm,
  planFor,
  raiseAlarm,
} from './ui-alarms.ts';
import { settingsWith } from '../support/settings.ts';

export const states = [
  'ok',
  'running',
  'restoring',
  'restored',
  'failed',
  'too-old',
  'stalled',
  'damaged',
  /** An older backup did not pass its last check. */
  'check-failed',
  's3-waiting',
  'off',
  'disk-low',
  'empty',
  /** Every badge and chip that a row can have, and a drill that failed; the oldest backups are at S3 alone. */
  'mixed',
  /** Some safety copies after restores, a day of hourly backups, some at S3 alone. */
  'history',
  /** One verified backup and nothing else; nobody said what to keep beside the newest. */
  'single',
  /** Two backups, all on this machine, no drill, and no notifications. */
  'first-day',
  ...alarmStates,
] as const;
export type State = (typeof states)[number];

export const policy =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types svelte-trusted-html";

const pageFolder = new URL('../../dist/page/', import.meta.url).pathname;
const ranges: readonly Activity['range'][] = ['24h', '7d', '30d'];
const pingMs = 2000;
const minuteMs = 60_000;
const megabyte = 1024 * 1024;

export interface Fixture {
  readonly url: string;
  /** Every request that asked for a change, as "METHOD /path body". */
  readonly asked: string[];
  /** Uploaded files that are neither kept nor discarded. */
  readonly arrivals: { readonly left: number };
  /** Something happens at the server, and every open page is told. */
  happens(change: Partial<Alarm>): void;
  /** Ends the server and every stream, as if it had crashed. */
  stop(): Promise<void>;
}

export interface FixtureOptions {
  readonly port?: number;
  readonly now?: Date;
  /** As an hour after the sign-in: to delete and to restore want the password, which is `correct horse`. */
  readonly wantsPassword?: boolean;
  /** The number of further backups, one each ten minutes before the oldest. */
  readonly more?: number;
  /** What is set up already, and how a test of it ends. */
  readonly setUp?: SetUpScene;
  /** What a file that is uploaded turns out to be. */
  readonly arrival?: ArrivalScene;
  /** Another target beside S3, which holds them all. */
  readonly further?: string;
  /** A backup that is asked for waits for this before it ends. */
  readonly until?: Promise<void>;
}

export function startFixture(state: State, options: FixtureOptions = {}): Fixture {
  const started = performance.now();
  const origin = options.now?.getTime() ?? Date.parse('2026-11-22T10:34:18.000Z');
  const now = () => origin + (performance.now() - started);
  const model = makeModel(state, origin, now);
  for (let index = 1; index <= (options.more ?? 0); index++)
    model.backups.push(
      makeBackup(origin - 48 * 60 * minuteMs - index * 10 * minuteMs, (13.1 - index / 1000) * megabyte),
    );
  let isPasswordWanted = options.wantsPassword ?? false;
  const setUps: FixtureSetUps = new FixtureSetUps(options.setUp ?? {}, () => {
    model.config = { ...model.config, notifies: setUps.notifies };
    emit('status', model.status());
  });
  const arrivals = new FixtureArrivals(
    options.arrival ?? {},
    () => model.backups,
    (name) => {
      const other = options.arrival?.likeness === 'another' ? { id: 'wiki', name } : null;
      const made = {
        ...makeBackup(Date.parse('2026-11-21T16:02:00.000Z'), 14 * megabyte),
        pinned: true,
        note: `From ${name}`,
        other,
      };
      model.backups = [...model.backups, made].sort((a, b) => (a.createdAt < b.createdAt ? 1 : -1));
      emit('backups', {});
      return made;
    },
  );
  const { further } = options;
  if (further !== undefined) addTarget(model, further);
  const streams = new Set<ReadableStreamDefaultController<Uint8Array>>();
  const asked: string[] = [];
  const encoder = new TextEncoder();

  const emit = (type: string, data: unknown) => {
    const bytes = encoder.encode(`event: ${type}\ndata: ${JSON.stringify(data)}\n\n`);
    for (const stream of streams) stream.enqueue(bytes);
  };
  const ping = setInterval(() => emit('ping', {}), pingMs);

  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: options.port ?? 0,
    idleTimeout: 60,
    async fetch(request) {
      const url = new URL(request.url);
      if (url.pathname === '/backup') return new Response(null, { status: 308, headers: { location: './backup/' } });
      if (!url.pathname.startsWith('/backup/')) return new Response('not found', { status: 404 });
      const path = url.pathname.slice('/backup/'.length);
      if (request.method !== 'GET')
        asked.push(`${request.method} ${path}${url.search} ${await request.clone().text()}`.trim());
      return (await answer(request, path)) ?? (await pageFile(path));
    },
  });

  const activity = (range: Activity['range']) =>
    makeActivity(state, range, { last: origin - (origin % (10 * minuteMs)), runs: model.runs });
  const withOlderRuns = () => [
    ...model.runs,
    ...olderRuns(activity('24h'), model.runs, (id, time) => makeRun(id, time, undefined)),
  ];

  async function answer(request: Request, path: string): Promise<Response | undefined> {
    const { method } = request;
    const url = new URL(request.url);
    if (path === 'confirm' && method === 'POST') {
      const { password } = await request.json();
      if (password !== 'correct horse') return refuse(403, 'PASSWORD_AGAIN', 'that is not the password', 'Try again.');
      isPasswordWanted = false;
      return Response.json({ confirmed: true });
    }
    const partAnswer = (await setUps.answer(request, path)) ?? (await arrivals.answer(request, path));
    if (partAnswer) return partAnswer;
    if (method === 'DELETE') {
      if (isPasswordWanted)
        return refuse(
          403,
          'PASSWORD_AGAIN',
          'you signed in more than an hour ago, and this can’t be taken back',
          'Send it.',
        );
      model.backups = model.backups.filter((backup) => backup.filename !== path);
      emit('backups', {});
      return Response.json({ deleted: path });
    }
    if (path === 'now' && method === 'POST') return Response.json({ runId: runBackup() }, { status: 202 });
    if (path === 'config' && method === 'POST') return saveConfig(await request.json());
    if (!path.startsWith('api/')) return undefined;
    const [, , filename = '', verb] = path.split('/');
    switch (path) {
      case 'api/status':
        return Response.json(model.status());
      case 'api/backups':
        return Response.json({ backups: model.backups });
      case 'api/runs':
        return Response.json({
          runs: (Number(url.searchParams.get('limit')) > 100 ? withOlderRuns() : model.runs).filter(
            ({ kind, result }) =>
              (url.searchParams.get('kind') ?? kind) === kind && (url.searchParams.get('result') ?? result) === result,
          ),
        });
      case 'api/activity':
        return Response.json(activity(ranges.find((name) => name === url.searchParams.get('range')) ?? '24h'));
      case 'api/config':
        return Response.json(model.config);
      case 'api/events':
        return events();
      case 'api/runs/stop':
        model.run = null;
        emit('status', model.status());
        return Response.json({ stopped: true });
      case 'api/targets/offsite-eu/test':
      case 'api/targets/s3/test':
        return Response.json(targetReport(state));
      case 'api/databases':
        return Response.json({ current: null, databases: [] });
      case 'api/session':
        return Response.json({ user: null, canSignOut: false, needsPassword: isPasswordWanted });
      case 'api/doctor':
        return Response.json(doctorReport(state));
      case 'api/audit':
        return Response.json({ entries: auditEntries(now()) });
      case 'api/drill':
        model.isProven = true;
        emit('status', model.status());
        return Response.json(drillReport(state));
      case 'api/prune':
        return Response.json({
          target: url.searchParams.get('target'),
          kept: model.backups.map(({ filename }, index) => ({
            filename,
            reasons: [...(index === 0 ? ['newest verified backup'] : []), `one of the newest 10 (${index + 1})`],
          })),
          removed: [],
          dryRun: true,
        });
      case 'api/restore/dismiss':
        model.verdict = { code: 'protected', tone: 'green' };
        emit('status', model.status());
        return Response.json({ dismissed: true });
      case 'api/restore/undo':
        return restore(await request.json(), 'undo');
      case 'api/diff': {
        const [a, b] = ['a', 'b'].map((name) =>
          model.backups.find((one) => one.filename === url.searchParams.get(name)),
        );
        return a && b
          ? Response.json(diffOf(a, b))
          : refuse(404, 'GONE', 'there is no such backup', 'Reload the list.');
      }
      case 'api/claim': {
        const { target = 'local' } = await request.json();
        for (const backup of model.backups) backup.other = null;
        happens({ verdict: { code: 'protected', tone: 'green' }, places: noAlarm().places });
        return Response.json({ claimed: target });
      }
      case 'api/loss/accept': {
        const body = await request.json();
        if (body.ignore) Object.assign(model.config, { lossIgnore: model.alarm.loss?.tables.map(({ name }) => name) });
        return answerLoss(body, true);
      }
      case 'api/loss/reopen':
        return answerLoss(await request.json(), false);
    }
    const backup = model.backups.find((candidate) => candidate.filename === decodeURIComponent(filename));
    if (backup === undefined) return refuse(404, 'GONE', 'this backup no longer exists', 'Reload the list.');
    if (verb === 'restore')
      return method === 'GET'
        ? Response.json(planFor(plan(backup), { exists: model.alarm.exists, other: backup.other }))
        : restore(await request.json(), 'restore', backup.other !== null);
    if (verb === 'download') return new Response('SQLite format 3\0');
    if (verb === 'verify')
      backup.verification = {
        state: 'verified',
        method: 'quick',
        at: new Date(now()).toISOString(),
        content: [],
        unchecked: [],
        remarks: [],
      };
    if (verb === 'adopt') backup.foreign = false;
    if (method === 'PATCH') Object.assign(backup, await request.json());
    emit('backups', {});
    return Response.json(backup);
  }

  function events(): Response {
    let own: ReadableStreamDefaultController<Uint8Array>;
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        own = controller;
        streams.add(controller);
        controller.enqueue(encoder.encode(`event: status\ndata: ${JSON.stringify(model.status())}\n\n`));
      },
      cancel() {
        streams.delete(own);
      },
    });
    return new Response(body, { headers: { 'content-type': 'text/event-stream', 'cache-control': 'no-store' } });
  }

  /** A backup that takes a good second, so that its steps can be seen. */
  function runBackup(): string {
    const id = `run-${model.runs.length + 1}`;
    const startedAt = new Date(now()).toISOString();
    const names = ['checkpoint', 'copy', 'verify', 'publish', 'prune'] as const;
    const tick = (index: number) => {
      const steps = names.map((name, at) => ({
        name,
        state: at < index ? ('done' as const) : at === index ? ('running' as const) : ('waiting' as const),
        ...(at < index ? { ms: 250 } : {}),
      }));
      if (index < names.length) {
        model.run = {
          id,
          kind: 'backup',
          trigger: 'manual',
          user: null,
          startedAt,
          backup: null,
          steps,
          percent: (index / names.length) * 100,
        };
        emit('progress', model.run);
        const until = index === names.length - 1 ? options.until : undefined;
        setTimeout(() => void Promise.resolve(until).then(() => tick(index + 1)), 250);
        return;
      }
      model.run = null;
      const made = makeBackup(now(), 14.2 * megabyte);
      model.backups = [made, ...model.backups];
      const run: Run = { ...makeRun(id, now(), made), trigger: 'manual', startedAt, steps };
      model.runs = [run, ...model.runs];
      emit('run', run);
      emit('backups', {});
      emit('status', model.status());
    };
    tick(0);
    return id;
  }

  function happens({ verdict, ...change }: Partial<Alarm>): void {
    if (verdict) model.verdict = verdict;
    Object.assign(model.alarm, change);
    emit('backups', {});
    emit('status', model.status());
  }

  function answerLoss({ filename }: { filename: string }, isMeant: boolean): Response {
    const loss = model.backups.find((backup) => backup.filename === filename)?.loss;
    if (!loss) return refuse(404, 'GONE', 'this backup shows no loss', 'Reload the list.');
    loss.accepted = isMeant ? { at: iso(now()), user: null } : null;
    happens({ verdict: isMeant ? { code: 'protected', tone: 'green' } : { code: 'loss', tone: 'red' } });
    return Response.json(isMeant ? { accepted: filename } : { reopened: filename });
  }

  function restore(
    body: { confirm?: string; mode?: string; fromOther?: boolean },
    kind: 'restore' | 'undo',
    isOther = false,
  ): Response {
    if (isOther && body.fromOther !== true)
      return refuse(409, 'FOREIGN_PLACE', 'this is a backup of shop.sqlite', 'Say so when it is what you want.');
    if (body.mode === 'missing') {
      if (model.alarm.exists)
        return refuse(409, 'TARGET_EXISTS', 'there is a file at db/dev.sqlite', 'Look at it, then restore over it.');
      happens({ exists: true });
    } else if (body.confirm !== 'dev.sqlite')
      return refuse(422, 'CONFIRM_MISMATCH', 'the name does not match', 'Type dev.sqlite.');
    const [newest] = model.backups;
    const run: Run = {
      ...makeRun(`run-${model.runs.length + 1}`, now(), newest),
      kind,
      trigger: 'manual',
      steps: restoreSteps(5),
    };
    model.verdict = { code: 'restored', tone: 'green' };
    model.undo = { filename: model.backups.at(-1)?.filename ?? '', restored: newest?.filename ?? '', at: run.endedAt };
    model.runs = [run, ...model.runs];
    emit('run', run);
    const result: RestoreResult = {
      success: true,
      backup: newest?.filename ?? '',
      mode: 'online',
      path: 'db/dev.sqlite',
      safetyBackup: model.undo.filename,
      report: run,
    };
    return Response.json(result);
  }

  function saveConfig(change: Partial<Config> & { revert?: string[]; lossIgnore?: string[] }): Response {
    if (change.intervalMinutes !== undefined && !(change.intervalMinutes >= 1)) {
      return refuse(422, 'BAD_CONFIG', 'the configuration was not saved', 'Mend the marked fields.', {
        intervalMinutes: 'must be a whole number from 1 to 525600',
      });
    }
    const { revert = [], ...values } = change;
    model.config = { ...model.config, ...values };
    for (const name of revert as (keyof Config['changed'])[]) {
      model.config = { ...model.config, [name]: model.config.changed[name] };
      delete model.config.changed[name];
    }
    emit('status', model.status());
    return Response.json(model.config);
  }

  return {
    url: `http://127.0.0.1:${server.port}/backup/`,
    asked,
    arrivals,
    happens,
    async stop() {
      clearInterval(ping);
      await server.stop(true);
    },
  };
}

/** A file of the page as it is built, under the production's policy. */
export async function pageFile(path: string): Promise<Response> {
  const file = Bun.file(join(pageFolder, normalize(`/${path === '' ? 'index.html' : path}`)));
  if (!(await file.exists())) return new Response('not found', { status: 404 });
  return new Response(file, { headers: { 'content-security-policy': policy, 'x-content-type-options': 'nosniff' } });
}

function refuse(
  status: number,
  code: ErrorAnswer['error']['code'],
  message: string,
  hint: string,
  fields?: Record<string, string>,
): Response {
  const body: ErrorAnswer = { error: { code, message, hint, ...(fields === undefined ? {} : { fields }) } };
  return Response.json(body, { status });
}

interface Model {
  backups: Backup[];
  runs: Run[];
  config: Config;
  /** A drill restored a backup once. */
  isProven: boolean;
  run: RunProgress | null;
  verdict: Status['verdict'];
  undo: Status['undo'];
  alarm: Omit<Alarm, 'verdict'>;
  /** Targets beside S3. */
  further: Status['targets'];
  status(): Status;
}

function addTarget(model: Model, target: string): void {
  for (const { filename, placements } of model.backups) {
    const copy = placements.find((placement) => placement.target === 's3');
    if (copy) placements.push({ ...copy, target, where: `s3://my-backups-eu/shop/${filename}` });
  }
  const [s3] = model.status().targets;
  if (s3) model.further = [{ ...s3, target, bucket: 'my-backups-eu', path: 'shop', where: 's3://my-backups-eu/shop' }];
}

function makeModel(state: State, origin: number, now: () => number): Model {
  const last = Date.parse('2026-11-22T10:30:00.000Z') + (origin - Date.parse('2026-11-22T10:34:18.000Z'));
  const times = Array.from({ length: 10 }, (_, index) => last - index * 10 * minuteMs);
  const isEmpty = state === 'empty';
  const isFirstDay = state === 'first-day';
  const hasS3 = !isEmpty && !isFirstDay;
  const all = times.map((time, index) => makeBackup(time, (14.2 - index * 0.016) * megabyte));
  let backups = isEmpty ? [] : all;
  if (state === 'failed') backups = all.slice(1);
  if (state === 'too-old')
    backups = all.map((backup) => makeBackup(Date.parse(backup.createdAt) - 190 * minuteMs, backup.size));
  if (state === 's3-waiting') {
    for (const backup of backups.slice(0, 3))
      backup.placements = [
        ...backup.placements.slice(0, 1),
        {
          target: 's3',
          status: 'waiting',
          at: null,
          error: { code: 'S3_UNREACHABLE', message: 's3.example.com does not answer', hint: '' },
          where: null,
          sizeBytes: null,
        },
      ];
  }
  if (!isEmpty) {
    const pinned: Backup = {
      ...makeBackup(last - 18 * 60 * minuteMs, 13.4 * megabyte),
      trigger: 'manual',
      pinned: true,
      note: 'before migration 0042',
    };
    const unknown = makeBackup(last - 20 * 60 * minuteMs, 13.3 * megabyte);
    const foreign: Backup = {
      ...unknown,
      trigger: null,
      foreign: true,
      verified: false,
      verification: { state: 'unchecked' },
      placements: unknown.placements.slice(0, 1).map((placement) => ({ ...placement, at: null })),
    };
    const safety: Backup = {
      ...makeBackup(last - 44 * 60 * minuteMs, 13.2 * megabyte),
      trigger: 'safety',
      safety: true,
    };
    backups = state === 'history' ? longHistory(backups, last) : [...backups, pinned, foreign, safety];
  }
  if (state === 'damaged') {
    const [newest] = backups;
    if (newest !== undefined)
      Object.assign(newest, {
        verified: false,
        verification: {
          state: 'damaged',
          method: 'quick',
          at: iso(last),
          detail: 'tree 12 page 1021 cell 3: 2nd reference to page 988',
        },
      });
  }
  if (state === 'single') backups = all.slice(0, 1);
  if (isFirstDay) backups = all.slice(0, 2).map((one) => ({ ...one, placements: one.placements.slice(0, 1) }));
  if (state === 'mixed') mix(backups);
  if (state === 'check-failed' && backups[4])
    Object.assign(backups[4], {
      verified: false,
      verification: { state: 'damaged', method: 'quick', at: iso(last), detail: 'page 1021 is never used' },
    });
  const failure: Run = {
    ...makeRun('run-failed', last, undefined),
    result: 'failed',
    sizeBytes: null,
    steps: [
      { name: 'checkpoint', state: 'done', ms: 6 },
      { name: 'copy', state: 'failed', ms: 112 },
    ],
    error: {
      code: 'DISK_FULL',
      message: 'the disk with ./storage/backups is full: 14.2 MB needed, 3.1 MB free',
      hint: 'Free space on that disk or lower the retention, then try again; existing backups were not touched.',
    },
  };
  const runs = isEmpty
    ? []
    : backups
        .filter((backup) => !backup.foreign)
        .map((backup, index) => makeRun(`run-${index}`, Date.parse(backup.createdAt), backup));
  if (state === 'restored')
    runs.unshift({
      ...makeRun('run-restore', origin - 4000, backups[2]),
      kind: 'restore',
      trigger: 'manual',
      steps: restoreSteps(5),
    });
  if (!isEmpty && !isFirstDay)
    runs.splice(2, 0, {
      ...makeRun('run-drill', last - 12 * minuteMs, backups[0]),
      ...{ kind: 'drill', plannedAt: null, steps: [], drill: { target: 's3', proof: 'restored', assertions: 0 } },
    });
  if (state === 'failed') runs.unshift(failure);
  else if (!isEmpty && !isFirstDay) {
    runs.splice(4, 0, {
      ...failure,
      id: 'run-failed-before',
      startedAt: iso(last - 25 * minuteMs),
      endedAt: iso(last - 25 * minuteMs + 118),
    });
    runs.splice(5, 0, {
      ...makeRun('run-refused', last - 26 * minuteMs, undefined),
      ...{ trigger: 'cli', plannedAt: null, result: 'refused', sizeBytes: null, steps: [] },
      error: { code: 'BUSY', message: 'another run is using the backup folder', hint: 'Try again when it has ended.' },
    });
    runs.splice(6, 0, {
      ...makeRun('run-unchanged', last - 28 * minuteMs, undefined),
      result: 'unchanged',
      sizeBytes: null,
      steps: [],
    });
  }

  const raised = isAlarm(state) ? raiseAlarm(state, backups, { last, make: makeBackup }) : undefined;
  countRows(backups);
  const verdicts: Record<Exclude<State, AlarmState>, Status['verdict']> = {
    ok: { code: 'protected', tone: 'green' },
    running: { code: 'running', tone: 'blue' },
    restoring: { code: 'restoring', tone: 'blue' },
    restored: { code: 'restored', tone: 'green' },
    failed: { code: 'last-failed', tone: 'amber' },
    'too-old': { code: 'too-old', tone: 'red' },
    stalled: { code: 'stalled', tone: 'red' },
    damaged: { code: 'damaged', tone: 'red' },
    'check-failed': { code: 'check-failed', tone: 'amber' },
    's3-waiting': { code: 's3-waiting', tone: 'amber' },
    off: { code: 'off', tone: 'amber' },
    'disk-low': { code: 'disk-low', tone: 'amber' },
    empty: { code: 'none', tone: 'grey' },
    mixed: { code: 'check-failed', tone: 'amber' },
    history: { code: 'protected', tone: 'green' },
    single: { code: 'protected', tone: 'green' },
    'first-day': { code: 'protected', tone: 'green' },
  };
  const model: Model = {
    backups,
    runs,
    further: [],
    verdict: isAlarm(state) ? (raised?.verdict ?? verdicts.ok) : verdicts[state],
    alarm: raised ?? noAlarm(),
    isProven: hasS3,
    undo:
      state === 'restored'
        ? { filename: backups.at(-1)?.filename ?? '', restored: backups[2]?.filename ?? '', at: iso(origin - 4000) }
        : null,
    config: {
      ...settingsWith({ enabled: state !== 'off', s3Enabled: hasS3 }),
      lossIgnore: [],
      ...((state === 'single' || isFirstDay) && { keepHourly: 24, keepDaily: 7, keepWeekly: 4 }),
      changed: isEmpty ? {} : { retentionCount: 7 },
      keepIsDefault: state === 'single',
      localPath: './storage/backups',
      databasePath: './db/dev.sqlite',
      cron: null,
      notifies: false,
      s3: {
        configured: hasS3,
        bucket: hasS3 ? 'my-backups' : null,
        region: hasS3 ? 'us-east-1' : null,
        endpoint: null,
      },
    },
    run: runOf(state, origin),
    status() {
      const { config, alarm } = model;
      const own = model.backups.filter(({ other }) => other === null);
      const good = own.find((backup) => backup.verified);
      const waiting = isAlarm(state)
        ? own.filter(({ placements }) => placements.some((copy) => copy.status === 'waiting')).length
        : 0;
      return {
        serverTime: iso(now()),
        version: '0.1.0',
        verdict:
          model.run === null
            ? model.verdict.tone === 'blue'
              ? verdicts.ok
              : model.verdict
            : model.run.kind === 'restore'
              ? verdicts.restoring
              : verdicts.running,
        freshness: {
          state: 'protected',
          cause: 'protected',
          changedAt: iso(origin - 12_000),
          targets: (['local', 's3'] as const).map((target) => ({
            target,
            goodAt: iso(origin),
            verifiedAt: iso(origin),
            storedAt: iso(origin),
            proven: model.isProven
              ? { at: iso(origin - 2 * 60 * minuteMs), ms: 3_200, backup: model.backups[0]?.filename ?? '' }
              : null,
            drill: model.isProven
              ? {
                  at: iso(origin - (state === 'mixed' ? 60 : 120) * minuteMs),
                  result: state === 'mixed' && target === 's3' ? ('failed' as const) : ('proven' as const),
                }
              : null,
            damaged: state === 'check-failed' && target === 'local' ? 1 : 0,
          })),
        },
        database: {
          name: 'dev.sqlite',
          path: './db/dev.sqlite',
          exists: alarm.exists,
          sizeBytes: alarm.exists ? (alarm.loss === null ? 14_931_000 : 10_276_045) + 86_016 : 0,
          logBytes: alarm.exists ? 86_016 : 0,
          changedAt: alarm.exists ? iso(origin - 12_000) : null,
          growthBytes: isEmpty || !alarm.exists ? null : alarm.loss === null ? 626_688 : -4_613_735,
        },
        schedule: {
          enabled: config.enabled,
          running: config.enabled,
          intervalMinutes: config.intervalMinutes,
          cron: null,
          nextRunAt: config.enabled ? iso(isEmpty || !alarm.exists ? origin + 8000 : last + 10 * minuteMs) : null,
          stalledSince: state === 'stalled' ? iso(origin - 45 * minuteMs) : null,
        },
        local: {
          path: './storage/backups',
          count: own.length,
          keep: config.retentionCount,
          sizeBytes: own.reduce((sum, backup) => sum + backup.size, 0),
          freeBytes: (state === 'disk-low' ? 31 : 79_872) * megabyte,
          forecast: {
            ...{ bytes: 182 * megabyte, eachBytes: 14.2 * megabyte, besideBytes: 40 * megabyte },
            ...(config.keepIsDefault
              ? { budgetBytes: 280 * megabyte, fitting: 7, note: 'There is room for about 7 of these 35.' }
              : { budgetBytes: null, fitting: null, note: null }),
          },
        },
        s3: {
          enabled: config.s3Enabled,
          configured: config.s3.configured,
          bucket: config.s3.bucket,
          path: config.s3Path,
          stored: state === 's3-waiting' ? 9 : own.length - waiting,
          waiting: state === 's3-waiting' ? 3 : waiting,
          nextTryAt: state === 's3-waiting' ? iso(origin + 42_000) : null,
          listedAt: config.s3Enabled ? iso(origin) : null,
          error:
            state === 's3-waiting'
              ? { code: 'S3_UNREACHABLE', message: 's3.example.com does not answer', hint: '' }
              : null,
        },
        get targets() {
          const { configured, bucket, ...rest } = this.s3;
          const where = `s3://${bucket}/${rest.path}`;
          return configured && bucket !== null ? [{ ...rest, target: 's3', bucket, where }, ...model.further] : [];
        },
        lastGood:
          good === undefined
            ? null
            : {
                filename: good.filename,
                createdAt: good.createdAt,
                verifiedAt: iso(Date.parse(good.createdAt) + 1000),
                holdsAt: good.createdAt,
              },
        maxAgeMinutes: 30,
        failedCheck: failedCheckOf(state, model.backups, origin),
        run: model.run,
        lastRun: model.runs[0] ?? null,
        lastBackupRun: model.runs.find(({ kind }) => kind === 'backup') ?? null,
        places: alarm.places,
        loss: alarm.loss !== null && model.verdict.code === 'loss' ? alarm.loss : null,
        undo: model.undo,
      };
    },
  };
  return model;
}

function failedCheckOf(state: State, backups: readonly Backup[], origin: number): Status['failedCheck'] {
  const name = (index: number) => backups[index]?.filename ?? '';
  const at = iso(origin - 60 * minuteMs);
  if (state === 'check-failed')
    return {
      ...{ kind: 'verify', target: 'local', backup: name(4), at, run: null, more: 0 },
      why: 'page 1021 is never used',
    };
  if (state !== 'mixed') return null;
  const why = 'an assertion does not hold on the restored backup: SELECT count(*) > 1000 FROM orders';
  return { kind: 'drill', target: 's3', backup: name(0), at, why, run: 'run-0', more: 1 };
}

/** As `history` says: of yesterday's, half are at S3 alone. */
function longHistory(backups: readonly Backup[], last: number): Backup[] {
  const safety = [12.5, 14, 16, 18].map((minutes) => ({
    ...makeBackup(last - minutes * minuteMs, 14.2 * megabyte),
    ...({ trigger: 'safety', safety: true } as const),
  }));
  const hourly = Array.from({ length: 11 }, (_, index) => {
    const made = makeBackup(last - (12 + index) * 60 * minuteMs, (13.9 - index / 50) * megabyte);
    const placements = index > 4 ? made.placements.slice(1) : made.placements;
    return index === 6
      ? { ...made, placements, pinned: true, note: 'before migration 0042', trigger: 'manual' as const }
      : { ...made, placements };
  });
  return [...backups.slice(0, 2), ...safety, ...backups.slice(2), ...hourly];
}

function mix(backups: Backup[]): void {
  for (const [index, backup] of backups.entries()) {
    const [local, s3] = backup.placements;
    if (s3 === undefined || local === undefined) continue;
    const at = backup.createdAt;
    if (index === 1) {
      const error = {
        code: 'S3_UNREACHABLE',
        message: 's3.example.com does not answer',
        hint: 'It is retried in a minute.',
      } as const;
      backup.placements = [local, { ...s3, status: 'waiting', at: null, where: null, sizeBytes: null, error }];
    }
    if (index === 2) {
      const error = {
        code: 'S3_MISMATCH',
        message: 'the copy in S3 differs from the local file',
        hint: 'It is uploaded again; the local one is verified.',
      } as const;
      backup.placements = [local, { ...s3, status: 'failed', error }];
    }
    if (index === 3)
      Object.assign(backup, { verified: false, verification: { state: 'unchecked' }, trigger: 'cli', user: 'anna' });
    if (index === 4) {
      const verification = { state: 'damaged', method: 'quick', at, detail: 'page 1021 is never used' } as const;
      Object.assign(backup, { verified: false, verification });
    }
    if (index > 4) backup.placements = [{ ...s3, sealing: 'zstd+age', where: `${s3.where}.age` }];
  }
}

function runOf(state: State, origin: number): RunProgress | null {
  const base = { id: 'run-now', trigger: 'manual' as const, user: null, startedAt: iso(origin - 2000), backup: null };
  if (state === 'restoring')
    return { ...base, kind: 'restore', backup: nameOf(origin - 24 * minuteMs), steps: restoreSteps(2), percent: 55 };
  if (state !== 'running') return null;
  return {
    ...base,
    kind: 'backup',
    percent: 62,
    steps: [
      { name: 'checkpoint', state: 'done', ms: 6 },
      { name: 'copy', state: 'running', bytesDone: 8.8 * megabyte, bytesTotal: 14.2 * megabyte },
      { name: 'verify', state: 'waiting' },
      { name: 'publish', state: 'waiting' },
      { name: 'upload', state: 'waiting' },
      { name: 'prune', state: 'waiting' },
    ],
  };
}

function restoreSteps(done: number): Run['steps'] {
  return (['fetch', 'check', 'safety', 'place', 'prove'] as const).map((name, index) => ({
    name,
    state: index < done ? 'done' : index === done ? 'running' : 'waiting',
    ...(index < done ? { ms: 180 } : {}),
  }));
}

function makeBackup(time: number, about: number): Backup {
  const filename = nameOf(time);
  const size = Math.round(about / 4096) * 4096;
  return {
    filename,
    size,
    createdAt: iso(time),
    trigger: 'schedule',
    user: null,
    verified: true,
    verification: { state: 'verified', method: 'quick', at: iso(time + 1000), content: [], unchecked: [], remarks: [] },
    foreign: false,
    pinned: false,
    note: null,
    safety: false,
    sha256: '9f2c41d07ab3'.padEnd(64, '0'),
    pages: 3635,
    pageSize: 4096,
    other: null,
    rows: null,
    changes: null,
    loss: null,
    placements: [
      {
        target: 'local',
        status: 'stored',
        at: iso(time),
        error: null,
        where: `storage/backups/${filename}`,
        sizeBytes: size,
        sealing: 'plain',
      },
      {
        target: 's3',
        status: 'stored',
        at: iso(time + 2000),
        error: null,
        where: `s3://my-backups/backups/database/${filename}.zst`,
        sizeBytes: Math.round(size * 0.31),
        sealing: 'zstd',
      },
    ],
  };
}

function makeRun(id: string, time: number, backup: Backup | undefined): Run {
  return {
    id,
    kind: 'backup',
    trigger: backup?.trigger ?? 'schedule',
    user: null,
    plannedAt: iso(time),
    startedAt: iso(time),
    endedAt: iso(time + 412),
    result: 'success',
    backup: backup?.filename ?? null,
    sizeBytes: backup?.size ?? null,
    error: null,
    steps: [
      { name: 'checkpoint', state: 'done', ms: 14 },
      { name: 'copy', state: 'done', ms: 96 },
      { name: 'verify', state: 'done', ms: 104 },
      { name: 'publish', state: 'done', ms: 12 },
      { name: 'upload', state: 'done', ms: 160 },
      { name: 'prune', state: 'done', ms: 20 },
    ],
  };
}

function plan(backup: Backup): RestorePlan {
  const rows = Array.from({ length: 39 }, (_, index) => ({ name: `table_${index}`, now: 10, after: 10 }));
  return {
    backup: backup.filename,
    confirm: 'dev.sqlite',
    expected: 'stamp-1',
    now: { sizeBytes: 14_980_000, changedAt: '2026-11-22T10:31:06.000Z', pageSize: 4096 },
    after: { sizeBytes: backup.size, createdAt: backup.createdAt, verified: backup.verified, pageSize: 4096 },
    tables: [
      { name: 'orders', now: 8310, after: 8122 },
      { name: 'users', now: 1204, after: 1198 },
      { name: 'sessions', now: 377, after: 391 },
      ...rows,
    ],
    modes: ['online', 'offline'],
    mode: 'online',
    openIn: [],
    undo: true,
    warnings: [],
  };
}

/** All works in the state "ok"; elsewhere the bucket is open to everybody and its server old. */
function targetReport(state: State): TargetReport {
  const ok = { check: 'write', result: 'ok', message: 'a test object was written', hint: null } as const;
  if (state === 'ok') return { ...testedBucket, ok: true, findings: [ok] };
  const isPublic = {
    check: 'private',
    result: 'failed',
    message: 'the bucket is public: anyone can read backups without a key',
    hint: 'Close it now (at Amazon: Block Public Access) and find out who had access; treat everything in the backups as disclosed.',
  } as const;
  const ignored = {
    check: 'create-only',
    result: 'warning',
    message: 'the server ignores the condition of a create-only write (If-None-Match)',
    hint: 'Give every machine a prefix of its own (BACKUP_S3_PATH); then this does not matter.',
  } as const;
  return { ...testedBucket, ok: false, findings: [ok, isPublic, ignored] };
}

const testedBucket = {
  target: 's3' as const,
  place: 'bucket "my-backups" at s3.example.com',
  ms: 184,
  policy: {
    Version: '2012-10-17' as const,
    Statement: [
      {
        Sid: 'Objects',
        Effect: 'Allow' as const,
        Action: ['s3:PutObject', 's3:GetObject', 's3:DeleteObject', 's3:AbortMultipartUpload'],
        Resource: 'arn:aws:s3:::my-backups/backups/database/*',
      },
    ],
  },
};

function nameOf(time: number): string {
  return `backup-${iso(time).replaceAll(/[:.]/g, '-')}.sqlite`;
}

function iso(time: number): string {
  return new Date(time).toISOString();
}

if (import.meta.main) {
  const [state = 'ok', port = '4000'] = process.argv.slice(2);
  const known = states.find((name) => name === state);
  if (known === undefined) throw new Error(`no state "${state}"; there are: ${states.join(', ')}`);
  console.log(startFixture(known, { port: Number(port) }).url);
}

function auditEntries(nowMs: number): AuditAnswer['entries'] {
  const entry = (minutes: number, change: Partial<AuditAnswer['entries'][number]>) => ({
    ...{
      at: iso(nowMs - minutes * minuteMs),
      database: null,
      user: 'admin',
      via: 'page' as const,
      address: '192.0.2.7',
    },
    ...{ agent: 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0', act: 'sign-in' as const },
    ...{ subject: null, target: null, result: 'done' as const, code: null, detail: null, ...change },
  });
  const name = 'backup-2026-11-22T08-10-00-000Z.sqlite';
  const nobody = { user: null, address: null, agent: null };
  return [
    entry(3, { act: 'settings', subject: 'intervalMinutes', detail: 'intervalMinutes was 10 and is 60' }),
    entry(4, {
      act: 'download',
      subject: name,
      user: 'token',
      via: 'api',
      address: '198.51.100.4',
      agent: 'curl/8.5.0',
    }),
    entry(9, { act: 'retention', subject: name, target: 'local', via: 'service', ...nobody }),
    entry(12, {}),
    entry(13, {
      ...{ ...nobody, address: '203.0.113.250', result: 'refused', code: 'UNAUTHORIZED', detail: 'not the password' },
    }),
    entry(2_000, { act: 'restore', subject: name, detail: 'online', ...nobody, user: 'root', via: 'cli' }),
    entry(2_900, {
      act: 'delete',
      subject: name,
      result: 'failed',
      code: 'S3_DENIED',
      detail: 'the key may not delete',
    }),
  ];
}

/** All well, or in the state `mixed` one of each kind. */
function doctorReport(state: State): DoctorReport {
  const fine: DoctorReport['findings'] = [
    {
      code: 'sqlite',
      severity: 'ok',
      what: 'SQLite 3.54.1 has no known fault that matters here',
      why: null,
      fix: null,
    },
    { code: 'permissions', severity: 'ok', what: 'the backup folder is private', why: null, fix: null },
  ];
  if (state !== 'mixed') return { ok: true, findings: fine };
  return {
    ok: false,
    findings: [
      {
        code: 'drills',
        severity: 'problem',
        what: 'the last drill of S3 failed',
        why: 'what can not be restored today can not be restored in need',
        fix: 'velist-backup drill --from s3',
      },
      {
        code: 'same-disk',
        severity: 'warning',
        what: 'the backups lie on the disk of the database',
        why: 'a disk that dies takes both',
        fix: 'Set BACKUP_LOCAL_PATH to a folder of another disk, or switch S3 on.',
      },
      { code: 'encryption', severity: 'info', what: 'copies on S3 are not encrypted', why: null, fix: null },
      ...fine,
    ],
  };
}

function drillReport(state: State): DrillReport {
  const proven = { backup: null, sizeBytes: 14_200_000, ms: 3_200, assertions: 0, error: null };
  const failed = {
    code: 'VERIFY_FAILED' as const,
    message: 'the digest differs',
    hint: 'It was changed after it was stored; use another backup.',
  };
  const isBad = state === 'mixed';
  return {
    ok: !isBad,
    drills: [
      { target: 'local', result: 'proven', ...proven },
      { target: 's3', ...proven, result: isBad ? 'failed' : 'proven', error: isBad ? failed : null },
    ],
  };
}
