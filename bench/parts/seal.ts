/** How long it takes to encrypt a backup for a target: ours beside the format's library, and the `age` program. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Bench, newBank, type Part, type Section, warm } from '../bench.ts';
import { table, tellGoals } from '../report.ts';
import { type Figure, inMs, inTimes, median } from '../statistics.ts';
import { node26 as node } from '../../tests/support/runtimes.ts';

interface Row {
  readonly name: string;
  readonly medianMs: Figure;
}

export interface SealFigures {
  readonly megabytes: number;
  readonly rounds: number;
  readonly rows: readonly Row[];
}

export const seal: Part<SealFigures> = { measure, tell };

const root = fileURLToPath(new URL('../..', import.meta.url));
const main = join(root, 'bench/seal-main.ts');
/** The first Node that runs TypeScript as it is. */
const printed = (program: string, ...rest: string[]) => Number(execFileSync(program, [main, ...rest]).toString());

async function measure(bench: Bench): Promise<SealFigures> {
  const file = newBank(bench, bench.megabytes);
  const keys = execFileSync('age-keygen', { stdio: ['ignore', 'pipe', 'ignore'] }).toString();
  const recipient = /public key: (\S+)/.exec(keys)?.[1] ?? '';
  const candidates: Record<string, () => number> = {
    'ours, Bun': () => printed(process.execPath, file, 'ours'),
    'the library alone, Bun': () => printed(process.execPath, file, 'library'),
    'ours, Node': () => printed(node, file, 'ours'),
    'the library alone, Node': () => printed(node, file, 'library'),
    '`age`': () => {
      const startedMs = performance.now();
      execFileSync('sh', ['-c', `age -r ${recipient} < '${file}' > /dev/null`]);
      return performance.now() - startedMs;
    },
  };
  const times = new Map(Object.keys(candidates).map((name) => [name, [] as number[]]));
  warm(file);
  for (let round = 0; round < bench.rounds; round++)
    for (const [name, run] of Object.entries(candidates)) times.get(name)?.push(run());
  const rows = [...times].map(([name, ms]) => ({ name, medianMs: median(ms) }));
  for (const row of rows) bench.say(`${row.name}: ${inMs(row.medianMs)} ms`);
  return { megabytes: bench.megabytes, rounds: bench.rounds, rows };
}

function tell({ megabytes, rounds, rows }: SealFigures): Section {
  const library = rows.find(({ name }) => name === 'the library alone, Bun')?.medianMs ?? null;
  const ours = rows.find(({ name }) => name === 'ours, Bun')?.medianMs ?? null;
  return {
    title: 'Encrypting a copy',
    text: [
      `A file of ${megabytes} MB is read, encrypted in age's format and dropped, ${rounds} times in turn: the medians.`,
      table(
        ['by', 'ms', 'MB/s', 'library on Bun / this'],
        rows.map(({ name, medianMs }) => [
          name.startsWith('ours') ? `**${name}**` : name,
          inMs(medianMs),
          medianMs === null ? '–' : inMs((megabytes * 1000) / medianMs),
          inTimes(library === null || medianMs === null ? null : library / medianMs),
        ]),
      ),
      tellGoals([
        {
          text: 'at most 3 ms for each MB (the goal is 3 s for 1 GB)',
          measured: ours === null ? null : ours / megabytes,
          most: 3,
        },
      ]),
    ].join('\n\n'),
    plots: [],
  };
}
