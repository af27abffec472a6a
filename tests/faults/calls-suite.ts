/**
 * Faults at the system calls of each operation: the operation is carried out once as its real job and tells its calls,
 * then once for each chosen call with a fault there. What must hold afterwards is told in `calls-judge.ts`.
 */
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { ErrorBody } from '../../src/words/errors.ts';
import type { JobMessage } from '../../src/engine/process/protocol.ts';
import {
  type Call,
  callForms,
  type Fault,
  type FaultKind,
  followCalls,
  goOn,
  readReport,
} from '../support/system-calls.ts';
import { type Random, seededRandom } from '../support/torture-random.ts';
import { type Ending, judgeFault } from './calls-judge.ts';
import { type JournalMode, type Operation, operations, Scene } from './calls-scene.ts';

export interface CallsOptions {
  readonly operations: readonly Operation[];
  /** Null for one of them at each operation, by the seed. */
  readonly journalModes: readonly JournalMode[] | null;
  readonly seed: number;
  /** How many faults each operation meets in each journal mode; null for every call with every fault. */
  readonly count: number | null;
  /** An existing folder, emptied by its owner. */
  readonly folder: string;
  readonly log: (line: string) => void;
  /** Only faults that are called so, as a broken promise names them. */
  readonly only?: readonly string[] | undefined;
  /** Names each call, too. */
  readonly list?: boolean;
}

export interface CallsReport {
  faults: number;
  /** Faults whose call did not come in that run. */
  missed: number;
  readonly broken: string[];
  /** By operation and fault: how the job ended. */
  readonly ends: Map<string, number>;
}

const JOB_TIMEOUT_MS = 120_000;
const job = fileURLToPath(new URL('../../src/engine/process/job-main.ts', import.meta.url));

export async function runCalls(options: CallsOptions): Promise<CallsReport> {
  const report: CallsReport = { faults: 0, missed: 0, broken: [], ends: new Map() };
  for (const operation of options.operations) {
    const random = seededRandom(options.seed + operations.indexOf(operation));
    for (const journalMode of options.journalModes ?? [random.pick(['wal', 'delete'])])
      await attack(new Scene(options.folder, operation, journalMode), random, report, options);
  }
  return report;
}

async function attack(scene: Scene, random: Random, report: CallsReport, options: CallsOptions): Promise<void> {
  const about = `${scene.operation}, ${scene.journalMode}`;
  await scene.make();
  const quiet = await carryOut(scene, null);
  for (const broken of await judgeFault(scene, quiet.ending)) tell(report, options, `${about}, no fault: ${broken}`);
  const calls = quiet.calls.filter((call) => belongsTo(scene.operation, call));
  const possible = calls.flatMap(faultsOf);
  const faults = options.only
    ? possible.filter((fault) => options.only?.includes(nameOf(fault)))
    : draw(possible, random, options.count);
  if (options.list) for (const { step, name, nth } of calls) options.log(`  ${step}: ${name} #${nth}`);
  options.log(`${about}: ${calls.length} calls, ${possible.length} faults, ${faults.length} of them tried`);
  for (const fault of faults) {
    const { struck, ending } = await carryOut(scene, fault);
    if (struck) report.faults++;
    else report.missed++;
    const end = ending.isStuck ? 'stuck' : (ending.error?.code ?? (ending.result === null ? 'no answer' : 'good'));
    count(report.ends, `${about}: ${fault.kind}: ${struck ? end : `not met, ${end}`}`);
    const asSeen = struck ? ending : { ...ending, fault: null };
    for (const broken of await judgeFault(scene, asSeen))
      tell(report, options, `${about}, ${nameOf(fault)}: ${broken}${ending.error ? ` (${ending.error.message})` : ''}`);
  }
  scene.end();
}

export function nameOf({ kind, call }: Fault): string {
  return `${kind} at ${call.name} #${call.nth}`;
}

function tell(report: CallsReport, { log }: CallsOptions, what: string): void {
  report.broken.push(what);
  log(`  BROKEN ${what}`);
}

/** A backup is attacked up to the moment when it is published; the step after that is the operation `publish`. */
function belongsTo(operation: Operation, { step }: Call): boolean {
  const isLate = step === 'publish' || step === 'prune';
  if (operation === 'backup') return !isLate;
  return operation !== 'publish' || isLate;
}

const shortenable: ReadonlySet<string> = new Set(
  [...callForms.values()].filter(({ length }) => length !== undefined).map(({ name }) => name),
);

export function faultsOf(call: Call): readonly Fault[] {
  const form = call.name.split(' ', 1)[0] ?? '';
  const takesRoom = [...callForms.values()].some(({ name, takesRoom: does }) => name === form && does);
  const kinds: readonly FaultKind[] = [
    'killed before',
    'killed after',
    'EIO',
    'ENOSPC',
    'EINTR',
    ...(takesRoom ? (['full'] as const) : []),
    ...(shortenable.has(form) && (call.length ?? 0) > 1 ? (['short'] as const) : []),
  ];
  return kinds.map((kind) => ({ kind, call: { name: call.name, nth: call.nth } }));
}

/** First a call by its name, then which of that name, then a fault: a hundred writes to one file are no hundred calls. */
export function draw(faults: readonly Fault[], random: Random, wanted: number | null): readonly Fault[] {
  if (wanted === null) return faults;
  const byName = new Map<string, Fault[]>();
  for (const fault of faults) byName.set(fault.call.name, [...(byName.get(fault.call.name) ?? []), fault]);
  const drawn: Fault[] = [];
  while (drawn.length < wanted && byName.size > 0) {
    const names = [...byName.keys()];
    const name = names[random.between(0, names.length - 1)] ?? '';
    const left = byName.get(name) ?? [];
    drawn.push(...left.splice(random.between(0, left.length - 1), 1));
    if (left.length === 0) byName.delete(name);
  }
  return drawn;
}

interface Carried {
  readonly calls: readonly Call[];
  readonly struck: boolean;
  readonly ending: Ending;
}

/** The operation as its job, followed from its first call to its last. */
async function carryOut(scene: Scene, fault: Fault | null): Promise<Carried> {
  await scene.begin();
  const report = `${scene.folder}.report`;
  const command = [process.execPath, '--config=/dev/null', '--no-env-file', job];
  const env = { PATH: process.env['PATH'] ?? '', VELIST_BACKUP_JOB: '1', BUN_BE_BUN: '1' };
  const { folder, pauseAfter } = scene;
  const child = followCalls({ command, folder, report, fault, pauseAfter }, env);
  let error: ErrorBody | null = null;
  let result: unknown = null;
  child.stdin?.on('error', () => {});
  child.stdin?.write(`${JSON.stringify(scene.request())}\n`);
  const hear = (line: string) => {
    if (pauseAfter !== null && line.includes(pauseAfter)) {
      scene.commitMeanwhile();
      goOn({ report });
    }
    const message = parse(line);
    if (message?.type === 'error') error = message.error;
    else if (message?.type === 'result') result = message.value ?? true;
  };
  if (child.stdout) createInterface({ input: child.stdout }).on('line', hear);
  let isStuck = false;
  const timer = setTimeout(() => {
    isStuck = true;
    child.kill('SIGKILL');
  }, JOB_TIMEOUT_MS);
  await new Promise((resolve) => child.once('close', resolve));
  clearTimeout(timer);
  child.stdin?.destroy();
  const { calls, struck } = readReport(report);
  return { calls, struck: struck !== null, ending: { fault, error, result, isStuck } };
}

/** Null for the half of a line that a killed job leaves. */
function parse(line: string): JobMessage | null {
  try {
    return JSON.parse(line) as JobMessage; // our own job wrote it
  } catch {
    return null;
  }
}

function count(counts: Map<string, number>, what: string): void {
  counts.set(what, (counts.get(what) ?? 0) + 1);
}
