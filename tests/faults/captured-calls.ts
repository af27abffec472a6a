/**
 * Faults at the system calls of continuous backup: at a start with all pages, one that proves its position and one that
 * compares; at capture, merge, retention and the end. What must hold is told in `captured-calls-suite.ts`.
 *
 *     bun tests/faults/captured-calls.ts [--start proven,compared] [--seed 7] [--count 40]
 *     bun tests/faults/captured-calls.ts --all
 *     bun tests/faults/captured-calls.ts --start proven --only 'EIO at fsync continuous/ltx/0/N-N.ltx.tmp #1'
 *     bun tests/faults/captured-calls.ts --list --count 0
 *
 * Ends with code 0 only when faults were met and nothing was broken.
 */
import { parseArgs } from 'node:util';
import { chosenOf, commandOptions, playCalls } from './calls-command.ts';
import { starts } from './captured-calls-scene.ts';
import { runCapturedCalls } from './captured-calls-suite.ts';

const { values } = parseArgs({
  options: { ...commandOptions, start: { type: 'string', default: starts.join() } },
});
const chosen = chosenOf('start', starts, values.start);
await playCalls(values, (options) => runCapturedCalls({ ...options, starts: chosen }));
