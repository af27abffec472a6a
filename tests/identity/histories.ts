/**
 * Random histories: several databases, machines, clocks and places, with crashes, lost states and people who claim, and
 * a model that decides after each step what must still be there. The whole service runs, command by command as cron
 * starts it; jobs and the S3 server live in this process, under one true time, and each machine has its own clock.
 *
 *     bun tests/identity/histories.ts --runs 200 --seed 7 [--steps 40]
 *
 * A history that fails is made as short as it gets, and printed with its seed. What the model holds:
 *
 * - No backup of one database is removed by anything that is done for another one, unless a person claimed the place.
 * - Nothing that another machine made is removed within a week of taking a prefix over, unless a person claimed it.
 * - The newest good backup of each database stays at each place, and the last of each of its last seven days in a folder;
 *   what stood before an unaccepted loss stays too.
 * - `latest` of a database is its own, and holds what it committed last before its last backup.
 * - A step that is refused says so by a code, and changes nothing; a backup that exits 0 is where it belongs.
 */
import fc from 'fast-check';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { parseArgs } from 'node:util';
import { isBackupName } from '../../src/engine/format/names.ts';
import type { Manifest } from '../../src/engine/format/manifest.ts';
import type { BackupService } from '../../src/service/backup-service.ts';
import { BackupError } from '../../src/words/errors.ts';
import type { JobRequest } from '../../src/engine/process/protocol.ts';
import { getBytes } from '../../src/engine/store/store.ts';
import { createS3Store, type S3Store } from '../../src/engine/store/s3/store.ts';
import { type AppHere, openApp, type Told } from '../support/app-here.ts';
import { carryOut } from '../../src/engine/process/carry-out.ts';
import { type MovedClock, moveClock } from '../support/moved-clock.ts';
import { s3Variables } from '../support/s3-environment.ts';
import { type S3Server, startS3Server } from '../support/s3-server.ts';
import type { StoryContext } from '../../src/words/story.ts';

const BUCKET = 'backups';
const START = new Date('2026-05-04T09:00:00.000Z');
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const SPARED_MS = 7 * DAY_MS;
const KEPT_DAYS = 7;
/** For making a history that failed shorter. */
const SHORTEN_MS_MAX = 180_000;

/**
 * Each with its own database, whatever it is called. The first two share a folder and a prefix, as two cron lines with
 * the defaults; `staging` has the environment of `shop`, `spare` is the machine that replaces it.
 */
const apps = {
  shop: { machine: 'one', file: 'shop.sqlite', storage: 'storage', prefix: 'shop' },
  blog: { machine: 'one', file: 'blog.sqlite', storage: 'storage', prefix: 'shop' },
  staging: { machine: 'two', file: 'shop.sqlite', storage: 'storage', prefix: 'shop' },
  news: { machine: 'two', file: 'news.sqlite', storage: 'news', prefix: 'news' },
  spare: { machine: 'three', file: 'shop.sqlite', storage: 'storage', prefix: 'shop' },
} as const;
type AppName = keyof typeof apps;
const appNames = ['shop', 'blog', 'staging', 'news', 'spare'] as const;
const machineNames = ['one', 'two', 'three'] as const;
type MachineName = (typeof machineNames)[number];

// ── steps ──

const ofApp = fc.constantFrom<AppName>('shop', 'shop', 'shop', 'blog', 'staging', 'staging', 'news', 'spare');
const ofMachine = fc.constantFrom<MachineName>('one', 'one', 'two', 'three');
const ofPlace = fc.constantFrom('local' as const, 's3' as const);
const minutes = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 1, max: 120 }) },
  { weight: 3, arbitrary: fc.integer({ min: 120, max: 3 * 1440 }) },
  { weight: 1, arbitrary: fc.integer({ min: 3 * 1440, max: 20 * 1440 }) },
);

/** Each is data, so that a history can be printed, made shorter and run again. */
const aStep = fc.oneof(
  { weight: 30, arbitrary: fc.record({ do: fc.constant('backup' as const), app: ofApp, times: fc.constantFrom(1, 1, 1, 2, 4) }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant('wait' as const), minutes }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('prune' as const), app: ofApp, at: ofPlace }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('restore' as const), app: ofApp }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('undo' as const), app: ofApp }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('boot' as const), app: fc.constantFrom<AppName>('spare', 'spare', 'shop', 'staging', 'news') }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('clock' as const), machine: ofMachine, hours: fc.constantFrom(-9000, -30, -2, 0, 2, 30, 9000) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('image' as const), machine: ofMachine }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('set back' as const), machine: ofMachine }) },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('roll back' as const),
      app: ofApp,
      backups: fc.integer({ min: 1, max: 4 }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('lose state' as const), app: ofApp }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('lose folder' as const), app: ofApp }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('lose machine' as const), machine: ofMachine }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('bucket' as const), answers: fc.boolean() }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('cut' as const), app: ofApp, requests: fc.integer({ min: 1, max: 30 }) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('kill' as const), app: ofApp, event: fc.integer({ min: 1, max: 8 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('claim' as const), app: ofApp, at: ofPlace }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('empty' as const), app: ofApp }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('keep' as const), app: ofApp, count: fc.integer({ min: 1, max: 4 }) }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('older version' as const), app: ofApp }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('rewrite' as const), app: ofApp }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('look' as const), app: ofApp }) },
); // prettier-ignore
export type HistoryStep = typeof aStep extends fc.Arbitrary<infer S> ? S : never;

export const aHistory = (steps: number) => fc.array(aStep, { minLength: 1, maxLength: steps, size: 'max' });

const text = ({ do: what, ...rest }: HistoryStep) => [what, ...Object.values(rest)].join(' ');
export const historyText = (steps: readonly HistoryStep[]) =>
  steps.map((step, number) => `${String(number + 1).padStart(4)}  ${text(step)}`).join('\n');

// ── what is there ──

/** A backup whose manifest is there, at one place. */
interface Item {
  readonly place: string;
  readonly name: string;
  readonly manifest: Manifest;
}
type Inventory = ReadonlyMap<string, Item>;

/** What the model knows of a backup: who made it, when, and what the database held. */
interface Made {
  readonly by: AppName;
  /** Of all backups ever made, in their true order. */
  readonly order: number;
  readonly last: string;
}

const folderPlace = (app: AppName) => `${apps[app].machine}/${apps[app].storage}`;
const prefixPlace = (app: AppName) => `s3/${apps[app].prefix}`;
const nameOf = (app: AppName) => apps[app].file;

/** In a folder of another database nothing is saved. */
function keep(service: BackupService, retentionCount: number): void {
  try {
    service.updateConfig({ retentionCount });
  } catch (error) {
    if (BackupError.from(error).code !== 'FOREIGN_PLACE') throw error;
  }
}

class World implements AsyncDisposable {
  readonly #root = mkdtempSync(join(tmpdir(), 'histories-'));
  readonly #clock: MovedClock;
  readonly #server: S3Server;
  readonly #store: S3Store;
  readonly #apps = new Map<AppName, AppHere>();
  readonly #skewMs: Record<MachineName, number> = { one: 0, two: 0, three: 0 };
  readonly #images = new Set<MachineName>();
  readonly #commits = new Map<AppName, number>();
  /** By content, which no two backups share: each holds a row of its own. */
  readonly #made = new Map<string, Made>();
  #order = 0;
  /** Apps that a person called one database, with the place. */
  readonly #claims = new Set<string>();
  /** Apps of which one was brought back from the other's backups: they go on as one database. */
  readonly #lineage = new Set<string>();
  /** Who wrote last at a prefix, since when without another one between, and whether by a claim. */
  readonly #tenures = new Map<
    string,
    { readonly app: AppName; readonly sinceMs: number; readonly isClaimed: boolean }
  >();
  #isBucketUp = true;
  #cutAfter: number | null = null;
  #kill: { readonly machine: MachineName; left: number } | null = null;
  #isKilled = false;

  private constructor(clock: MovedClock, server: S3Server) {
    this.#clock = clock;
    this.#server = server;
    this.#store = createS3Store({ ...server, bucket: BUCKET, prefix: '' });
    clock.set(START);
    server.faults.push({ match: this.#outage(), effect: { status: 403, code: 'AccessDenied' } });
    for (const machine of machineNames) mkdirSync(this.#disk(machine), { recursive: true });
    for (const name of appNames) if (name !== 'spare') this.#open(name);
  }

  static async open(clock: MovedClock): Promise<World> {
    const server = await startS3Server();
    await server.createBucket(BUCKET);
    return new World(clock, server);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#store.close();
    await this.#server.close();
    rmSync(this.#root, { recursive: true, force: true });
  }

  /** @throws Error that says what is wrong, when something is. */
  async take(step: HistoryStep): Promise<void> {
    this.#clock.advance(MINUTE_MS);
    switch (step.do) {
      case 'backup':
        for (let time = 0; time < step.times; time++) await this.#backUp(step.app);
        return;
      case 'wait':
        this.#clock.advance(step.minutes * MINUTE_MS);
        return;
      case 'prune':
        await this.#command(step.app, step.at === 's3' ? 'prune --target s3' : 'prune');
        return;
      case 'restore':
        await this.#restore(step.app);
        return;
      case 'undo':
        await this.#command(step.app, 'undo');
        return;
      case 'boot':
        await this.#boot(step.app);
        return;
      case 'clock':
        this.#skewMs[step.machine] = step.hours * HOUR_MS;
        return;
      case 'image':
        cpSync(this.#disk(step.machine), this.#imageOf(step.machine), {
          recursive: true,
          force: true,
          preserveTimestamps: true,
        });
        this.#images.add(step.machine);
        return;
      case 'set back':
        if (this.#images.has(step.machine)) this.#replaceDisk(step.machine, this.#imageOf(step.machine));
        return;
      case 'roll back':
        await this.#rollBack(step.app, step.backups);
        return;
      case 'lose state':
        this.#loseState(step.app);
        return;
      case 'lose folder':
        rmSync(join(this.#disk(apps[step.app].machine), apps[step.app].storage, 'backups'), {
          recursive: true,
          force: true,
        });
        return;
      case 'lose machine':
        rmSync(this.#disk(step.machine), { recursive: true, force: true });
        mkdirSync(this.#disk(step.machine), { recursive: true });
        return;
      case 'bucket':
        this.#isBucketUp = step.answers;
        return;
      case 'cut':
        this.#cutAfter = this.#server.requests.length + step.requests;
        await this.#backUp(step.app);
        this.#cutAfter = null;
        return;
      case 'kill':
        await this.#killed(step.app, step.event);
        return;
      case 'claim':
        await this.#claim(step.app, step.at);
        return;
      case 'empty':
        await this.#empty(step.app);
        return;
      case 'older version':
        await this.#backUpAsBefore(step.app);
        return;
      case 'keep':
        if (this.#has(step.app)) await this.#app(step.app).with((service) => keep(service, step.count));
        return;
      case 'rewrite':
        this.#rewrite(step.app);
        return;
      case 'look':
        await this.#look(step.app);
        return;
    }
  }

  // ── steps ──

  async #backUp(name: AppName): Promise<void> {
    if (!this.#has(name)) return;
    this.#clock.advance(MINUTE_MS);
    this.#commit(name);
    const told = await this.#command(name, 'backup');
    if (told.code === 0 || told.code === 5) await this.#expectLatest(name);
  }

  async #restore(name: AppName): Promise<void> {
    const { code } = await this.#command(name, 'restore latest --in-place');
    const made = this.#made.get(lastOf(this.#app(name).database) ?? '');
    if (code === 0 && made) this.#lineage.add(pair(made.by, name));
  }

  /**
   * A machine that has nothing can't tell its own copies from those of another one that writes under the same name to the
   * same prefix: which of them is meant, only a person knows. Another database's is never brought back.
   */
  async #boot(name: AppName): Promise<void> {
    const app = this.#app(name);
    const isMissing = !existsSync(app.database);
    const told = await this.#command(name, 'restore --if-missing');
    if (!isMissing || !existsSync(app.database)) return;
    const made = this.#made.get(lastOf(app.database) ?? '');
    if (made && nameOf(made.by) !== nameOf(name) && !this.#areOne(made.by, name))
      fail(`${name} came back with the data of ${made.by}: ${told.stdout}`);
    if (made) this.#lineage.add(pair(made.by, name));
  }

  async #claim(name: AppName, at: 'local' | 's3'): Promise<void> {
    if (!this.#has(name)) return;
    const place = at === 'local' ? folderPlace(name) : prefixPlace(name);
    // What a person says counts from the moment it is said.
    for (const item of (await this.#inventory()).values()) {
      const made = item.place === place ? this.#makerOf(item) : null;
      if (made) this.#claims.add(pair(made.by, name));
    }
    for (const other of appNames)
      if (folderPlace(other) === place || prefixPlace(other) === place) this.#claims.add(pair(other, name));
    const told = await this.#command(name, at === 'local' ? 'claim' : 'claim --target s3');
    if (told.code === 0 && at === 's3') this.#tenures.set(place, { app: name, sinceMs: Date.now(), isClaimed: true });
  }

  /** A power cut at that event of the backup's job: the disk is as it was then. */
  async #killed(name: AppName, event: number): Promise<void> {
    if (!this.#has(name)) return;
    this.#commit(name);
    const { machine } = apps[name];
    this.#kill = { machine, left: event };
    this.#isKilled = false;
    const before = await this.#inventory();
    await this.#app(name).cli('backup');
    this.#kill = null;
    if (this.#isKilled) this.#replaceDisk(machine, this.#atKill(machine));
    await this.#judge(name, before, null);
  }

  /** The machine goes on for a while, and is then put back to where it was. */
  async #rollBack(name: AppName, backups: number): Promise<void> {
    const { machine } = apps[name];
    const image = join(this.#root, 'rolled-back', machine);
    rmSync(image, { recursive: true, force: true });
    cpSync(this.#disk(machine), image, { recursive: true, preserveTimestamps: true });
    for (let time = 0; time < backups; time++) await this.#backUp(name);
    this.#replaceDisk(machine, image);
    await this.#backUp(name);
  }

  #commit(name: AppName): void {
    const number = 1 + (this.#commits.get(name) ?? 0);
    this.#commits.set(name, number);
    const app = this.#app(name);
    app.sql(`INSERT INTO orders (text) VALUES ('${name} ${number}')`);
    this.#made.set(`${name} ${number}`, { by: name, order: ++this.#order, last: `${name} ${number}` });
  }

  /** A table of many rows that a backup holds is empty at the next one. */
  async #empty(name: AppName): Promise<void> {
    if (!this.#has(name)) return;
    this.#app(name).sql(`CREATE TABLE IF NOT EXISTS items (id INTEGER PRIMARY KEY);
      WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 80) INSERT INTO items SELECT NULL FROM n`);
    await this.#backUp(name);
    this.#app(name).sql('DELETE FROM items');
    await this.#backUp(name);
  }

  /**
   * A backup that an older version makes in the folder, whose folder that may be: it knows of no identity, and numbers by
   * the folder alone.
   */
  async #backUpAsBefore(name: AppName): Promise<void> {
    if (!this.#has(name)) return;
    this.#commit(name);
    const { machine, file } = apps[name];
    const env = { BACKUP_STATE_PATH: join(this.#root, 'older/state.sqlite') };
    const aside = { folder: join(this.#root, 'older'), file: `../disks/${machine}/${file}`, storage: name };
    const older = openApp({ ...{ clock: this.#clock, ...aside, env }, skewMs: () => this.#skewMs[machine] });
    await older.json('backup');
    const { backups } = this.#app(name);
    mkdirSync(backups, { recursive: true });
    const taken = readdirSync(backups).filter((entry) => isBackupName(entry.replace(/\.json$/, '')));
    const [made] = older.here();
    if (made && !taken.includes(made)) {
      const numbers = taken.filter((entry) => entry.endsWith('.json')).map((entry) => sequenceIn(join(backups, entry)));
      const { databaseId, madeBy, facts, loss, published, ...manifest } = older.manifest(made);
      const sequence = numbers.length > 0 ? 1 + Math.max(...numbers) : manifest.sequence;
      cpSync(join(older.backups, made), join(backups, made));
      writeFileSync(join(backups, `${made}.json`), JSON.stringify({ ...manifest, sequence }, null, 2));
    }
    rmSync(older.folder, { recursive: true, force: true });
  }

  #loseState(name: AppName): void {
    const storage = join(this.#disk(apps[name].machine), apps[name].storage);
    if (!existsSync(storage)) return;
    for (const entry of readdirSync(storage))
      if (entry !== 'backups') rmSync(join(storage, entry), { recursive: true, force: true });
  }

  /** As an older version pins a backup: what it does not know is gone from the manifest. */
  #rewrite(name: AppName): void {
    const app = this.#app(name);
    const newest = app.here().at(-1);
    if (newest === undefined || !existsSync(join(app.backups, `${newest}.json`))) return;
    const { databaseId, madeBy, facts, loss, published, ...manifest } = app.manifest(newest);
    writeFileSync(join(app.backups, `${newest}.json`), JSON.stringify({ ...manifest, note: 'rewritten' }, null, 2));
  }

  /** Looking changes nothing, at no place. */
  async #look(name: AppName): Promise<void> {
    const before = await this.#bytesOfPlaces();
    const app = this.#app(name);
    for (const argv of ['list', 'status', 'prune --dry-run', 'list --target s3', 'doctor']) await app.cli(argv);
    const after = await this.#bytesOfPlaces();
    if (before !== after) fail(`looking at ${name} changed something:\n${before}\n${after}`);
    await this.#expectLatest(name);
  }

  /** Runs it, and judges what it did. */
  async #command(name: AppName, argv: string): Promise<Told> {
    const app = this.#app(name);
    const before = await this.#inventory();
    const bytes = await this.#bytesOfPlaces();
    const content = lastOf(app.database);
    const told = await app.cli(argv);
    const isRefused = told.code !== 0 && told.code !== 5;
    if (isRefused && !/\([A-Z0-9_]{3,}\)/.test(told.stderr))
      fail(`${argv} of ${name} exits ${told.code} without a code: ${told.stderr}`);
    const isOfMany = this.#cutAfter !== null || argv.startsWith('prune');
    if (isRefused && !isOfMany && lastOf(app.database) !== content)
      fail(`${argv} of ${name} was refused and changed the database: ${told.stderr}`);
    if (isRefused && !isOfMany) {
      const now = await this.#bytesOfPlaces();
      if (now !== bytes)
        fail(`${argv} of ${name} was refused, and changed something: ${told.stderr}\n${difference(bytes, now)}`);
    }
    await this.#judge(name, before, told);
    return told;
  }

  // ── the model ──

  async #judge(actor: AppName, before: Inventory, told: Told | null): Promise<void> {
    const after = await this.#inventory();
    const gone = [...before].filter(([key]) => !after.has(key)).map(([, item]) => item);
    const come = [...after].filter(([key]) => !before.has(key)).map(([, item]) => item);
    for (const item of come) if (item.place.startsWith('s3/')) this.#noteWriter(item.place, actor);
    for (const item of gone) this.#judgeRemoval(actor, item);
    for (const place of new Set([...before.values()].map((item) => item.place))) this.#judgePlace(place, before, after);
    if (told?.code === 0) return;
  }

  #noteWriter(place: string, app: AppName): void {
    const tenure = this.#tenures.get(place);
    if (tenure?.app !== app) this.#tenures.set(place, { app, sinceMs: Date.now(), isClaimed: false });
  }

  #judgeRemoval(actor: AppName, item: Item): void {
    const made = this.#makerOf(item);
    // A common origin alone allows nothing: both may be alive.
    if (!made || made.by === actor || this.#claims.has(pair(made.by, actor))) return;
    const what = `${item.name} of ${made.by} at ${item.place} was removed for ${actor}`;
    if (nameOf(made.by) !== nameOf(actor)) fail(`${what}, which is another database`);
    const tenure = this.#tenures.get(item.place);
    const isSettled = tenure?.app === actor && (tenure.isClaimed || Date.now() - tenure.sinceMs >= SPARED_MS - HOUR_MS);
    if (!isSettled)
      fail(`${what}, which writes there for ${tenure ? (Date.now() - tenure.sinceMs) / HOUR_MS : 0} hours`);
  }

  /** The newest of each database, the last of each of its days, and what stood before a loss. */
  #judgePlace(place: string, before: Inventory, after: Inventory): void {
    for (const app of appNames) {
      const items = [...before.values()].filter((item) => item.place === place && this.#isOf(item, app));
      const good = items.filter(
        ({ manifest }) => manifest.trigger !== 'safety' && manifest.verification.complaint === null,
      );
      const ordered = good.toSorted((a, b) => (this.#makerOf(b)?.order ?? 0) - (this.#makerOf(a)?.order ?? 0));
      const later = [...after.values()].filter((item) => item.place === place && this.#isOf(item, app));
      const [newest] = ordered;
      const isReplaced = later.some((item) => (this.#makerOf(item)?.order ?? 0) > (this.#makerOf(newest)?.order ?? 0));
      if (newest && !after.has(keyOf(newest)) && !isReplaced)
        fail(`${newest.name}, the newest of ${app} at ${place}, is gone`);
      if (!place.startsWith('s3/')) this.#judgeDays(app, place, ordered, after);
      for (const { manifest } of items) this.#judgeLoss(app, place, manifest, before, after);
    }
  }

  /** By the names, which are of the machine's clock; the policy is that of the defaults. */
  #judgeDays(app: AppName, place: string, newestFirst: readonly Item[], after: Inventory): void {
    const days = new Map<string, Item>();
    for (const item of newestFirst) {
      const day = item.name.slice(0, 'backup-2026-05-04'.length);
      if (!days.has(day)) days.set(day, item);
    }
    // The day of today may come to its end with another one.
    for (const [day, item] of [...days].slice(0, KEPT_DAYS - 1)) {
      const isKept = [...after.values()].some(
        (other) => other.place === place && other.name.startsWith(day) && this.#isOf(other, app),
      );
      if (!isKept) fail(`nothing of ${app} is left of ${day} at ${place}: ${item.name} is gone`);
    }
  }

  #judgeLoss(
    app: AppName,
    place: string,
    { name, loss, createdAt }: Manifest,
    before: Inventory,
    after: Inventory,
  ): void {
    if (!loss || loss.accepted || !after.has(`${place}/${name}`)) return;
    if (this.#nowOf(app) - Date.parse(createdAt) > 29 * DAY_MS) return;
    for (const held of [loss.before, loss.dayBefore]) {
      const key = `${place}/${held}`;
      if (held && before.has(key) && !after.has(key))
        fail(`${held}, from before the loss that ${name} shows, is gone from ${place}`);
    }
  }

  async #expectLatest(name: AppName): Promise<void> {
    const app = this.#app(name);
    if (!this.#isBucketUp || this.#cutAfter !== null) return;
    const ours = [...(await this.#inventory()).values()].filter(
      (item) =>
        this.#isReachable(name, item) &&
        item.manifest.trigger !== 'safety' &&
        this.#isOf(item, name) &&
        !this.#isAmongOthers(name, item),
    );
    const wanted = ours.map((item) => this.#makerOf(item)).sort((a, b) => (b?.order ?? 0) - (a?.order ?? 0))[0];
    const to = join(this.#root, `latest-${this.#order}-${Math.random()}.sqlite`);
    const told = await app.cli(`restore latest --to ${to}`);
    const found = existsSync(to) ? lastOf(to) : null;
    rmSync(to, { force: true });
    // Of several that are one by now, any may have made the newest.
    const isOneOfSeveral = this.#kinOf(name).size > 1;
    const by = this.#made.get(found ?? '')?.by;
    const isRight = isOneOfSeveral ? by === undefined || this.#areOne(name, by) : !wanted || found === wanted.last;
    if (!isRight) fail(`latest of ${name} holds ${found}, not ${wanted?.last}: ${told.stdout || told.stderr}`);
  }

  #isOf(item: Item, app: AppName): boolean {
    const made = this.#makerOf(item);
    return made !== null && this.#areOne(app, made.by);
  }

  /** What an older version put into the folder of another database is that one's to list, and nobody's to trust. */
  #isAmongOthers(name: AppName, { place, manifest }: Item): boolean {
    const record = join(this.#root, 'disks', place, 'backups/database.json');
    if (manifest.databaseId !== undefined || !existsSync(record)) return false;
    return (JSON.parse(readFileSync(record, 'utf8')) as { name: string }).name !== nameOf(name);
  }

  #isReachable(name: AppName, { place }: Item): boolean {
    return place === folderPlace(name) || place === prefixPlace(name);
  }

  /** They are one database by now, at whatever place: the newest of all of them counts. */
  #areOne(a: AppName, b: AppName): boolean {
    return this.#kinOf(a).has(b);
  }

  #kinOf(app: AppName): ReadonlySet<AppName> {
    const kin = new Set<AppName>([app]);
    // A set that grows goes on with what was added.
    for (const one of kin)
      for (const other of appNames)
        if ([this.#claims, this.#lineage].some((pairs) => pairs.has(pair(one, other)))) kin.add(other);
    return kin;
  }

  readonly #contents = new Map<string, string | null>();
  /** By what it holds: the last row that it has was committed once, by one app. */
  #makerOf(item: Item | undefined): Made | null {
    if (!item) return null;
    return this.#made.get(this.#contents.get(item.manifest.database.sha256) ?? '') ?? null;
  }

  async #inventory(): Promise<Inventory> {
    const found = new Map<string, Item>();
    const add = async (
      place: string,
      name: string,
      read: () => string | Promise<string>,
      file: () => Promise<Uint8Array>,
    ) => {
      const manifest = JSON.parse(await read()) as Manifest;
      const { sha256 } = manifest.database;
      if (!this.#contents.has(sha256)) this.#contents.set(sha256, lastIn(this.#root, await file()));
      found.set(`${place}/${name}`, { place, name, manifest });
    };
    for (const place of new Set(appNames.map(folderPlace))) {
      const folder = join(this.#root, 'disks', place, 'backups');
      const entries = existsSync(folder) ? readdirSync(folder) : [];
      for (const name of entries.filter((entry) => isBackupName(entry) && entries.includes(`${entry}.json`)))
        await add(
          place,
          name,
          () => readFileSync(join(folder, `${name}.json`), 'utf8'),
          async () => readFileSync(join(folder, name)),
        );
    }
    for (const prefix of new Set(appNames.map((app) => apps[app].prefix))) {
      const keys = (await this.#keys(`${prefix}/backup-`)).map(({ key }) => key.slice(prefix.length + 1));
      for (const key of keys) {
        const name = key.replace(/\.json$/, '');
        if (name === key || !isBackupName(name) || !keys.includes(name)) continue;
        const bytes = (of: string) =>
          this.#asModel(() => getBytes(this.#store, `${prefix}/${of}`, { limitBytes: 10_000_000 }));
        await add(
          `s3/${prefix}`,
          name,
          async () => new TextDecoder().decode(await bytes(key)),
          () => bytes(name),
        );
      }
    }
    return found;
  }

  /** The model always sees the bucket. */
  async #keys(prefix: string) {
    return await this.#asModel(async () => await Array.fromAsync(this.#store.list(prefix)));
  }

  /** Everything at every place but locks, and but what says who writes. */
  async #bytesOfPlaces(): Promise<string> {
    const lines: string[] = [];
    for (const place of new Set(appNames.map(folderPlace))) {
      const folder = join(this.#root, 'disks', place, 'backups');
      if (!existsSync(folder)) continue;
      for (const entry of readdirSync(folder)) {
        if (entry.startsWith('.') || entry === 'settings.json') continue;
        lines.push(`${place}/${entry} ${digest(readFileSync(join(folder, entry)))}`);
      }
    }
    for (const { key, etag } of await this.#keys('')) if (!key.includes('/writer/')) lines.push(`s3/${key} ${etag}`);
    return lines.sort().join('\n');
  }

  // ── machines ──

  #open(name: AppName): AppHere {
    const { machine, file, storage, prefix } = apps[name];
    const isMissing = !existsSync(join(this.#disk(machine), file));
    const known = this.#apps.get(name);
    if (known && !isMissing) return known;
    mkdirSync(this.#disk(machine), { recursive: true });
    const app = openApp({
      ...{ clock: this.#clock, folder: this.#disk(machine), file, storage, skewMs: () => this.#skewMs[machine] },
      env: {
        ...s3Variables(this.#server, { bucket: BUCKET, prefix }),
        ...{ BACKUP_S3_ENABLED: 'true', BACKUP_RETENTION_COUNT: '2' },
      },
      isNew: name !== 'spare' && known === undefined,
      instead: (request, context) => this.#instead(request, context),
    });
    this.#apps.set(name, app);
    return app;
  }

  #app(name: AppName): AppHere {
    return this.#apps.get(name) ?? this.#open(name);
  }

  #has(name: AppName): boolean {
    return existsSync(join(this.#disk(apps[name].machine), apps[name].file));
  }

  #nowOf(name: AppName): number {
    return Date.now() + this.#skewMs[apps[name].machine];
  }

  #instead(request: JobRequest, context: StoryContext): Promise<unknown> | undefined {
    const kill = this.#kill;
    if (!kill || request.kind !== 'backup') return undefined;
    return carryOut(request, {
      ...context,
      onEvent: (event) => {
        if (this.#isKilled) return;
        kill.left -= 1;
        if (kill.left === 0) {
          rmSync(this.#atKill(kill.machine), { recursive: true, force: true });
          cpSync(this.#disk(kill.machine), this.#atKill(kill.machine), { recursive: true, preserveTimestamps: true });
          this.#isKilled = true;
          throw new BackupError('ABORTED', 'a power cut', { hint: 'Go on.' });
        }
        context.onEvent(event);
      },
    });
  }

  #disk = (machine: MachineName) => join(this.#root, 'disks', machine);
  #imageOf = (machine: MachineName) => join(this.#root, 'images', machine);
  #atKill = (machine: MachineName) => join(this.#root, 'at-kill', machine);

  #replaceDisk(machine: MachineName, by: string): void {
    rmSync(this.#disk(machine), { recursive: true, force: true });
    cpSync(by, this.#disk(machine), { recursive: true, preserveTimestamps: true });
  }

  /** Matches each request that the bucket does not answer now. */
  #outage(): RegExp {
    const isOut = () =>
      !this.#isModel &&
      (!this.#isBucketUp || (this.#cutAfter !== null && this.#server.requests.length > this.#cutAfter));
    return { test: isOut } as unknown as RegExp; // all that a fault asks of it
  }

  #isModel = false;
  async #asModel<T>(work: () => Promise<T>): Promise<T> {
    this.#isModel = true;
    try {
      return await work();
    } finally {
      this.#isModel = false;
    }
  }
}

function fail(what: string): never {
  throw new Error(what);
}

const pair = (a: AppName, b: AppName): string => [a, b].sort().join('+');
const keyOf = ({ place, name }: Item): string => `${place}/${name}`;
const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex').slice(0, 12);

const sequenceIn = (path: string): number => Number((JSON.parse(readFileSync(path, 'utf8')) as Manifest).sequence ?? 0);

function difference(before: string, after: string): string {
  const [was, is] = [new Set(before.split('\n')), new Set(after.split('\n'))];
  return [...[...was].filter((line) => !is.has(line)).map((line) => `- ${line}`), ...[...is].filter((line) => !was.has(line)).map((line) => `+ ${line}`)].join('\n'); // prettier-ignore
}

/** The last row that was committed; null for no file and for none. */
function lastOf(path: string): string | null {
  if (!existsSync(path)) return null;
  const connection = new DatabaseSync(path, { readOnly: true });
  try {
    connection.exec('PRAGMA busy_timeout = 20000');
    const row = connection.prepare('SELECT text FROM orders ORDER BY id DESC LIMIT 1').get();
    return typeof row?.['text'] === 'string' ? row['text'] : null;
  } catch {
    return null;
  } finally {
    connection.close();
  }
}

function lastIn(root: string, bytes: Uint8Array): string | null {
  const path = join(root, 'looked-at.sqlite');
  writeFileSync(path, bytes);
  const last = lastOf(path);
  for (const suffix of ['', '-wal', '-shm']) rmSync(path + suffix, { force: true });
  return last;
}

// ── run ──

/** @throws Error that says at which step something was lost. */
export async function takeHistory(history: readonly HistoryStep[]): Promise<void> {
  using clock = moveClock();
  await using world = await World.open(clock);
  for (const [number, step] of history.entries()) {
    try {
      await world.take(step);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new Error(`step ${number + 1}, ${text(step)}: ${reason}`, { cause: error });
    }
  }
}

export interface Report {
  readonly runs: number;
  /** Null when all held. */
  readonly failure: { readonly history: readonly HistoryStep[]; readonly error: string } | null;
}

export async function runHistories(options: {
  readonly runs: number;
  readonly seed: number;
  readonly steps: number;
  readonly log?: (line: string) => void;
}): Promise<Report> {
  const { runs, seed, steps, log = () => {} } = options;
  let failedMs: number | null = null;
  const property = fc.asyncProperty(aHistory(steps), async (history) => {
    // All that is left to try counts as good: what failed so far is the shortest.
    if (failedMs !== null && performance.now() - failedMs > SHORTEN_MS_MAX) return;
    try {
      await takeHistory(history);
      log('.');
    } catch (error) {
      if (failedMs === null) log(`\n${error instanceof Error ? error.message : String(error)}\n`);
      failedMs ??= performance.now();
      throw error;
    }
  });
  const details = await fc.check(property, { numRuns: runs, seed });
  const [history] = details.counterexample ?? [];
  if (!details.failed || !history) return { runs: details.numRuns, failure: null };
  const cause = details.errorInstance;
  return {
    runs: details.numRuns,
    failure: { history, error: cause instanceof Error ? cause.message : String(cause) },
  };
}

/** With the history in words, and in the form that `--history` takes. */
export function failureText({ history, error }: NonNullable<Report['failure']>, seed: number): string {
  return `${error}\n\n${historyText(history)}\n\nseed ${seed}, or: --history '${JSON.stringify(history)}'`;
}

async function main(): Promise<boolean> {
  const { values } = parseArgs({
    options: {
      runs: { type: 'string', default: '100' },
      seed: { type: 'string' },
      steps: { type: 'string', default: '40' },
      history: { type: 'string' },
    },
  });
  if (values.history !== undefined) {
    await takeHistory(JSON.parse(values.history) as HistoryStep[]); // as it was printed
    console.log('nothing was lost');
    return true;
  }
  const seed = Number(values.seed ?? Math.floor(Math.random() * 1_000_000));
  console.log(`seed ${seed}`);
  const log = (line: string) => process.stdout.write(line);
  const report = await runHistories({ runs: Number(values.runs), seed, steps: Number(values.steps), log });
  const { runs, failure } = report;
  console.log(`\n${failure ? failureText(failure, seed) : `${runs} histories, nothing was lost`}`);
  return failure === null;
}

if (import.meta.main) process.exit((await main()) ? 0 : 1);
