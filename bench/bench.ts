/** What the parts of the benchmark share: their settings, their form, a clean start for each measurement. */
import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { makeBank } from '../tests/support/bank.ts';

export interface Bench {
  /** Everything is generated below it and removed at the end. */
  readonly folder: string;
  readonly megabytes: number;
  /** Length of one slice beside a writer. */
  readonly seconds: number;
  /** How often each candidate has its turn. */
  readonly rounds: number;
  readonly say: (line: string) => void;
}

/** Measures, and tells its figures. The figures go through JSON, so that one part can be run again alone. */
export interface Part<Figures> {
  measure(bench: Bench): Promise<Figures>;
  tell(figures: Figures): Section;
}

export interface Section {
  readonly title: string;
  /** Markdown. Plots are named by their file. */
  readonly text: string;
  readonly plots: readonly { readonly file: string; readonly svg: string }[];
}

export const TRANSACTIONS_PER_SECOND = 300;

const BYTES_PER_MEGABYTE = 1024 * 1024;

export function newFolder(bench: Bench): string {
  return mkdtempSync(join(bench.folder, 'part-'));
}

/** A generated database in a folder of its own. */
export function newBank(bench: Bench, megabytes: number): string {
  const path = join(newFolder(bench), 'app.sqlite');
  bench.say(`generating ${megabytes} MB`);
  makeBank(path, { sizeBytes: megabytes * BYTES_PER_MEGABYTE });
  return path;
}

/** Nothing that one candidate left unwritten weighs on the next. */
export function settleDisk(folder: string): void {
  execFileSync('sync', ['-f', folder]);
}

/** Into the page cache, for all candidates alike. */
export function warm(path: string): void {
  const chunk = Buffer.allocUnsafeSlow(BYTES_PER_MEGABYTE);
  const file = openSync(path, 'r');
  try {
    while (readSync(file, chunk) > 0);
  } finally {
    closeSync(file);
  }
}
