/**
 * Every request the page makes, by the names and with the types of the server's table of routes. Addresses are relative to the page, so it works wherever it is
 * mounted. What the server refuses is thrown as an `ApiError` with the server's own words; a request that found no
 * server is an `ApiError` with the code UNREACHABLE, which only the page uses.
 *
 * A long answer starts as a 200 before its end is known (the server sends white space to keep it alive), so an error
 * is recognised by its body, not by the status alone.
 */
import type {
  Activity,
  Backup,
  ConfigChange,
  ErrorAnswer,
  RestoreBody,
  RestorePlan,
  S3Place,
  SetUp,
} from '../http/contract.ts';
import type { AnswerTo, RequestOf, RouteName } from '../http/requests.ts';

/** `local`, `s3`, or the name of a further one. */
export type Target = Backup['placements'][number]['target'];

export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly code: ErrorAnswer['error']['code'] | 'UNREACHABLE';
  readonly hint: string;
  /** Messages by field, when a form was refused. */
  readonly fields: Record<string, string>;
  readonly status: number;

  constructor(
    code: ApiError['code'],
    message: string,
    options: { hint: string; status: number; fields?: Record<string, string> },
  ) {
    super(message);
    this.code = code;
    this.hint = options.hint;
    this.fields = options.fields ?? {};
    this.status = options.status;
  }

  static from(error: unknown): ApiError {
    if (error instanceof ApiError) return error;
    return new ApiError('INTERNAL', error instanceof Error ? error.message : String(error), {
      hint: 'Reload this page and try again.',
      status: 0,
    });
  }
}

export function address(path: string): URL {
  return new URL(path, document.baseURI);
}

export const downloadAddress = (filename: string): string =>
  address(`api/backups/${encodeURIComponent(filename)}/download`).href;

export const api = {
  status: () => send('GET /api/status'),
  backups: async () => (await send('GET /api/backups')).backups,
  runs: async (query: RequestOf<'GET /api/runs'>['query']) => (await send('GET /api/runs', { query })).runs,
  activity: (range: Activity['range']) => send('GET /api/activity', { query: { range } }),
  config: () => send('GET /api/config'),
  databases: () => send('GET /api/databases'),
  /** At most a hundred names. */
  strips: async (names: readonly string[]) =>
    (await send('GET /api/databases/activity', { query: { names: names.join(',') } })).strips,
  /** @param names left out: all. */
  askAll: (act: 'backup' | 'verify', names?: readonly string[]) =>
    send(`POST /api/databases/${act}`, { body: names && { names: [...names] } }),
  session: () => send('GET /api/session'),
  signOut: () => send('POST /logout'),
  saveConfig: (body: ConfigChange) => send('POST /config', { body }),
  backupNow: () => send('POST /now', { query: { wait: 'false' } }),
  stopRun: () => send('POST /api/runs/stop'),
  remove: (filename: string, target?: Target) => send('DELETE /:filename', { params: { filename }, query: { target } }),
  verify: (filename: string, body: RequestOf<'POST /api/backups/:filename/verify'>['body']) =>
    send('POST /api/backups/:filename/verify', { params: { filename }, body }),
  adopt: (filename: string) => send('POST /api/backups/:filename/adopt', { params: { filename } }),
  change: (filename: string, body: RequestOf<'PATCH /api/backups/:filename'>['body']) =>
    send('PATCH /api/backups/:filename', { params: { filename }, body }),
  planRestore: (filename: string) => send('GET /api/backups/:filename/restore', { params: { filename } }),
  restore: (filename: string, body: RestoreBody) =>
    send('POST /api/backups/:filename/restore', { params: { filename }, body }),
  diff: (a: string, b: string) => send('GET /api/diff', { query: { a, b } }),
  /** That it was done is all that is looked at: what holds then comes over the stream. */
  acceptLoss: (body: RequestOf<'POST /api/loss/accept'>['body']) => send('POST /api/loss/accept', { body }),
  reopenLoss: (filename: string) => send('POST /api/loss/reopen', { body: { filename } }),
  /** Tables that raise no alarm whatever they lose. */
  ignoreLosses: (tables: readonly string[]) => send('POST /config', { body: { lossIgnore: [...tables] } }),
  claim: (target: Target) => send('POST /api/claim', { body: { target } }),
  audit: async (limit: number) => (await send('GET /api/audit', { query: { limit } })).entries,
  confirm: (password: string) => send('POST /confirm', { body: { password } }),
  doctor: () => send('GET /api/doctor'),
  drill: (body?: RequestOf<'POST /api/drill'>['body']) => send('POST /api/drill', body && { body }),
  prunePlan: (target: Target) => send('GET /api/prune', { query: { target } }),
  testTarget: (name: Target) => send('POST /api/targets/:name/test', { params: { name } }),
  setUp: () => send('GET /api/set-up'),
  planSetUp: (body: S3Place) => send('POST /api/set-up/plan', { body }),
  saveSetUp: (body: SetUp) => send('POST /api/set-up', { body }),
  removeSetUp: (part: SetUp['part']) => send('DELETE /api/set-up/:part', { params: { part } }),
  dismissRestored: () => send('POST /api/restore/dismiss'),
  undoRestore: (confirm: string, mode: RestorePlan['mode']) =>
    send('POST /api/restore/undo', { body: { confirm, mode } }),
};

const CONFIRM = 'confirm';

/** Answers whether the password was given; without a dialog to ask by it never is. */
export const askPassword = { ask: async (): Promise<boolean> => false };

/** The parts of a request, of whichever route. */
interface Parts {
  readonly params?: Readonly<Record<string, string>>;
  readonly query?: Readonly<Record<string, string | number | undefined>>;
  readonly body?: unknown;
}

/** @param name a route of the server's table: what it takes and answers is derived from its row. */
export async function send<Name extends RouteName>(
  name: Name,
  ...given: Partial<RequestOf<Name>> extends RequestOf<Name> ? [RequestOf<Name>?] : [RequestOf<Name>]
): Promise<AnswerTo<Name>> {
  const { body, ...parts } = (given[0] ?? {}) as Parts; // each request is made of these
  const path = pathOf(name, parts);
  const request: RequestInit = {
    method: name.slice(0, name.indexOf(' ')),
    headers: { accept: 'application/json' },
    cache: 'no-store',
    credentials: 'same-origin',
  };
  if (body !== undefined) {
    const isBytes = body instanceof Uint8Array;
    request.body = isBytes ? new Blob([body as Uint8Array<ArrayBuffer>]) : JSON.stringify(body);
    request.headers = {
      ...request.headers,
      'content-type': isBytes ? 'application/octet-stream' : 'application/json',
    };
  }
  let response: Response;
  let text: string;
  try {
    response = await fetch(address(path), request);
    text = await response.text();
  } catch {
    throw new ApiError('UNREACHABLE', 'no contact with the server', {
      hint: 'Nothing more is known; what the page shows once it is back is true.',
      status: 0,
    });
  }
  const answer = parse(text);
  if (isErrorAnswer(answer)) {
    const { code, message, hint, fields } = answer.error;
    if (code === 'PASSWORD_AGAIN' && path !== CONFIRM && (await askPassword.ask())) return await send(name, ...given);
    throw new ApiError(code, message, {
      hint,
      status: response.status,
      ...(fields === undefined ? {} : { fields }),
    });
  }
  if (!response.ok || answer === undefined) {
    throw new ApiError(
      response.ok ? 'INTERNAL' : 'UNREACHABLE',
      `the server answered ${response.status} without saying why`,
      {
        hint: 'A proxy in between may be in the way; the log of the server has the details.',
        status: response.status,
      },
    );
  }
  // The server checks its answers against the same contract.
  return answer as AnswerTo<Name>;
}

/** Below the page, without the slash at its beginning. */
function pathOf(name: RouteName, { params = {}, query = {} }: Parts): string {
  const path = name
    .slice(name.indexOf('/') + 1)
    .replaceAll(/:(\w+)/g, (_, key) => encodeURIComponent(params[key] ?? ''));
  const said = Object.entries(query).flatMap(([key, value]) => (value === undefined ? [] : [[key, String(value)]]));
  return said.length === 0 ? path : `${path}?${new URLSearchParams(said)}`;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** `{ error }` alone; a `BackupResult` of a failed run has an `error` too, but beside its report. */
function isErrorAnswer(answer: unknown): answer is ErrorAnswer {
  return typeof answer === 'object' && answer !== null && 'error' in answer && !('report' in answer);
}
