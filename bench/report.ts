/**
 * The page of the benchmark: figures are kept in results.json, one entry for each part with its machine and command, and
 * the Markdown and the plots are written from there. So one part can be measured again and the others stay.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { VERSION } from '../src/version.ts';
import type { Section } from './bench.ts';
import { versionsOfPeers } from './candidates.ts';
import type { Figure } from './statistics.ts';

/** How and where one part was measured. */
export interface Circumstances {
  readonly measuredAt: string;
  readonly command: string;
  readonly megabytes: number;
  readonly machine: string;
  readonly versions: Readonly<Record<string, string>>;
}

export interface Result extends Circumstances {
  readonly figures: unknown;
}

export type Results = Readonly<Record<string, Result>>;

const RESULTS_FILE = 'results.json';
const PAGE_FILE = 'README.md';
/** The goals were set for this size. */
const GOAL_MEGABYTES = 1024;

export function readResults(folder: string): Results {
  const path = join(folder, RESULTS_FILE);
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Results) : {}; // written below
}

export function writeReport(
  folder: string,
  results: Results,
  sections: readonly { readonly section: Section; readonly result: Result }[],
): void {
  writeFileSync(join(folder, RESULTS_FILE), `${JSON.stringify(results, null, 2)}\n`);
  for (const { section } of sections) {
    for (const { file, svg } of section.plots) writeFileSync(join(folder, file), svg);
  }
  const told = sections.map(({ section, result }) =>
    [`## ${section.title}`, tellCircumstances(result, sections[0]?.result), section.text].join('\n\n'),
  );
  const setting = sections[0] ? `On ${tellMachine(sections[0].result)}.` : '';
  writeFileSync(join(folder, PAGE_FILE), `${[INTRODUCTION, setting, ...told].join('\n\n')}\n`);
  const written = [PAGE_FILE, RESULTS_FILE].map((file) => join(folder, file));
  execFileSync(process.execPath, ['fmt', '--write', '--no-script', ...written], { stdio: 'ignore' });
}

const INTRODUCTION = `# Benchmarks

This page is written by \`bun bench/run.ts\`. Everything below was measured side by side on one machine, on generated databases, and
compared as ratios, because the milliseconds depend on that machine. If a tool is missing, its row says so.`;

export function circumstances(options: { command: string; megabytes: number; folder: string }): Circumstances {
  return {
    measuredAt: new Date().toISOString().slice(0, 10),
    command: options.command,
    megabytes: options.megabytes,
    machine: machine(options.folder),
    versions: { 'velist-backup': VERSION, Bun: process.versions['bun'] ?? 'none', ...versionsOfPeers() },
  };
}

function machine(folder: string): string {
  const processors = cpus();
  const memory = Math.round(totalmem() / 1024 ** 3);
  const model = processors[0]?.model.trim() || 'unknown processor';
  return `${processors.length} × ${model}, ${memory} GB of memory, ${process.platform} ${release()}, ${fileSystemOf(folder)}`;
}

/** The type of the mount that is nearest above the folder, as /proc/mounts tells it. */
function fileSystemOf(folder: string): string {
  const mounts = readFileSync('/proc/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' '))
    .filter(([, at = '']) => at === '/' || folder === at || folder.startsWith(`${at}/`));
  const nearest = mounts.toSorted(([, a = ''], [, b = '']) => b.length - a.length)[0];
  return nearest?.[2] ?? 'unknown file system';
}

function tellMachine({ machine: where, versions }: Circumstances): string {
  const all = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return `${where}; ${all.join(', ')}`;
}

/** The machine again only where it is another than the page's first. */
function tellCircumstances(here: Circumstances, first: Circumstances | undefined): string {
  const { command, measuredAt, megabytes } = here;
  const elsewhere = first && tellMachine(first) !== tellMachine(here) ? ` on ${tellMachine(here)}` : '';
  const trial =
    megabytes < GOAL_MEGABYTES ? ` **A trial on ${megabytes} MB: the goals are set for ${GOAL_MEGABYTES} MB.**` : '';
  return `\`${command}\`, ${measuredAt}${elsewhere}.${trial}`;
}

// ── Markdown ──

/** Rows may be shorter than the head. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `| ${head.map((_, at) => (cells[at] ?? '').replaceAll('|', '\\|').replaceAll('\n', ' ')).join(' | ')} |`;
  const rule = `|${head.map((_, at) => (at === 0 ? ' --- ' : ' ---: ')).join('|')}|`;
  return [line(head), rule, ...rows.map(line)].join('\n');
}

export function bold(text: string): string {
  return `**${text}**`;
}

export interface Goal {
  readonly text: string;
  readonly measured: Figure;
  readonly most: number;
}

/** Each goal, what was measured, and by how much it was missed. */
export function tellGoals(goals: readonly Goal[]): string {
  return goals
    .map(({ text, measured, most }) => {
      if (measured === null || !Number.isFinite(measured)) return `- Goal: ${text}. Not measured.`;
      const by = most > 0 ? ` by ${((measured / most - 1) * 100).toFixed(0)} %` : '';
      const verdict = measured <= most ? 'met' : `**missed**${by}`;
      return `- Goal: ${text}. Measured ${measured.toFixed(2)}: ${verdict}.`;
    })
    .join('\n');
}
