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
import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { whyNotFollowed } from '../support/system-calls.ts';
import { starts } from './captured-calls-scene.ts';
import { runCapturedCalls } from './captured-calls-suite.ts';

const { values } = parseArgs({
  options: {
    start: { type: 'string', default: starts.join() },
    seed: { type: 'string' },
    count: { type: 'string', default: '20' },
    all: { type: 'boolean', default: false },
    only: { type: 'string', multiple: true },
    list: { type: 'boolean', default: false },
    folder: { type: 'string', default: tmpdir() },
  },
});

const missing = whyNotFollowed();
if (missing !== null) throw new Error(missing);
const chosen = starts.filter((name) => values.start.split(',').includes(name));
if (chosen.length === 0) throw new Error(`no such start; there are ${starts.join(', ')}`);
const seed = Number(values.seed ?? Math.floor(Math.random() * 1_000_000));
const folder = realpathSync(mkdtempSync(join(values.folder, 'velist-captured-calls-')));
const startedMs = performance.now();
console.log(values.all ? 'every call with every fault' : `seed ${seed}, ${values.count} faults for each`);
try {
  const report = await runCapturedCalls({
    starts: chosen,
    seed,
    count: values.all ? null : Number(values.count),
    folder,
    log: (line) => console.log(line),
    only: values.only,
    list: values.list,
  });
  console.log('\nwhat became of the replicators:');
  for (const [end, times] of [...report.ends].sort()) console.log(`${String(times).padStart(6)}  ${end}`);
  const seconds = Math.round((performance.now() - startedMs) / 1_000);
  console.log(
    `\n${values.all ? 'all' : `seed ${seed}`}: ${report.faults} faults, ${report.missed} whose call did not come, ` +
      `in ${seconds} s: ${report.broken.length} broken promises`,
  );
  process.exitCode = report.faults > 0 && report.broken.length === 0 ? 0 : 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
