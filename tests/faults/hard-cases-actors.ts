/** Who else is there in a hard case: services of other users, apps of all manners, an S3 server. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, copyFileSync, existsSync, lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { createS3Store } from '../../src/engine/store/s3/store.ts';
import type { BackupResult, Run } from '../../src/service/model.ts';
import { startS3Server } from '../support/s3-server.ts';
import type { ServiceForm } from './hard-cases-backup-main.ts';
import { type Scene, WAIT_MS } from './hard-cases.ts';

const NOBODY = 65_534;
const backupMain = fileURLToPath(new URL('./hard-cases-backup-main.ts', import.meta.url));

/**
 * One backup by a service that runs as another user, as considerate as `nice` makes it; its run is in the scene's history
 * afterwards.
 */
export async function backUpAs(user: 'nobody', scene: Scene, niceness = 0): Promise<BackupResult> {
  for (const suffix of ['', '-wal', '-shm']) {
    const file = scene.statePath + suffix;
    if (existsSync(file)) chownSync(file, NOBODY, NOBODY);
  }
  chownSync(scene.folder, NOBODY, NOBODY);
  scene.mend(() => chownSync(scene.folder, 0, 0));
  const ids = [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'];
  const form = JSON.stringify(formOf(scene, { lockMs: WAIT_MS, pinMs: WAIT_MS }));
  const program = ['setpriv', ...ids, process.execPath, backupMain, form];
  const { status, stdout, stderr, error } = spawnSync('nice', ['-n', String(niceness), ...program], {
    encoding: 'utf8',
    env: { PATH: process.env['PATH'], BUN_BE_BUN: '1' },
  });
  scene.log.push(...stderr.split('\n'));
  if (status !== 0) {
    throw new Error(
      `this case needs \`setpriv\`, root, and a checkout that ${user} can read: ${error?.message ?? stderr.trim()}`,
    );
  }
  return JSON.parse(stdout) as BackupResult; // written by the script above
}

/** One backup by a service whose runtime an update has removed while it runs. */
export async function backUpWithoutRuntime(scene: Scene): Promise<BackupResult> {
  const runtime = join(scene.folder, 'bun');
  copyFileSync(process.execPath, runtime);
  const form: ServiceForm = { ...formOf(scene, { lockMs: WAIT_MS, pinMs: WAIT_MS }), removeRuntime: true };
  const { stdout, stderr } = spawnSync(runtime, [backupMain, JSON.stringify(form)], {
    encoding: 'utf8',
    env: { PATH: process.env['PATH'], BUN_BE_BUN: '1' },
  });
  if (existsSync(runtime)) throw new Error(`the runtime is still there: ${stderr}`);
  return JSON.parse(stdout) as BackupResult; // written by the script above
}

/** A service in a process of its own that follows its schedule until it has seen so many runs end. */
export async function followSchedule(
  scene: Scene,
  schedule: NonNullable<ServiceForm['schedule']>,
): Promise<readonly Run[]> {
  // It asks for the lock once, and says what it finds.
  const form: ServiceForm = { ...formOf(scene, { lockMs: 0, pinMs: WAIT_MS }), schedule };
  const child = spawn(process.execPath, ['--no-env-file', backupMain, JSON.stringify(form)], {
    env: { PATH: process.env['PATH'] },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return JSON.parse(await text(child.stdout)) as readonly Run[]; // written by the script above, but for its dates
}

function formOf(scene: Scene, waits: ServiceForm['waits']): ServiceForm {
  return { databasePath: scene.databasePath, backupsPath: scene.backups, statePath: scene.statePath, waits };
}

/** Gives everything in a folder to that user. */
export function giveTo(path: string, user: 'nobody' | 'root'): void {
  const id = user === 'root' ? 0 : NOBODY;
  chownSync(path, id, id);
  if (!lstatSync(path).isDirectory()) return;
  for (const entry of readdirSync(path)) giveTo(join(path, entry), user);
}

const killedWriter = `
  import { DatabaseSync } from 'node:sqlite';
  const database = new DatabaseSync(process.argv[1]);
  database.exec("PRAGMA cache_size = 5; PRAGMA cache_spill = ON; BEGIN");
  database.exec("UPDATE notes SET text = 'never committed ' || id");
  console.log('spilled');
  setInterval(() => {}, 1_000);
`;

/** Leaves a rollback journal that the next reader has to play back. */
export async function killWriterInTheMiddle(databasePath: string): Promise<void> {
  const child = spawn(process.execPath, ['--config=/dev/null', '--no-env-file', '-e', killedWriter, databasePath], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  await once(createInterface({ input: child.stdout }), 'line');
  child.kill('SIGKILL');
  await exited;
}

const tirelessApp = `
  import { DatabaseSync } from 'node:sqlite';
  const database = new DatabaseSync(process.argv[1]);
  database.exec('PRAGMA busy_timeout = 60000');
  const insert = database.prepare("INSERT INTO notes (text) VALUES ('one more')");
  for (let commits = 0; ; commits++) {
    insert.run();
    if (commits === 100) console.log('busy');
  }
`;

/** An app that commits without a pause, until it is killed. */
export async function openTirelessApp(databasePath: string): Promise<{ kill(): Promise<void> }> {
  const child = spawn(process.execPath, ['--config=/dev/null', '--no-env-file', '-e', tirelessApp, databasePath], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  await once(createInterface({ input: child.stdout }), 'line');
  return {
    async kill() {
      child.kill('SIGKILL');
      await exited;
    },
  };
}

const carelessApp = `
  import { DatabaseSync } from 'node:sqlite';
  import { createInterface } from 'node:readline';
  const database = new DatabaseSync(process.argv[1], { defensive: false });
  for await (const line of createInterface({ input: process.stdin })) {
    console.log(JSON.stringify(Object.values(database.prepare(JSON.parse(line)).get())[0]));
  }
  database.close();
`;

export interface App {
  /** Runs one statement and answers its first value. */
  ask(sql: string): Promise<unknown>;
  close(): Promise<void>;
}

/** An app that may do what SQLite calls dangerous: have no journal at all. */
export async function openCarelessApp(databasePath: string): Promise<App> {
  const child = spawn(process.execPath, ['--config=/dev/null', '--no-env-file', '-e', carelessApp, databasePath], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    async ask(sql) {
      child.stdin.write(`${JSON.stringify(sql)}\n`);
      const { value: line } = await answers.next();
      return JSON.parse(String(line));
    },
    async close() {
      child.stdin.end();
      await exited;
    },
  };
}

/** An S3 server with an empty bucket, until the case is over. */
export async function startS3(scene: Scene) {
  const server = await startS3Server();
  scene.atEnd(() => server.close());
  const { endpoint, region, accessKeyId, secretAccessKey } = server;
  const access = { endpoint, region, accessKeyId, secretAccessKey, bucket: 'my-backups' };
  await server.createBucket(access.bucket);
  return {
    access,
    server,
    /** Names of the backups in the bucket, whole ones, by name. */
    async backupsThere(prefix = 'backups/database'): Promise<readonly string[]> {
      const store = createS3Store({ ...access, prefix });
      const keys = new Set<string>();
      for await (const { key } of store.list('')) keys.add(key);
      store.close();
      return [...keys].filter((key) => keys.has(`${key}.json`)).sort();
    },
  };
}
