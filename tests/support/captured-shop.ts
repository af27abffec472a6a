/** A shop whose commits are captured: its app in a process of its own, and a service. */
import { afterEach } from 'bun:test';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { BackupService } from '../../src/service/backup-service.ts';
import type { Status } from '../../src/service/model.ts';
import { scratchFolders } from './scratch.ts';
import { settingsWith } from './settings.ts';
import { type SqlProcess, startSqlProcess } from './sql-process.ts';

type ServiceOptions = ConstructorParameters<typeof BackupService>[0];

/** Whatever is opened is closed behind each test of the file that calls it. */
export function capturedShops() {
  const scratch = scratchFolders();
  const open: { close(): Promise<void> }[] = [];
  afterEach(async () => {
    for (const one of open.splice(0).toReversed()) await one.close();
  });

  function openService(place: string, more: Partial<ServiceOptions> = {}) {
    const said: string[] = [];
    const service = new BackupService({
      databasePath: join(place, 'shop.sqlite'),
      backupsPath: join(place, 'backups'),
      statePath: join(place, 'state.sqlite'),
      settings: settingsWith({ enabled: false }),
      log: (level, message) => void said.push(`${level} ${message}`),
      jobEnvironment: { PATH: process.env['PATH'] ?? '' },
      continuous: {
        ...{ intervalMs: 50, bytesMax: null, stopMs: 10_000 },
        windowsMs: [3_600_000, 86_400_000, 604_800_000, 2_592_000_000],
      },
      ...more,
    });
    open.push(service);
    return { service, said };
  }

  function startApp(path: string): SqlProcess {
    const app = startSqlProcess(path);
    open.push({ close: async () => await app[Symbol.asyncDispose]() });
    return app;
  }

  async function startShop({ isOn = true, ...more }: Partial<ServiceOptions> & { readonly isOn?: boolean } = {}) {
    const place = scratch();
    const path = join(place, 'shop.sqlite');
    const app = startApp(path);
    await app.run('PRAGMA journal_mode = WAL');
    await app.run('CREATE TABLE orders (id INTEGER PRIMARY KEY, text TEXT)');
    const opened = openService(place, { ...more, ...(!isOn && { continuous: null }) });
    opened.service.start();
    return { place, path, app, ...opened, stream: join(place, 'backups', 'continuous') };
  }

  return { scratch, openService, startApp, startShop };
}

/** Asked again and again: the service says nothing when the stream has caught up. */
export async function untilStatus(service: BackupService, isWanted: (status: Status) => boolean): Promise<Status> {
  for (;;) {
    const status = await service.getStatus();
    if (isWanted(status)) return status;
    await Bun.sleep(50);
  }
}

export const capturing = (service: BackupService) =>
  untilStatus(service, ({ continuous }) => continuous?.phase === 'capturing' && continuous.caughtUpAt !== null);

/** A time of its own: what was captured is earlier, and what is written next is later. */
export async function aMoment(): Promise<Date> {
  const atMs = Date.now() + 1;
  while (Date.now() <= atMs) await Bun.sleep(1);
  return new Date(atMs);
}

/** Paths of all segments that end at that moment: what was captured, and what that was merged into at the turn of a half minute. */
export function segmentsEndingAt(stream: string, bookmark: string): readonly string[] {
  const root = join(stream, 'ltx');
  const found = readdirSync(root)
    .map((level) => join(root, level))
    .flatMap((level) => readdirSync(level).map((name) => join(level, name)))
    .filter((path) => path.endsWith(`-${bookmark}.ltx`));
  if (found.length === 0) throw new Error(`no segment ends at ${bookmark}`);
  return found;
}

/** Turns one bit of a segment's content over, and at the second time back. */
export function flip(path: string): void {
  const bytes = readFileSync(path);
  bytes[130] = (bytes[130] ?? 0) ^ 1;
  writeFileSync(path, bytes);
}

export const order = (app: SqlProcess, text: string) => app.run(`INSERT INTO orders (text) VALUES ('${text}')`);

export function textsIn(path: string): unknown[] {
  const database = new DatabaseSync(path, { readOnly: true });
  try {
    return database
      .prepare('SELECT text FROM orders ORDER BY id')
      .all()
      .map(({ text }) => text);
  } finally {
    database.close();
  }
}

export const texts = async (app: SqlProcess) =>
  (await app.run('SELECT text FROM orders ORDER BY id')).map(({ text }) => text);
