/**
 * An online restore that dies right after the replacement: the first time that the story asks for the time once it began
 * to place is when the second safety backup was verified and is not yet there. Argument: the restore's request as JSON.
 */
import { restoreDatabase } from '../../src/engine/stories/restore.ts';
import type { RestoreRequest } from '../../src/engine/stories/restore-request.ts';

let placing = false;
await restoreDatabase(JSON.parse(process.argv[2] ?? '') as RestoreRequest, {
  signal: new AbortController().signal,
  now() {
    if (placing) process.kill(process.pid, 'SIGKILL');
    return new Date();
  },
  onEvent(event) {
    if (event.type === 'step' && event.name === 'place') placing = true;
  },
});
