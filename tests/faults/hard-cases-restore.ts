/**
 * Hard cases of a restore over the database: what it meets there, what its plan says, what it answers, and what is left.
 * Each goes through a real service and its real job process, beside apps in processes of their own. In all of them the
 * plan may not change a byte, and what was refused may have changed nothing.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statfsSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import { BackupError, type ErrorBody, type ErrorCode } from '../../src/words/errors.ts';
import { BackupService } from '../../src/service/backup-service.ts';
import type { RestorePlan } from '../../src/service/model.ts';
import { ask, type DatabaseForm, makeDatabase, type Neighbour, openElsewhere } from '../support/scratch.ts';
import { must } from './hard-cases.ts';
import { settingsWith } from '../support/settings.ts';

export interface RestoreCase {
  /** A sentence. */
  readonly name: string;
  readonly mode: 'online' | 'offline';
  /** What the restore is refused with; null where it is done. */
  readonly code: ErrorCode | null;
  readonly form?: DatabaseForm;
  /** The database lies on a disk of its own that is so large; needs root. */
  readonly diskBytes?: number;
  /** One of the words that the plan warns with. */
  readonly warning?: RegExp;
  /** Between the backup of 100 rows and the plan: brings about what is hard. */
  provoke?(scene: RestoreScene): unknown;
  /** Another backup than the one that was made of the database, by SQL. */
  readonly source?: string;
  /** The plan as somebody else sees it. */
  plan?(scene: RestoreScene, filename: string): RestorePlan;
  /** After the restore, done or refused: says what is left, in words. */
  look(scene: RestoreScene): string | Promise<string>;
}

export interface RestoreFinding {
  readonly warnings: readonly string[];
  readonly error: ErrorBody | null;
  readonly remains: string;
}

const DISK_BYTES = 16 * 1024 * 1024;
const LEFT_BYTES = 512 * 1024;
const foreign = 'backup-2024-01-15T10-30-00-000Z.sqlite';
const insert = "INSERT INTO notes (text) VALUES ('since the backup')";
const count = 'SELECT count(*) FROM notes';
const cli = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

export class RestoreScene {
  readonly folder = mkdtempSync(join(tmpdir(), 'velist-hard-case-'));
  readonly backups = join(this.folder, 'backups');
  readonly database: string;
  readonly service: BackupService;
  now = () => new Date();
  readonly #disk: string | null;
  readonly #apps: Neighbour[] = [];

  constructor(diskBytes: number | undefined) {
    this.#disk = diskBytes === undefined ? null : join(this.folder, 'disk');
    if (this.#disk) {
      mkdirSync(this.#disk);
      must('mount', ['-t', 'tmpfs', '-o', `size=${diskBytes}`, 'tmpfs', this.#disk]);
    }
    this.database = join(this.#disk ?? this.folder, 'shop.sqlite');
    this.service = new BackupService({
      ...{ databasePath: this.database, backupsPath: this.backups, statePath: join(this.folder, 'state.sqlite') },
      ...{ settings: settingsWith(), log: () => {}, now: () => this.now() },
      jobEnvironment: { PATH: process.env['PATH'] ?? '' },
    });
  }

  async app(): Promise<Neighbour> {
    const app = await openElsewhere(this.database);
    this.#apps.push(app);
    return app;
  }

  /** An app that dies in the middle of what it does. */
  async crash(...statements: readonly string[]): Promise<void> {
    const app = await openElsewhere(this.database);
    for (const statement of statements) await app.ask(statement);
    await app.kill();
  }

  /** All but what an app needs for a while. */
  fillDisk(): void {
    const { bavail, bsize } = statfsSync(dirname(this.database));
    writeFileSync(join(dirname(this.database), 'filler'), Buffer.alloc(bavail * bsize - LEFT_BYTES));
  }

  rows(): unknown {
    return ask(this.database, count);
  }

  async undo(mode: 'online' | 'offline' = 'online'): Promise<string> {
    await this.service.undoRestore({ mode });
    return `undo brings back ${this.rows()} rows`;
  }

  /** All that may not change while somebody looks, or is refused. */
  bytes(): unknown {
    return ['', '-wal', '-journal'].map((suffix) => {
      const path = this.database + suffix;
      return existsSync(path) && [statSync(path, { bigint: true }).mtimeNs, readFileSync(path, 'base64')];
    });
  }

  async close(): Promise<void> {
    for (const app of this.#apps) await app.close();
    await this.service.close();
    if (this.#disk) must('umount', ['--lazy', this.#disk]);
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export async function checkRestoreCase(restoreCase: RestoreCase): Promise<RestoreFinding> {
  const { mode, code, form = {}, source, warning, diskBytes } = restoreCase;
  const scene = new RestoreScene(diskBytes);
  try {
    makeDatabase(scene.database, form);
    const made = await scene.service.performBackup();
    assert.ok(made.filename, JSON.stringify(made.error));
    if (source !== undefined) putBackup(scene, source);
    await restoreCase.provoke?.(scene);

    const rows = code === null ? null : scene.rows();
    const before = scene.bytes();
    const filename = source === undefined ? made.filename : foreign;
    const plan = restoreCase.plan?.(scene, filename) ?? (await scene.service.planRestore(filename, { mode }));
    assert.deepEqual(scene.bytes(), before, 'a plan changes nothing');
    if (warning)
      assert.ok(
        plan.warnings.some((text) => warning.test(text)),
        JSON.stringify(plan.warnings),
      );
    else
      assert.deepEqual(
        plan.warnings.filter((text) => !/must be stopped|not verified/.test(text)),
        [],
      );

    let error: ErrorBody | null = null;
    try {
      const expected = mode === 'offline' ? plan.expected : undefined;
      await scene.service.restore(filename, { mode, expected });
    } catch (thrown) {
      error = BackupError.from(thrown).toJSON();
      assert.deepEqual(scene.rows(), rows, 'what was refused changed nothing');
      // A failure in the middle is rolled back, which touches the file.
      if (error.code !== 'DISK_FULL') assert.deepEqual(scene.bytes(), before, 'not a byte');
    }
    assert.equal(error?.code ?? null, code, JSON.stringify(error));
    const { undo } = await scene.service.getStatus();
    assert.equal(undo !== null, error === null && plan.undo, 'an undo exists if the plan promised it, and only then');
    return { warnings: plan.warnings, error, remains: await restoreCase.look(scene) };
  } finally {
    await scene.close();
  }
}

function putBackup(scene: RestoreScene, sql: string): void {
  mkdirSync(scene.backups, { recursive: true });
  const file = new DatabaseSync(join(scene.backups, foreign));
  file.exec(sql);
  file.close();
}

const notes = (rows: number) =>
  `CREATE TABLE notes (id INTEGER PRIMARY KEY, text); INSERT INTO notes (text) SELECT 'x' FROM json_each('${JSON.stringify(Array.from({ length: rows }, () => 0))}')`;

export const restoreCases: readonly RestoreCase[] = [
  {
    name: 'offline, an app without a log that rests has the database open',
    ...{ mode: 'offline', code: 'RESTORE_IN_USE', form: { journalMode: 'delete' }, warning: /stop it first/ },
    provoke: async (scene) => void (await (await scene.app()).ask(insert)),
    look: (scene) => `the database as it was, ${scene.rows()} rows; the app goes on`,
  },
  {
    name: 'offline, an app in WAL mode that rests has the database open',
    ...{ mode: 'offline', code: 'RESTORE_IN_USE', warning: /stop it first/ },
    provoke: async (scene) => void (await (await scene.app()).ask(insert)),
    look: (scene) => `the database as it was, ${scene.rows()} rows; the app goes on`,
  },
  {
    name: 'offline, seen from a container of its own',
    ...{ mode: 'offline', code: null, warning: /The app must be stopped\. .* outside this container/ },
    plan(scene, filename) {
      const command = [
        process.execPath,
        '--no-env-file',
        cli,
        'restore',
        filename,
        '--in-place',
        '--dry-run',
        '--json',
      ];
      const places = ['--database', scene.database, '--backups', scene.backups];
      const asked = spawnSync('unshare', ['--fork', '--pid', '--mount-proc', ...command, ...places], {
        encoding: 'utf8',
      });
      return JSON.parse(asked.stdout).plan;
    },
    look: async (scene) => `the backup, ${scene.rows()} rows; ${await scene.undo('offline')}`,
  },
  {
    name: 'offline, an app that was killed left its log',
    ...{ mode: 'offline', code: null },
    provoke: (scene) => scene.crash(insert),
    look: async (scene) => `the backup, ${scene.rows()} rows; ${await scene.undo('offline')}, that of the log too`,
  },
  {
    name: 'offline, an app was killed in the middle of a write',
    ...{
      mode: 'offline',
      code: null,
      form: { journalMode: 'delete', rows: 2_000 },
      warning: /a write was interrupted/,
    },
    provoke: (scene) =>
      scene.crash('PRAGMA cache_size = 5', 'BEGIN', 'UPDATE notes SET text = hex(randomblob(4000)) RETURNING 1'),
    async look(scene) {
      const undone = await scene.undo('offline');
      const half = Number(ask(scene.database, 'SELECT count(*) FROM notes WHERE length(text) > 1000'));
      return `the backup; ${undone}, ${half} of the half write`;
    },
  },
  {
    name: 'offline, the database is damaged',
    ...{ mode: 'offline', code: null, warning: /cannot be read now/ },
    provoke: (scene) => Bun.write(scene.database, 'junk '.repeat(5_000)),
    look: (scene) => `the backup, ${scene.rows()} rows; the damaged file beside it; no undo`,
  },
  {
    name: 'online, beside an app without a log',
    ...{ mode: 'online', code: null, form: { journalMode: 'delete' } },
    provoke: async (scene) => void (await (await scene.app()).ask(insert)),
    look: async (scene) => `the backup, ${scene.rows()} rows, for the app too; ${await scene.undo()}`,
  },
  {
    name: 'online, the backup has another page size, and the database a log',
    ...{ mode: 'online', code: 'PAGE_SIZE_DIFFERS', warning: /a different page size/ },
    source: `PRAGMA page_size = 8192; ${notes(5)}`,
    look: (scene) => `the database as it was, ${scene.rows()} rows`,
  },
  {
    name: 'online, the backup has another page size, and the database no log',
    ...{ mode: 'online', code: null, form: { journalMode: 'delete' } },
    source: `PRAGMA page_size = 8192; ${notes(5)}`,
    provoke: (scene) => scene.app(),
    look: async (scene) => `the backup, ${scene.rows()} rows; ${await scene.undo()}`,
  },
  {
    name: 'online, the backup holds its text in another encoding',
    ...{ mode: 'online', code: 'ENCODING_DIFFERS', warning: /stores its text as UTF-16le/ },
    source: `PRAGMA encoding = 'UTF-16le'; ${notes(5)}`,
    provoke: (scene) => scene.app(),
    look: (scene) => `the database as it was, ${scene.rows()} rows`,
  },
  {
    name: 'online, the backup has no table',
    ...{ mode: 'online', code: null },
    source: 'PRAGMA user_version = 7; VACUUM',
    warning: /schema version 7/,
    async look(scene) {
      const tables = ask(scene.database, 'SELECT count(*) FROM sqlite_schema');
      return `the backup, ${tables} tables; ${await scene.undo()}`;
    },
  },
  {
    name: 'online, without a log, the disk of the database has no room for what SQLite needs meanwhile',
    ...{ mode: 'online', code: 'DISK_FULL', form: { journalMode: 'delete', rows: 20_000 }, diskBytes: DISK_BYTES },
    provoke(scene) {
      ask(scene.database, insert);
      scene.fillDisk();
    },
    look: (scene) => `the database as it was, ${scene.rows()} rows`,
  },
  {
    name: 'online, in WAL mode, the disk of the database has no room for the log',
    ...{ mode: 'online', code: 'DISK_FULL', form: { rows: 20_000 }, diskBytes: DISK_BYTES },
    provoke(scene) {
      ask(scene.database, insert);
      scene.fillDisk();
    },
    look: (scene) => `the database as it was, ${scene.rows()} rows`,
  },
  {
    name: 'online, and then the clock is set back by years',
    ...{ mode: 'online', code: null },
    provoke: (scene) => ask(scene.database, insert),
    async look(scene) {
      scene.now = () => new Date('2001-01-01T00:00:00Z');
      return `the backup, ${scene.rows()} rows; ${await scene.undo()}`;
    },
  },
];
