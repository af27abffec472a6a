/**
 * Requests made from the OpenAPI document, right ones and wrong ones: each answer must be one that the document allows,
 * and none a fault of the server. Longer by hand: `bun tests/http/fuzz.ts --requests 100000 --seed 7`.
 */
import fc from 'fast-check';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { z } from 'zod';
import type { OpenApi, Operation } from '../../src/http/openapi.ts';
import { pageAssets } from '../../src/http/page-assets.ts';
import { createServer } from '../../src/http/server.ts';
import { createSignIn } from '../../src/http/access/sign-in.ts';
import { hostileNamesBeside } from '../support/hostile-names.ts';
import { arrivalId, createFakeService, firstBackup, missingBackup, rescueId, secondBackup } from './fake-service.ts';

const token = '0123456789abcdef';
const base = 'http://localhost/backup';

interface Asked {
  readonly method: string;
  readonly path: string;
  /** By method, of this path. */
  readonly operations: Readonly<Record<string, Operation>>;
  readonly hasName: boolean;
  readonly headers: Record<string, string>;
  readonly body: string | undefined;
}

/** How often each status was answered. Rejects with the smallest request that was answered wrongly, and the seed. */
export async function fuzz(options: { requests: number; seed: number }): Promise<Readonly<Record<number, number>>> {
  const folder = mkdtempSync(join(tmpdir(), 'velist-fuzz-'));
  writeFileSync(join(folder, 'index.html'), '<!doctype html><title>page</title>');
  const page = pageAssets(folder);
  let nowMs = 0;
  const signIn = createSignIn({ password: 'correct horse', token, nowMs: () => nowMs });
  const counts: Record<number, number> = {};
  const faults: unknown[] = [];
  const onError = (error: unknown) => faults.push(error);
  const later = () => {
    nowMs += 50;
    return nowMs;
  };
  const open = () =>
    // One request in a hundred meets the rate limits.
    createServer({ service: createFakeService(), page, signIn, nowMs: later, onError });
  let server = open();
  const document = (await (
    await server.fetch(new Request(`${base}/api/openapi.json`, { headers: { authorization: `Bearer ${token}` } }))
  ).json()) as OpenApi;
  const schemas = new Map<unknown, z.ZodType>();
  const errorSchema = z.fromJSONSchema(document.components.schemas['Error'] as z.core.JSONSchema.JSONSchema);

  let sinceOpened = 0;
  const property = fc.asyncProperty(requestsOf(document), async (asked) => {
    // What a request left behind must not hide what the next ones could find.
    if (sinceOpened++ % 200 === 0) server = open();
    const { method, path, headers, body, operations } = asked;
    const operation = operations[method.toLowerCase()];
    const abort = new AbortController();
    const response = await server.fetch(new Request(base + path, { method, headers, body, signal: abort.signal }));
    counts[response.status] = (counts[response.status] ?? 0) + 1;
    const type = response.headers.get('content-type')?.split(';')[0] ?? '';
    if (type === 'text/event-stream') {
      await response.body?.cancel();
      abort.abort();
      return;
    }
    const text = await response.text();
    if (response.status >= 500 || faults.length > 0)
      throw new Error(`a fault of the server, ${response.status}: ${text}`, { cause: faults[0] });
    if (response.headers.get('x-content-type-options') !== 'nosniff') throw new Error('the usual headers are missing');
    if (method === 'HEAD') return;
    // A name such as `.` or nothing makes the address another one.
    if (asked.hasName && !/backup-\d/.test(path)) return;
    if (type !== 'application/json') {
      if (response.status >= 300 && response.status < 500) return;
      const known = Object.keys(operation?.responses[response.status]?.content ?? {});
      if (text !== '' && !known.includes(type)) throw new Error(`${type} is not in the document`);
      return;
    }
    const answer: unknown = JSON.parse(text);
    if (response.status >= 400 || (isError(answer) && !('report' in answer))) {
      errorSchema.parse(answer);
      return;
    }
    const told = operation?.responses[response.status]?.content['application/json']?.schema;
    if (told === undefined) throw new Error(`${response.status} is not in the document`);
    let schema = schemas.get(told);
    if (!schema) {
      schema = z.fromJSONSchema(told as z.core.JSONSchema.JSONSchema);
      schemas.set(told, schema);
    }
    schema.parse(answer);
  });
  try {
    await fc.assert(property, { numRuns: options.requests, seed: options.seed });
  } finally {
    rmSync(folder, { recursive: true });
  }
  return counts;
}

const isError = (answer: unknown): answer is object =>
  typeof answer === 'object' && answer !== null && 'error' in answer;

function requestsOf(document: OpenApi): fc.Arbitrary<Asked> {
  const all = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      method: method.toUpperCase(),
      path,
      operation,
      operations: methods,
    })),
  );
  return fc
    .constantFrom(...all)
    .chain(({ method, path, operation, operations }) =>
      fc.record({
        method: often(fc.constant(method), fc.constantFrom('GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS')),
        path: addresses(path, operation),
        operations: fc.constant(operations),
        hasName: fc.constant(path.includes('{filename}')),
        headers: often(
          fc.constant({ authorization: `Bearer ${token}` }),
          fc.dictionary(fc.constantFrom(...headerNames), fc.string({ unit: 'grapheme-ascii', maxLength: 40 })),
        ),
        body: bodies(operation),
      }),
    )
    .map((asked) => ({ ...asked, body: /GET|HEAD/.test(asked.method) ? undefined : asked.body }));
}

const headerNames = [
  ...['authorization', 'cookie', 'origin', 'sec-fetch-site', 'range', 'if-range', 'if-none-match'],
  ...['content-type', 'accept', 'x-forwarded-for', 'x-forwarded-proto', 'last-event-id'],
];

/** Nine times of ten the first. */
const often = <Value>(usual: fc.Arbitrary<Value>, rare: fc.Arbitrary<Value>) =>
  fc.oneof({ arbitrary: usual, weight: 9 }, { arbitrary: rare, weight: 1 });

/** Lone surrogates have no form in an address. */
const encoded = (value: string) => encodeURIComponent(value.toWellFormed());

const text = fc.string({ unit: 'binary', maxLength: 60 });
const names = fc.oneof(
  { arbitrary: fc.constantFrom(firstBackup, secondBackup, missingBackup), weight: 5 },
  { arbitrary: fc.constantFrom(...hostileNamesBeside(firstBackup)), weight: 1 },
  { arbitrary: text.map(encoded), weight: 1 },
);

function addresses(path: string, { parameters = [] }: Operation): fc.Arbitrary<string> {
  const query = parameters.filter((parameter) => parameter.in === 'query');
  const queries = fc.dictionary(
    often(fc.constantFrom('x', ...query.map(({ name }) => name)), text),
    fc.oneof(
      text,
      fc.integer().map(String),
      valuesOf(query.map(({ schema }) => schema)).map((value) => String(value)),
    ),
    { maxKeys: 3 },
  );
  return fc.tuple(names, fc.constantFrom('local', 's3', 'gcs'), often(fc.constant({}), queries)).map(
    ([filename, target, asked]) =>
      path
        .replace('{filename}', () => filename)
        .replace('{name}', target)
        .replace('{rescue}', rescueId)
        .replace('{arrival}', arrivalId) +
      (Object.keys(asked).length === 0
        ? ''
        : `?${Object.entries(asked)
            .map(([name, value]) => `${encoded(name)}=${encoded(String(value))}`)
            .join('&')}`),
  );
}

function bodies({ requestBody }: Operation): fc.Arbitrary<string | undefined> {
  const schema = requestBody?.content['application/json']?.schema as
    { properties?: Record<string, unknown> } | undefined;
  const properties = Object.entries(schema?.properties ?? {});
  const shaped = fc.record(
    Object.fromEntries(
      properties.map(([name, inner]) => [
        name,
        name === 'confirm' ? fc.constantFrom('dev.sqlite', 'other') : often(valuesOf([inner]), fc.jsonValue()),
      ]),
    ),
    { requiredKeys: properties.some(([name]) => name === 'confirm') ? ['confirm'] : [] },
  );
  return fc.oneof(
    { arbitrary: shaped.map((value) => JSON.stringify(value)), weight: 6 },
    { arbitrary: fc.json(), weight: 1 },
    { arbitrary: text, weight: 1 },
    { arbitrary: fc.constant(undefined), weight: 1 },
  );
}

/** Values that fit one of the schemas, roughly: near their limits, and a little beyond. */
function valuesOf(schemas: readonly unknown[]): fc.Arbitrary<unknown> {
  const values = schemas.map((schema): fc.Arbitrary<unknown> => {
    const {
      type,
      anyOf,
      minimum = -10,
      maximum = 20_000,
      ...rest
    } = schema as {
      readonly type?: string;
      readonly anyOf?: readonly unknown[];
      readonly enum?: readonly unknown[];
      readonly items?: unknown;
      readonly minimum?: number;
      readonly maximum?: number;
    };
    if (anyOf) return valuesOf(anyOf);
    if (rest.enum) return fc.constantFrom(...rest.enum);
    if (type === 'boolean') return fc.boolean();
    if (type === 'integer' || type === 'number') return fc.integer({ min: minimum - 2, max: maximum + 2 });
    if (type === 'array') return fc.array(valuesOf([rest.items ?? {}]), { maxLength: 4 });
    if (type === 'null') return fc.constant(null);
    return text;
  });
  return values.length === 0 ? fc.constant('') : fc.oneof(...values);
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { requests: { type: 'string' }, seed: { type: 'string' } } });
  const requests = Number(values.requests ?? 10_000);
  const seed = Number(values.seed ?? Date.now() % 2 ** 31);
  console.log(`${requests} requests, seed ${seed}`);
  console.log(await fuzz({ requests, seed }));
}
