/**
 * A database whose commits were captured for a day, as the replicator finds it at each start; it is put back as it was
 * before each fault.
 *
 * The stream was made under a moved clock, so that all merges are due, and segments are old enough to be removed. The app is
 * this process: it commits while the replicator runs, which is a process of its own.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { dueMerges } from '../../src/engine/replication/compact.ts';
import { LocalStream } from '../../src/engine/replication/local-stream.ts';
import { materialize } from '../../src/engine/replication/materialize.ts';
import type { WishedMoment } from '../../src/engine/replication/plan.ts';
import { Replicator } from '../../src/engine/replication/replicator.ts';
import { BackupError } from '../../src/words/errors.ts';
import { startSqlProcess } from '../support/sql-process.ts';
import { judgeLedger, makeLedger, readLog } from '../support/torture-ledger.ts';

/** How a stream begins or goes on: with all pages, by a proof, or by what differs. */
export const starts = ['first', 'proven', 'compared'] as const;
export type Start = (typeof starts)[number];

/** A moment that was promised, with all transactions up to it. */
export interface Promised {
  readonly bookmark: string;
  readonly log: readonly string[];
}

const HOUR_MS = 3_600_000;
export const windowsMs = [HOUR_MS, 24 * HOUR_MS, 7 * 24 * HOUR_MS, 30 * 24 * HOUR_MS] as const;
/** When the stream was captured before, in minutes back from now. What the third last captured has just become old enough to go. */
const PAST_MINUTES = [26 * 60, 25 * 60, 130, 62, 20, 3];
const SIZE_BYTES = 48 * 1024;
const FILLER_ROWS = 15;

export class CapturedScene {
  readonly folder: string;
  readonly database: string;
  readonly stream: string;
  readonly start: Start;
  #app: DatabaseSync | null = null;
  #commits = 0;
  /** What was promised before, oldest first. */
  earlier: readonly Promised[] = [];
  /** Those of them that retention keeps. */
  #keptMoments: ReadonlySet<string> = new Set();
  #begun = new Date();
  /** All that the app was told is committed, in its order. */
  acknowledged: string[] = [];

  constructor(folder: string, start: Start) {
    this.folder = join(folder, 'scene');
    this.database = join(this.folder, 'app', 'ledger.sqlite');
    this.stream = join(this.folder, 'continuous');
    this.start = start;
  }

  get #kept(): string {
    return `${this.folder}-${this.start}`;
  }

  async make(): Promise<void> {
    rmSync(this.folder, { recursive: true, force: true });
    mkdirSync(join(this.folder, 'app'), { recursive: true });
    const form = { sizeBytes: SIZE_BYTES, pageSize: 4096, autoVacuum: 'none', journalMode: 'wal', writers: 1 } as const;
    makeLedger(this.database, form);
    // The replicator runs in this process, which must touch nothing of the database beside it.
    await using app = startSqlProcess(this.database);
    const commit = async () => {
      for (const sql of commitSql(++this.#commits)) await app.run(sql);
      this.acknowledged.push(`0:${this.#commits}`);
    };
    await commit();
    if (this.start !== 'first') {
      const earlier: Promised[] = [];
      for (const minutes of PAST_MINUTES) earlier.push(...(await this.#capturePast(minutes, commit)));
      this.earlier = earlier;
      this.#takeMergedAway();
    }
    if (this.start === 'compared') {
      await commit();
      await app.close();
    }
    // While the app has it open, the log is there as it was captured.
    copy(this.folder, this.#kept);
  }

  async #capturePast(minutes: number, commit: () => Promise<void>): Promise<Promised[]> {
    const abort = new AbortController();
    let nowMs = Date.now() - 60_000 * minutes;
    const follow = { databasePath: this.database, folder: this.stream, intervalMs: 60_000, windowsMs, bytesMax: null };
    const capturing = Promise.withResolvers<void>();
    const replicator = new Replicator(follow, {
      signal: abort.signal,
      now: () => new Date(nowMs),
      onStatus: ({ phase }) => phase === 'capturing' && capturing.resolve(),
    });
    const ended = replicator.run();
    await capturing.promise;
    const promised: Promised[] = [];
    for (let round = 0; round < 3; round++) {
      nowMs += 20_000;
      await commit();
      const { bookmark } = await replicator.flush();
      promised.push({ bookmark, log: [...this.acknowledged] });
    }
    abort.abort();
    await ended;
    return promised;
  }

  /** Makes a merge due into each level. */
  #takeMergedAway(): void {
    const stream = new LocalStream(this.stream);
    stream.refresh();
    const merged = [1, 2, 3].map((level) => stream.level(level).slice(-1));
    stream.remove([...merged, stream.level(9).slice(1)].flat());
  }

  /** Puts all back, and starts the app. */
  begin(): void {
    this.end();
    rmSync(this.folder, { recursive: true, force: true });
    copy(this.#kept, this.folder);
    this.#begun = new Date();
    this.#app = new DatabaseSync(this.database);
    this.#app.exec('PRAGMA busy_timeout = 5000; PRAGMA synchronous = FULL');
    this.acknowledged = [...readLog(this.database, { unwritten: false })];
    this.commit();
  }

  end(): void {
    this.#app?.close();
    this.#app = null;
  }

  commit(): void {
    const app = this.#app;
    if (app === null) throw new Error('the app is not up');
    const n = this.acknowledged.length + 1;
    for (const sql of commitSql(n)) app.exec(sql);
    this.acknowledged.push(`0:${n}`);
  }

  /** Those that were due when it began: as time passes, what is captured now comes due as well. */
  areMergesDue(): boolean {
    const stream = new LocalStream(this.stream);
    stream.refresh();
    return dueMerges(stream, new Set(), this.#begun).length > 0;
  }

  /** Null if the moment comes back as it was; a code where it is not there, and what is wrong with it otherwise. */
  async restored(wish: WishedMoment, log: readonly string[]): Promise<string | null> {
    const to = join(this.folder, 'restored.sqlite');
    try {
      await materialize(this.stream, wish, to);
      const { complaint } = judgeLedger(to, { unwritten: true });
      if (complaint !== null) return complaint;
      const found = readLog(to, { unwritten: true });
      return found.join() === log.join() ? null : `it holds ${found.length} transactions instead of ${log.length}`;
    } catch (error) {
      const { code, message } = BackupError.from(error);
      return `${code}: ${message}`;
    } finally {
      rmSync(to, { force: true });
    }
  }

  /** A moment that is there after a run without a fault must be there after every other. @returns how many are. */
  async noteKept(): Promise<number> {
    const kept = new Set<string>();
    for (const { bookmark, log } of this.earlier)
      if ((await this.restored({ txid: BigInt(`0x${bookmark}`) }, log)) === null) kept.add(bookmark);
    this.#keptMoments = kept;
    return kept.size;
  }

  isKept(bookmark: string): boolean {
    return this.#keptMoments.has(bookmark);
  }

  /** Names in the stream's folder that were not finished. */
  leftovers(): readonly string[] {
    if (!existsSync(this.stream)) return [];
    return readdirSync(this.stream, { recursive: true, encoding: 'utf8' }).filter((name) => name.includes('.tmp'));
  }
}

function commitSql(n: number): readonly string[] {
  const id = (n % FILLER_ROWS) + 1;
  return [
    'BEGIN IMMEDIATE',
    `INSERT INTO log SELECT 0, ${n}, t + 1 FROM clock`,
    `UPDATE stock SET times = times - (SELECT t FROM filler WHERE id = ${id}) + (SELECT t FROM clock)`,
    `UPDATE filler SET t = (SELECT t FROM clock), payload = randomblob(length(payload)) WHERE id = ${id}`,
    'COMMIT',
  ];
}

function copy(from: string, to: string): void {
  rmSync(to, { recursive: true, force: true });
  const { status, stderr } = spawnSync('cp', ['-a', from, to], { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
}
