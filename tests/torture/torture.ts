/**
 * Backups of databases under attack: several processes write, checkpoint, read old snapshots, come and go, while the
 * job's process makes one backup after the other. Every copy is judged three ways: SQLite's full check, sums that span
 * tables, and which commit it is: exactly the transactions 1 to n, with n no older than what each writer had noted as
 * committed before the run began. No user of the database may meet an error.
 *
 *     bun tests/torture/torture.ts --minutes 30 --seed 7 [--scenario vacuum] [--large] [--round-seconds 20]
 *     bun tests/torture/torture.ts --seconds 60 --seed 1
 *
 *     bun tests/torture/torture.ts --scenario modes --seconds 10 --seed 1 --until-bad
 *
 * The seed decides what each scenario is made of; how the processes meet is the machine's own. A bad copy is kept beside
 * the report of what made it. Ends with code 0 only when there were copies and all were good.
 */
import {
  chmodSync,
  copyFileSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { Manifest } from '../../src/engine/format/manifest.ts';
import { BackupError } from '../../src/words/errors.ts';
import { runJob } from '../../src/engine/process/run-job.ts';
import { type Actor, startActor } from '../support/torture-actors.ts';
import {
  type Acknowledged,
  fillerRows,
  judgeLedger,
  type LedgerJudgement,
  makeAcknowledgements,
  makeLedger,
  readAcknowledged,
  readLog,
} from '../support/torture-ledger.ts';
import { type Random, seededRandom } from '../support/torture-random.ts';
import { giveAway, startedThrough, whyUnplayable } from './specials.ts';
import { drawScenario, largeScenarioNames, type Scenario, type ScenarioName, scenarioNames } from './scenarios.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string' },
    seconds: { type: 'string' },
    seed: { type: 'string' },
    scenario: { type: 'string' },
    'round-seconds': { type: 'string' },
    'megabytes-max': { type: 'string', default: '100' },
    large: { type: 'boolean', default: false },
    'until-bad': { type: 'boolean', default: false },
    folder: { type: 'string', default: tmpdir() },
  },
});

const KEPT_BACKUPS = 2;
const LOCK_WAIT_MS = 10_000;
/** Between two backups, at most: sometimes at once, sometimes after the database moved on. */
const REST_MS_MAX = 150;

interface Tally {
  rounds: number;
  copies: number;
  bad: number;
  /** Runs that ended with an error. */
  failed: number;
  /** Runs that said that the app works with another log. */
  refused: number;
  commits: number;
  checkpoints: number;
  readers: number;
  visits: number;
  /** Changes of the journal mode. */
  switches: number;
  /** Commits that failed because they were meant to. */
  failures: number;
  /** Errors that users of the database met. */
  errors: number;
  /** Commits that the live database no longer held at the end. */
  lost: number;
  /** The longest run. */
  slowestMs: number;
}

const seconds = values.seconds ? Number(values.seconds) : Number(values.minutes ?? 1) * 60;
const seed = Number(values.seed ?? Math.floor(Math.random() * 1_000_000));
const names = chosenScenarios();
const roundSeconds = Number(values['round-seconds'] ?? Math.min(20, Math.max(2, (seconds / names.length) * 0.7)));
const folder = mkdtempSync(join(values.folder, 'velist-torture-'));
// Another user's app finds its database in it.
chmodSync(folder, 0o711);
const evidence = join(values.folder, `velist-torture-evidence-${seed}`);
const tallies = new Map<ScenarioName, Tally>();
let isBad = false;

console.log(`seed ${seed}, ${seconds} s, rounds of ${roundSeconds.toFixed(1)} s: ${names.join(', ')}`);
const startedMs = performance.now();
try {
  for (let round = 1; performance.now() - startedMs < seconds * 1_000 && !mayStop(); round++) {
    const name = names[(round - 1) % names.length];
    if (name) await playRound(round, name);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.exitCode = report();

function chosenScenarios(): readonly ScenarioName[] {
  const known: readonly ScenarioName[] = [...scenarioNames, ...largeScenarioNames];
  const usual = values.large ? known : scenarioNames;
  const wished = known.filter((name) => values.scenario?.split(',').includes(name) ?? usual.includes(name));
  const chosen = wished.filter((name) => {
    const why = whyUnplayable(name);
    if (why !== null) console.log(`${name} is left out: ${why}`);
    return why === null;
  });
  if (chosen.length === 0) throw new Error(`no such scenario; there are ${known.join(', ')}`);
  return chosen;
}

function mayStop(): boolean {
  return values['until-bad'] && isBad;
}

interface Round {
  readonly place: string;
  readonly database: string;
  /** What is backed up: the database, by whatever name. */
  readonly source: string;
  readonly backups: string;
  readonly acknowledgements: string;
  /** Where commits are noted that failed because they were meant to. */
  readonly failures: string;
  readonly scenario: Scenario;
  readonly random: Random;
  readonly tally: Tally;
  complain(what: string): void;
}

function prepare(number: number, name: ScenarioName): Round {
  const roundSeed = (seed * 1_000 + number) >>> 0;
  const random = seededRandom(roundSeed);
  const scenario = drawScenario(name, random, { sizeBytesMax: Number(values['megabytes-max']) * 1024 * 1024 });
  const place = join(folder, `round-${number}`);
  mkdirSync(place);
  const database = join(place, 'ledger.sqlite');
  const [acknowledgements, failures] = [join(place, 'acknowledged'), join(place, 'failed')];
  makeLedger(database, scenario.form);
  makeAcknowledgements(acknowledgements, scenario.writers.length);
  writeFileSync(failures, '');
  if (scenario.special === 'other user') for (const path of [place, database, acknowledgements]) giveAway(path);
  const isLinked = scenario.special === 'other name';
  const source = isLinked ? join(place, 'linked', 'ledger.sqlite') : database;
  if (isLinked) {
    mkdirSync(dirname(source));
    linkSync(database, source);
  }
  const tally = tallyOf(name);
  tally.rounds++;
  const complain = (what: string) => {
    isBad = true;
    console.log(`  BAD round ${number} (${name}, round seed ${roundSeed}): ${what}`);
  };
  const backups = join(folder, 'backups');
  return { place, database, source, backups, acknowledgements, failures, scenario, random, tally, complain };
}

async function playRound(number: number, name: ScenarioName): Promise<void> {
  const round = prepare(number, name);
  const { scenario, tally, random } = round;
  const before = { ...tally };
  const actors: Actor[] = [];
  try {
    await startActors(round, actors);
    const untilMs = performance.now() + roundSeconds * 1_000;
    do {
      await makeCopy(round);
      await sleep(random.between(0, REST_MS_MAX));
    } while (performance.now() < untilMs && !mayStop());
  } finally {
    await endActors(round, actors);
  }
  judgeLive(round);
  const { pageSize, autoVacuum, journalMode, sizeBytes } = scenario.form;
  console.log(
    `${String(number).padStart(4)} ${name.padEnd(16)} ${tally.copies - before.copies} copies, ${tally.bad - before.bad} bad, ` +
      `${tally.failed - before.failed} failed, ${tally.refused - before.refused} refused, ${tally.commits - before.commits} commits ` +
      `(${(sizeBytes / 1024 / 1024).toFixed(0)} MB, pages of ${pageSize}, auto_vacuum ${autoVacuum}, ${journalMode}, ` +
      `${scenario.writers.length} writers)`,
  );
  for (const used of [round.place, round.backups]) rmSync(used, { recursive: true, force: true });
}

/** @param actors gets each one as it is started. */
async function startActors(round: Round, actors: Actor[]): Promise<void> {
  const { database: path, acknowledgements, failures, scenario, random } = round;
  const through = startedThrough(scenario, path);
  for (const [writer, traits] of scenario.writers.entries()) {
    const rows = fillerRows(scenario.form.sizeBytes);
    const own = { path, seed: random.seed(), writer, acknowledgements, lastNumber: 0, fillerRows: rows };
    const failing = scenario.special === 'failing fsync' && { failures };
    actors.push(await startActor({ role: 'writer', ...traits, ...own, ...failing }, 'bun', through));
  }
  for (const { form, runtime } of scenario.others)
    actors.push(await startActor({ ...form, path, seed: random.seed() }, runtime));
}

async function endActors({ tally, complain }: Round, actors: Actor[]): Promise<void> {
  for (const outcome of await Promise.all(actors.map((actor) => actor.end()))) {
    const role = actors.shift()?.form.role;
    tally.commits += outcome.commits;
    tally.switches += outcome.switches;
    tally.failures += outcome.failures;
    if (role === 'checkpointer') tally.checkpoints += outcome.done;
    if (role === 'reader') tally.readers += outcome.done;
    if (role === 'visitor') tally.visits += outcome.done;
    // A checkpointer that does not wait is told that others are at work; that is no error.
    const errors = outcome.errors + (role === 'checkpointer' ? 0 : outcome.busy);
    tally.errors += errors;
    if (errors > 0) complain(`a ${role} met ${errors} errors: ${outcome.firstError}`);
  }
}

async function makeCopy(at: Round): Promise<void> {
  const writers = at.scenario.writers.length;
  const before = readAcknowledged(at.acknowledgements, writers);
  let name: string;
  const beganMs = performance.now();
  try {
    const made = await runJob<'backup'>(
      {
        kind: 'backup',
        databasePath: at.source,
        folder: at.backups,
        verify: 'quick',
        trigger: 'manual',
        user: null,
        note: null,
        retention: { count: KEPT_BACKUPS, startBurstMs: 60_000 },
        lockWaitMs: LOCK_WAIT_MS,
      },
      { environment: { PATH: process.env['PATH'] ?? '' } },
    );
    name = made.name;
  } catch (error) {
    const { code, message } = BackupError.from(error);
    if (at.scenario.special === 'other name' && code === 'DB_NOT_SHARED') {
      at.tally.refused++;
      return;
    }
    at.tally.failed++;
    at.complain(`a run failed: ${code} ${message}`);
    return;
  } finally {
    at.tally.slowestMs = Math.max(at.tally.slowestMs, Math.round(performance.now() - beganMs));
  }
  const after = readAcknowledged(at.acknowledgements, writers);
  const copy = join(at.backups, name);
  const mayFail = at.scenario.special === 'failing fsync';
  const judgement = judgeLedger(copy, { unwritten: true, gapless: !mayFail });
  at.tally.copies++;
  const complaint =
    judgement.complaint ??
    outOfTime(judgement, before, mayFail ? null : after) ??
    failedCommitIn(copy, at.failures) ??
    logIgnoredBy(copy);
  if (complaint === null) return;
  at.tally.bad++;
  mkdirSync(evidence, { recursive: true });
  copyFileSync(copy, join(evidence, name));
  at.complain(`${complaint}; kept as ${join(evidence, name)}`);
}

/** In a mode without a log there is none under the pin; else the mode was read at another moment. */
function logIgnoredBy(copy: string): string | null {
  const { source, stamp } = JSON.parse(readFileSync(`${copy}.json`, 'utf8')) as Manifest; // the job wrote it
  if (source.journalMode === 'wal' || !stamp?.wal) return null;
  return `its mode was ${source.journalMode}, and under the pin lay a log of ${stamp.wal.sizeBytes} bytes`;
}

/** A commit that the app was told had failed is in no copy. */
function failedCommitIn(copy: string, failures: string): string | null {
  const failed = new Set(readFileSync(failures, 'utf8').split('\n'));
  const found = readLog(copy, { unwritten: true }).find((entry) => failed.has(entry));
  return found === undefined ? null : `it holds ${found}, a commit that failed`;
}

/**
 * Is the copy older than its start, or newer than its end? One commit may be done and not yet noted.
 *
 * @param after null where numbers are left out, so that the end is unknown.
 */
function outOfTime(
  copy: LedgerJudgement,
  before: readonly Acknowledged[],
  after: readonly Acknowledged[] | null,
): string | null {
  const committed = Math.max(0, ...before.map(({ t }) => t));
  if (copy.commit < committed) return `older than its start: commit ${copy.commit}, ${committed} was acknowledged`;
  for (const [writer, n] of copy.last.entries()) {
    const least = before[writer]?.n ?? 0;
    const most = after === null ? Number.POSITIVE_INFINITY : (after[writer]?.n ?? 0) + 1;
    if (n < least || n > most) return `writer ${writer} stands at ${n}, not between ${least} and ${most}`;
  }
  return null;
}

/** When all have gone, the live database itself must be whole and hold every commit. */
function judgeLive({ database, acknowledgements, scenario, tally, complain }: Round): void {
  const live = judgeLedger(database, { unwritten: false, gapless: scenario.special !== 'failing fsync' });
  const noted = readAcknowledged(acknowledgements, scenario.writers.length);
  const lost = noted.reduce((sum, { n }, writer) => sum + Math.max(0, n - (live.last[writer] ?? 0)), 0);
  if (live.complaint === null && lost === 0) return;
  tally.lost += Math.max(1, lost);
  complain(`the live database: ${live.complaint ?? `${lost} commits lost`}`);
}

function tallyOf(name: ScenarioName): Tally {
  let tally = tallies.get(name);
  if (!tally) {
    const nothing = { copies: 0, bad: 0, failed: 0, refused: 0, commits: 0, checkpoints: 0, readers: 0, visits: 0 };
    const meant = { switches: 0, failures: 0 };
    tally = { rounds: 0, ...nothing, ...meant, errors: 0, lost: 0, slowestMs: 0 };
    tallies.set(name, tally);
  }
  return tally;
}

function report(): number {
  const columns = [
    'rounds',
    'copies',
    'bad',
    'failed',
    'refused',
    'commits',
    'checkpoints',
    'readers',
    'visits',
    'switches',
    'failures',
    'errors',
    'lost',
    'slowest ms',
  ];
  const cell = (value: unknown) => String(value).padStart(12);
  console.log(`\n${'scenario'.padEnd(17)}${columns.map(cell).join('')}`);
  const sum: Record<string, number> = {};
  for (const [name, tally] of tallies) {
    console.log(`${name.padEnd(17)}${Object.values(tally).map(cell).join('')}`);
    for (const [key, value] of Object.entries(tally)) sum[key] = (sum[key] ?? 0) + value;
  }
  const { copies = 0, bad = 0, failed = 0, refused = 0, commits = 0, errors = 0, lost = 0 } = sum;
  const tookSeconds = Math.round((performance.now() - startedMs) / 1_000);
  console.log(
    `\nseed ${seed}: ${copies} copies beside ${commits} commits in ${tookSeconds} s: ${bad} bad, ${failed} failed and ${refused} refused runs, ` +
      `${errors} errors of users, ${lost} commits lost`,
  );
  return copies + refused > 0 && bad + failed + errors + lost === 0 ? 0 : 1;
}
