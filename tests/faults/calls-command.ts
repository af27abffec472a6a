/** What the two commands for faults at system calls share: their options, how a run begins, and what it says at its end. */
import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { whyNotFollowed } from '../support/system-calls.ts';
import type { CallsOptions, CallsReport } from './calls-suite.ts';

export const commandOptions = {
  seed: { type: 'string' },
  count: { type: 'string', default: '20' },
  all: { type: 'boolean', default: false },
  only: { type: 'string', multiple: true },
  list: { type: 'boolean', default: false },
  folder: { type: 'string', default: tmpdir() },
  keep: { type: 'boolean', default: false },
} as const;

interface CommandValues {
  readonly seed?: string | undefined;
  readonly count: string;
  readonly all: boolean;
  readonly only?: readonly string[] | undefined;
  readonly list: boolean;
  readonly folder: string;
  readonly keep: boolean;
}

/** Sets the exit code: 0 only when faults were met and nothing was broken. */
export async function playCalls(
  values: CommandValues,
  run: (options: Omit<CallsOptions, 'operations' | 'journalModes'>) => Promise<CallsReport>,
): Promise<void> {
  const missing = whyNotFollowed();
  if (missing !== null) throw new Error(missing);
  const seed = Number(values.seed ?? Math.floor(Math.random() * 1_000_000));
  const folder = realpathSync(mkdtempSync(join(values.folder, 'velist-calls-')));
  const startedMs = performance.now();
  console.log(values.all ? 'every call with every fault' : `seed ${seed}, ${values.count} faults for each`);
  try {
    const report = await run({
      ...{ seed, folder, only: values.only, list: values.list },
      count: values.all ? null : Number(values.count),
      log: (line) => console.log(line),
    });
    console.log('\nhow the runs ended:');
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
}

/** @param given names, separated by commas. */
export function chosenOf<Name extends string>(what: string, names: readonly Name[], given: string): readonly Name[] {
  const chosen = names.filter((name) => given.split(',').includes(name));
  if (chosen.length === 0) throw new Error(`no such ${what}; there are ${names.join(', ')}`);
  return chosen;
}
