/**
 * An online restore by the old version that dies right after the replacement, with one row committed between the safety
 * backup and the replacement. Arguments: the folder of the old version, a table; the restore's request on standard input.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const [, , root = '', table = ''] = process.argv;
await import(join(root, 'clock.ts'));
const { restoreDatabase } = await import(join(root, 'src/engine/restore.ts'));
const request = JSON.parse(await Bun.stdin.text());
const insert = `
  const database = new (require('node:sqlite').DatabaseSync)('${request.databasePath}');
  database.exec("PRAGMA busy_timeout = 5000; INSERT INTO ${table} (text) VALUES ('committed at the last moment')");
`;

let placing = false;
await restoreDatabase(request, {
  signal: new AbortController().signal,
  now() {
    // The first time that the story asks for the time once it has placed: the late log is there, and not yet merged.
    if (placing) process.kill(process.pid, 'SIGKILL');
    return new Date();
  },
  onEvent(event: { readonly type: string; readonly name?: string }) {
    if (event.type !== 'step' || event.name !== 'place') return;
    placing = true;
    // By another process, and it stays open, or its last close would merge the log.
    spawnSync(process.execPath, ['-e', insert], { stdio: 'inherit' });
  },
});
