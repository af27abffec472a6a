/**
 * Measures ours against the peers, side by side on generated databases, and writes docs/benchmarks/.
 *
 *     bun bench/run.ts [--megabytes 1024] [--seconds 30] [--rounds 3] [--only stall,speed,facts,idle,restore,app,offsite,requests,
 *         seal,restoreFile,restoreStream,scale,continuous,durable] [--folder DIR] [--report DIR]
 *
 * `--seconds` is the length of one slice beside a writer, `--folder` the disk that is measured, `--report` where the
 * tables go instead of docs/benchmarks. Linux only. The whole of it takes about an hour on 1 GB; keep
 * the machine quiet meanwhile.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { Bench, Part } from './bench.ts';
import { app } from './parts/app.ts';
import { continuous } from './parts/continuous.ts';
import { durable } from './parts/durable.ts';
import { facts } from './parts/facts.ts';
import { idle } from './parts/idle.ts';
import { offsite } from './parts/offsite.ts';
import { requests } from './parts/requests.ts';
import { restore } from './parts/restore.ts';
import { restoreFile } from './parts/restore-file.ts';
import { restoreStream } from './parts/restore-stream.ts';
import { scale } from './parts/scale.ts';
import { seal } from './parts/seal.ts';
import { speed } from './parts/speed.ts';
import { stall } from './parts/stall.ts';
import { circumstances, readResults, type Result, writeReport } from './report.ts';

const parts: ReadonlyMap<string, Part<unknown>> = new Map(
  Object.entries({
    stall,
    speed,
    facts,
    idle,
    restore,
    app,
    offsite,
    requests,
    seal,
    restoreFile,
    restoreStream,
    scale,
    continuous,
    durable,
  }),
);

const { values } = parseArgs({
  options: {
    megabytes: { type: 'string', default: '1024' },
    seconds: { type: 'string', default: '30' },
    rounds: { type: 'string', default: '3' },
    only: { type: 'string', default: [...parts.keys()].join(',') },
    folder: { type: 'string', default: tmpdir() },
    report: { type: 'string', default: fileURLToPath(new URL('../docs/benchmarks', import.meta.url)) },
  },
});
const chosen = values.only.split(',');
const unknown = chosen.filter((name) => !parts.has(name));
if (unknown.length > 0)
  throw new Error(`no such part: ${unknown.join(', ')}; there are ${[...parts.keys()].join(', ')}`);

const folder = mkdtempSync(join(resolve(values.folder), 'velist-bench-'));
process.once('SIGINT', () => {
  rmSync(folder, { recursive: true, force: true });
  process.exit(130);
});
try {
  const here = circumstances({ command: commandLine(), megabytes: numberOf('megabytes'), folder });
  const results: Record<string, Result> = { ...readResults(values.report) };
  for (const name of chosen) {
    const bench: Bench = {
      folder: mkdtempSync(join(folder, `${name}-`)),
      megabytes: numberOf('megabytes'),
      seconds: numberOf('seconds'),
      rounds: numberOf('rounds'),
      say: (line) => console.log(`${name}: ${line}`),
    };
    const figures = await parts.get(name)?.measure(bench);
    rmSync(bench.folder, { recursive: true });
    // As it will be read back: JSON makes null of what could not be measured.
    results[name] = { ...here, figures: JSON.parse(JSON.stringify(figures)) };
    write(results);
  }
  console.log(`written to ${values.report}`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}

/** After each part, so that a run that is ended early keeps what it has. */
function write(results: Readonly<Record<string, Result>>): void {
  mkdirSync(values.report, { recursive: true });
  const sections = [...parts].flatMap(([name, part]) => {
    const result = results[name];
    return result ? [{ section: part.tell(result.figures), result }] : [];
  });
  writeReport(values.report, results, sections);
}

/** Where the databases lay is this machine's business. */
function commandLine(): string {
  const { megabytes, seconds, rounds, only } = values;
  const parted = chosen.length === parts.size ? '' : ` --only ${only}`;
  return `bun bench/run.ts --megabytes ${megabytes} --seconds ${seconds} --rounds ${rounds}${parted}`;
}

function numberOf(option: 'megabytes' | 'seconds' | 'rounds'): number {
  const number = Number(values[option]);
  if (!(number > 0)) throw new Error(`--${option} must be a number above 0`);
  return number;
}
