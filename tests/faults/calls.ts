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
import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { whyNotFollowed } from '../support/system-calls.ts';
import { type JournalMode, operations } from './calls-scene.ts';
import { runCalls } from './calls-suite.ts';

const { values } = parseArgs({
  options: {
    operation: { type: 'string', default: operations.join() },
    mode: { type: 'string', default: 'wal,delete' },
    seed: { type: 'string' },
    count: { type: 'string', default: '20' },
    all: { type: 'boolean', default: false },
    only: { type: 'string', multiple: true },
    list: { type: 'boolean', default: false },
    folder: { type: 'string', default: tmpdir() },
    keep: { type: 'boolean', default: false },
  },
});

const missing = whyNotFollowed();
if (missing !== null) throw new Error(missing);
const chosen = operations.filter((name) => values.operation.split(',').includes(name));
if (chosen.length === 0) throw new Error(`no such operation; there are ${operations.join(', ')}`);
const modes: readonly JournalMode[] = ['wal', 'delete'];
const seed = Number(values.seed ?? Math.floor(Math.random() * 1_000_000));
const folder = realpathSync(mkdtempSync(join(values.folder, 'velist-calls-')));
const startedMs = performance.now();
console.log(values.all ? 'every call with every fault' : `seed ${seed}, ${values.count} faults for each`);
try {
  const report = await runCalls({
    operations: chosen,
    journalModes: modes.filter((mode) => values.mode.split(',').includes(mode)),
    seed,
    count: values.all ? null : Number(values.count),
    folder,
    log: (line) => console.log(line),
    only: values.only,
    list: values.list,
  });
  console.log('\nhow the jobs ended:');
  for (const [end, times] of [...report.ends].sort()) console.log(`${String(times).padStart(6)}  ${end}`);
  const seconds = Math.round((performance.now() - startedMs) / 1_000);
  console.log(
    `\n${values.all ? 'all' : `seed ${seed}`}: ${report.faults} faults, ${report.missed} whose call did not come, ` +
      `in ${seconds} s: ${report.broken.length} broken promises`,
  );
  process.exitCode = report.faults > 0 && report.broken.length === 0 ? 0 : 1;
} finally {
  if (!values.keep) rmSync(folder, { recursive: true, force: true });
}
