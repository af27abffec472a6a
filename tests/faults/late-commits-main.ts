/**
 * An online restore that dies right after the replacement: the first time that the story asks for the time once it began
 * to place is when the second safety backup was verified and is not yet there. Before it places, the app has committed
 * since the safety backup, however slow the app is. Argument: the restore's request as JSON.
 */
import { spawnSync } from 'node:child_process';
import { restoreDatabase } from '../../src/engine/stories/restore.ts';
import type { RestoreRequest } from '../../src/engine/stories/restore-request.ts';

const request = JSON.parse(process.argv[2] ?? '') as RestoreRequest; // the test wrote it
/** Asked by another process: here, closing the database would drop the locks of the restore. */
const counting = `const database = new (require('node:sqlite').DatabaseSync)(process.argv[1]);
  database.exec('PRAGMA busy_timeout = 60000');
  console.log(database.prepare('SELECT max(id) AS n FROM log').get().n);`;
function lastTransaction(): number {
  const { stdout } = spawnSync(process.execPath, ['-e', counting, request.databasePath], { encoding: 'utf8' });
  return Number(stdout);
}

let placing = false;
await restoreDatabase(request, {
  signal: new AbortController().signal,
  now() {
    if (placing) process.kill(process.pid, 'SIGKILL');
    return new Date();
  },
  onEvent(event) {
    if (event.type !== 'step' || event.name !== 'place') return;
    const last = lastTransaction();
    while (lastTransaction() <= last);
    placing = true;
  },
});
