/**
 * The job killed hundreds of times; what is looked at afterwards is told in `kills-suite.ts`.
 *
 *     bun tests/faults/kills.ts --kills 500 --seed 7 [--kinds backup,file,online,offline] [--megabytes 32]
 *
 * The seed decides forms, wishes and moments; how the processes meet is the machine's own. Ends with code 0 only when
 * all kills were made and nothing was lost.
 */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type KilledKind, runKills } from './kills-suite.ts';

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '100' },
    seed: { type: 'string' },
    kinds: { type: 'string', default: 'backup,file,online,offline' },
    megabytes: { type: 'string', default: '32' },
    folder: { type: 'string', default: tmpdir() },
    keep: { type: 'boolean', default: false },
    'until-loss': { type: 'boolean', default: false },
  },
});

const seed = Number(values.seed ?? Math.floor(Math.random() * 1_000_000));
const kills = Number(values.kills);
const known: readonly KilledKind[] = ['backup', 'file', 'online', 'offline'];
const [kind, ...kinds] = known.filter((name) => values.kinds.split(',').includes(name));
if (!kind) throw new Error(`no such kind; there are ${known.join(', ')}`);
const folder = mkdtempSync(join(values.folder, 'velist-kills-'));
// Another user's app finds its database in it.
chmodSync(folder, 0o711);
const startedMs = performance.now();
console.log(`seed ${seed}, ${kills} kills`);
try {
  const report = await runKills({
    kills,
    seed,
    folder,
    megabytesMax: Number(values.megabytes),
    // A backup and an online restore have the most moments.
    kinds: [kind, ...kinds, ...(['backup', 'online'] as const).filter((name) => [kind, ...kinds].includes(name))],
    log: (line) => console.log(line),
    untilLoss: values['until-loss'],
  });
  console.log('\nwhere the kills fell:');
  for (const [moment, times] of [...report.landed].sort()) console.log(`${String(times).padStart(6)}  ${moment}`);
  if (report.oddities.size > 0) console.log('\nlost nothing, but odd:');
  for (const [what, times] of report.oddities) console.log(`${String(times).padStart(6)}  ${what}`);
  console.log(
    `\nseed ${seed}: ${report.kills} kills, ${report.ended} jobs that ended first, ${report.replaced} databases replaced, ` +
      `${report.commits} commits, ${report.reforms} changes of mode and page size, ${report.idlers} jobs beside idle connections, in ${Math.round((performance.now() - startedMs) / 1_000)} s: ${report.losses.length} losses`,
  );
  process.exitCode = report.kills >= kills && report.losses.length === 0 ? 0 : 1;
} finally {
  if (!values.keep) rmSync(folder, { recursive: true, force: true });
}
