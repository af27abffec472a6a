/** A worker's side: gives a sign of life, hands messages down and up, and ends with the process that it belongs to. */
import type { Interface } from 'node:readline';
import { BackupError } from '../../words/errors.ts';
import { endProcess } from '../sqlite/ending.ts';
import { beginWatch } from '../sqlite/watch.ts';
import type { replicate } from '../stories/replicate.ts';
import type { Down, WorkerLine, WorkLine } from './worker-protocol.ts';

/** A worker waits more than it works, so whoever looks on is not to wake it often. */
const PARENT_LOOK_MS = 1_000;

export async function work(
  { work: kind, request, parent, beatMs }: WorkLine,
  input: Interface,
  send: (line: WorkerLine) => void,
): Promise<never> {
  const abort = new AbortController();
  input.once('close', () => abort.abort());
  // What comes before the work listens waits for it.
  const early: string[] = [];
  let take = (text: string): unknown => early.push(text);
  input.on('line', (text) => take(text));
  let code = 0;
  const beat = setInterval(() => send({ type: 'beat' }), beatMs);
  try {
    await beginWatch({ parent, lookMs: PARENT_LOOK_MS });
    await works[kind](request, {
      signal: abort.signal,
      onMessage: (hear) => {
        take = (text) => hear(JSON.parse(text) as Down<typeof kind>); // our owner wrote it
        for (const text of early.splice(0)) take(text);
      },
      send: (message) => send({ type: 'message', message }),
    });
  } catch (error) {
    code = 1;
    const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
    send({ type: 'error', error: BackupError.from(error).toJSON(), stack });
  }
  clearInterval(beat);
  endProcess(code);
}

const works = {
  replicate: async (...[request, context]: Parameters<typeof replicate>) =>
    await (await import('../stories/replicate.ts')).replicate(request, context),
};
