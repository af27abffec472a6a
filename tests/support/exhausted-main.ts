/**
 * An app that embeds the service and has so many descriptors left: `bun exhausted-main.ts LEFT before|after FOLDER`, under
 * a low `ulimit -n`. It does all that opens a file or starts a process, lets the descriptors go, and backs up once more.
 */
import { closeSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { createServer } from '../../src/http/server.ts';
import { BackupError } from '../../src/words/errors.ts';
import { createServiceFromEnvironment } from '../../src/service/from-environment.ts';

const [left = '0', when = 'after', folder = '.'] = process.argv.slice(2);
/** An operation that has not answered by then hangs. */
const HANG_MS = 60_000;

const tell = (line: object) => writeSync(1, `${JSON.stringify(line)}\n`);
for (const event of ['uncaughtException', 'unhandledRejection']) {
  process.on(event, (error) => {
    tell({ fault: String(error) });
    process.exit(1);
  });
}

function open() {
  return createServiceFromEnvironment({
    env: {
      DATABASE_URL: join(folder, 'app.sqlite'),
      BACKUP_LOCAL_PATH: join(folder, 'backups'),
      BACKUP_STATE_PATH: join(folder, 'state.sqlite'),
      BACKUP_HEARTBEAT_URL: 'http://127.0.0.1:9/',
    },
    write: () => {},
  });
}

let service = open();
const made = await service.performBackup();
const name = made.filename ?? '';
if (when === 'before') {
  await service.close();
  service = open();
} else {
  // Bun's first request starts a thread, which ends the app if it finds no descriptor; `send` asks for some before, and an
  // app that takes the last one in that very moment is out of its reach.
  await fetch('http://127.0.0.1:9/').catch(() => {});
  // The backup of the start holds descriptors, and gives them back when it ends.
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  const unsubscribe = service.on(({ type }) => type === 'run' && resolve());
  service.start();
  await ended;
  unsubscribe();
}
const server = createServer({ service, port: 0 });
const { url } = await server.listen();

const held: number[] = [];
try {
  for (;;) held.push(openSync('/dev/null', 'r'));
} catch {
  for (const descriptor of held.splice(0, Number(left))) closeSync(descriptor);
}

const operations: Readonly<Record<string, () => Promise<unknown>>> = {
  start: async () => service.start(),
  backup: () => service.performBackup(),
  list: () => service.getBackups(),
  status: () => service.getStatus(),
  verify: () => service.verifyBackup(name),
  plan: () => service.planRestore(name),
  restore: () => service.restore(name, { mode: 'file' }),
  drill: () => service.drill(),
  doctor: () => service.diagnose(),
  prune: () => service.prune(),
  firstBoot: () => service.restoreIfMissing(),
  check: () => service.checkDatabase(),
  settings: async () => service.updateConfig({ retentionCount: 9 }),
  kit: () => service.recoveryKit(),
  test: () => service.testTarget('local'),
};
for (const [operation, carryOut] of Object.entries(operations)) {
  const outcome = await Promise.race([
    carryOut().then(
      () => 'answered',
      (error: unknown) => BackupError.from(error).code,
    ),
    new Promise((resolve) => setTimeout(() => resolve('hangs'), HANG_MS).unref()),
  ]);
  tell({ operation, outcome });
}

for (const descriptor of held) closeSync(descriptor);
const { success, error } = await service.performBackup();
tell({ operation: 'afterwards', outcome: success ? 'answered' : error?.code });
tell({ operation: 'health', outcome: (await fetch(`${url}/health`)).status });
await server.stop();
await service.close();
process.exit(0);
