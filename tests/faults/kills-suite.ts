/**
 * Kills the job with SIGKILL at random moments of every step of a backup and of each kind of restore, while writers are
 * at work, and looks at everything afterwards:
 *
 * - the live database passes SQLite's full check and its sums, and holds every acknowledged commit; after a restore it
 *   is wholly what it was, with what was committed since, or wholly the backup, with what was committed since;
 * - a run that made no backup removed none;
 * - beside a connection that only stays open nothing is replaced offline;
 * - everything that is listed has a manifest, the digest that the manifest says, and is one whole moment;
 * - what a restore replaced is in a safety backup, every acknowledged commit of it, after the next run at the latest;
 * - the next run cleans up, and gives the database back the journal mode that it had.
 *
 * Between the rounds the app at times changes the journal mode or the page size; in some an idle
 * connection is open, and the app of some databases is another user's.
 *
 * A moment is an event of the job and a delay, drawn from how long that step was seen to take.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, unlinkSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { isBackupName, STAGING_FOLDER } from '../../src/engine/format/names.ts';
import { type Backup, Catalog } from '../../src/engine/catalog/folder-catalog.ts';
import type { JobRequest } from '../../src/engine/process/protocol.ts';
import { type Actor, startActor } from '../support/torture-actors.ts';
import { type JobEnd, startJob } from '../support/torture-jobs.ts';
import {
  fillerRows,
  judgeLedger,
  type LedgerForm,
  makeAcknowledgements,
  makeLedger,
  readAcknowledged,
  readLog,
} from '../support/torture-ledger.ts';
import { asNobody, giveAway, mayBeOtherUser } from '../torture/specials.ts';
import { type Random, seededRandom } from '../support/torture-random.ts';

export type KilledKind = 'backup' | 'file' | 'online' | 'offline';

export interface KillReport {
  kills: number;
  /** Jobs that ended before their moment came; they were looked at all the same. */
  ended: number;
  commits: number;
  /** Changes of journal mode and page size. */
  reforms: number;
  /** Jobs beside idle connections. */
  idlers: number;
  /** Kills by kind and by what the job last said. */
  readonly landed: Map<string, number>;
  /** Restores, killed or not, after which the backup was in place. */
  replaced: number;
  /** Promises that were broken. */
  readonly losses: string[];
  /** Oddities that lose nothing, and how often. */
  readonly oddities: Map<string, number>;
}

export interface KillOptions {
  readonly kills: number;
  readonly seed: number;
  /** An existing folder, emptied by its owner. */
  readonly folder: string;
  readonly megabytesMax: number;
  readonly kinds: readonly [KilledKind, ...KilledKind[]];
  readonly log: (line: string) => void;
  /** Ends at the first loss. */
  readonly untilLoss?: boolean;
}

/** Then a database of another form takes its place. */
const KILLS_PER_FIELD = 40;
const ROUNDS_PER_KILL_MAX = 4;
const LOCK_WAIT_MS = 10_000;
const WRITERS = 2;
const REFORM_CHANCE = 0.1;
const IDLE_CHANCE = 0.2;
const OTHER_USER_CHANCE = 0.25;
/** Safety backups are kept for 30 days, so the test removes all but so many. */
const SAFETY_BACKUPS_KEPT = 2;

export async function runKills(options: KillOptions): Promise<KillReport> {
  const report: KillReport = {
    kills: 0,
    ended: 0,
    commits: 0,
    reforms: 0,
    idlers: 0,
    landed: new Map(),
    replaced: 0,
    losses: [],
    oddities: new Map(),
  };
  const random = seededRandom(options.seed);
  const roundsMax = options.kills * ROUNDS_PER_KILL_MAX;
  let rounds = 0;
  const mayStop = () => options.untilLoss === true && report.losses.length > 0;
  for (let number = 1; report.kills < options.kills && rounds < roundsMax && !mayStop(); number++) {
    const field = new Field(join(options.folder, `field-${number}`), random, report, options);
    await field.prepare();
    const until = Math.min(options.kills, report.kills + KILLS_PER_FIELD);
    while (report.kills < until && rounds++ < roundsMax && !mayStop()) await field.round();
    await field.leave();
    options.log(
      `${report.kills} kills, ${report.losses.length} losses, ${report.commits} commits (${field.describe()})`,
    );
  }
  return report;
}

/** How long each event was seen to be followed by nothing; a moment is drawn from it. */
const seenMs = new Map<string, number>();
const UNSEEN_MS = 60;
const SEEN_SHARE = 0.3;

/** One database with its writers and its backups. */
class Field {
  readonly #random: Random;
  readonly #report: KillReport;
  readonly #options: KillOptions;
  readonly #database: string;
  readonly #backups: string;
  readonly #acknowledgements: string;
  #form: LedgerForm;
  /** The app and its database are another user's. */
  readonly #isOthers: boolean;
  #writers: Actor[] = [];
  /** The log when it was last looked at. */
  #log: readonly string[] = [];
  /** The newest number of each writer, in the database or taken back by a restore. */
  #last: number[] = Array.from({ length: WRITERS }, () => 0);
  /** A backup was judged when it was new; its digest is looked at each time. */
  readonly #judged = new Set<string>();

  constructor(folder: string, random: Random, report: KillReport, options: KillOptions) {
    this.#random = random;
    this.#report = report;
    this.#options = options;
    mkdirSync(join(folder, 'app'), { recursive: true });
    this.#database = join(folder, 'app', 'ledger.sqlite');
    this.#backups = join(folder, 'backups');
    this.#acknowledgements = join(folder, 'acknowledged');
    this.#form = {
      sizeBytes: Math.floor(options.megabytesMax * 1024 * 1024 * random.pick([0.1, 0.3, 1])),
      pageSize: random.pick([512, 1024, 4096, 4096, 65_536]),
      autoVacuum: random.pick(['none', 'none', 'full', 'incremental']),
      journalMode: random.pick(['wal', 'wal', 'delete']),
      writers: WRITERS,
    };
    this.#isOthers = random.chance(OTHER_USER_CHANCE) && mayBeOtherUser(options.folder);
  }

  describe(): string {
    const { sizeBytes, pageSize, autoVacuum, journalMode } = this.#form;
    return `${(sizeBytes / 1024 / 1024).toFixed(0)} MB, pages of ${pageSize}, auto_vacuum ${autoVacuum}, ${journalMode}${this.#isOthers ? ", another user's" : ''}`;
  }

  async prepare(): Promise<void> {
    makeLedger(this.#database, this.#form);
    makeAcknowledgements(this.#acknowledgements, WRITERS);
    const given = [dirname(this.#database), this.#database, this.#acknowledgements];
    if (this.#isOthers) for (const path of given) giveAway(path);
    for (let backup = 0; backup < 2; backup++) {
      await this.#employ();
      await sleep(50);
      await this.#rest();
      this.#judgeSource();
      await this.#finishedRun();
    }
  }

  async leave(): Promise<void> {
    await this.#dismiss();
    await this.#finishedRun();
    rmSync(join(this.#database, '..', '..'), { recursive: true, force: true });
  }

  async round(): Promise<void> {
    const kind = this.#random.pick(this.#options.kinds);
    const catalog = new Catalog(this.#backups);
    const before = await catalog.list();
    const [first, ...more] = before.filter((backup) => backup.manifest !== null);
    if (!first) return await this.#finishedRun();
    const source = this.#random.pick([first, ...more]);
    const wish: Wish = {
      kind,
      source,
      sourceLog: readLog(source.path, { unwritten: true }),
      before,
      inode: statSync(this.#database).ino,
    };
    if (this.#random.chance(REFORM_CHANCE)) await this.#reform();
    await this.#employ();
    await sleep(this.#random.between(0, 80));
    // Offline nobody may hold the database; the app has ended well, or died and left its log.
    if (kind === 'offline') {
      await (this.#random.chance(0.5) ? this.#crash() : this.#dismiss());
      this.#judgeSource();
    }
    const acknowledgedBefore = this.#acknowledged();
    const withApp = kind !== 'offline' && this.#random.chance(0.15);
    const idler = this.#random.chance(IDLE_CHANCE) ? await this.#idler() : null;
    const end = await this.#killedJob(this.#request(wish), withApp);
    if (idler !== null) await this.#endIdler(idler);
    if (idler !== null && kind === 'offline' && end.result !== null)
      this.#lose('an offline restore went on beside a connection');
    if (withApp) await this.#crash();
    else await this.#rest();
    if (end.killed) this.#report.kills++;
    else this.#report.ended++;
    if (end.killed) count(this.#report.landed, `${kind}: ${end.lastSaid}`);
    const where = `${kind}, ${end.killed ? 'killed' : 'ended'} in ${end.lastSaid}${withApp ? ' with the app' : ''}`;
    if (end.error) count(this.#report.oddities, `${kind} refused: ${end.error.code} ${end.error.message}`);
    await this.#look(wish, end, acknowledgedBefore, withApp, where);
    if (this.#random.chance(0.4)) await this.#finishedRun();
  }

  // The app

  async #employ(): Promise<void> {
    for (const writer of this.#writers) writer.resume();
    for (let writer = this.#writers.length; writer < WRITERS; writer++) {
      this.#writers.push(
        await startActor(
          {
            role: 'writer',
            path: this.#database,
            seed: this.#random.seed(),
            writer,
            acknowledgements: this.#acknowledgements,
            lastNumber: this.#last[writer] ?? 0,
            deeds: { autocommit: 5, transfer: 10, spill: 2, reshape: 0.3, text: 2, savepoint: 1, vacuum: 0.1 },
            fillerRows: fillerRows(this.#form.sizeBytes),
            spillRowsMax: 200,
            cachePages: this.#random.pick([10, -2_000]),
            synchronous: this.#random.pick(['OFF', 'NORMAL', 'FULL']),
            autocheckpoint: this.#random.pick([0, 100, 1_000]),
            reopenChance: 0.01,
            // In a rollback journal, busy writers leave a reader no gap for many seconds.
            perSecond: this.#form.journalMode === 'wal' ? this.#random.pick([50, 200, 400]) : 10,
          },
          'bun',
          this.#isOthers ? asNobody : [],
        ),
      );
    }
  }

  /** Another mode and another page size, while nobody is connected. */
  async #reform(): Promise<void> {
    await this.#dismiss();
    const change = {
      journalMode: this.#random.pick<'wal' | 'delete'>(['wal', 'delete']),
      pageSize: this.#random.pick([1024, 4096, 8192]),
    };
    reform(this.#database, change);
    this.#form = { ...this.#form, ...change };
    this.#report.reforms++;
  }

  async #idler(): Promise<Actor> {
    const form = { role: 'idler', path: this.#database, seed: this.#random.seed(), connections: 2 } as const;
    return await startActor(form, this.#random.pick(['bun', 'node']));
  }

  async #endIdler(idler: Actor): Promise<void> {
    const { errors, busy, firstError } = await idler.end();
    if (errors + busy > 0) this.#lose(`an idle connection met an error: ${firstError}`);
    this.#report.idlers++;
  }

  /** Nobody writes for a while, with the connections open or, at times, closed. */
  async #rest(): Promise<void> {
    if (this.#random.chance(0.2)) return await this.#dismiss();
    for (const writer of this.#writers) await writer.pause();
  }

  async #dismiss(): Promise<void> {
    for (const writer of this.#writers) {
      writer.resume();
      const { commits, errors, busy, firstError } = await writer.end();
      this.#report.commits += commits;
      if (errors + busy > 0) this.#lose(`a writer met ${errors + busy} errors: ${firstError}`);
    }
    this.#writers = [];
  }

  async #crash(): Promise<void> {
    await Promise.all(this.#writers.map((writer) => writer.kill()));
    this.#writers = [];
  }

  /** Each writer's newest commit; one that was killed may have made it without noting it. */
  #acknowledged(): readonly number[] {
    const noted = readAcknowledged(this.#acknowledgements, WRITERS);
    return noted.map(({ n }, writer) => Math.max(n, this.#last[writer] ?? 0));
  }

  // The job

  #request(wish: Wish): JobRequest {
    const retention = { count: this.#random.between(1, 4), startBurstMs: 60_000 };
    if (wish.kind === 'backup') return backupRequest(this.#database, this.#backups, retention);
    return {
      kind: 'restore',
      source: wish.source.path,
      sourceName: wish.source.name,
      sha256: wish.source.manifest?.artifact.sha256 ?? null,
      databasePath: this.#database,
      folder: this.#backups,
      mode: wish.kind,
      to: wish.kind === 'file' ? this.#newFile : null,
      expected: null,
      user: null,
      retention,
      lockWaitMs: LOCK_WAIT_MS,
    };
  }

  get #newFile(): string {
    return `${this.#database}.restored.sqlite`;
  }

  async #killedJob(request: JobRequest, withApp: boolean): Promise<JobEnd> {
    const events =
      request.kind === 'backup'
        ? ([
            'started',
            'checkpoint',
            'pinned',
            'copy',
            'bytes',
            'verify',
            'verify',
            'publish',
            'publish',
            'prune',
            'prune',
          ] as const)
        : (['started', 'check', 'safety', 'safety', 'place', 'place', 'place', 'prove'] as const);
    const event = this.#random.pick(events);
    const share = this.#random.next() * 1.1;
    let said: { readonly what: string; readonly atMs: number } | null = null;
    let timer: NodeJS.Timeout | undefined;
    const strike = () => {
      job.kill();
      if (withApp) for (const writer of this.#writers) writer.process.kill('SIGKILL');
    };
    const hear = (what: string) => {
      const atMs = performance.now();
      if (said) learn(`${request.kind} ${said.what}`, atMs - said.atMs);
      said = { what, atMs };
      if (what !== event || timer) return;
      // The first is sent from within startJob.
      timer = setTimeout(strike, share * (seenMs.get(`${request.kind} ${what}`) ?? UNSEEN_MS));
    };
    const job = startJob(request, hear);
    const end = await job.ended;
    clearTimeout(timer);
    return end;
  }

  /** A run that nobody disturbs must succeed, and leave nothing of those that were killed. */
  async #finishedRun(): Promise<void> {
    const request = backupRequest(this.#database, this.#backups, { count: 3, startBurstMs: 60_000 });
    const end = await startJob(request, () => {}).ended;
    if (end.result === null) this.#lose(`an undisturbed run failed: ${end.error?.code} ${end.error?.message}`);
    const entries = readdirSync(this.#backups);
    for (const entry of entries) {
      if (isBackupName(entry) && !entries.includes(`${entry}.json`)) this.#lose(`${entry} was left without manifest`);
      if (entry.endsWith('.tmp') || entry.includes('late-')) this.#lose(`${entry} was left by a killed run`);
      if (entry.endsWith('.sqlite.json') && !entries.includes(entry.replace(/\.json$/, ''))) {
        count(this.#report.oddities, 'a manifest without its file stays in the backup folder');
        unlinkSync(join(this.#backups, entry));
      }
    }
    const staging = join(this.#backups, STAGING_FOLDER);
    if (existsSync(staging) && readdirSync(staging).length > 0) this.#lose('the staging folder was not emptied');
    const known = new Set(['', '-wal', '-shm', '-journal'].map((suffix) => `${basename(this.#database)}${suffix}`));
    for (const entry of readdirSync(join(this.#database, '..'))) {
      if (known.has(entry)) continue;
      count(this.#report.oddities, `left beside the database: ${entry.replaceAll(/\d+/g, 'N')}`);
      unlinkSync(join(this.#database, '..', entry));
    }
    const mode = journalModeOf(this.#database);
    if (mode !== this.#form.journalMode) {
      this.#lose(`a run left the database in journal mode ${mode}`);
      settle(this.#database, this.#form.journalMode);
    }
    await this.#removeOldSafetyBackups();
  }

  async #removeOldSafetyBackups(): Promise<void> {
    const catalog = new Catalog(this.#backups);
    const safety = (await catalog.list()).filter((backup) => backup.manifest?.trigger === 'safety');
    for (const backup of safety.slice(SAFETY_BACKUPS_KEPT)) await catalog.remove(backup);
  }

  // What must hold

  async #look(
    wish: Wish,
    end: JobEnd,
    acknowledgedBefore: readonly number[],
    crashed: boolean,
    where: string,
  ): Promise<void> {
    const acknowledged = this.#acknowledged();
    const replacedFile = statSync(this.#database).ino !== wish.inode;
    const leftLog = statSync(`${this.#database}-wal`, { throwIfNoEntry: false })?.size ?? 0;
    if (replacedFile && leftLog > 0) this.#lose(`${where}: a log of ${leftLog} bytes beside a new file`);

    const log = this.#judgeLive(where);
    const since = { last: this.#last, acknowledged, inFlight: crashed ? 1 : 0 };
    const asBefore = continues(log, this.#log, since, 'all');
    const restored =
      wish.kind === 'online' || wish.kind === 'offline' ? continues(log, wish.sourceLog, since, 'end') : '';
    if (asBefore !== null && restored !== null) {
      this.#lose(`${where}: neither the old content (${asBefore})${restored && ` nor the backup (${restored})`}`);
    }
    const wasReplaced = replacedFile || (asBefore !== null && restored === null);
    if (wasReplaced) this.#report.replaced++;

    let listed = await this.#judgeListed(where);
    const changedMode = journalModeOf(this.#database) !== this.#form.journalMode;
    if (end.killed && (wasReplaced || changedMode)) {
      await this.#finishedRun();
      listed = await this.#judgeListed(`${where}, after the next run`);
    }
    const added = listed.filter((backup) => !wish.before.some(({ name }) => name === backup.name));
    const gone = wish.before.find(({ name }) => !listed.some((backup) => backup.name === name));
    if (gone && added.length === 0) this.#lose(`${where}: ${gone.name} was removed, and no backup was made`);
    if (wasReplaced) this.#judgeSafety(added, wish, log, since, acknowledgedBefore, where);
    if (wish.kind === 'file') this.#judgeNewFile(wish, end, where);
    if (!end.killed && end.result !== null && wish.kind !== 'backup' && wish.kind !== 'file' && restored !== null)
      this.#lose(`${where}: the restore ended well and its backup is not there`);
    this.#adopt(log, acknowledged);
  }

  /** Brings what we know of the live database up to date while nobody writes. */
  #judgeSource(): void {
    const log = this.#judgeLive('at rest');
    const acknowledged = this.#acknowledged();
    const since = { last: this.#last, acknowledged, inFlight: 1 };
    const broken = continues(log, this.#log, since, 'all');
    if (broken !== null) this.#lose(`at rest: ${broken}`);
    this.#adopt(log, acknowledged);
  }

  #adopt(log: readonly string[], acknowledged: readonly number[]): void {
    this.#log = log;
    const newest = newestOf(log);
    this.#last = this.#last.map((last, writer) => Math.max(last, acknowledged[writer] ?? 0, newest[writer] ?? 0));
  }

  #judgeLive(where: string): readonly string[] {
    // A hot journal can only be rolled back by one who may write.
    if (existsSync(`${this.#database}-journal`)) settle(this.#database);
    const { complaint } = judgeLedger(this.#database, { unwritten: false, gapless: false });
    if (complaint !== null) this.#lose(`${where}: the live database: ${complaint}`);
    return readLog(this.#database, { unwritten: false });
  }

  async #judgeListed(where: string): Promise<readonly Backup[]> {
    const listed = await new Catalog(this.#backups).list();
    for (const backup of listed) {
      if (backup.manifest === null || backup.fault !== null) {
        this.#lose(`${where}: ${backup.name} is listed ${backup.fault ?? 'without manifest'}`);
        continue;
      }
      const digest = createHash('sha256').update(readFileSync(backup.path)).digest('hex');
      if (digest !== backup.manifest.artifact.sha256) this.#lose(`${where}: ${backup.name} has another digest`);
      if (this.#judged.has(backup.name)) continue;
      const { complaint } = judgeLedger(backup.path, { unwritten: true, gapless: false });
      if (complaint !== null) this.#lose(`${where}: ${backup.name}: ${complaint}`);
      this.#judged.add(backup.name);
    }
    return listed;
  }

  /** All that was acknowledged before the replacement is in a safety backup. */
  #judgeSafety(
    added: readonly Backup[],
    wish: Wish,
    log: readonly string[],
    since: Since,
    acknowledgedBefore: readonly number[],
    where: string,
  ): void {
    const safety = added.find((backup) => backup.manifest?.trigger === 'safety');
    if (!safety) {
      this.#lose(`${where}: replaced without a safety backup`);
      return;
    }
    const saved = readLog(safety.path, { unwritten: true });
    const savedLast = this.#last.map((last, writer) => Math.max(last, newestOf(saved)[writer] ?? 0));
    const broken = continues(saved, this.#log, { ...since, acknowledged: savedLast, inFlight: 0 }, 'all');
    if (broken !== null) this.#lose(`${where}: the safety backup: ${broken}`);
    const later = log.slice(wish.sourceLog.length).map(parse);
    for (const [writer, last] of savedLast.entries()) {
      const before = acknowledgedBefore[writer] ?? 0;
      if (last < before)
        this.#lose(`${where}: the safety backup holds ${last} of ${before} commits of writer ${writer}`);
      const next = later.find((entry) => entry.writer === writer)?.n ?? (since.acknowledged[writer] ?? 0) + 1;
      const missing = next - last - 1;
      if (missing <= 0) continue;
      this.#lose(`${where}: ${missing} commits made while it ran are neither in its safety backup nor in the database`);
    }
  }

  #judgeNewFile(wish: Wish, end: JobEnd, where: string): void {
    if (!existsSync(this.#newFile)) {
      if (end.result !== null) this.#lose(`${where}: the restore ended well and its file is not there`);
      return;
    }
    const digest = createHash('sha256').update(readFileSync(this.#newFile)).digest('hex');
    if (digest !== wish.source.manifest?.artifact.sha256) this.#lose(`${where}: the new file is not the backup`);
    unlinkSync(this.#newFile);
  }

  #lose(what: string): void {
    this.#report.losses.push(`kill ${this.#report.kills} (${this.describe()}): ${what}`);
    this.#options.log(`  LOSS ${this.#report.losses.at(-1)}`);
  }
}

interface Wish {
  readonly kind: KilledKind;
  readonly source: Backup;
  readonly sourceLog: readonly string[];
  readonly before: readonly Backup[];
  readonly inode: number;
}

interface Since {
  /** Each writer's newest number when the round began. */
  readonly last: readonly number[];
  readonly acknowledged: readonly number[];
  /** Commits that a killed writer may have made and not noted. */
  readonly inFlight: number;
}

/**
 * Is `log` this `base` and then what each writer committed since: `all` of it, or the `end` of it, since the moment of a
 * restore? Null when it is, else what is wrong.
 */
function continues(log: readonly string[], base: readonly string[], since: Since, what: 'all' | 'end'): string | null {
  const differs = base.findIndex((entry, index) => log[index] !== entry);
  if (differs >= 0) return `at ${differs + 1} of ${base.length} it has ${log[differs]} instead of ${base[differs]}`;
  const next: (number | undefined)[] = since.last.map((last) => (what === 'all' ? last + 1 : undefined));
  for (const { writer, n } of log.slice(base.length).map(parse)) {
    if (n !== (next[writer] ?? n)) return `writer ${writer} has ${n} instead of ${next[writer]}`;
    if (n <= (since.last[writer] ?? 0)) return `writer ${writer} has ${n} again`;
    next[writer] = n + 1;
  }
  for (const [writer, after] of next.entries()) {
    const acknowledged = since.acknowledged[writer] ?? 0;
    if (after === undefined) continue;
    if (after <= acknowledged) return `writer ${writer} lost ${after} to ${acknowledged}`;
    if (after > acknowledged + 1 + since.inFlight) return `writer ${writer} has ${after - 1}, it made ${acknowledged}`;
  }
  return null;
}

function parse(entry: string): { writer: number; n: number } {
  const [writer = '', n = ''] = entry.split(':');
  return { writer: Number(writer), n: Number(n) };
}

function newestOf(log: readonly string[]): readonly number[] {
  const newest = Array.from({ length: WRITERS }, () => 0);
  for (const { writer, n } of log.map(parse)) newest[writer] = Math.max(newest[writer] ?? 0, n);
  return newest;
}

function backupRequest(
  databasePath: string,
  folder: string,
  retention: { readonly count: number; readonly startBurstMs: number },
): JobRequest {
  const purpose = { trigger: 'manual', user: null, note: null, verify: 'quick' } as const;
  return { kind: 'backup', databasePath, folder, retention, lockWaitMs: LOCK_WAIT_MS, ...purpose };
}

function journalModeOf(path: string): string {
  const database = new DatabaseSync(path, { readOnly: true });
  try {
    database.exec('PRAGMA busy_timeout = 60000');
    return String(database.prepare('PRAGMA journal_mode').get()?.['journal_mode']);
  } finally {
    database.close();
  }
}

/** Opens the database as the app would, so that SQLite rolls back what was half done. */
function settle(path: string, journalMode?: string): void {
  const database = new DatabaseSync(path);
  try {
    database.exec('PRAGMA busy_timeout = 60000');
    database.prepare('SELECT count(*) FROM sqlite_schema').get();
    if (journalMode) database.exec(`PRAGMA journal_mode = ${journalMode}`);
  } finally {
    database.close();
  }
}

function reform(path: string, { journalMode, pageSize }: Pick<LedgerForm, 'journalMode' | 'pageSize'>): void {
  settle(path, 'delete');
  const database = new DatabaseSync(path);
  try {
    database.exec(`PRAGMA page_size = ${pageSize}; VACUUM; PRAGMA journal_mode = ${journalMode}`);
  } finally {
    database.close();
  }
}

function learn(event: string, tookMs: number): void {
  const seen = seenMs.get(event);
  seenMs.set(event, seen === undefined ? tookMs : seen + (tookMs - seen) * SEEN_SHARE);
}

function count(counts: Map<string, number>, what: string): void {
  counts.set(what, (counts.get(what) ?? 0) + 1);
}
