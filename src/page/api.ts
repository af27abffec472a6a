/**
 * Every request the page makes, typed by the contract. Addresses are relative to the page, so it works wherever it is
 * mounted. What the server refuses is thrown as an `ApiError` with the server's own words; a request that found no
 * server is an `ApiError` with the code UNREACHABLE, which only the page uses.
 *
 * A long answer starts as a 200 before its end is known (the server sends white space to keep it alive), so an error
 * is recognised by its body, not by the status alone.
 */
import type {
  Activity,
  AuditAnswer,
  Backup,
  BackupDiff,
  BackupResult,
  Config,
  ConfigChange,
  ConfirmAnswer,
  DoctorReport,
  DrillReport,
  DatabasesAnswer,
  ErrorAnswer,
  PrunePlan,
  RestoreBody,
  RestorePlan,
  RestoreResult,
  Run,
  Session,
  SignOutAnswer,
  Status,
  StopAnswer,
  TargetReport,
} from '../http/contract.ts';

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
  status: () => send<Status>('GET', 'api/status'),
  backups: async () => (await send<{ backups: Backup[] }>('GET', 'api/backups')).backups,
  runs: async (limit: number) => (await send<{ runs: Run[] }>('GET', `api/runs?limit=${limit}`)).runs,
  activity: (range: Activity['range']) => send<Activity>('GET', `api/activity?range=${range}`),
  config: () => send<Config>('GET', 'api/config'),
  databases: () => send<DatabasesAnswer>('GET', 'api/databases'),
  session: () => send<Session>('GET', 'api/session'),
  signOut: () => send<SignOutAnswer>('POST', 'logout'),
  saveConfig: (change: ConfigChange) => send<Config>('POST', 'config', change),
  backupNow: () => send<{ runId: string } | BackupResult>('POST', 'now?wait=false'),
  stopRun: () => send<StopAnswer>('POST', 'api/runs/stop'),
  remove: (filename: string, target?: Target) =>
    send<{ deleted: string }>(
      'DELETE',
      encodeURIComponent(filename) + (target === undefined ? '' : `?target=${target}`),
    ),
  verify: (filename: string, full: boolean) => send<Backup>('POST', backupPath(filename, '/verify'), { full }),
  adopt: (filename: string) => send<Backup>('POST', backupPath(filename, '/adopt')),
  change: (filename: string, change: { pinned?: boolean; note?: string | null }) =>
    send<Backup>('PATCH', backupPath(filename), change),
  planRestore: (filename: string) => send<RestorePlan>('GET', backupPath(filename, '/restore')),
  restore: (filename: string, body: RestoreBody) => send<RestoreResult>('POST', backupPath(filename, '/restore'), body),
  diff: (a: string, b: string) => send<BackupDiff>('GET', `api/diff?${new URLSearchParams({ a, b })}`),
  /** That it was done is all that is looked at: what holds then comes over the stream. */
  acceptLoss: (body: { filename: string; ignore?: boolean }) => send<unknown>('POST', 'api/loss/accept', body),
  reopenLoss: (filename: string) => send<unknown>('POST', 'api/loss/reopen', { filename }),
  /** Tables that raise no alarm whatever they lose. */
  ignoreLosses: (tables: readonly string[]) => send<Config>('POST', 'config', { lossIgnore: tables }),
  claim: (target: Target) => send<unknown>('POST', 'api/claim', { target }),
  audit: async (limit: number) => (await send<AuditAnswer>('GET', `api/audit?limit=${limit}`)).entries,
  confirm: (password: string) => send<ConfirmAnswer>('POST', CONFIRM, { password }),
  doctor: () => send<DoctorReport>('GET', 'api/doctor'),
  drill: () => send<DrillReport>('POST', 'api/drill'),
  prunePlan: (target: Target) => send<PrunePlan>('GET', `api/prune?target=${target}`),
  testTarget: (name: Target) => send<TargetReport>('POST', `api/targets/${name}/test`),
  dismissRestored: () => send<{ dismissed: boolean }>('POST', 'api/restore/dismiss'),
  undoRestore: (confirm: string, mode: RestorePlan['mode']) =>
    send<RestoreResult>('POST', 'api/restore/undo', { confirm, mode }),
};

const CONFIRM = 'confirm';

/** Answers whether the password was given; without a dialog to ask by it never is. */
export const askPassword = { ask: async (): Promise<boolean> => false };

/** Tables that raise no alarm; none if the server does not look for losses. */
export function ignoredTables(config: Config & { readonly lossIgnore?: readonly string[] }): readonly string[] {
  return config.lossIgnore ?? [];
}

const backupPath = (filename: string, rest = '') => `api/backups/${encodeURIComponent(filename)}${rest}`;

async function send<Answer>(method: string, path: string, body?: unknown): Promise<Answer> {
  const request: RequestInit = {
    method,
    headers: { accept: 'application/json' },
    cache: 'no-store',
    credentials: 'same-origin',
  };
  if (body !== undefined) {
    request.body = JSON.stringify(body);
    request.headers = {
      ...request.headers,
      'content-type': 'application/json',
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
    if (code === 'PASSWORD_AGAIN' && path !== CONFIRM && (await askPassword.ask()))
      return await send(method, path, body);
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
  return answer as Answer;
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
