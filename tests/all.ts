/**
 * Everything that must hold, in one command: `bun tests/all.ts`, or some lanes of it: `bun tests/all.ts fast page`. Each
 * check that is not a test file counts as one. A check that could not run has failed. Ends with `N passed, N failed`.
 *
 * The files of the fast lane run side by side, one more than there are processors, because most of them wait for a process;
 * the slowest begin. Those of the other lanes start processes, watch clocks and run one after another, so that none depends
 * on what its neighbour does to the machine; `--side-by-side` runs them together too, which is faster and proves less.
 * `--timings` measures all anew, which writes `tests/timings.json`, and shows where the time went.
 *
 * The deep tests need a real S3 server; where none is installed one line says that they were left out, and in CI that
 * is a failure.
 */
import { spawn } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Lane, lanes, testFolders } from './lanes.ts';
import { whyNoRgw } from './support/rgw.ts';
// Installs them before several test files begin to.
import './support/runtimes.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const bun = process.execPath;
const TIMINGS = 'tests/timings.json';
const SLOWEST_SHOWN = 20;

interface Check {
  readonly name: string;
  readonly command: readonly string[];
  /** Its output counts tests. */
  readonly isTests?: boolean;
  /** Runs beside the check that follows, and is reported after it. */
  readonly isBeside?: boolean;
}

const args = process.argv.slice(2);
const isTimed = args.includes('--timings');
const isSideBySide = args.includes('--side-by-side');
const wanted = args.filter((arg) => !arg.startsWith('--'));
const unknown = wanted.filter((lane) => !(lanes as readonly string[]).includes(lane));
if (unknown.length > 0) throw new Error(`no such lane: ${unknown.join(', ')}; there are ${lanes.join(', ')}`);
const chosen = lanes.filter((lane) => wanted.length === 0 || wanted.includes(lane));
const isChosen = (lane: Lane) => chosen.includes(lane);

function tests(those: readonly Lane[]): Check {
  const folders = those.flatMap((lane) => testFolders[lane]).map((folder) => `${folder}/`);
  const workers = isSideBySide || those[0] === 'fast' ? availableParallelism() + 1 : 1;
  const timings = [`--timings=${TIMINGS}`, ...(isTimed ? ['--update-timings'] : [])];
  return {
    name: `tests, ${those.join(', ')}`,
    command: [bun, 'test', `--parallel=${workers}`, ...timings, '--timeout', '120000', ...folders],
    isTests: true,
  };
}

const others = chosen.filter((lane) => lane !== 'fast');
const checks: readonly Check[] = [
  ...(isChosen('fast')
    ? [
        { name: 'types', command: [bun, 'run', 'types'], isBeside: true },
        { name: 'style', command: [bun, 'run', 'style'], isBeside: true },
        tests(['fast']),
      ]
    : []),
  ...(others.some((lane) => lane !== 'service') ? [{ name: 'build', command: [bun, 'run', 'build'] }] : []),
  ...(others.length > 0 ? [tests(others)] : []),
  ...(isChosen('faults')
    ? [
        {
          name: 'backups under load',
          command: [bun, 'tests/torture/backups-under-load.ts', '--megabytes', '100', '--backups', '5'],
        },
        {
          name: 'torture, short',
          command: [bun, 'tests/torture/torture.ts', '--seconds', '70', '--round-seconds', '2', '--seed', '1'],
        },
      ]
    : []),
];

let passed = 0;
let failed = 0;
const failures: string[] = [];
const details: string[] = [];
const beside: (() => Promise<void>)[] = [];
const closed = foldersAbove(root).find((folder) => (statSync(folder).mode & 0o001) === 0);
if (process.getuid?.() === 0 && closed !== undefined)
  console.log(
    `\n── some tests run programs as another user, who may not enter ${closed}: clone the repository elsewhere`,
  );
const noServer = isChosen('s3') ? whyNoRgw() : null;
if (noServer !== null) {
  const isFailure = Boolean(process.env['CI']);
  console.log(`\n── tests on a real S3 server: ${isFailure ? 'failed' : 'left out'}, ${noServer}`);
  if (isFailure) failures.push('tests on a real S3 server');
  failed += isFailure ? 1 : 0;
}
for (const check of checks) {
  const { name, command } = check;
  if (check.isBeside) {
    const ended = run(command, { isShown: false });
    beside.push(async () => {
      const result = await ended;
      console.log(`\n── ${name}\n${result.output.trimEnd()}`);
      count(check, result);
    });
    continue;
  }
  console.log(`\n── ${name}`);
  count(check, await run(command, { isShown: true }));
  for (const report of beside.splice(0)) await report();
}
for (const report of beside) await report();
if (isTimed) console.log(`\nslowest files, in seconds\n${slowest().join('\n')}`);
if (failures.length > 0) console.log(`\n${[...details, `failed: ${failures.join(', ')}`].join('\n\n')}`);
console.log(`\n${passed} passed, ${failed} failed`);
process.exit(failed === 0 && passed > 0 ? 0 : 1);

function foldersAbove(folder: string): string[] {
  const above = dirname(folder);
  return above === folder ? [folder] : [folder, ...foldersAbove(above)];
}

interface Ended {
  readonly code: number;
  readonly output: string;
  readonly ms: number;
}

function count({ name, isTests }: Check, { code, output, ms }: Ended): void {
  const counts = isTests ? countTests(output) : { passed: code === 0 ? 1 : 0, failed: code === 0 ? 0 : 1 };
  // A test run that ended badly without naming a failed test has failed all the same.
  if (code !== 0 && counts.failed === 0) counts.failed = 1;
  passed += counts.passed;
  failed += counts.failed;
  if (counts.failed > 0) {
    failures.push(name);
    details.push(...failedTests(output));
  }
  console.log(`── ${name}: ${code === 0 ? 'ok' : `failed with code ${code}`} in ${(ms / 1000).toFixed(1)} s`);
}

function run(command: readonly string[], { isShown }: { readonly isShown: boolean }): Promise<Ended> {
  const [program = '', ...args] = command;
  const startedMs = performance.now();
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text;
        if (isShown) process.stdout.write(text);
      });
    }
    child.once('error', reject);
    child.once('close', (code) => resolve({ code: code ?? 1, output, ms: performance.now() - startedMs }));
  });
}

function slowest(): string[] {
  const { files }: { files: Record<string, number> } = JSON.parse(readFileSync(`${root}${TIMINGS}`, 'utf8'));
  const folders = chosen.flatMap((lane) => testFolders[lane]);
  return Object.entries(files)
    .filter(([file]) => folders.some((folder) => file.startsWith(`${folder}/`)))
    .toSorted(([, one], [, other]) => other - one)
    .slice(0, SLOWEST_SHOWN)
    .map(([file, ms]) => `${(ms / 1000).toFixed(1).padStart(7)}  ${file}`);
}

function countTests(output: string): { passed: number; failed: number } {
  const last = (pattern: RegExp) => Number([...output.matchAll(pattern)].at(-1)?.[1] ?? 0);
  return { passed: last(/^ *(\d+) pass$/gm), failed: last(/^ *(\d+) fail$/gm) };
}

/** What each failed test printed, with its name last: at the end of a long run that is what one looks for. */
function failedTests(output: string): string[] {
  const lines = output.split('\n');
  return lines.flatMap((line, index) => {
    // The second is a file whose process ended in the midst of it.
    if (!/^(\(fail\)|✗) /.test(line)) return [];
    const before = lines.slice(Math.max(0, index - 60), index);
    return [[...before.slice(before.findLastIndex((each) => /^\((pass|skip|fail)\)/.test(each)) + 1), line].join('\n')];
  });
}
