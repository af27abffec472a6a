/**
 * Faults at the system calls of backup, publish, prune, each restore, undo and first boot: killed before and after, EIO,
 * ENOSPC once and from then on, EINTR, a short write. What must hold is told in `calls-judge.ts`.
 *
 *     bun tests/faults/calls.ts [--operation online,undo] [--mode wal,delete] [--seed 7] [--count 40]
 *     bun tests/faults/calls.ts --all
 *     bun tests/faults/calls.ts --operation undo --mode wal --only 'EIO at fsync app/ledger.sqlite-wal #1'
 *     bun tests/faults/calls.ts --list --count 0
 *
 * The operation itself tells which calls there are; with `--all` each of them meets each fault. Ends with code 0 only when
 * faults were met and nothing was broken.
 */
import { parseArgs } from 'node:util';
import { chosenOf, commandOptions, playCalls } from './calls-command.ts';
import { type JournalMode, operations } from './calls-scene.ts';
import { runCalls } from './calls-suite.ts';

const modes: readonly JournalMode[] = ['wal', 'delete'];
const { values } = parseArgs({
  options: {
    ...commandOptions,
    operation: { type: 'string', default: operations.join() },
    mode: { type: 'string', default: modes.join() },
  },
});
const chosen = chosenOf('operation', operations, values.operation);
const journalModes = chosenOf('mode', modes, values.mode);
await playCalls(values, (options) => runCalls({ ...options, operations: chosen, journalModes }));
