/**
 * Continuous backup under attack: the users of the torture write, checkpoint, read old moments, come and go, while every
 * commit is captured, the replicator is killed again and again, and moments are restored: the newest, and those of before.
 * Each restored moment must be whole, be exactly the transactions 1 to n, and hold at least what was committed when its
 * capture was asked for, and at most what was committed when it was answered. Now and then the database is replaced by an
 * earlier moment, online and in place, or the app leaves WAL mode after a pause.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from '../../src/engine/process/worker.ts';
import { materialize } from '../../src/engine/replication/materialize.ts';
import { removePause, writePause } from '../../src/engine/replication/pause.ts';
import type { WishedMoment } from '../../src/engine/replication/plan.ts';
import type { StreamStatus } from '../../src/engine/replication/status.ts';
import type { ReplicateNews } from '../../src/engine/stories/replicate.ts';
import { startSqlProcess } from '../support/sql-process.ts';
import { type Actor, startActor } from '../support/torture-actors.ts';
import {
  type Acknowledged,
  fillerRows,
  judgeLedger,
  makeAcknowledgements,
  makeLedger,
  readAcknowledged,
} from '../support/torture-ledger.ts';
import { startJob } from '../support/torture-jobs.ts';
import { type Random, seededRandom } from '../support/torture-random.ts';
import { drawScenario, type Scenario, type ScenarioName } from './scenarios.ts';

/** Those whose app stays in WAL mode, under one name and as our user. */
export const capturedScenarios = [
  ...(['autocommit', 'spill', 'vacuum', 'shrink', 'checkpoints', 'readers', 'visitors'] as const),
  ...(['savepoints', 'tables', 'empty', 'impatient', 'failing-fsync', 'everything'] as const),
] satisfies readonly ScenarioName[];

export interface ContinuousTally {
  rounds: number;
  captures: number;
  /** Moments that came back and were judged. */
  restores: number;
  kills: number;
  pauses: number;
  /** The database was replaced by a moment, beside its users and without them; the app left WAL mode and came back. */
  replaced: { online: number; inPlace: number; modes: number };
  /** How often the log had to be let go for long, which is no fault. */
  letGo: number;
  /** Commits of an app without a busy timeout that failed. */
  heldOff: number;
  rebased: Record<string, number>;
  commits: number;
  bad: string[];
}

interface PromisedMoment {
  readonly bookmark: string;
  readonly before: readonly Acknowledged[];
  readonly after: readonly Acknowledged[];
  /** No restore took transactions back before it. */
  readonly isGapless: boolean;
}

const INTERVAL_MS = 100;
const FLUSH_WAIT_MS = 60_000;
const SETTLED_MS_MAX = 60_000;
const HELD_OFF_SHARE = 0.005;
/** One that never rests is faster than any capture beside it on two cores, and tests the limit of the log alone. */
const PER_SECOND_MAX = 1_000;
/** The database is in use, or the app gave it another page size since: then it is replaced in place alone. */
const REFUSED: ReadonlySet<string> = new Set(['BUSY', 'PAGE_SIZE_DIFFERS']);
const HOUR_MS = 3_600_000;

export async function playContinuous(
  name: ScenarioName,
  options: { seed: number; seconds: number; sizeBytesMax: number; tally: ContinuousTally; killChance?: number },
): Promise<void> {
  const random = seededRandom(options.seed);
  const scenario = drawScenario(name, random, { sizeBytesMax: options.sizeBytesMax });
  const place = mkdtempSync(join(tmpdir(), 'velist-continuous-'));
  const round = new Round(place, scenario, random, options.tally, `${name}, seed ${options.seed}`);
  try {
    await round.play(options.seconds, options.killChance ?? 0.1);
  } finally {
    await round.end();
    rmSync(place, { recursive: true, force: true });
  }
}

class Round {
  readonly #database: string;
  readonly #backups: string;
  readonly #stream: string;
  readonly #acknowledgements: string;
  readonly #scenario: Scenario;
  readonly #random: Random;
  readonly #tally: ContinuousTally;
  readonly #what: string;
  readonly #place: string;
  readonly #actors: Actor[] = [];
  readonly #worker: Worker<'replicate'>;
  readonly #promised: PromisedMoment[] = [];
  readonly #answers = new Map<number, (news: ReplicateNews) => void>();
  #status: StreamStatus | null = null;
  #rebasedAt: string | null = null;
  #calls = 0;
  #isGapless = true;
  /** What was promised last is no measure of the newest moment once the database was put back. */
  #isPromisedSince = true;
  #files = 0;
  #wasKilled = false;

  constructor(place: string, scenario: Scenario, random: Random, tally: ContinuousTally, what: string) {
    this.#place = place;
    this.#database = join(place, 'ledger.sqlite');
    this.#backups = join(place, 'backups');
    this.#stream = join(this.#backups, 'continuous');
    this.#acknowledgements = join(place, 'acknowledged');
    [this.#scenario, this.#random, this.#tally, this.#what] = [scenario, random, tally, what];
    makeLedger(this.#database, scenario.form);
    makeAcknowledgements(this.#acknowledgements, scenario.writers.length);
    writeFileSync(join(place, 'failed'), '');
    for (const name of ['restored', 'backups']) mkdirSync(join(place, name));
    this.#worker = new Worker({
      ...{ kind: 'replicate' as const, request: {}, environment: { PATH: process.env['PATH'] ?? '' } },
      times: { beatMs: 1_000, silenceMs: 30_000, firstDelayMs: 10, delayMsMax: 100, stopMs: 20_000 },
      onMessage: (news) => this.#hear(news),
      onStart: () => void this.#worker.send(this.#follow()),
    });
  }

  async play(seconds: number, killChance: number): Promise<void> {
    this.#tally.rounds++;
    this.#worker.start();
    await this.#startActors();
    const untilMs = performance.now() + 1_000 * seconds;
    // Each round has a kill, however slow the machine is.
    while (performance.now() < untilMs || !this.#wasKilled) {
      await this.#promise();
      if (this.#random.chance(killChance)) this.#kill();
      if (this.#random.chance(0.05)) await this.#pause();
      if (this.#random.chance(0.25)) await this.#restoreOne();
      if (this.#random.chance(0.15)) await this.#replace();
      await sleep(this.#random.between(0, 200));
    }
    await this.#endActors();
    await this.#promise();
    await this.#restore({ latest: true }, this.#newestPromised, 'the end');
  }

  async end(): Promise<void> {
    for (const actor of this.#actors.splice(0)) await actor.kill();
    await this.#worker.stop();
  }

  #follow() {
    const windowsMs = [HOUR_MS, 24 * HOUR_MS, 7 * 24 * HOUR_MS, 30 * 24 * HOUR_MS];
    const where = { id: 'ledger', databasePath: this.#database, folder: this.#stream };
    return { type: 'follow' as const, ...where, intervalMs: INTERVAL_MS, windowsMs, bytesMax: null };
  }

  #hear(news: ReplicateNews): void {
    if (news.type === 'status') {
      this.#status = news.status;
      const at = news.status.rebased?.at ?? null;
      const reason = news.status.rebased?.reason ?? '';
      const { rebased } = this.#tally;
      if (at !== null && at !== this.#rebasedAt) rebased[reason] = (rebased[reason] ?? 0) + 1;
      this.#rebasedAt = at;
    } else if (news.type !== 'left' && news.type !== 'place') {
      this.#answers.get(news.call)?.(news);
    }
  }

  /** Asks for a capture of all that is committed, until it is done. */
  async #promise(): Promise<void> {
    const untilMs = performance.now() + FLUSH_WAIT_MS;
    while (performance.now() < untilMs) {
      const before = this.#acknowledged();
      const news = await this.#flush();
      if (news?.type === 'flushed') {
        this.#tally.captures++;
        const after = this.#acknowledged();
        this.#promised.push({ bookmark: news.bookmark, before, after, isGapless: this.#isGapless });
        this.#isPromisedSince = true;
        return;
      }
      // Some of these apps leave their log to grow without us as well.
      if (this.#status?.error?.code === 'LOG_TOO_LONG') break;
      await sleep(50);
    }
    // Writers that never rest, beside readers that stay: the app's disk comes first.
    if (this.#status?.error?.code === 'LOG_TOO_LONG') this.#tally.letGo++;
    else this.#complain(`nothing was captured for ${FLUSH_WAIT_MS} ms: ${JSON.stringify(this.#status)}`);
  }

  async #flush(): Promise<ReplicateNews | null> {
    const call = ++this.#calls;
    if (!this.#worker.send({ type: 'flush', id: 'ledger', call })) return null;
    const answered = new Promise<ReplicateNews>((resolve) => this.#answers.set(call, resolve));
    // One that was killed never answers.
    const news = await Promise.race([answered, sleep(5_000, null)]);
    this.#answers.delete(call);
    return news;
  }

  /** Lets the database go while its users go on, as `velist-backup pause` does, and sometimes kills who paused. */
  async #pause(): Promise<void> {
    this.#tally.pauses++;
    writePause(this.#stream, { reason: 'asked', since: new Date().toISOString(), user: null });
    await sleep(this.#random.between(0, 500));
    if (this.#random.chance(0.2)) this.#kill();
    removePause(this.#stream);
  }

  /** Something that no capture can follow, as people do it; the stream must know, and go on. */
  async #replace(): Promise<void> {
    const { special, writers } = this.#scenario;
    // An app without a busy timeout fails while it is held up, and a commit that failed may be captured and taken back.
    if (special !== undefined || writers.some(({ busyTimeoutMs }) => busyTimeoutMs === 0)) return;
    const way = this.#random.pick(['online', 'in place', 'modes'] as const);
    if (way === 'modes') return await this.#leaveWalMode();
    const moment = this.#promised[this.#random.between(0, this.#promised.length - 1)];
    if (moment === undefined) return;
    const source = join(this.#place, 'source.sqlite');
    try {
      await materialize(this.#stream, { txid: BigInt(`0x${moment.bookmark}`) }, source);
      if (way === 'online') await this.#putBack(source, 'online');
      else {
        await this.#endActors();
        await this.#putBack(source, 'offline');
        await this.#startActors();
      }
      await this.#settle();
    } finally {
      rmSync(source, { force: true });
    }
  }

  async #putBack(source: string, mode: 'online' | 'offline'): Promise<void> {
    const request = {
      ...({ kind: 'restore', source, sourceName: 'moment', sha256: null, mode, to: null, expected: null } as const),
      ...{ databasePath: this.#database, folder: this.#backups, user: null, lockWaitMs: 10_000 },
      retention: { count: 1, startBurstMs: 0 },
    };
    const { error } = await startJob(request, () => {}).ended;
    const { replaced } = this.#tally;
    if (error === null) {
      replaced[mode === 'online' ? 'online' : 'inPlace']++;
      this.#isGapless = false;
      this.#isPromisedSince = false;
    } else if (!REFUSED.has(error.code)) this.#complain(`${mode}: ${error.code}: ${error.message}`);
  }

  /** Paused, the app may leave WAL mode, also for good while the stream wants to go on. */
  async #leaveWalMode(): Promise<void> {
    writePause(this.#stream, { reason: 'asked', since: new Date().toISOString(), user: null });
    await this.#endActors();
    while (this.#status?.phase !== 'paused') await sleep(10);
    if (this.#random.chance(0.3)) this.#kill();
    const pageSize = this.#random.pick([null, 512, 4096, 65_536]);
    await using app = startSqlProcess(this.#database);
    await app.run('PRAGMA busy_timeout = 10000');
    const [row] = await app.run('PRAGMA journal_mode = DELETE');
    if (row?.['journal_mode'] !== 'delete')
      this.#complain(`paused, WAL mode could not be left: ${JSON.stringify(row)}`);
    if (pageSize !== null) {
      await app.run(`PRAGMA page_size = ${pageSize}`);
      await app.run('VACUUM');
    }
    if (this.#random.chance(0.5)) removePause(this.#stream);
    await sleep(this.#random.between(0, 300));
    await app.run('PRAGMA journal_mode = WAL');
    removePause(this.#stream);
    this.#tally.replaced.modes++;
    await this.#startActors();
    await this.#settle();
  }

  /** What a restore took back shows in a writer's number until its next commit. */
  async #settle(): Promise<void> {
    const before = this.#acknowledged();
    const untilMs = performance.now() + SETTLED_MS_MAX;
    const isSettled = () => this.#acknowledged().every(({ n }, writer) => n >= (before[writer]?.n ?? 0) + 2);
    while (!isSettled() && performance.now() < untilMs) await sleep(20);
    if (!isSettled()) this.#complain(`a writer did not commit for ${SETTLED_MS_MAX} ms`);
  }

  #kill(): void {
    const { pid } = this.#worker;
    if (pid === undefined) return;
    this.#tally.kills++;
    this.#wasKilled = true;
    process.kill(pid, 'SIGKILL');
  }

  get #newestPromised(): PromisedMoment | null {
    return this.#isPromisedSince ? (this.#promised.at(-1) ?? null) : null;
  }

  async #restoreOne(): Promise<void> {
    if (this.#random.chance(0.4)) return await this.#restore({ latest: true }, this.#newestPromised, 'the newest');
    const moment = this.#promised[this.#random.between(0, this.#promised.length - 1)];
    if (moment === undefined) return;
    await this.#restore({ txid: BigInt(`0x${moment.bookmark}`) }, moment, moment.bookmark);
  }

  async #restore(wish: WishedMoment, promised: PromisedMoment | null, what: string): Promise<void> {
    const to = join(this.#place, 'restored', `${this.#files++}.sqlite`);
    const mayFail = this.#scenario.special === 'failing fsync';
    try {
      await materialize(this.#stream, wish, to);
      const isGapless = 'latest' in wish ? this.#isGapless : (promised?.isGapless ?? true);
      const judged = judgeLedger(to, { unwritten: true, gapless: isGapless && !mayFail });
      const after = 'latest' in wish || mayFail ? this.#acknowledged() : (promised?.after ?? null);
      const complaint = judged.complaint ?? outOfTime(judged.last, promised?.before ?? [], mayFail ? null : after);
      this.#tally.restores++;
      if (complaint !== null) this.#complain(`${what}: ${complaint}`);
    } catch (error) {
      this.#complain(`${what} could not be restored: ${String(error)}`);
    } finally {
      rmSync(to, { force: true });
    }
  }

  async #startActors(): Promise<void> {
    const { writers, others, form, special } = this.#scenario;
    const [path, acknowledgements] = [this.#database, this.#acknowledgements];
    const acknowledged = this.#acknowledged();
    for (const [writer, traits] of writers.entries()) {
      const lastNumber = acknowledged[writer]?.n ?? 0;
      const own = { path, seed: this.#random.seed(), writer, acknowledgements, lastNumber };
      const failing = special === 'failing fsync' && { failures: join(this.#place, 'failed') };
      const form_ = {
        role: 'writer' as const,
        ...traits,
        perSecond: traits.perSecond || PER_SECOND_MAX,
        ...own,
        fillerRows: fillerRows(form.sizeBytes),
        ...failing,
      };
      this.#actors.push(await startActor(form_));
    }
    for (const { form: one, runtime } of others)
      this.#actors.push(await startActor({ ...one, path, seed: this.#random.seed() }, runtime));
  }

  async #endActors(): Promise<void> {
    for (const actor of this.#actors.splice(0)) {
      const { commits, errors, firstError, busy } = await actor.end();
      this.#tally.commits += commits;
      const isImpatient = actor.form.role === 'writer' && actor.form.busyTimeoutMs === 0;
      // One without a busy timeout fails while it is held off, which is seldom and short.
      const isSeldom = isImpatient && errors + busy <= commits * HELD_OFF_SHARE;
      if (isImpatient) this.#tally.heldOff += errors + busy;
      const met = errors + (actor.form.role === 'writer' ? busy : 0);
      if (met > 0 && !isSeldom) this.#complain(`a ${actor.form.role} met ${met} errors: ${firstError}`);
    }
  }

  #acknowledged(): readonly Acknowledged[] {
    return readAcknowledged(this.#acknowledgements, this.#scenario.writers.length);
  }

  #complain(what: string): void {
    this.#tally.bad.push(`${this.#what}: ${what}`);
  }
}

/** One commit may be done and not yet noted. */
function outOfTime(
  last: readonly number[],
  before: readonly Acknowledged[],
  after: readonly Acknowledged[] | null,
): string | null {
  for (const [writer, n] of last.entries()) {
    const least = before[writer]?.n ?? 0;
    const most = after === null ? Number.POSITIVE_INFINITY : (after[writer]?.n ?? 0) + 1;
    if (n < least || n > most) return `writer ${writer} stands at ${n}, not between ${least} and ${most}`;
  }
  return null;
}

export function emptyTally(): ContinuousTally {
  return {
    rounds: 0,
    captures: 0,
    restores: 0,
    kills: 0,
    pauses: 0,
    replaced: { online: 0, inPlace: 0, modes: 0 },
    letGo: 0,
    heldOff: 0,
    rebased: {},
    commits: 0,
    bad: [],
  };
}
