/**
 * Faults between our jobs and a real S3 server. Each case lets one thing go wrong, on the way or at the server, and runs
 * the real job into it: the upload of a backup of three parts, or the fetch of one. `checkFaultCase` looks at what all
 * of them must hold: whole or not at all, no success that is none, no parts left, the right code with a message and a
 * hint; and when the fault is over, the next try ends well.
 *
 * The same cases run as tests (`faults.test.ts`) and as a table (`fault-table.ts`), so the table shows what was said,
 * not what was meant.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ListMultipartUploadsCommand } from '@aws-sdk/client-s3';
import { BackupError, type ErrorBody, type ErrorCode } from '../../src/words/errors.ts';
import type { S3Access } from '../../src/engine/store/s3/access.ts';
import { runJob } from '../../src/engine/process/run-job.ts';
import { createS3Store } from '../../src/engine/store/s3/store.ts';
import { makeBank } from '../support/bank.ts';
import { type FaultProxy, startFaultProxy } from '../support/fault-proxy.ts';
import { digestOf, keysOf, MiB } from '../support/objects.ts';
import { type Rgw, startRgw, withClient } from '../support/rgw.ts';
import type { Uploaded } from '../../src/engine/stories/upload-request.ts';

export interface FaultCase {
  /** What goes wrong. */
  readonly name: string;
  readonly job: 'upload' | 'fetch';
  /** What the job fails with; null where it ends well all the same. */
  readonly code: ErrorCode | null;
  readonly message?: RegExp;
  readonly hint?: RegExp;
  /** Unfinished uploads that nobody could remove; the sweep does, a day later. */
  readonly uploadsLeft?: number;
  /** Tells the proxy, or the server, what goes wrong. */
  provoke(scene: FaultScene): unknown;
  /** Makes the server right again; the proxy's faults end by themselves. */
  mend?(scene: FaultScene): unknown;
}

export interface FaultFinding {
  readonly error: ErrorBody | null;
  /** In words. */
  readonly outcome: string;
  readonly seconds: number;
}

/** What all cases share: the server, one backup in a folder, and the same one at the server. */
export interface FaultWorld {
  readonly server: Rgw;
  readonly folder: string;
  readonly name: string;
  readonly sha256: string;
  close(): Promise<void>;
}

/** Short, so that a fault for ever is over soon; the ratio is that of real life. */
export const patience = { maxAttempts: 3, connectTimeoutMs: 1_000, requestTimeoutMs: 1_500 } as const;
const BUCKET = 'faults';
/** Three parts. */
const BACKUP_BYTES = 11 * MiB;
const STORED = 'stored/before';

export async function createFaultWorld(): Promise<FaultWorld> {
  const folder = mkdtempSync(join(tmpdir(), 'velist-faults-'));
  const server = await startRgw();
  const close = async () => {
    await server.close();
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await server.createBucket(BUCKET);
    const databasePath = join(folder, 'app.sqlite');
    makeBank(databasePath, { sizeBytes: BACKUP_BYTES });
    const { name } = await runJob<'backup'>(
      {
        ...{ kind: 'backup', databasePath, folder: join(folder, 'backups'), verify: 'quick', trigger: 'manual' },
        ...{ user: null, note: null, retention: { count: 10, startBurstMs: 0 }, lockWaitMs: 1_000 },
      },
      { environment },
    );
    const world = { server, folder, name, sha256: sha256Of(join(folder, 'backups', name)), close };
    await upload(world, { ...accessTo(server), endpoint: server.endpoint }, STORED);
    return world;
  } catch (error) {
    await close();
    throw error;
  }
}

/** One case: a proxy of its own, a prefix of its own, and the access that its job is given. */
export class FaultScene {
  readonly world: FaultWorld;
  readonly proxy: FaultProxy;
  readonly prefix: string;
  readonly to: string;
  access: S3Access;
  environment: Readonly<Record<string, string>> = environment;

  constructor(world: FaultWorld, proxy: FaultProxy, options: { readonly job: FaultCase['job']; readonly id: string }) {
    this.world = world;
    this.proxy = proxy;
    this.prefix = options.job === 'upload' ? `case/${options.id}` : STORED;
    this.to = join(world.folder, 'fetched', `${options.id}.sqlite`);
    this.access = { ...accessTo(world.server), endpoint: proxy.endpoint };
  }

  get server(): Rgw {
    return this.world.server;
  }

  /** Every request that matches, or so many of them. */
  fault(match: RegExp, effect: FaultProxy['faults'][number]['effect'], limits: { times?: number; skip?: number } = {}) {
    this.proxy.faults.push({ match, effect, ...limits });
  }
}

let cases = 0;

/** Runs one case and looks at everything that each of them must hold. */
export async function checkFaultCase(world: FaultWorld, faultCase: FaultCase): Promise<FaultFinding> {
  cases += 1;
  const proxy = await startFaultProxy(world.server.endpoint);
  const scene = new FaultScene(world, proxy, { job: faultCase.job, id: String(cases) });
  try {
    await faultCase.provoke(scene);
    const startedMs = performance.now();
    const error = await errorOf(() => run(scene, faultCase.job));
    const seconds = (performance.now() - startedMs) / 1000;
    await faultCase.mend?.(scene);
    checkAnswer(faultCase, error);
    const outcome =
      faultCase.job === 'upload' ? await checkUpload(scene, faultCase, error) : await checkFetch(scene, error);
    return { error, outcome, seconds };
  } finally {
    await proxy.close();
  }
}

const environment: Readonly<Record<string, string>> = { PATH: process.env['PATH'] ?? '' };

function accessTo(server: Rgw): S3Access {
  const { endpoint, region, accessKeyId, secretAccessKey } = server;
  return { kind: 's3', bucket: BUCKET, endpoint, region, accessKeyId, secretAccessKey, ...patience };
}

async function run(scene: FaultScene, job: FaultCase['job']): Promise<unknown> {
  return job === 'upload'
    ? await upload(scene.world, scene.access, scene.prefix, scene.environment)
    : await fetch(scene);
}

async function upload(
  { folder, name }: FaultWorld,
  access: S3Access,
  prefix: string,
  jobEnvironment = environment,
): Promise<Uploaded> {
  const sealing = { compression: 'none', recipients: [] } as const;
  return await runJob<'upload'>(
    {
      kind: 'upload',
      target: 's3',
      folder: join(folder, 'backups'),
      name,
      prefix,
      access,
      sealing,
      retention: null,
      known: [],
    },
    { environment: jobEnvironment },
  );
}

async function fetch({ world, access, to, environment: jobEnvironment }: FaultScene): Promise<unknown> {
  mkdirSync(join(world.folder, 'fetched'), { recursive: true });
  return await runJob<'fetch'>(
    {
      ...{ kind: 'fetch', target: 's3', name: world.name, prefix: STORED, access, identities: [] },
      ...{ staging: `${to}.staging`, to, lockWaitMs: 1_000 },
    },
    { environment: jobEnvironment },
  );
}

async function errorOf(work: () => Promise<unknown>): Promise<ErrorBody | null> {
  try {
    await work();
    return null;
  } catch (error) {
    return BackupError.from(error).toJSON();
  }
}

function checkAnswer({ code, message = /./, hint = /./ }: FaultCase, error: ErrorBody | null): void {
  assert.equal(error?.code ?? null, code, JSON.stringify(error));
  if (!error) return;
  assert.match(error.message, message);
  assert.match(error.hint, hint);
  assert.doesNotMatch(`${error.message} ${error.hint}`, /unknown ?error|undefined|TESTSECRET|SECRET-/i);
  assert.match(error.message, /^[^A-Z\s]|^[A-Z]\w*\d/, 'a message begins in lower case, or with a name');
  assert.match(error.hint, /^[A-Z].*[.!?]$/s, 'a hint is a whole sentence');
}

/** What the server holds now; then the next try, without the fault. */
async function checkUpload(scene: FaultScene, faultCase: FaultCase, error: ErrorBody | null): Promise<string> {
  const { world, prefix } = scene;
  const { name } = world;
  const store = createS3Store({ ...accessTo(world.server), prefix });
  try {
    const keys = await keysOf(store);
    const isListed = keys.includes(`${name}.json`);
    assert.equal(isListed, error === null, 'a manifest is there when the job succeeded, and only then');
    if (keys.includes(name)) assert.equal(await digestOf(store.get(name)), world.sha256, 'no short or changed object');
    assert.deepEqual(
      keys.filter((key) => ![name, `${name}.json`].includes(key)),
      [],
    );
    const left = await uploadsBelow(world.server, prefix);
    assert.equal(left, faultCase.uploadsLeft ?? 0, 'unfinished uploads');

    const remains = left === 0 ? '' : `; ${left} unfinished upload, swept when a day old`;
    if (error === null) return `stored whole${remains}`;

    assert.equal(await errorOf(() => upload(world, accessTo(world.server), prefix)), null, 'the next try ends well');
    assert.deepEqual((await keysOf(store)).toSorted(), [name, `${name}.json`]);
    assert.equal(await digestOf(store.get(name)), world.sha256);
    const object = keys.includes(name) ? 'an object without a manifest' : 'nothing';
    return `not stored, ${object} is left${remains}; the next try stores it`;
  } finally {
    store.close();
  }
}

async function checkFetch(scene: FaultScene, error: ErrorBody | null): Promise<string> {
  const { to, world } = scene;
  assert.equal(existsSync(to), error === null, 'a file is there when the job succeeded, and only then');
  if (error !== null) {
    const again = { ...scene, access: accessTo(world.server), environment } as FaultScene;
    assert.equal(await errorOf(() => fetch(again)), null, 'the next try ends well');
  }
  assert.equal(sha256Of(to), world.sha256);
  assert.equal(existsSync(`${to}.staging`), false, 'nothing half fetched is left');
  rmSync(to);
  return error === null ? 'fetched whole' : 'nothing placed; the next try fetches it';
}

async function uploadsBelow(server: Rgw, prefix: string): Promise<number> {
  const { Uploads } = await withClient(server, (client) =>
    client.send(new ListMultipartUploadsCommand({ Bucket: BUCKET, Prefix: `${prefix}/` })),
  );
  return Uploads?.length ?? 0;
}

function sha256Of(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex');
}
