/**
 * The forms of an answer: JSON, an error, a refused method, and a long answer that keeps its connection alive.
 *
 * An error always looks the same, `{ error: { code, message, hint } }`, wherever it stands in a body. What a stranger
 * may read of it is decided in one place: an `INTERNAL` message never leaves the server, and absolute paths are cut to
 * their last part.
 */
import { type BackupError, type ErrorBody, type ErrorCode, publicError, traitsOf } from '../words/errors.ts';
import { shownField } from './shown-paths.ts';

export function statusOf(code: ErrorCode): number {
  return traitsOf(code).status;
}

export function json<Body>(body: Body, status = 200, headers: Record<string, string> = {}): Response {
  return new Response(toText(body), {
    status,
    headers: { ...jsonHeaders, ...headers },
  });
}

/** The answer to an error. `fields` names the wrong ones of a form. `status` stands in where the code says too little. */
export function problem(
  error: ErrorBody | BackupError,
  options: {
    status?: number;
    fields?: Record<string, string>;
    headers?: Record<string, string>;
  } = {},
): Response {
  const body: ErrorBody & { fields?: Record<string, string> } = {
    code: error.code,
    message: error.message,
    hint: error.hint,
  };
  if (options.fields) body.fields = options.fields;
  return json({ error: body }, options.status ?? statusOf(error.code), options.headers);
}

export function seeOther(location: string, status: 303 | 307 = 303): Response {
  return new Response(null, { status, headers: { location, 'cache-control': 'no-store' } });
}

export function notFound(): Response {
  return problem(
    {
      code: 'BAD_REQUEST',
      message: 'there is nothing at this address',
      hint: 'The list of backups is at api/backups below the dashboard.',
    },
    { status: 404 },
  );
}

/** 405 with `Allow`; an `OPTIONS` request is answered with the same list. */
export function methodNotAllowed(method: string, allowed: readonly string[]): Response {
  const allow = allowed.includes('GET') ? ['HEAD', ...allowed] : allowed;
  const headers = { allow: [...new Set(allow)].sort().join(', ') };
  if (method === 'OPTIONS') return new Response(null, { status: 204, headers });
  return problem(
    {
      code: 'BAD_REQUEST',
      message: `${method} is not possible here`,
      hint: `Use ${headers.allow}.`,
    },
    { status: 405, headers },
  );
}

/**
 * The answer to work that may take minutes. Servers cut a request that has no byte of answer after 10 to 30 seconds, so
 * JSON white space is sent every `pingMs` until the work has ended. Work that ends before the first ping is answered
 * with its own status; later the status is 200 and the body alone tells: `error` is in it when it failed.
 * The work goes on when the client leaves.
 */
export async function longAnswer(work: Promise<Response>, pingMs: number): Promise<Response> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const firstPing = new Promise<'ping'>((resolve) => {
    timer = setTimeout(() => resolve('ping'), pingMs);
  });
  const first = await Promise.race([work, firstPing]);
  clearTimeout(timer);
  if (first !== 'ping') return first;

  const space = new TextEncoder().encode(' \n');
  let pings: ReturnType<typeof setInterval> | undefined;
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
    async start(controller) {
      controller.enqueue(space);
      pings = setInterval(() => controller.enqueue(space), pingMs);
      work
        .then((answer) => answer.bytes())
        .then(
          (bytes) => {
            if (pings === undefined) return;
            clearInterval(pings);
            controller.enqueue(bytes);
            controller.close();
          },
          (error: unknown) => {
            clearInterval(pings);
            controller.error(error);
          },
        );
    },
    cancel() {
      clearInterval(pings);
      pings = undefined;
    },
  });
  return new Response(body, {
    headers: { ...jsonHeaders, 'x-accel-buffering': 'no' },
  });
}

/** What every answer bears, unless it says otherwise; and no body for HEAD, which hosts without an own HEAD would read to its end. */
export function withSecurityHeaders(request: Request, response: Response): Response {
  for (const [name, value] of Object.entries(usualHeaders))
    if (!response.headers.has(name)) response.headers.set(name, value);
  if (request.method !== 'HEAD' || response.body === null) return response;
  void response.body.cancel();
  return new Response(null, response);
}

const usualHeaders = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
};

const jsonHeaders = {
  'content-type': 'application/json; charset=utf-8',
  'cache-control': 'no-store',
};

/** JSON text of a body, with every error and path in it cut to what a client may read. */
export function toText(body: unknown): string {
  return JSON.stringify(body, (key, value: unknown) =>
    key === 'error' && isErrorBody(value) ? publicError(value) : shownField(key, value),
  );
}

function isErrorBody(value: unknown): value is ErrorBody {
  return typeof value === 'object' && value !== null && 'code' in value && 'message' in value && 'hint' in value;
}
