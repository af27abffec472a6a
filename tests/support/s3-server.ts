/**
 * An S3 server in the test's own process: fauxqs, made strict. On its own fauxqs believes every signature and ignores
 * conditions, so that tests would pass which no real server would; hooks in front of it verify SigV4 (header and
 * presigned), the signed SHA-256 of the body and Content-MD5, honour If-None-Match and If-Match of a PUT, and inject
 * the faults a test asks for. Every request is noted.
 *
 * Its limits: bodies up to 11 MiB (parts of at most 8), no ListParts, no ListMultipartUploads, no versions.
 */
import { createHash, createHmac, randomUUID, timingSafeEqual } from 'node:crypto';
import type { OutgoingHttpHeaders } from 'node:http';
import { buildApp } from 'fauxqs';

export interface S3Server {
  readonly endpoint: string;
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** Consulted in order with each request; a test pushes into it and empties it. */
  readonly faults: Fault[];
  /** Every request since the start, oldest first; a test empties it by `length = 0`. */
  readonly requests: SeenRequest[];
  /** Class of storage by `/bucket/key`: such an object is listed with it, and not given. */
  readonly archived: Map<string, string>;
  /** As by a policy that lets nothing be deleted, and be written only under the condition that it is new. */
  appendOnly: boolean;
  createBucket(name: string): Promise<void>;
  close(): Promise<void>;
}

export interface Fault {
  /** Against `METHOD /bucket/key?query`. */
  readonly match: RegExp;
  readonly effect: Effect;
  /** How many requests it meets; all when left out. */
  times?: number;
}

export type Effect =
  /** Refused with this status, nothing is done. */
  | { readonly status: number; readonly code?: string }
  /** The connection is reset before anything is done. */
  | 'reset'
  /** No answer, ever. */
  | 'stall'
  /** Done as asked, then the connection is reset instead of an answer. */
  | 'lose answer'
  /** Done as asked, with one bit of the answer's body turned over. */
  | 'flip a bit'
  /** Needs no signature, as in a public bucket. */
  | 'public'
  /** If-None-Match and If-Match of a PUT are ignored, as some servers do. */
  | 'ignore conditions'
  /** The answer breaks off after so many bytes of its body. */
  | { readonly cutAfterBytes: number }
  /** The answer stands still after so many bytes of its body. */
  | { readonly stallAfterBytes: number }
  /** Done as asked, and answered only after this. */
  | { readonly answerAfter: Promise<unknown> }
  /** Answered 200 with this body. */
  | { readonly body: string };

export interface SeenRequest {
  readonly method: string;
  /** Path and query, as sent. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** 0 while there is no answer. */
  status: number;
}

const region = 'us-east-1';
const accessKeyId = 'TESTKEY';
const secretAccessKey = 'TESTSECRET1234567890';
const largestSkewMs = 15 * 60_000;

export async function startS3Server(): Promise<S3Server> {
  const app = buildApp({ logger: false, host: '127.0.0.1' });
  const faults: Fault[] = [];
  const requests: SeenRequest[] = [];
  const archived = new Map<string, string>();
  const mode = { appendOnly: false };
  const noted = new WeakMap<object, { readonly seen: SeenRequest; readonly effect: Effect | null }>();
  const writers = new Map<string, Promise<void>>();
  /** Marks the requests that the hooks themselves make. */
  const ownMark = randomUUID();

  app.addHook('onRequest', async (request, reply) => {
    if (request.headers['x-own'] === ownMark) return;
    const url = request.raw.url ?? '/';
    const seen: SeenRequest = { method: request.method, url, headers: request.headers, status: 0 };
    requests.push(seen);
    const effect = takeFault(faults, `${request.method} ${url}`);
    noted.set(request.raw, { seen, effect });

    if (effect === 'stall') return reply.hijack();
    if (effect === 'reset') {
      request.raw.socket.resetAndDestroy();
      return reply.hijack();
    }
    if (effect !== null && typeof effect === 'object') {
      if ('status' in effect) return refuse(reply, { status: effect.status, code: effect.code ?? 'InternalError' });
      if ('body' in effect) return reply.code(200).type('application/xml').send(effect.body);
    }
    const refusal = effect === 'public' ? null : refuseSignature(request.method, url, request.headers);
    if (refusal) return refuse(reply, refusal);
    if (mode.appendOnly && isRemovalOrReplacement(request.method, url, request.headers))
      return refuse(reply, { status: 403, code: 'AccessDenied' });
    if (request.method === 'GET' && archived.has(decodeURIComponent(url.split('?')[0] ?? '')))
      return refuse(reply, { status: 403, code: 'InvalidObjectState' });
  });

  app.addHook('preHandler', async (request, reply) => {
    if (request.headers['x-own'] === ownMark) return;
    const body = Buffer.isBuffer(request.body)
      ? request.body
      : Buffer.from(typeof request.body === 'string' ? request.body : '');
    const refusal = refuseBody(body, request.headers);
    if (refusal) return refuse(reply, refusal);

    const url = request.raw.url ?? '/';
    const [path = '/'] = url.split('?');
    const isComplete = request.method === 'POST' && url.includes('uploadId=');
    if (!isComplete && (request.method !== 'PUT' || url.includes('partNumber='))) return;
    // One writer of a key at a time, so that of many create-only PUTs exactly one wins.
    while (writers.has(path)) await writers.get(path);
    const { promise, resolve } = Promise.withResolvers<void>();
    writers.set(path, promise);
    reply.raw.once('close', () => {
      writers.delete(path);
      resolve();
    });
    const { 'if-none-match': ifNoneMatch, 'if-match': ifMatch } = request.headers;
    if (ifNoneMatch === undefined && ifMatch === undefined) return;
    if (noted.get(request.raw)?.effect === 'ignore conditions') return;
    const found = await app.inject({
      method: 'HEAD',
      url: path,
      headers: { 'x-own': ownMark, host: request.headers.host ?? '' },
    });
    const exists = found.statusCode === 200;
    if (ifNoneMatch === '*' && exists) return refuse(reply, { status: 412, code: 'PreconditionFailed' });
    if (ifMatch !== undefined && !exists) return refuse(reply, { status: 404, code: 'NoSuchKey' });
    if (ifMatch !== undefined && ifMatch !== found.headers.etag)
      return refuse(reply, { status: 412, code: 'PreconditionFailed' });
  });

  app.addHook('onSend', async (request, reply, payload) => {
    const note = noted.get(request.raw);
    if (typeof note?.effect === 'object' && note.effect && 'answerAfter' in note.effect) await note.effect.answerAfter;
    // As this process has it, also where a test moved its clock: the client corrects its own by it.
    reply.header('date', new Date().toUTCString());
    if (note === undefined) return payload;
    note.seen.status = reply.statusCode;
    if (archived.size > 0 && typeof payload === 'string' && payload.includes('<ListBucketResult')) {
      const listing = withClasses(payload, `/${request.raw.url?.split(/[/?]/)[1]}`, archived);
      reply.header('content-length', Buffer.byteLength(listing));
      return listing;
    }
    if (note.effect === 'lose answer') {
      request.raw.socket.resetAndDestroy();
      return payload;
    }
    if (note.effect === 'flip a bit' && Buffer.isBuffer(payload)) {
      const flipped = Buffer.from(payload);
      flipped[0] = (flipped[0] ?? 0) ^ 1;
      return flipped;
    }
    const partial = partOf(note.effect);
    if (partial !== null && Buffer.isBuffer(payload)) {
      // Past Fastify, which would mend the length of a body that is shorter than announced.
      reply.hijack();
      reply.raw.writeHead(reply.statusCode, {
        ...reply.getHeaders(),
        'content-length': payload.length,
      } as OutgoingHttpHeaders);
      reply.raw.flushHeaders();
      reply.raw.write(payload.subarray(0, partial.bytes), () => {
        if (partial.isCut) setTimeout(() => request.raw.socket.destroy(), 20);
      });
      return new Promise(() => {});
    }
    return payload;
  });

  const endpoint = await app.listen({ port: 0, host: '127.0.0.1' });
  return {
    endpoint,
    region,
    accessKeyId,
    secretAccessKey,
    faults,
    requests,
    archived,
    get appendOnly() {
      return mode.appendOnly;
    },
    set appendOnly(isOn) {
      mode.appendOnly = isOn;
    },
    async createBucket(name) {
      const made = await app.inject({
        method: 'PUT',
        url: `/${name}`,
        headers: { 'x-own': ownMark, host: new URL(endpoint).host },
      });
      if (made.statusCode !== 200) throw new Error(`the bucket was not made: ${made.statusCode} ${made.body}`);
    },
    async close() {
      // Stalled requests would hold the server open.
      app.server.closeAllConnections();
      await app.close();
    },
  };
}

/** Parts, and uploads that are given up, are no objects. */
function isRemovalOrReplacement(method: string, url: string, headers: Headers): boolean {
  const query = new URL(url, 'http://s3').searchParams;
  if (method === 'DELETE') return !query.has('uploadId');
  if (method === 'POST' && query.has('delete')) return true;
  const creates = method === 'POST' ? query.has('uploadId') : method === 'PUT' && !query.has('partNumber');
  return creates && headers['if-none-match'] === undefined;
}

function withClasses(listing: string, bucket: string, classes: ReadonlyMap<string, string>): string {
  return listing.replaceAll(/<Key>([^<]*)<\/Key>.*?<\/Contents>/gs, (found, key: string) =>
    found.replace('STANDARD', classes.get(`${bucket}/${key}`) ?? 'STANDARD'),
  );
}

interface Refusal {
  readonly status: number;
  readonly code: string;
}

type Headers = Readonly<Record<string, string | string[] | undefined>>;

function takeFault(faults: readonly Fault[], line: string): Effect | null {
  const fault = faults.find(({ match, times }) => times !== 0 && match.test(line));
  if (fault === undefined) return null;
  if (fault.times !== undefined) fault.times -= 1;
  return fault.effect;
}

function partOf(effect: Effect | null): { readonly bytes: number; readonly isCut: boolean } | null {
  if (effect === null || typeof effect === 'string') return null;
  if ('cutAfterBytes' in effect) return { bytes: effect.cutAfterBytes, isCut: true };
  return 'stallAfterBytes' in effect ? { bytes: effect.stallAfterBytes, isCut: false } : null;
}

interface Reply {
  code(status: number): { type(type: string): { send(body: string): unknown } };
}

function refuse(reply: Reply, { status, code }: Refusal): unknown {
  const body = `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>${code}</Message></Error>`;
  return reply.code(status).type('application/xml').send(body);
}

/** Checks an AWS Signature Version 4 in the header or in the query; the names are those of its specification. */
function refuseSignature(method: string, url: string, headers: Headers): Refusal | null {
  const [path = '/', query = ''] = url.split('?');
  const parameters = new URLSearchParams(query);
  const isPresigned = parameters.has('X-Amz-Signature');
  const header = /Credential=([^,]+),\s*SignedHeaders=([^,]+),\s*Signature=([0-9a-f]+)/.exec(
    text(headers.authorization),
  );
  const credential = (isPresigned ? parameters.get('X-Amz-Credential') : header?.[1]) ?? '';
  const signedHeaders = (isPresigned ? parameters.get('X-Amz-SignedHeaders') : header?.[2]) ?? '';
  const signature = (isPresigned ? parameters.get('X-Amz-Signature') : header?.[3]) ?? '';
  const date = (isPresigned ? parameters.get('X-Amz-Date') : text(headers['x-amz-date'])) ?? '';
  if (signature === '') return { status: 403, code: 'AccessDenied' };

  const [keyId = '', ...scope] = credential.split('/');
  if (keyId !== accessKeyId) return { status: 403, code: 'InvalidAccessKeyId' };
  const signedAt = Date.parse(date.replace(/(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z/, '$1-$2-$3T$4:$5:$6Z'));
  if (isPresigned) {
    if (Date.now() > signedAt + 1000 * Number(parameters.get('X-Amz-Expires')))
      return { status: 403, code: 'AccessDenied' };
  } else if (!(Math.abs(Date.now() - signedAt) <= largestSkewMs)) {
    return { status: 403, code: 'RequestTimeTooSkewed' };
  }

  const canonicalQuery = query
    .split('&')
    .filter((part) => part !== '' && !part.startsWith('X-Amz-Signature='))
    .map((part) => (part.includes('=') ? part : `${part}=`))
    .sort()
    .join('&');
  const canonicalHeaders = signedHeaders
    .split(';')
    .map((name) => `${name}:${text(headers[name]).trim().replace(/ +/g, ' ')}`);
  const payloadDigest = isPresigned ? 'UNSIGNED-PAYLOAD' : text(headers['x-amz-content-sha256']);
  const canonicalRequest = [method, path, canonicalQuery, ...canonicalHeaders, '', signedHeaders, payloadDigest].join(
    '\n',
  );
  const signingKey = [...scope].reduce<string | Buffer>((key, part) => hmac(key, part), `AWS4${secretAccessKey}`);
  const wanted = hmac(
    signingKey,
    ['AWS4-HMAC-SHA256', date, scope.join('/'), sha256(canonicalRequest)].join('\n'),
  ).toString('hex');
  const isRight = wanted.length === signature.length && timingSafeEqual(Buffer.from(wanted), Buffer.from(signature));
  return isRight ? null : { status: 403, code: 'SignatureDoesNotMatch' };
}

function refuseBody(body: Buffer, headers: Headers): Refusal | null {
  const digest = text(headers['x-amz-content-sha256']);
  if (/^[0-9a-f]{64}$/.test(digest) && sha256(body) !== digest)
    return { status: 400, code: 'XAmzContentSHA256Mismatch' };
  const md5 = text(headers['content-md5']);
  if (md5 !== '' && createHash('md5').update(body).digest('base64') !== md5) return { status: 400, code: 'BadDigest' };
  return null;
}

const text = (value: string | string[] | undefined): string => (Array.isArray(value) ? value.join(',') : (value ?? ''));
const sha256 = (bytes: string | Buffer): string => createHash('sha256').update(bytes).digest('hex');
const hmac = (key: string | Buffer, message: string): Buffer => createHmac('sha256', key).update(message).digest();
