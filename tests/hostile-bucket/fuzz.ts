/**
 * Everything that a bucket can say, said wrong: manifests, `database.json`, claims and epochs with their values exchanged,
 * and answers of S3 that lie about size, order, end and form. Counted are hangs (not settled in time), escapes (a name, a
 * file or a request where none may be, a control character in a message) and crashes (an error that nobody caught, or one
 * that is no `BackupError`); all three must be 0. What is good beside a bad object must be found.
 *
 *     bun tests/hostile-bucket/fuzz.ts --seed 1 --objects 20000 --answers 2000 --downloads 400
 */
import { generateIdentity, identityToRecipient } from 'age-encryption';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { zstdCompressSync } from 'node:zlib';
import { seal } from '../../src/engine/format/seal.ts';
import { artifactFile, isBackupName, nameBackup } from '../../src/engine/format/names.ts';
import { RECORD_FORMAT } from '../../src/engine/catalog/identity.ts';
import { type Manifest, MANIFEST_FORMAT } from '../../src/engine/format/manifest.ts';
import { readTargetIdentity } from '../../src/engine/catalog/own-target.ts';
import { listRemote, readRemoteManifest } from '../../src/engine/catalog/store-catalog.ts';
import { BackupError } from '../../src/words/errors.ts';
import { fetchBackup } from '../../src/engine/stories/fetch.ts';
import { planRemoteRetention } from '../../src/engine/catalog/prune-store.ts';
import { KEEP_NONE } from '../../src/engine/catalog/retention.ts';
import { isKey } from '../../src/engine/store/object-key.ts';
import { getBytes, type ObjectStore } from '../../src/engine/store/store.ts';
import { createS3Store } from '../../src/engine/store/s3/store.ts';
import { visibleLine } from '../../src/words/visible-text.ts';
import { lastBeat, lookAt } from '../../src/engine/writer/objects.ts';
import { createMemoryStore } from '../contracts/memory-store.ts';
import { makeDatabase } from '../support/scratch.ts';
import { type Random, seededRandom } from '../support/torture-random.ts';
import { type Answer, type HostileServer, startHostileServer } from './server.ts';

export interface FuzzOptions {
  readonly seed: number;
  readonly objects: number;
  readonly answers: number;
  readonly downloads: number;
}

export interface FuzzCounts {
  readonly cases: Readonly<Record<'objects' | 'answers' | 'downloads', number>>;
  readonly hangs: readonly string[];
  readonly escapes: readonly string[];
  readonly crashes: readonly string[];
  /** How the cases ended, by their error codes; `ok` for those without one. */
  readonly outcomes: Readonly<Record<string, number>>;
}

/** Longer than any limit of ours at the patience of these tests. */
const SETTLED_MS = 30_000;
const PREFIX = 'app/database';
/** With the usual minute the drips alone would take hours. */
const patience = { maxAttempts: 1, connectTimeoutMs: 5_000, requestTimeoutMs: 150 } as const;
const ESC = '\u001b]0;owned\u0007';
const UNSEEN = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/u;

export async function fuzzBucket(options: FuzzOptions): Promise<FuzzCounts> {
  const found = { hangs: [] as string[], escapes: [] as string[], crashes: [] as string[] };
  const outcomes: Record<string, number> = {};
  const uncaught = (error: unknown) => found.crashes.push(`nobody caught: ${String(error)}`);
  process.on('uncaughtException', uncaught).on('unhandledRejection', uncaught);
  const folder = mkdtempSync(join(tmpdir(), 'velist-hostile-'));
  const server = await startHostileServer();

  /** One case: settled in time, and by a `BackupError` if not well. */
  async function judge(what: string, work: () => Promise<unknown>): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<'late'>((resolve) => {
      timer = setTimeout(() => resolve('late'), SETTLED_MS);
    });
    const done = work().then(
      () => 'ok',
      (error: unknown) => {
        if (!(error instanceof BackupError)) found.crashes.push(`${what}: ${String(error)}`);
        else if (UNSEEN.test(error.message)) found.escapes.push(`${what}: ${visibleLine(error.message)}`);
        return error instanceof BackupError ? error.code : 'crash';
      },
    );
    const outcome = await Promise.race([done, late]);
    clearTimeout(timer);
    outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
    if (outcome === 'late') found.hangs.push(what);
  }

  let cases = 0;
  // Of its own for each case: how many requests one of them made before it gave up is no matter of the next.
  const nextScene = (): Scene => {
    const random = seededRandom(options.seed + cases++);
    return { random, server, folder, judge, escapes: found.escapes };
  };
  try {
    for (let number = 0; number < options.objects; number++) await fuzzObjects(nextScene(), number);
    for (let number = 0; number < options.answers; number++) await fuzzAnswer(nextScene(), number);
    for (let number = 0; number < options.downloads; number++) await fuzzDownload(nextScene(), number);
    if (server.strayed() > 0) found.escapes.push(`${server.strayed()} requests went to another host`);
  } finally {
    await server.close();
    rmSync(folder, { recursive: true, force: true });
    process.off('uncaughtException', uncaught).off('unhandledRejection', uncaught);
  }
  const { objects, answers, downloads } = options;
  return { cases: { objects, answers, downloads }, ...found, outcomes };
}

interface Scene {
  readonly random: Random;
  readonly server: HostileServer;
  readonly folder: string;
  readonly judge: (what: string, work: () => Promise<unknown>) => Promise<void>;
  readonly escapes: string[];
}

// ── objects ──

const digest = 'a'.repeat(64);
const nameOf = (day: number) => nameBackup(new Date(Date.UTC(2026, 0, day)));

function manifestOf(name: string, sizeBytes: number): Manifest {
  return {
    ...{ format: MANIFEST_FORMAT, name, sequence: 7, createdAt: '2026-01-02T00:00:00.000Z' },
    source: { name: 'app.sqlite', journalMode: 'wal' },
    database: { sizeBytes, pageSize: 4096, pages: sizeBytes / 4096, sha256: digest },
    artifact: { file: name, sizeBytes, sha256: digest, compression: 'none', encryption: 'none' },
    verification: { method: 'quick', at: '2026-01-02T00:00:00.000Z', complaint: null },
    ...{ trigger: 'schedule', user: 'ada', pinned: false, note: 'a note', stamp: null },
    copy: { method: 'pinned-copy', checkpoint: null },
    versions: { velistBackup: '0.2.0', sqlite: '3.54.1', runtime: 'bun 1.4.5' },
    ...{ databaseId: 'id', madeBy: { installation: 'one', host: 'host' } },
    facts: {
      tables: { notes: { rows: 3, bytes: 4096, schema: 'abc' } },
      furtherTables: 0,
      schema: 'abc',
      usedPages: 2,
    },
    loss: {
      ...{ before: nameOf(1), dayBefore: null, tables: [{ name: 'notes', before: 9, after: 0 }] },
      ...{ usedPages: { before: 9, after: 2 }, accepted: null },
    },
  };
}

const record = {
  ...{ format: RECORD_FORMAT, id: 'id', name: 'app.sqlite', path: digest, machine: digest },
  ...{ createdAt: '2026-01-01T00:00:00.000Z', madeBy: { installation: 'one', host: 'host' } },
};
const claim = {
  ...{ format: 'velist-backup-claim/1', id: 'id', name: 'app.sqlite', path: digest, machine: digest, user: 'ada' },
  ...{ at: '2026-01-01T00:00:00.000Z', madeBy: null, sparesUntil: null },
};
const epoch = {
  ...{
    format: 'velist-backup-writer/1',
    token: 'token',
    installation: 'one',
    host: 'host',
    databaseId: 'id',
    path: digest,
  },
  ...{ at: '2026-01-01T00:00:00.000Z', everyMs: 60_000, beat: `${PREFIX}/writer/beat-token.json`, claimed: false },
};

const values: readonly [unknown, ...unknown[]] = [
  null,
  ...[true, 0, -1, 1.5, 1e308, -1e308, Number.MAX_SAFE_INTEGER, 2 ** 53, '', ' ', [], {}, [[]], 'backup-'],
  ...['../../etc/passwd', '/etc/passwd', '..\\..\\x', '-rf', '$(touch x)', '`id`', "'; rm -rf .; '", 'a\nb', ESC],
  ...['\u202egnp.exe', '\u0000', '\ud800', '__proto__', 'constructor', '9'.repeat(400), 'x'.repeat(100_000)],
  ...[nameOf(1), `${nameOf(1)}.zst.age`, `../${nameOf(1)}`, `${nameOf(1)}/../../x`, `${nameOf(1)}\n`],
];

/** Some values exchanged, at any depth. */
function mutated(random: Random, value: unknown): unknown {
  if (random.chance(0.12)) return random.pick(values);
  if (Array.isArray(value)) return value.map((one) => mutated(random, one));
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).flatMap(([key, one]) => {
    if (random.chance(0.04)) return [];
    const name = random.chance(0.03) ? String(random.pick(values)).slice(0, 1_000) : key;
    return [[name, mutated(random, one)] as const];
  });
  return Object.fromEntries(entries);
}

/** As bytes, of which some are wrong too. */
function asBytes(random: Random, value: unknown): Uint8Array {
  const text = JSON.stringify(mutated(random, value)) ?? 'undefined';
  switch (random.between(0, 9)) {
    case 0:
      return Buffer.from(text).subarray(0, random.between(0, text.length));
    case 1:
      return Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), Buffer.from(text)]);
    case 2: {
      const bytes = Buffer.from(text);
      for (let flips = 0; flips < 8 && bytes.length > 0; flips++)
        bytes[random.between(0, bytes.length - 1)] = random.between(0, 255);
      return bytes;
    }
    case 3:
      return Buffer.from(`${'['.repeat(random.between(1, 200_000))}${text}`);
    case 4:
      return Buffer.from(`${'{"a":'.repeat(50_000)}1${'}'.repeat(50_000)}`);
    case 5:
      return Buffer.alloc(random.between(0, 2 * 1024 * 1024), random.between(0, 255));
    default:
      return Buffer.from(text);
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

const signal = new AbortController().signal;

async function fuzzObjects({ random, judge, escapes }: Scene, number: number): Promise<void> {
  const store = createMemoryStore();
  const good = manifestOf(nameOf(3), 8192);
  const bad = nameOf(random.between(1, 28));
  await store.put(good.name, once(Buffer.alloc(8192)));
  await store.put(`${good.name}.json`, once(Buffer.from(JSON.stringify(good))));
  if (bad !== good.name) {
    await store.put(
      artifactFile(bad, { compression: random.pick(['none', 'zstd']), encryption: 'none' }),
      once(Buffer.alloc(8192)),
    );
    await store.put(`${bad}.json`, once(asBytes(random, manifestOf(bad, 8192))));
  }
  await store.put('database.json', once(asBytes(random, record)));
  for (const stamp of ['2026', '2027']) await store.put(`claim-${stamp}.json`, once(asBytes(random, claim)));
  await store.put('writer/0000000001.json', once(asBytes(random, epoch)));
  await store.put(
    'writer/beat-token.json',
    once(asBytes(random, { format: 'velist-backup-beat/1', token: 'token', beats: 1, nonce: 'n' })),
  );

  await judge(`objects ${number}: catalog`, async () => {
    const { entries, read } = await listRemote(store, { signal });
    const there = entries.find(({ name }) => name === good.name);
    if (there?.fault !== null || there.manifest?.name !== good.name)
      escapes.push(`objects ${number}: the good one is lost`);
    for (const { name, manifest, fault } of entries) {
      if (fault !== null && (fault.length > 500 || UNSEEN.test(fault)))
        escapes.push(`objects ${number}: ${visibleLine(fault)}`);
      const file = manifest && artifactFile(name, manifest.artifact);
      if (!isBackupName(name) || manifest?.artifact.file !== (file ?? undefined))
        escapes.push(`objects ${number}: ${name}`);
    }
    if (({} as { polluted?: unknown }).polluted !== undefined)
      escapes.push(`objects ${number}: a prototype was changed`);
    JSON.stringify(read);
    const policy = { count: 1, startBurstMs: 0, keep: KEEP_NONE };
    planRemoteRetention(entries, policy, { pins: new Map(), ownership: null, now: new Date(), hold: null });
  });
  await judge(`objects ${number}: identity`, async () => {
    const identity = await readTargetIdentity(store, undefined, [], { signal, before: null });
    JSON.stringify(identity);
  });
  await judge(`objects ${number}: writer`, async () => {
    const { newest } = await lookAt({ store, prefix: '' }, { signal });
    const beat = newest?.writer?.beat;
    if (beat === undefined) return;
    if (!isKey(beat) || !/(^|\/)writer\/beat-[\w-]+\.json$/.test(beat))
      escapes.push(`objects ${number}: ${visibleLine(beat)}`);
    await lastBeat(store, beat, { signal });
  });
}

// ── answers of S3 ──

const xml = (text: string) => `<?xml version="1.0" encoding="UTF-8"?>${text}`;
const entry = (key: string, size: unknown = 4, at = '2026-01-01T00:00:00.000Z') =>
  `<Contents><Key>${key}</Key><LastModified>${at}</LastModified><ETag>"e"</ETag><Size>${String(size)}</Size><StorageClass>STANDARD</StorageClass></Contents>`;
const page = (entries: string, { isTruncated = false, token = '' } = {}) =>
  xml(
    `<ListBucketResult><IsTruncated>${isTruncated}</IsTruncated>${entries}${token && `<NextContinuationToken>${token}</NextContinuationToken>`}</ListBucketResult>`,
  );
const failure = (code: string) => xml(`<Error><Code>${code}</Code><Message>${code}</Message></Error>`);

function send(status: number, body: string | Uint8Array, headers: Record<string, string> = {}): Answer {
  const length = { 'content-length': String(Buffer.byteLength(body)) };
  return (_, response) => void response.writeHead(status, { etag: '"e"', ...length, ...headers }).end(body);
}

/** Goes on until the other side has gone. */
function endless(chunk: string | Uint8Array, { everyMs = 0, status = 200, headers = {} } = {}): Answer {
  return (_, response) => {
    response.writeHead(status, { etag: '"e"', ...headers });
    let timer: NodeJS.Timeout | undefined;
    const more = (): void => {
      if (response.destroyed) return;
      const hasRoom = response.write(chunk);
      if (everyMs > 0) timer = setTimeout(more, everyMs);
      else if (hasRoom) setImmediate(more);
      else response.once('drain', more);
    };
    response.on('close', () => clearTimeout(timer));
    more();
  };
}

const strangeKeys = [
  ...[
    `${PREFIX}/../../etc/passwd`,
    '../../etc/passwd',
    'other/place/backup',
    `${PREFIX}/a&#10;b`,
    `${PREFIX}/&#27;[2J`,
  ],
  ...[`${PREFIX}/${'x'.repeat(5_000)}`, `${PREFIX}//x`, `${PREFIX}/./x`, `${PREFIX}/\u202ex`, `${PREFIX}/`, '', '/'],
  ...[`${PREFIX}x/y`, `${PREFIX}/&lt;script&gt;`, `${PREFIX}/.velist-0.part`, `${PREFIX}/&#xd800;`],
];

function anyAnswer({ random, server }: Scene): { readonly what: string; readonly answer: Answer } {
  const good = entry(`${PREFIX}/${nameOf(3)}`);
  const strange = strangeKeys.map((key) => entry(key)).join('');
  let pages = 0;
  const cases: readonly [[string, Answer], ...[string, Answer][]] = [
    ['an endless body', endless('<a>'.repeat(20_000))],
    ['an endless refusal', endless('x'.repeat(60_000), { status: random.pick([400, 403, 404, 500]) })],
    ['a drip', endless('x', { everyMs: 20 })],
    ['a drip of a refusal', endless('x', { everyMs: 20, status: 403 })],
    ['a drip with a length', endless('x', { everyMs: 20, headers: { 'content-length': '1000000' } })],
    ['nothing at all', () => {}],
    ['a cut', (_, response) => void response.writeHead(200, { 'content-length': '1000' }).end('short')],
    ['a reset', (request) => void request.socket.resetAndDestroy()],
    ['no HTTP', (request) => void request.socket.end('\u0000\u0001 hello\r\n\r\n')],
    ['a huge header', send(200, '', { 'x-amz-meta': 'x'.repeat(100_000) })],
    [
      'a length that is no number',
      (request) => void request.socket.end('HTTP/1.1 200 OK\r\nContent-Length: 1e9\r\n\r\nx'),
    ],
    [
      'two lengths',
      (request) => void request.socket.end('HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 5\r\n\r\nxxxxx'),
    ],
    ...[301, 302, 303, 307, 308].map((status): [string, Answer] => [
      `a redirect by ${status}`,
      send(status, '', { location: `${server.elsewhere}/x` }),
    ]),
    [
      'a redirect in a body',
      send(307, xml(`<Error><Code>TemporaryRedirect</Code><Endpoint>${server.elsewhere.slice(7)}</Endpoint></Error>`), {
        location: server.elsewhere,
      }),
    ],
    ['another region', send(301, failure('PermanentRedirect'), { 'x-amz-bucket-region': 'mars-1' })],
    ['a web page', send(200, '<!DOCTYPE html><html><body>Please log in</body></html>')],
    ['many types', send(200, '<!DOCTYPE a>'.repeat(300_000))],
    [
      'entities',
      send(
        200,
        xml(
          `<!DOCTYPE l [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY x SYSTEM "file:///etc/passwd">]><ListBucketResult><IsTruncated>false</IsTruncated><Name>&b;&x;</Name>${entry(`${PREFIX}/&x;`)}</ListBucketResult>`,
        ),
      ),
    ],
    ['deep tags', send(200, xml('<a>'.repeat(400_000)))],
    ['deep tags that close', send(200, xml(`${'<a>'.repeat(50_000)}${'</a>'.repeat(50_000)}`))],
    ['many attributes', send(200, xml(`<a ${Array.from({ length: 50_000 }, (_, at) => `a${at}="x"`).join(' ')}/>`))],
    ['tags of prototypes', send(200, xml('<__proto__><polluted>1</polluted></__proto__>'))],
    ['strange keys', send(200, page(strange + good))],
    [
      'a listing of what is not there',
      (request, response) => {
        const there = [`${nameOf(3)}.json`, nameOf(3), 'database.json', 'claim-1.json', 'writer/0000000001.json'];
        const listed = page(there.map((key) => entry(`${PREFIX}/${key}`)).join(''));
        const isListing = request.url?.includes('list-type=2') === true;
        send(isListing ? 200 : 404, isListing ? listed : failure('NoSuchKey'))(request, response);
      },
    ],
    [
      'huge numbers',
      send(200, page(entry(`${PREFIX}/a`, '9'.repeat(400)) + entry(`${PREFIX}/b`, '-1') + entry(`${PREFIX}/c`, 'NaN'))),
    ],
    ['a size of 1e308', send(200, page(entry(`${PREFIX}/a`, '1e308')))],
    ['no date', send(200, page(entry(`${PREFIX}/a`, 1, 'yesterday') + good))],
    ['a date far away', send(200, page(entry(`${PREFIX}/a`, 1, '+275760-09-13T00:00:00.001Z')))],
    ['the same token again', send(200, page(good, { isTruncated: true, token: 't' }))],
    ['no token', send(200, page(good, { isTruncated: true }))],
    [
      'pages for ever',
      (request, response) => {
        // The last is the only one that is slow: all of them would be.
        if (++pages > 60 && random.chance(0.999))
          return void send(200, page(good, { isTruncated: true, token: 't' }))(request, response);
        send(200, page('', { isTruncated: true, token: `t${pages}` }))(request, response);
      },
    ],
    [
      'a page of 30,000 keys',
      send(200, page(Array.from({ length: 30_000 }, (_, at) => entry(`${PREFIX}/k${at}`)).join(''))),
    ],
    [
      'an error with a strange name',
      send(random.pick([400, 403, 404, 409, 500, 503]), failure(`${ESC}\n&#27;[2J${'x'.repeat(5_000)}`)),
    ],
    ['an error in a success', send(200, failure('InternalError'))],
    [
      'an error of other form',
      send(
        random.pick([400, 403, 500]),
        random.pick(['', '{}', '<a/>', '<Error/>', '\u0000\u0001', 'x'.repeat(100_000)]),
      ),
    ],
    [
      'another range',
      send(206, 'xxxx', {
        'content-range': random.pick([
          'bytes 5-8/100',
          'bytes 0-99999999999/1',
          'bytes x',
          'bytes -1-3/4',
          'bytes 0-3/*',
        ]),
      }),
    ],
    [
      'a range without an end',
      endless('x'.repeat(60_000), { status: 206, headers: { 'content-range': 'bytes 0-3/4' } }),
    ],
    ['a strange length of an object', send(200, 'xxxx', { 'content-length': '4', 'last-modified': 'never', etag: '' })],
    [
      'a strange class',
      send(200, 'xxxx', { 'x-amz-storage-class': 'x'.repeat(2_000), 'x-amz-restore': 'ongoing-request="maybe"' }),
    ],
    [
      'a compressed body',
      send(200, zstdCompressSync(Buffer.alloc(1_000_000)), {
        'content-encoding': random.pick(['zstd', 'gzip', 'br', 'aws-chunked']),
      }),
    ],
    ['any status', send(random.pick([100, 204, 205, 206, 300, 304, 402, 411, 412, 416, 418, 429, 501, 507, 599]), '')],
  ];
  const [what, answer] = random.pick(cases);
  return { what, answer };
}

async function fuzzAnswer(scene: Scene, number: number): Promise<void> {
  const { random, server, judge, escapes } = scene;
  const { what, answer } = anyAnswer(scene);
  const bucket = `answer-${number}`;
  server.answer(bucket, answer);
  const access = { ...patience, bucket, endpoint: server.endpoint, accessKeyId: 'key', secretAccessKey: 'secret' };
  const store = createS3Store({ ...access, prefix: PREFIX });
  const ways: readonly [[string, () => Promise<unknown>], ...[string, () => Promise<unknown>][]] = [
    ['list', () => drain(store, escapes, `${what} ${number}`)],
    ['catalog', () => listRemote(store, { signal })],
    ['head', () => store.head('key')],
    ['get', () => getBytes(store, 'key', { limitBytes: 1024 * 1024 })],
    ['range', () => getBytes(store, 'key', { from: 0, to: 31, limitBytes: 32 })],
    ['manifest', () => readRemoteManifest(store, nameOf(3), { signal })],
    ['record', () => readTargetIdentity(store, undefined, [], { signal, before: null })],
    ['create', () => store.putIfAbsent('key', Buffer.from('mine'))],
    ['put', () => store.put('key', once(Buffer.from('mine')), { ifAbsent: random.chance(0.5) })],
    ['delete', () => store.delete('key')],
    ['delete many', () => store.deleteMany(['key', 'other'])],
    ['sweep', () => store.sweepUploads({ olderThan: new Date(), isOurs: () => true })],
    ['writer', () => lookAt({ store: store.root, prefix: PREFIX }, { signal })],
  ];
  const [way, go] = random.pick(ways);
  await judge(`${what}, ${way} (${number})`, go);
  store.close();
}

async function drain(store: ObjectStore, escapes: string[], what: string): Promise<void> {
  for await (const { key } of store.list('')) if (!isKey(key)) escapes.push(`${what}: listed ${visibleLine(key)}`);
}

// ── downloads ──

const identity = await generateIdentity();
const recipient = await identityToRecipient(identity);
const MIB = 1024 * 1024;
/** A frame whose content takes no room and never ends: 10,000 blocks of one byte repeated 128 KiB. */
const bomb = zstdCompressSync(Buffer.alloc(64 * MIB));

async function fuzzDownload({ random, server, folder, judge, escapes }: Scene, number: number): Promise<void> {
  const source = join(folder, 'source.sqlite');
  if (!existsSync(source)) makeDatabase(source, { rows: 200 });
  const plain = readFileSync(source);
  const name = nameOf(3);
  const compression = random.pick(['none', 'zstd'] as const);
  const encryption = random.pick(['none', 'age'] as const);
  const sealing = { compression, recipients: encryption === 'age' ? [recipient] : [] };
  const sealed: Uint8Array[] = [];
  const [what, content] = random.pick<readonly [string, Uint8Array]>([
    ['as it should be', plain],
    ['a bomb', Buffer.alloc(64 * MIB)],
    ['another database', Buffer.concat([plain, plain])],
    ['a short one', plain.subarray(0, random.between(0, plain.length))],
  ]);
  for await (const chunk of seal(once(content), sealing)) sealed.push(chunk.slice());
  const whole = Buffer.concat(sealed);
  const [how, bytes] = random.pick<readonly [string, Uint8Array]>([
    ['whole', whole],
    ['whole', whole],
    ['cut', whole.subarray(0, random.between(0, whole.length))],
    ['with more behind', Buffer.concat([whole, whole])],
    ['flipped', flipped(random, whole)],
    ['a raw bomb', bomb],
    ['endless header', Buffer.concat([Buffer.from('age-encryption.org/v1\n'), Buffer.alloc(3 * MIB, '-> x x\n')])],
    [
      'skippable frames',
      Buffer.concat(Array.from({ length: 5_000 }, () => Buffer.from([0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0]))),
    ],
    ['a window of 2 GB', Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x01, 0x00, 0x00])],
  ]);
  const file = artifactFile(name, { compression, encryption });
  const lies = random.chance(0.25);
  const manifest: Manifest = {
    ...manifestOf(name, plain.length),
    database: {
      ...{ sizeBytes: plain.length, pageSize: 4096, pages: plain.length / 4096 },
      sha256: createHash('sha256').update(plain).digest('hex'),
    },
    artifact: {
      ...{ file, compression, encryption, sizeBytes: bytes.length },
      sha256: lies ? digest : createHash('sha256').update(bytes).digest('hex'),
    },
  };
  const bucket = `download-${number}`;
  const more = random.chance(0.2);
  server.answer(bucket, (request, response) => {
    if (request.url?.includes('.json')) return void send(200, JSON.stringify(manifest))(request, response);
    const length = { 'content-length': String(bytes.length) };
    if (request.method === 'HEAD') return void send(200, '', length)(request, response);
    // Whoever believes the size that was announced is sent more, or for ever.
    const range = { 'content-range': `bytes 0-${2 ** 40}/${2 ** 40}` };
    if (more) return void endless(Buffer.alloc(64 * 1024), { status: 206, headers: range })(request, response);
    send(200, bytes, length)(request, response);
  });
  const own = join(folder, `case-${number}`);
  const to = join(own, 'restored.sqlite');
  const context = { signal, now: () => new Date(), onEvent: () => {} };
  // Nothing drips here, and what is good must come back however busy the machine is.
  const access = {
    kind: 's3' as const,
    ...patience,
    requestTimeoutMs: 20_000,
    bucket,
    endpoint: server.endpoint,
    region: 'us-east-1',
    accessKeyId: 'k',
    secretAccessKey: 's',
  };
  await judge(`download ${number}: ${what}, ${how}, ${file}${more ? ', more than announced' : ''}`, async () => {
    const request = {
      ...{ name, target: 's3', prefix: PREFIX, access, to, staging: join(own, 'staging'), lockWaitMs: 1_000 },
    };
    await fetchBackup({ kind: 'fetch', ...request, identities: [identity] }, context);
  });
  const isGood = existsSync(to) && readFileSync(to).equals(plain);
  if (existsSync(to) && !isGood) escapes.push(`download ${number}: ${what}, ${how} was placed`);
  if (what === 'as it should be' && how === 'whole' && !lies && !more && !isGood)
    escapes.push(`download ${number}: the good one did not come back`);
  const entries = existsSync(own) ? readdirSync(own, { recursive: true }).map(String) : [];
  for (const left of entries)
    if (!/^(restored\.sqlite|staging(\/backup-[^/]+)?)$/.test(left)) escapes.push(`download ${number}: ${left}`);
  rmSync(own, { recursive: true, force: true });
}

function flipped(random: Random, bytes: Uint8Array): Uint8Array {
  const copy = Buffer.from(bytes);
  if (copy.length > 0) copy.writeUInt8(random.between(0, 255), random.between(0, copy.length - 1));
  return copy;
}

if (import.meta.main) {
  const { values: given } = parseArgs({
    options: {
      seed: { type: 'string', default: String(Date.now() % 1_000_000) },
      objects: { type: 'string', default: '20000' },
      answers: { type: 'string', default: '2000' },
      downloads: { type: 'string', default: '400' },
    },
  });
  const { hangs, escapes, crashes, outcomes, cases } = await fuzzBucket({
    ...{ seed: Number(given.seed), objects: Number(given.objects) },
    ...{ answers: Number(given.answers), downloads: Number(given.downloads) },
  });
  for (const [kind, found] of Object.entries({ hangs, escapes, crashes }))
    for (const one of found.slice(0, 20)) console.log(`${kind}: ${one}`);
  console.log(`seed ${given.seed}, ${JSON.stringify(cases)}, ${JSON.stringify(outcomes)}`);
  console.log(`${hangs.length} hangs, ${escapes.length} escapes, ${crashes.length} crashes`);
  process.exit(hangs.length + escapes.length + crashes.length === 0 ? 0 : 1);
}
