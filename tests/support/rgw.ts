/**
 * A real S3 server for the deep tests: Ceph's RADOS Gateway with one monitor and one store behind it, from nothing in
 * about a second, on free ports of the loopback, as any user. Everything lies in one temporary folder and is gone at the
 * end; the three processes die with the one that started them, also when that is killed.
 *
 * Made for the versions of Debian 12 (16.2) and later. Three traps are met in the settings: with authentication off the
 * gateway still wants encrypted talk to the monitor unless told otherwise; an OSD comes up only when its id was given to
 * `mkfs` too; with the default pace of the monitor the start takes twelve seconds.
 *
 * What was deleted leaves the memory some seconds later, and the store in memory is capped: large objects belong on a
 * sparse file (`store: 'bluestore'`).
 */
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';

export interface Rgw {
  readonly endpoint: string;
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  createBucket(name: string, options?: { readonly objectLock?: boolean }): Promise<void>;
  /** Another user's key, with the rights that bucket policies give it. */
  createUser(name: string): Promise<{ readonly accessKeyId: string; readonly secretAccessKey: string }>;
  /** One run of `radosgw-admin`; answers what it printed. */
  admin(...args: readonly string[]): Promise<string>;
  close(): Promise<void>;
}

export interface RgwOptions {
  /** In memory, up to 4 GiB; or on a sparse file, which takes four seconds more to start. */
  readonly store?: 'memstore' | 'bluestore';
  /** So many seconds are a day to lifecycle rules, which are carried out all the time then. */
  readonly lifecycleDaySeconds?: number;
  /** Where its folder is made. */
  readonly parent?: string;
}

const PACKAGES = 'radosgw ceph-mon ceph-osd ceph-common';
const PROGRAMS = ['radosgw', 'ceph-mon', 'ceph-osd', 'ceph', 'radosgw-admin'];
const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 5_000;
const GiB = 1024 ** 3;
const accessKeyId = 'TESTKEY';
const secretAccessKey = 'TESTSECRET1234567890';
const region = 'us-east-1';
/** For `aws:kms`: the name of a key that the server keeps in its settings, as only tests may. */
export const kmsKey = 'test-key';

/** Null when RGW can be started here; else one line that says what is missing. */
export function whyNoRgw(): string | null {
  const missing = PROGRAMS.filter((program) => spawnSync(program, ['--version']).error !== undefined);
  if (missing.length === 0) return null;
  return `no real S3 server here: ${missing.join(', ')} not installed (apt-get install --no-install-recommends ${PACKAGES})`;
}

export async function startRgw({
  store = 'memstore',
  lifecycleDaySeconds,
  parent = tmpdir(),
}: RgwOptions = {}): Promise<Rgw> {
  const folder = mkdtempSync(join(parent, 'velist-rgw-'));
  const daemons: ChildProcess[] = [];
  const close = async () => {
    // The gateway first, so that it has no monitor to miss.
    for (const daemon of daemons.toReversed()) await end(daemon);
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    const port = await freePort();
    const monitorPort = await freePort(port);
    const settings = join(folder, 'ceph.conf');
    const keyring = join(folder, 'keyring');
    const fsid = randomUUID();
    for (const name of ['mon', 'osd', 'rgw', 'run', 'log']) mkdirSync(join(folder, name));
    writeFileSync(settings, settingsFor({ folder, fsid, port, monitorPort, store, lifecycleDaySeconds }));
    const ask = (program: string, ...args: readonly string[]) => run(program, ['-c', settings, ...args]);
    const start = (program: string, ...args: readonly string[]) => {
      const daemon = startDaemon(program, ['-f', '-c', settings, ...args]);
      daemons.push(daemon);
      return daemon;
    };

    await run('ceph-authtool', ['-C', keyring, '--gen-key', '-n', 'client.admin']);
    await run('ceph-authtool', [keyring, '--gen-key', '-n', 'client.rgw.a']);
    const map = join(folder, 'monmap');
    const monitor = `[v2:127.0.0.1:${monitorPort}]`;
    await run('monmaptool', ['--create', '--clobber', '--fsid', fsid, '--addv', 'a', monitor, map]);
    await ask('ceph-mon', '--mkfs', '-i', 'a', '--monmap', map);
    await untilListening(monitorPort, start('ceph-mon', '-i', 'a'), folder);
    const osd = randomUUID();
    // The number of the first OSD is 0.
    await Promise.all([ask('ceph', 'osd', 'new', osd), ask('ceph-osd', '-i', '0', '--mkfs', '--osd-uuid', osd)]);
    start('ceph-osd', '-i', '0');
    await untilListening(port, start('radosgw', '-n', 'client.rgw.a'), folder);

    const admin = (...args: readonly string[]) => ask('radosgw-admin', ...args);
    const newUser = (name: string, keyId: string, secret: string) =>
      admin(
        'user',
        'create',
        `--uid=${name}`,
        `--display-name=${name}`,
        `--access-key=${keyId}`,
        `--secret-key=${secret}`,
      );
    await newUser('owner', accessKeyId, secretAccessKey);

    const server = { endpoint: `http://127.0.0.1:${port}`, region, accessKeyId, secretAccessKey };
    return {
      ...server,
      admin,
      close,
      async createBucket(name, { objectLock = false } = {}) {
        await withClient(server, (client) =>
          client.send(new CreateBucketCommand({ Bucket: name, ObjectLockEnabledForBucket: objectLock || undefined })),
        );
      },
      async createUser(name) {
        const user = { accessKeyId: `KEY-${name}`, secretAccessKey: `SECRET-${randomUUID()}` };
        await newUser(name, user.accessKeyId, user.secretAccessKey);
        return user;
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** One use of a bare client of the SDK, for what our own store does not do. */
export async function withClient<Answer>(
  server: Pick<Rgw, 'endpoint' | 'region' | 'accessKeyId' | 'secretAccessKey'>,
  use: (client: S3Client) => Promise<Answer>,
): Promise<Answer> {
  const { endpoint, region: serverRegion, ...credentials } = server;
  const client = new S3Client({ endpoint, region: serverRegion, forcePathStyle: true, credentials });
  try {
    return await use(client);
  } finally {
    client.destroy();
  }
}

interface Ports {
  readonly folder: string;
  readonly fsid: string;
  readonly port: number;
  readonly monitorPort: number;
  readonly store: 'memstore' | 'bluestore';
  readonly lifecycleDaySeconds: number | undefined;
}

function settingsFor({ folder, fsid, port, monitorPort, store, lifecycleDaySeconds }: Ports): string {
  const shared = {
    fsid,
    'mon initial members': 'a',
    'mon host': `[v2:127.0.0.1:${monitorPort}/0]`,
    'public addr': '127.0.0.1',
    'cluster addr': '127.0.0.1',
    'ms bind ipv6': false,
    'auth cluster required': 'none',
    'auth service required': 'none',
    'auth client required': 'none',
    'auth allow insecure global id reclaim': false,
    'ms mon client mode': 'crc',
    'ms client mode': 'crc',
    keyring: `${folder}/keyring`,
    'run dir': `${folder}/run`,
    'pid file': `${folder}/run/$name.pid`,
    'admin socket': `${folder}/run/$name.asok`,
    'log file': `${folder}/log/$name.log`,
    'mon cluster log file': `${folder}/log/cluster.log`,
    'crash dir': folder,
    // One copy on one OSD; the numbers of placement groups suit 16 and 18 alike.
    'osd pool default size': 1,
    'osd pool default min size': 1,
    'osd pool default pg num': 16,
    'osd pool default pgp num': 16,
    'osd pool default pg autoscale mode': 'off',
    'rgw rados pool pg num min': 1,
    'osd crush chooseleaf type': 0,
    'mon allow pool size one': true,
    'mon max pg per osd': 2000,
    'mon data': `${folder}/mon`,
    // A full disk of the machine is not this server's business.
    'mon data avail warn': 1,
    'mon data avail crit': 1,
    'paxos propose interval': 0.02,
    'paxos min wait': 0.01,
    // The gateway may start before the OSD is up; then it asks again at this pace, in seconds.
    'objecter tick interval': 0.1,
    'osd data': `${folder}/osd`,
    'osd objectstore': store,
    'osd op num shards': 2,
    'osd memory target': GiB,
    'memstore device bytes': 4 * GiB,
    'bluestore block size': 24 * GiB,
    'bluestore block create': true,
  };
  const gateway = {
    'rgw frontends': `beast endpoint=127.0.0.1:${port}`,
    'rgw data': `${folder}/rgw`,
    'rgw thread pool size': 64,
    'rgw run sync thread': false,
    'rgw enable usage log': false,
    ...(lifecycleDaySeconds !== undefined && { 'rgw lc debug interval': lifecycleDaySeconds }),
    // Deleted objects and quotas take effect within the seconds of a test.
    'rgw gc obj min wait': 1,
    'rgw gc processor period': 2,
    'rgw gc processor max time': 2,
    'rgw bucket quota ttl': 0,
    'rgw bucket quota cache size': 0,
    'rgw crypt require ssl': false,
    'rgw crypt s3 kms backend': 'testing',
    'rgw crypt s3 kms encryption keys': `${kmsKey}=${Buffer.alloc(32, 7).toString('base64')}`,
  };
  const section = (name: string, values: Readonly<Record<string, string | number | boolean>>) =>
    [`[${name}]`, ...Object.entries(values).map(([key, value]) => `${key} = ${value}`)].join('\n');
  return `${section('global', shared)}\n${section('client.rgw.a', gateway)}\n`;
}

/** `setpriv` ends it with us, also when we are killed. */
function startDaemon(program: string, args: readonly string[]): ChildProcess {
  const daemon = spawn('setpriv', ['--pdeathsig', 'KILL', program, ...args], { stdio: 'ignore' });
  daemon.on('error', () => {}); // its port stays closed, which tells it
  return daemon;
}

async function end(daemon: ChildProcess): Promise<void> {
  if (daemon.exitCode !== null || daemon.signalCode !== null || daemon.pid === undefined) return;
  const ended = once(daemon, 'exit');
  // Nothing of it is kept, so nothing needs to be written.
  daemon.kill('SIGKILL');
  await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, STOP_TIMEOUT_MS).unref())]);
}

async function run(program: string, args: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(program, [...args], { timeout: START_TIMEOUT_MS });
  return stdout;
}

/** Below those that the system gives to connections: until the daemon has it, none of them takes it. */
async function freePort(taken?: number): Promise<number> {
  const port = 20_000 + Math.floor(Math.random() * 12_000);
  if (port === taken) return await freePort(taken);
  const listener = createServer().listen(port, '127.0.0.1');
  const isFree = await once(listener, 'listening').then(
    () => true,
    () => false,
  );
  if (!isFree) return await freePort(taken);
  await new Promise((resolve) => listener.close(resolve));
  return port;
}

async function untilListening(port: number, daemon: ChildProcess, folder: string): Promise<void> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (!(await listens(port))) {
    if (daemon.exitCode !== null || Date.now() > deadline) {
      throw new Error(`${daemon.spawnargs[3]} did not start: ${lastWords(folder)}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

async function listens(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  return await new Promise((resolve) => {
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
  }).then((answer) => {
    socket.destroy();
    return answer === true;
  });
}

function lastWords(folder: string): string {
  const logs = ['mon.a', 'osd.0', 'client.rgw.a'].flatMap((name) => {
    try {
      return [
        readFileSync(join(folder, 'log', `${name}.log`), 'utf8')
          .trim()
          .split('\n')
          .slice(-3)
          .join('\n'),
      ];
    } catch {
      return []; // it had not begun to write
    }
  });
  return logs.join('\n');
}
