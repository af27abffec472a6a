/**
 * How long one copy takes on a database that nobody writes to, against `cp` and fsync of the same file in the same
 * round. What is compared times itself in a process of its own; our whole job and the command-line tools are timed from
 * outside, the start of their process included.
 */
import { rmSync } from 'node:fs';
import { type Bench, newBank, newFolder, type Part, type Section, settleDisk, warm } from '../bench.ts';
import {
  type Candidate,
  cpWithFsync,
  ourJob,
  peers,
  pinnedPaced,
  pinnedUnpaced,
  quickCheck,
  sha256,
} from '../candidates.ts';
import { barPlot } from '../plot.ts';
import { bold, table, tellGoals } from '../report.ts';
import { type Figure, inMs, inTimes, median } from '../statistics.ts';

const complete: Candidate = { ...ourJob, name: 'complete job' };
const cpAgain: Candidate = { ...cpWithFsync, name: '`cp` + fsync once more' };
const candidates: readonly Candidate[] = [
  cpWithFsync,
  pinnedUnpaced,
  pinnedPaced,
  complete,
  quickCheck,
  sha256,
  ...peers,
  cpAgain,
];

interface Row {
  readonly name: string;
  readonly ours: boolean;
  readonly missing: string | null;
  readonly ms: Figure;
  readonly ratio: Figure;
}

export interface SpeedFigures {
  readonly rounds: number;
  readonly rows: readonly Row[];
  /** By `cp` + fsync. */
  readonly unpaced: Figure;
  readonly paced: Figure;
  /** The paced copy by the unpaced one. */
  readonly pacing: Figure;
  /** The whole job by the paced copy and `quick_check` one after the other. */
  readonly complete: Figure;
}

export const speed: Part<SpeedFigures> = { measure, tell };

async function measure(bench: Bench): Promise<SpeedFigures> {
  const database = newBank(bench, bench.megabytes);
  const rounds: ReadonlyMap<Candidate, number>[] = [];
  for (let round = 0; round < bench.rounds; round++) {
    const times = new Map<Candidate, number>();
    for (const candidate of candidates) {
      if (candidate.missing !== null) continue;
      const folder = newFolder(bench);
      warm(database);
      settleDisk(bench.folder);
      const { tookMs } = await candidate.copy({ database, folder, number: round });
      rmSync(folder, { recursive: true });
      times.set(candidate, tookMs);
      bench.say(`${round + 1}. ${candidate.name}: ${inMs(tookMs)} ms`);
    }
    rounds.push(times);
  }
  const over = (of: (ms: (candidate: Candidate) => number) => number): number =>
    median(rounds.map((times) => of((candidate) => times.get(candidate) ?? Number.NaN)));
  return {
    rounds: rounds.length,
    rows: candidates.map((candidate) => ({
      name: candidate.name,
      ours: candidate.ours ?? false,
      missing: candidate.missing,
      ms: over((ms) => ms(candidate)),
      ratio: over((ms) => ms(candidate) / ms(cpWithFsync)),
    })),
    unpaced: over((ms) => ms(pinnedUnpaced) / ms(cpWithFsync)),
    paced: over((ms) => ms(pinnedPaced) / ms(cpWithFsync)),
    pacing: over((ms) => ms(pinnedPaced) / ms(pinnedUnpaced)),
    complete: over((ms) => ms(complete) / (ms(pinnedPaced) + ms(quickCheck))),
  };
}

function tell(figures: SpeedFigures): Section {
  const present = figures.rows.filter((row) => row.missing === null);
  return {
    title: 'How fast a copy is',
    text: [
      `Nobody writes, and the file is in the page cache for all of them alike. Medians of ${figures.rounds} rounds; each ratio is to \`cp\` + fsync of the same round. The complete job is a process of its own with the paced copy, sha256, \`quick_check\` and the durable publishing. The last row repeats the first measurement at the end of each round and shows how much of a ratio is noise.`,
      '![Time of a copy by that of cp and fsync](speed.svg)',
      table(
        ['', 'ms', '/ `cp` + fsync'],
        figures.rows.map((row) =>
          row.missing === null
            ? [row.ours ? bold(row.name) : row.name, inMs(row.ms), inTimes(row.ratio)]
            : [`${row.name} _(${row.missing})_`],
        ),
      ),
      tellGoals([
        {
          text: 'pinned copy, unpaced and not verified, at most 1.05 times `cp` + fsync',
          measured: figures.unpaced,
          most: 1.05,
        },
        { text: 'paced at most 1.25 times `cp` + fsync', measured: figures.paced, most: 1.25 },
        {
          text: 'pacing takes at most a fifth of the copy’s speed, so at most 1.25 times the unpaced time',
          measured: figures.pacing,
          most: 1.25,
        },
        { text: 'complete at most the paced copy plus `quick_check` alone', measured: figures.complete, most: 1 },
      ]),
    ].join('\n\n'),
    plots: [
      {
        file: 'speed.svg',
        svg: barPlot({
          title: 'Time of one copy by that of cp + fsync',
          reference: 1,
          rows: present.map(({ name, ours, ratio }) => ({
            label: name.replaceAll('`', ''),
            ours,
            value: ratio ?? Number.NaN,
            text: inTimes(ratio),
          })),
        }),
      },
    ],
  };
}
