/**
 * Everything that must hold, in one command: `bun tests/all.ts`, or some lanes of it: `bun tests/all.ts fast page`. Each
 * check that is not a test file counts as one. A check that could not run has failed. Ends with `N passed, N failed`.
 *
 * The deep tests need a real S3 server; where none is installed one line says that they were left out, and in CI that
 * is a failure.
 */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { type Lane, lanes, testFolders } from './lanes.ts';
import { whyNoRgw } from './support/rgw.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const bun = process.execPath;

interface Check {
  readonly name: string;
  readonly lanes: readonly Lane[];
  readonly command: readonly string[];
  /** Its output counts tests. */
  readonly isTests?: boolean;
  /** Runs beside the check that follows, and is reported after it. */
  readonly isBeside?: boolean;
  /** Why it cannot run here. */
  readonly missing?: string | null;
}

function tests(lane: Lane): Check {
  const folders = testFolders[lane].map((folder) => `${folder}/`);
  return {
    name: `tests, ${lane}`,
    lanes: [lane],
    command: [bun, 'test', '--timeout', '60000', ...folders],
    isTests: true,
  };
}

const checks: readonly Check[] = [
  { name: 'types', lanes: ['fast'], command: [bun, 'run', 'types'], isBeside: true },
  { name: 'style', lanes: ['fast'], command: [bun, 'run', 'style'], isBeside: true },
  tests('fast'),
  { name: 'build', lanes: ['page', 's3', 'package', 'faults'], command: [bun, 'run', 'build'] },
  tests('page'),
  tests('s3'),
  {
    name: 'tests on a real S3 server',
    lanes: ['s3'],
    command: [bun, 'test', '--timeout', '60000', 'tests/deep/'],
    isTests: true,
    missing: whyNoRgw(),
  },
  tests('package'),
  tests('faults'),
  {
    name: 'backups under load',
    lanes: ['faults'],
    command: [bun, 'tests/torture/backups-under-load.ts', '--megabytes', '100', '--backups', '5'],
  },
  {
    name: 'torture, short',
    lanes: ['faults'],
    command: [bun, 'tests/torture/torture.ts', '--seconds', '70', '--round-seconds', '2', '--seed', '1'],
  },
];

const wanted = process.argv.slice(2);
const unknown = wanted.filter((lane) => !(lanes as readonly string[]).includes(lane));
if (unknown.length > 0) throw new Error(`no such lane: ${unknown.join(', ')}; there are ${lanes.join(', ')}`);
const chosen = checks.filter((check) => wanted.length === 0 || check.lanes.some((lane) => wanted.includes(lane)));

let passed = 0;
let failed = 0;
const failures: string[] = [];
const details: string[] = [];
const beside: (() => Promise<void>)[] = [];
for (const check of chosen) {
  const { name, command, missing } = check;
  if (missing) {
    const isFailure = Boolean(process.env['CI']);
    console.log(`\n── ${name}: ${isFailure ? 'failed' : 'left out'}, ${missing}`);
    if (isFailure) failures.push(name);
    failed += isFailure ? 1 : 0;
    continue;
  }
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
if (failures.length > 0) console.log(`\n${[...details, `failed: ${failures.join(', ')}`].join('\n\n')}`);
console.log(`\n${passed} passed, ${failed} failed`);
process.exit(failed === 0 && passed > 0 ? 0 : 1);

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

function countTests(output: string): { passed: number; failed: number } {
  const last = (pattern: RegExp) => Number([...output.matchAll(pattern)].at(-1)?.[1] ?? 0);
  return { passed: last(/^ *(\d+) pass$/gm), failed: last(/^ *(\d+) fail$/gm) };
}

/** What each failed test printed, with its name last: at the end of a long run that is what one looks for. */
function failedTests(output: string): string[] {
  const lines = output.split('\n');
  return lines.flatMap((line, index) => {
    if (!line.startsWith('(fail)')) return [];
    const before = lines.slice(Math.max(0, index - 60), index);
    return [[...before.slice(before.findLastIndex((each) => /^\((pass|skip|fail)\)/.test(each)) + 1), line].join('\n')];
  });
}
