/**
 * Faults at the system calls of the replicator: it starts, captures, merges, removes and ends once and tells its calls, then
 * once for each chosen call with a fault there. Afterwards one that meets no fault goes on.
 *
 * What must hold:
 * - the app meets no error, and its database is whole and holds every commit;
 * - each moment that was promised, in this run and before it, comes back exactly, at once and after the next run;
 * - the next run captures, merges what is due, leaves nothing unfinished, and its newest moment is all that was committed;
 * - a fault of the disk is never called damage of the file or of the stream; a full disk is called so.
 */
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { WorkerLine, WorkLine } from '../../src/engine/process/worker-protocol.ts';
import type { StreamStatus } from '../../src/engine/replication/status.ts';
import type { ReplicateNews, ReplicateOrder } from '../../src/engine/stories/replicate.ts';
import { type Call, type Fault, followCalls, readReport } from '../support/system-calls.ts';
import { judgeLedger, readLog } from '../support/torture-ledger.ts';
import { seededRandom } from '../support/torture-random.ts';
import { type CallsOptions, type CallsReport, draw, faultsOf, nameOf } from './calls-suite.ts';
import { CapturedScene, type Promised, type Start, starts, windowsMs } from './captured-calls-scene.ts';

/** As of an operation's calls, with how the stream begins instead. */
interface CapturedCallsOptions extends Omit<CallsOptions, 'operations' | 'journalModes'> {
  readonly starts: readonly Start[];
}

/** How one replicator ran, from its start to its end. */
interface Ran {
  readonly calls: readonly Call[];
  readonly struck: boolean;
  readonly promised: readonly Promised[];
  readonly statuses: readonly StreamStatus[];
  /** What the app met. */
  readonly complaint: string | null;
  readonly isStuck: boolean;
  /** Merges were due all the time that they had. What became due since, by the clock alone, counts for the next run. */
  readonly leftMerges: boolean;
}

const ROUNDS = 3;
/** Drawn for each fault that is wanted: in another run a call may come as another of its name, or not at all. */
const TRIES = 10;
/** A try that failed is repeated after a second. */
const CAPTURED_MS_MAX = 60_000;
/** A merge that failed is repeated much later. */
const MERGED_MS_MAX = { withFault: 4_000, withoutFault: 60_000 };
const ENDED_MS_MAX = 60_000;
const job = fileURLToPath(new URL('../../src/engine/process/job-main.ts', import.meta.url));

export async function runCapturedCalls(options: CapturedCallsOptions): Promise<CallsReport> {
  const report: CallsReport = { faults: 0, missed: 0, broken: [], ends: new Map() };
  for (const start of options.starts) await attack(start, report, options);
  return report;
}

async function attack(start: Start, report: CallsReport, options: CapturedCallsOptions): Promise<void> {
  const scene = new CapturedScene(options.folder, start);
  const tell = (what: string) => {
    report.broken.push(what);
    options.log(`  BROKEN ${what}`);
  };
  await scene.make();
  scene.begin();
  const quiet = await runOne(scene, null);
  for (const broken of await judge(scene, quiet, null)) tell(`${start}, no fault: ${broken}`);
  const kept = await scene.noteKept();
  if (start !== 'first' && kept < 3) tell(`${start}, no fault: only ${kept} moments of before are there`);
  if (quiet.promised.length < ROUNDS) tell(`${start}, no fault: only ${quiet.promised.length} moments were captured`);
  const possible = quiet.calls.flatMap(faultsOf);
  const random = seededRandom(options.seed + starts.indexOf(start));
  const faults = options.only
    ? possible.filter((fault) => options.only?.includes(nameOf(fault)))
    : draw(possible, random, options.count && options.count * TRIES);
  const wanted = options.only ? faults.length : Math.min(options.count ?? faults.length, faults.length);
  if (options.list) for (const { name, nth } of quiet.calls) options.log(`  ${name} #${nth}`);
  options.log(`${start}: ${quiet.calls.length} calls, ${possible.length} faults, ${wanted} of them tried`);
  let met = 0;
  for (const fault of faults) {
    if (met === wanted) break;
    scene.begin();
    const ran = await runOne(scene, fault);
    if (ran.struck) met++;
    else report.missed++;
    const end = `${start}: ${fault.kind}: ${ran.struck ? endOf(ran) : 'not met'}`;
    report.ends.set(end, (report.ends.get(end) ?? 0) + 1);
    for (const broken of await judge(scene, ran, ran.struck ? fault : null))
      tell(`${start}, ${nameOf(fault)}: ${broken}`);
  }
  report.faults += met;
  scene.end();
}

function endOf({ promised, statuses }: Ran): string {
  const failed = statuses.find(({ error }) => error !== null)?.error?.code;
  const warned = statuses.some(({ warnings }) => warnings.length > 0) ? ', warned' : '';
  return `${promised.length} of ${ROUNDS} captured${failed ? `, met ${failed}` : ''}${warned}`;
}

async function runOne(scene: CapturedScene, fault: Fault | null): Promise<Ran> {
  const report = `${scene.folder}.report`;
  const command = [process.execPath, '--config=/dev/null', '--no-env-file', job];
  const env = { PATH: process.env['PATH'] ?? '', VELIST_BACKUP_JOB: '1', BUN_BE_BUN: '1' };
  const child = followCalls({ command, folder: scene.folder, report, fault, pauseAfter: null }, env);
  const ended = new Promise((resolve) => child.once('close', resolve));
  let isOver = false;
  void ended.then(() => {
    isOver = true;
  });
  const statuses: StreamStatus[] = [];
  let answer: (news: ReplicateNews | null) => void = () => {};
  const hear = (text: string) => {
    const message = messageIn(text);
    if (message?.type === 'status') statuses.push(message.status);
    else if (message) answer(message);
  };
  if (child.stdout) createInterface({ input: child.stdout }).on('line', hear);
  child.stdin?.on('error', () => {});
  const send = (line: WorkLine | ReplicateOrder) => child.stdin?.write(`${JSON.stringify(line)}\n`);
  send({ work: 'replicate', request: {}, parent: process.pid, beatMs: 60_000 });
  const where = { databasePath: scene.database, folder: scene.stream };
  send({ type: 'follow', id: 'ledger', ...where, intervalMs: 60_000, windowsMs, bytesMax: null });

  const flush = async (): Promise<string | null> => {
    for (const untilMs = performance.now() + CAPTURED_MS_MAX; !isOver && performance.now() < untilMs; await sleep(50)) {
      const told = new Promise<ReplicateNews | null>((resolve) => {
        answer = resolve;
      });
      send({ type: 'flush', id: 'ledger', call: 1 });
      const news = await Promise.race([told, ended.then(() => null)]);
      if (news?.type === 'flushed') return news.bookmark;
    }
    return null;
  };
  const promised: Promised[] = [];
  let complaint: string | null = null;
  try {
    for (let round = 0; round < ROUNDS; round++) {
      scene.commit();
      const bookmark = await flush();
      if (bookmark !== null) promised.push({ bookmark, log: [...scene.acknowledged] });
    }
  } catch (error) {
    complaint = `the app met ${String(error)}`;
  }
  const mergedMs = fault ? MERGED_MS_MAX.withFault : MERGED_MS_MAX.withoutFault;
  let leftMerges = true;
  for (const untilMs = performance.now() + mergedMs; !isOver && performance.now() < untilMs; await sleep(20)) {
    leftMerges = scene.areMergesDue();
    if (!leftMerges) break;
  }
  child.stdin?.end();
  let isStuck = false;
  const timer = setTimeout(() => {
    isStuck = true;
    child.kill('SIGKILL');
  }, ENDED_MS_MAX);
  await ended;
  clearTimeout(timer);
  const { calls, struck } = readReport(report);
  return { calls, struck: struck !== null, promised, statuses, complaint, isStuck, leftMerges };
}

/** Null for a sign of life, and for the half of a line that a killed replicator leaves. */
function messageIn(text: string): ReplicateNews | null {
  try {
    const line = JSON.parse(text) as WorkerLine; // our own worker wrote it
    return line.type === 'message' ? line.message : null;
  } catch {
    return null;
  }
}

/** Promises that were broken; none when all is well. */
async function judge(scene: CapturedScene, ran: Ran, fault: Fault | null): Promise<readonly string[]> {
  const broken: string[] = [];
  const promised = [...ran.promised];
  judgeRun(ran, fault, broken);
  await judgeMoments(scene, promised, 'at once', broken);
  const next = await runOne(scene, null);
  judgeRun(next, null, broken);
  if (next.promised.length < ROUNDS) broken.push(`the next run captured ${next.promised.length} of ${ROUNDS} moments`);
  if (next.leftMerges) broken.push('the next run left merges');
  for (const name of scene.leftovers()) broken.push(`${name} was left`);
  await judgeMoments(scene, [...promised, ...next.promised], 'after the next run', broken);
  const newest = await scene.restored({ latest: true }, scene.acknowledged);
  if (newest !== null) broken.push(`the newest moment: ${newest}`);
  const { complaint } = judgeLedger(scene.database, { unwritten: false });
  if (complaint !== null) broken.push(`the database: ${complaint}`);
  if (readLog(scene.database, { unwritten: false }).join() !== scene.acknowledged.join())
    broken.push('the database is not what was committed');
  return broken;
}

function judgeRun({ statuses, complaint, isStuck, promised }: Ran, fault: Fault | null, broken: string[]): void {
  if (complaint !== null) broken.push(complaint);
  if (isStuck) broken.push('the replicator did not end');
  const untrue = statuses.find((status) => status.untrue !== null)?.untrue;
  if (untrue) broken.push(`the ${untrue.at} is called untrue: ${untrue.error.message}`);
  const codes = new Set(statuses.flatMap(({ error }) => error?.code ?? []));
  if (fault?.kind === 'full' && promised.length < ROUNDS && !codes.has('DISK_FULL'))
    broken.push(`a full disk is reported as ${[...codes].join() || 'nothing'}`);
}

async function judgeMoments(
  scene: CapturedScene,
  promised: readonly Promised[],
  when: string,
  broken: string[],
): Promise<void> {
  for (const { bookmark, log } of promised) {
    const found = await scene.restored({ txid: BigInt(`0x${bookmark}`) }, log);
    if (found !== null) broken.push(`${when}, ${bookmark}: ${found}`);
  }
  for (const { bookmark, log } of scene.earlier) {
    const found = await scene.restored({ txid: BigInt(`0x${bookmark}`) }, log);
    // Retention may leave a coarser one in its place; one that is there must be true.
    const mayBeGone = !scene.isKept(bookmark) && found?.startsWith('NO_MOMENT');
    if (found !== null && !mayBeGone) broken.push(`${when}, ${bookmark} of before: ${found}`);
  }
}
