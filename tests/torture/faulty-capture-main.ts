/**
 * An app beside a replicator, which may be one of a test build: it writes until something is found to be wrong or a minute
 * is over. Prints what was found, and whether the newest moment is what was committed.
 */
import { mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { materialize } from '../../src/engine/replication/materialize.ts';
import { Replicator } from '../../src/engine/replication/replicator.ts';
import type { StreamStatus } from '../../src/engine/replication/status.ts';
import { readLogIndex } from '../../src/engine/sqlite/wal-index.ts';
import { addFailedCommit } from '../support/failed-commit.ts';
import { startSqlProcess } from '../support/sql-process.ts';

const PATIENCE_MS = 60_000;
const HOUR_MS = 3_600_000;
/** For the fault of a test build: whether it shows, and how many frames behind the end of the log are read. */
const fault = { isOn: process.argv[2] !== 'cut', phantomFrames: 0 };
Object.assign(globalThis, { fault });

const place = mkdtempSync(join(tmpdir(), 'velist-faulty-capture-'));
const [path, folder] = [join(place, 'app.sqlite'), join(place, 'continuous')];
await using app = startSqlProcess(path);
await app.run('PRAGMA journal_mode = WAL');
await app.run('CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT)');
const grow = `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400)
  INSERT INTO t (text) SELECT hex(randomblob(400)) FROM n`;
await app.run(grow);
const update = 'UPDATE t SET text = hex(randomblob(400)) WHERE id % 2 = 1';

const statuses: StreamStatus[] = [];
const abort = new AbortController();
const replicator = new Replicator(
  { databasePath: path, folder, intervalMs: 20, windowsMs: [HOUR_MS, HOUR_MS, HOUR_MS, HOUR_MS], bytesMax: null },
  { signal: abort.signal, now: () => new Date(), onStatus: (status) => statuses.push(status) },
);
const ended = replicator.run();
const untilMs = performance.now() + PATIENCE_MS;
const found = () => statuses.find(({ untrue, rebased }) => untrue !== null || rebased !== null);
const until = async (isSo: () => boolean) => {
  while (!isSo() && performance.now() < untilMs) await new Promise((resolve) => setTimeout(resolve, 5));
};
await until(() => statuses.at(-1)?.phase === 'capturing');

if (process.argv[2] === 'phantom') {
  await replicator.flush();
  addFailedCommit(path, "INSERT INTO t (text) VALUES ('phantom')");
  fault.phantomFrames = 1;
  await until(() => found() !== undefined);
} else if (process.argv[2] === 'cut') {
  await replicator.flush();
  // Never closed: that would drop the locks of the pin.
  const index = openSync(`${path}-shm`, 'r');
  await replicator.backups.hold();
  fault.isOn = true;
  await app.run(update);
  const end = readLogIndex(index);
  if (end === null) throw new Error('the index of the log stands still while nobody writes');
  if ((await replicator.backups.cut(end)) !== null) throw new Error('the cut was not the one that found it');
  // What is known is not found a second time: all that was missed is in the main file now, where it would look like damage.
  fault.isOn = false;
  await app.run('PRAGMA wal_checkpoint(PASSIVE)');
  await until(() => found() !== undefined);
} else {
  while (found() === undefined && performance.now() < untilMs) await app.run(update);
}
const first = found();
fault.isOn = false;
fault.phantomFrames = 0;
await until(() => statuses.at(-1)?.rebased !== null && statuses.at(-1)?.phase === 'capturing');
await replicator.flush();
const rows = JSON.stringify(await app.run('SELECT * FROM t ORDER BY id'));
abort.abort();
await ended;

const to = join(place, 'restored.sqlite');
await materialize(folder, { latest: true }, to);
const restored = new DatabaseSync(to, { readOnly: true });
const isSame = JSON.stringify(restored.prepare('SELECT * FROM t ORDER BY id').all()) === rows;
restored.close();
rmSync(place, { recursive: true });
const { untrue = null, rebased = null } = statuses.at(-1) ?? {};
const isFirstUntrue = first?.untrue != null && first.rebased === null;
console.log(
  JSON.stringify({ at: untrue?.at ?? null, code: untrue?.error.code ?? null, isFirstUntrue, rebased, isSame }),
);
