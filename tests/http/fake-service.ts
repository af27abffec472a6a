/**
 * A small service in memory that keeps the promises of `BackupServicePort`: backups are byte strings, a run takes as
 * many event-loop turns as its test wants. `calls` lists what was asked of it, for tests that something was not.
 */
import { NO_REMARKS } from '../../src/engine/sqlite/rules.ts';
import { createHash } from 'node:crypto';
import { BackupError, type ErrorBody, says } from '../../src/words/errors.ts';
import { leastPrivilegePolicy } from '../../src/engine/store/s3/policy.ts';
import type {
  AuditEntry,
  BackupConfig,
  BackupDiff,
  BackupItem,
  BackupResult,
  FirstBoot,
  FoundRestorePoint,
  Loss,
  Rescue,
  RestoreResult,
  Run,
  RunKind,
  RunProgress,
  ServiceEvent,
  Status,
  TargetReport,
  VerdictCode,
} from '../../src/service/model.ts';
import { currentActor } from '../../src/service/audit/actor.ts';
import { protectionState } from '../../src/service/protection/freshness.ts';
import type { FleetPort } from '../../src/fleet/fleet-port.ts';
import { isBackupName } from '../../src/engine/format/names.ts';
import { planRestore } from '../../src/engine/restore-points/plan.ts';
import { momentOf, readRestorePoint, type RestorePointGiven } from '../../src/words/restore-point.ts';
import type { ShownSetUp } from '../../src/service/set-up/shown-set-up.ts';
import type { BackupServicePort, FromTarget } from '../../src/service/service-port.ts';
import { settingsWith } from '../support/settings.ts';

export const firstBackup = 'backup-2024-01-15T10-30-00-000Z.sqlite';
export const secondBackup = 'backup-2024-01-15T11-30-00-000Z.sqlite';
/** The only file from elsewhere, once one has begun. */
export const arrivalId = '7d3c1c26-2f0f-4f0a-9d5e-3c9a0f8f2f11';
/** The only rescue. */
export const rescueId = '20240115t103000-0123456789ab';
export const missingBackup = 'backup-2020-01-01T00-00-00-000Z.sqlite';

const setUpVariables = {
  ...{ s3: 'S3_BUCKET', folder: 'BACKUP_FOLDER_PATH' },
  ...{ webhook: 'BACKUP_WEBHOOK_URL', heartbeat: 'BACKUP_HEARTBEAT_URL' },
} as const;

const setUpFindings: TargetReport['findings'] = [
  { check: 'reach', result: 'ok', message: 's3.example.com answers, and its certificate is good', hint: null, ms: 38 },
  { check: 'sign-in', result: 'ok', message: 'the key is accepted, and the bucket is there', hint: null, ms: 0 },
  { check: 'owner', result: 'ok', message: 'it is empty, and will belong to dev.sqlite', hint: null, ms: 24 },
];

const rescued = (of: string): Rescue => ({
  ...{ id: rescueId, at: new Date(0), of, written: 2, user: null, undoneAt: null },
  tables: [{ name: 'orders', inserted: 2, updated: 0 }],
});

export interface FakeService extends BackupServicePort {
  readonly calls: string[];
  readonly users: (string | undefined)[];
  /** What the routes recorded. */
  readonly acts: AuditEntry[];
  readonly listeners: number;
  /** Backups that were opened and not closed. */
  readonly openFiles: number;
  /** What the next runs do. */
  behaviour: {
    /** Runs wait for this before they end. */
    until?: Promise<unknown>;
    runError?: ErrorBody;
    throws?: unknown;
    s3Uploaded?: boolean;
    verdict?: VerdictCode;
    damaged?: boolean;
    targetFails?: boolean;
    s3?: Partial<Status['s3']>;
    targets?: Status['targets'];
  };
  emit(event: ServiceEvent): void;
  addBackup(filename: string, overrides?: Partial<BackupItem>): void;
  verifyFile(path: string, options?: { full?: boolean }): ReturnType<BackupServicePort['verifyFile']>;
  recoveryKit(): Promise<string>;
  restoreIfMissing(options?: { identityFile?: string }): Promise<FirstBoot>;
  close(): Promise<void>;
}

function fromOf(options: FromTarget | undefined): string {
  return options?.from ? ` from ${options.from}${options.identity ? ` with ${options.identity}` : ''}` : '';
}

/** As the catalog would have it. */
function toCopy({ filename, createdAt, verification, safety, other }: BackupItem) {
  const complaint = verification.state === 'damaged' ? verification.detail : null;
  const isChanged = verification.state === 'unchecked' && verification.changedAt !== undefined;
  const manifest = {
    ...{ sequence: createdAt.getTime(), trigger: safety ? ('safety' as const) : ('manual' as const) },
    ...{ verification: { complaint }, artifact: { encryption: 'none' as const } },
  };
  return {
    ...{ name: filename, createdAt, fault: null, ...(other && { other }) },
    manifest: verification.state === 'unchecked' && !isChanged ? null : manifest,
  };
}

export function createFakeService(): FakeService {
  const calls: string[] = [];
  const users: (string | undefined)[] = [];
  const listeners = new Set<(event: ServiceEvent) => void>();
  const backups = new Map<string, { item: BackupItem; bytes: Uint8Array<ArrayBuffer> }>();
  const runs: Run[] = [];
  const started = settingsWith();
  let settings = started;
  const setUps = new Map<keyof typeof setUpVariables, string>();
  let stopAsked: (() => void) | undefined;
  let arrived: { name: string; sizeBytes: number; receivedBytes: number } | null = null;
  const requireArrived = (id: string) => {
    if (arrived && id === arrivalId) return arrived;
    throw new BackupError('GONE', 'that file is no longer here', { hint: 'Send it again.' });
  };
  let openFiles = 0;
  const behaviour: FakeService['behaviour'] = {};

  function requireTarget(name = 'local'): void {
    const names = ['local', 's3', ...(behaviour.targets ?? []).map(({ target }) => target)];
    if (!names.includes(name)) throw new BackupError('BAD_REQUEST', `there is no target ${name}`, { hint: 'Ask.' });
  }

  function enter(name: string): void {
    calls.push(name);
    if (behaviour.throws !== undefined) throw behaviour.throws;
  }

  function get(filename: string) {
    const found = backups.get(filename);
    if (found) return found;
    throw new BackupError('GONE', `there is no backup ${filename}`, {
      hint: 'List the backups; it may have been pruned.',
    });
  }

  function addBackup(filename: string, overrides: Partial<BackupItem> = {}): void {
    const bytes = new TextEncoder().encode(`SQLite format 3\0${filename}`.padEnd(1_000, '.'));
    const [, date = '', hour, minute, second, ms] = /^backup-(.{10})T(..)-(..)-(..)-(...)Z/.exec(filename) ?? [];
    const createdAt = new Date(`${date}T${hour}:${minute}:${second}.${ms}Z`);
    const item: BackupItem = {
      filename,
      size: bytes.byteLength,
      createdAt,
      trigger: 'schedule',
      user: null,
      verified: true,
      verification: { state: 'verified', method: 'quick', at: createdAt, remarks: [], ...NO_REMARKS },
      foreign: false,
      pinned: false,
      note: null,
      safety: false,
      sha256: createHash('sha256').update(bytes).digest('hex'),
      pages: 1,
      pageSize: 4_096,
      other: null,
      rows: null,
      changes: null,
      loss: null,
      placements: [
        {
          target: 'local',
          status: 'stored',
          at: createdAt,
          error: null,
          where: `./storage/backups/${filename}`,
          sizeBytes: 1_000,
        },
      ],
      ...overrides,
    };
    backups.set(filename, { item, bytes });
  }

  function progressOf(kind: RunKind, id: string): RunProgress {
    return {
      id,
      kind,
      trigger: 'manual',
      user: null,
      startedAt: new Date(),
      backup: null,
      steps: [{ name: 'copy', state: 'running', bytesDone: 500, bytesTotal: 1_000 }],
      percent: 50,
    };
  }

  async function runOf(kind: RunKind, backup: string | null, onProgress?: (run: RunProgress) => void): Promise<Run> {
    const id = `run-${runs.length + 1}`;
    const progress = progressOf(kind, id);
    onProgress?.(progress);
    emit({ type: 'progress', run: progress });
    const stopped = new Promise<'stopped'>((resolve) => {
      stopAsked = () => resolve('stopped');
    });
    const how = await Promise.race([behaviour.until, stopped]);
    stopAsked = undefined;
    const error: ErrorBody | null =
      how === 'stopped'
        ? {
            code: 'ABORTED',
            message: 'the run was stopped',
            hint: 'Start it again whenever you like.',
          }
        : (behaviour.runError ?? null);
    const run: Run = {
      id,
      kind,
      trigger: 'manual',
      user: null,
      plannedAt: null,
      startedAt: progress.startedAt,
      endedAt: new Date(),
      backup,
      steps: [{ name: 'copy', state: error ? 'failed' : 'done', ms: 1 }],
      ...(error
        ? { result: how === 'stopped' ? 'stopped' : 'failed', sizeBytes: null, error }
        : { result: 'success', sizeBytes: 1_000, error }),
    };
    runs.unshift(run);
    emit({ type: 'run', run });
    return run;
  }

  function emit(event: ServiceEvent): void {
    for (const listener of listeners) listener(event);
  }

  function getConfig(): BackupConfig {
    return {
      ...settings,
      changed: settings === started ? {} : started,
      keepIsDefault: false,
      localPath: './storage/backups',
      databasePath: './db/dev.sqlite',
      cron: null,
      notifies: false,
      s3: { configured: false, bucket: null, region: null, endpoint: null },
    };
  }

  const fakeLoss: Loss = {
    ...{ before: secondBackup, dayBefore: null, accepted: null, usedPages: { before: 220, after: 1 } },
    tables: [{ name: 'orders', before: 8_310, after: 0 }],
  };

  async function restored(
    kind: RunKind,
    backup: string,
    mode: RestoreResult['mode'],
    path: string,
    onProgress?: (run: RunProgress) => void,
  ): Promise<RestoreResult> {
    const report = await runOf(kind, backup, onProgress);
    if (report.error) throw BackupError.fromJSON(report.error);
    return {
      success: true,
      backup,
      mode,
      path,
      safetyBackup: mode === 'file' || mode === 'missing' ? null : firstBackup,
      report,
    };
  }

  function find(wanted: RestorePointGiven, fromOther?: boolean): FoundRestorePoint {
    const now = new Date('2024-02-01T00:00:00Z');
    const point = readRestorePoint(wanted, now);
    if ('backup' in point && !isBackupName(point.backup))
      throw new BackupError('BAD_NAME', 'that is not the name of a backup', { hint: 'List the backups.' });
    if ('backup' in point) get(point.backup);
    const copies = [...backups.values()].map(({ item }) => toCopy(item));
    const places = [{ target: 'local', word: 'local', copies }];
    const { chosen, warnings } = planRestore({ point, purpose: 'restore', fromOther }, places, { now });
    if (!chosen) throw new BackupError('NO_BACKUP', 'there is no such backup', { hint: 'List the backups.' });
    const { name: filename, createdAt, other = null } = chosen.copy;
    return { filename, createdAt, target: 'local', other, moment: momentOf(point), warnings, skipped: [] };
  }

  const acts: AuditEntry[] = [];
  addBackup(firstBackup);
  addBackup(secondBackup);

  return {
    calls,
    users,
    acts,
    behaviour,
    emit,
    addBackup,
    get listeners() {
      return listeners.size;
    },
    get openFiles() {
      return openFiles;
    },
    start() {
      enter('start');
    },
    async stop() {
      enter('stop');
      stopAsked?.();
    },
    async close() {
      calls.push('close');
    },
    async performBackup(userId, options): Promise<BackupResult> {
      enter('performBackup');
      users.push(userId);
      const filename = `backup-2024-01-15T12-30-00-${String(runs.length).padStart(3, '0')}Z.sqlite`;
      const report = await runOf('backup', filename, options?.onProgress);
      if (report.error) return { success: false, error: report.error, report };
      addBackup(filename);
      return {
        success: true,
        filename,
        size: 1_000,
        s3Uploaded: behaviour.s3Uploaded,
        uploaded: behaviour.s3Uploaded === undefined ? undefined : { s3: behaviour.s3Uploaded },
        report,
      };
    },
    async requestBackup(userId) {
      enter('requestBackup');
      users.push(userId);
      return { runId: 'run-1' };
    },
    async getBackups(options) {
      requireTarget(options?.target);
      enter(options?.target ? `getBackups ${options.target}` : 'getBackups');
      return [...backups.values()]
        .map(({ item }) => item)
        .sort((a, b) => b.createdAt.getTime() - a.createdAt.getTime());
    },
    async getBackup(filename) {
      enter('getBackup');
      return get(filename).item;
    },
    async openBackup(filename) {
      enter('openBackup');
      const { bytes, item } = get(filename);
      let isOpen = true;
      openFiles++;
      const close = () => {
        if (isOpen) openFiles--;
        isOpen = false;
      };
      return {
        sizeBytes: bytes.byteLength,
        etag: item.sha256 ?? '',
        modifiedAt: item.createdAt,
        stream(from, to) {
          calls.push('stream');
          return new ReadableStream({
            // As asynchronous as a file's: servers treat a stream that is ready at once in another way.
            async pull(controller) {
              await new Promise((resolve) => setTimeout(resolve, 1));
              controller.enqueue(bytes.slice(from, to + 1));
              controller.close();
              close();
            },
            cancel: close,
          });
        },
        async close() {
          close();
        },
      };
    },
    async acceptLoss({ filename = firstBackup, ignore = false, user } = {}) {
      enter(`acceptLoss ${ignore}`);
      users.push(user);
      const accepted = { at: new Date(), user: user ?? null };
      addBackup(filename, { loss: { ...fakeLoss, accepted } });
      return get(filename).item;
    },
    async reopenLoss(filename) {
      enter('reopenLoss');
      addBackup(filename, { loss: fakeLoss });
      return get(filename).item;
    },
    async diff(a, b): Promise<BackupDiff> {
      enter('diff');
      const named = (name: string) => get(name === 'latest' ? secondBackup : name).item.filename;
      const [before, after] = [
        { rows: 8_310, bytes: 900_000 },
        { rows: 0, bytes: 4_096 },
      ];
      return {
        ...{ a: named(a), b: named(b), isSameSchema: true, usedBytes: { before: 900_000, after: 4_096 } },
        tables: [{ name: 'orders', change: 'rows', before, after }],
      };
    },
    getConfig,
    updateConfig(change) {
      enter('updateConfig');
      const { revert = [], ...changed } = change;
      const reverted = Object.fromEntries(revert.map((name) => [name, started[name]]));
      settings = { ...settings, ...changed, ...reverted };
      return getConfig();
    },
    async getStatus(): Promise<Status> {
      enter('getStatus');
      const code = behaviour.verdict ?? 'protected';
      return {
        serverTime: new Date(),
        version: '0.0.0',
        verdict: { code, tone: code === 'protected' ? 'green' : 'red' },
        freshness: {
          state: protectionState(code, code === 'none' ? 'none' : code === 'too-old' ? 'old' : 'young'),
          cause: code,
          changedAt: new Date(0),
          targets: [
            {
              target: 'local',
              goodAt: new Date(0),
              verifiedAt: new Date(0),
              storedAt: null,
              proven: null,
              drill: null,
              damaged: 0,
            },
          ],
        },
        database: {
          name: 'dev.sqlite',
          path: './db/dev.sqlite',
          exists: true,
          sizeBytes: 1_000,
          logBytes: 0,
          changedAt: new Date(0),
          growthBytes: 120,
        },
        schedule: {
          enabled: true,
          running: true,
          intervalMinutes: 10,
          cron: null,
          nextRunAt: null,
          stalledSince: null,
        },
        local: {
          path: './storage/backups',
          count: backups.size,
          keep: 10,
          sizeBytes: 2_000,
          freeBytes: 1_000_000,
          forecast: { bytes: 10_000, eachBytes: 1_000, besideBytes: 0, budgetBytes: null, fitting: null, note: null },
        },
        s3: {
          enabled: false,
          configured: false,
          bucket: null,
          path: '',
          stored: 0,
          waiting: 0,
          nextTryAt: null,
          error: null,
          listedAt: null,
          ...behaviour.s3,
        },
        targets: behaviour.targets ?? [],
        lastGood: {
          filename: secondBackup,
          createdAt: new Date(0),
          verifiedAt: new Date(0),
          holdsAt: new Date(0),
        },
        failedCheck: null,
        maxAgeMinutes: 30,
        run: null,
        lastRun: runs[0] ?? null,
        lastBackupRun: runs.find(({ kind }) => kind === 'backup') ?? null,
        places: [],
        loss: null,
        undo: null,
      };
    },
    async getActivity(range) {
      enter(`getActivity ${range}`);
      const [from, to] = [new Date(0), new Date(600_000)];
      const reason = 'There is no file at /srv/app/db/dev.sqlite.';
      return {
        ...{ range, from, to, sizes: [{ at: from, sizeBytes: 1_000 }], counts: { good: 0, failed: 1, missed: 0 } },
        bars: [{ from, to, state: 'failed', runs: 1, run: 'run-1', sizeBytes: null, reason }],
      };
    },
    getRuns(options) {
      enter('getRuns');
      const { kind, result, telling = false } = options ?? {};
      const tells = (run: Run) => run.result !== 'stopped' && run.result !== 'refused';
      return runs
        .filter((run) => (kind ?? run.kind) === run.kind && (result ?? run.result) === run.result)
        .filter((run) => !telling || tells(run))
        .slice(0, options?.limit);
    },
    getAudit({ limit }) {
      enter('getAudit');
      return acts.slice(-limit).reverse();
    },
    recordAct({ act, subject = null, target = null, result = 'done', code = null, detail = null }) {
      acts.push({
        ...{ at: new Date(0), database: null, act, ...currentActor(), subject, target, result, code, detail },
      });
    },
    getRunTotals() {
      return runs.map(({ kind, trigger, result, sizeBytes }) => ({
        ...{ kind, trigger, result, count: 1 },
        sizeBytes: sizeBytes ?? 0,
      }));
    },
    async deleteBackup(filename, options) {
      requireTarget(options?.target);
      enter(`deleteBackup ${options?.target ?? 'all'}`);
      users.push(options?.user);
      get(filename);
      backups.delete(filename);
    },
    async verifyBackup(filename, options) {
      enter(`verifyBackup ${options?.full ? 'full' : 'quick'}${fromOf(options)}`);
      users.push(options?.user);
      await behaviour.until;
      const { item, bytes } = get(filename);
      const at = new Date();
      const method = options?.full ? 'full' : 'quick';
      const checked: BackupItem = behaviour.damaged
        ? {
            ...item,
            verified: false,
            verification: {
              state: 'damaged',
              method,
              at,
              detail: 'row 1 missing from index',
            },
          }
        : {
            ...item,
            verified: true,
            verification: { state: 'verified', method, at, remarks: [], ...NO_REMARKS },
          };
      backups.set(filename, { item: checked, bytes });
      return checked;
    },
    async verifyFile() {
      enter('verifyFile');
      return {
        ok: !behaviour.damaged,
        detail: behaviour.damaged ? 'row 1 missing from index' : null,
        ...NO_REMARKS,
      };
    },
    async recoveryKit() {
      enter('recoveryKit');
      return '# Recovery kit of /srv/app/dev.sqlite\n';
    },
    async restoreIfMissing(options) {
      enter(`restoreIfMissing${options?.identityFile ? ` with ${options.identityFile}` : ''}`);
      return { outcome: 'restored', path: './db/dev.sqlite', backup: secondBackup, from: 's3', skipped: [] };
    },
    async claim({ target = 'local', user } = {}) {
      enter(`claim ${target}`);
      users.push(user);
      return {
        ...{ target, place: 'folder storage/backups', changed: true, before: { id: 'b', name: 'shop.sqlite' } },
        ...{ databaseId: 'b', ours: 2, others: 0, sparesUntil: new Date('2024-02-08T00:00:00Z') },
      };
    },
    async planRescue({ of, tables: asked }) {
      enter(`planRescue ${of}`);
      return {
        ...{
          of,
          at: new Date(0),
          expected: 'as it is',
          writes: 2,
          conflicts: [],
          blocked: [],
          warnings: [],
          bytes: 40,
        },
        tables: asked.map(({ table, conflicts = 'keep' }) => ({
          ...{ name: table, picked: 2, needed: 0, insert: 2, update: 0, same: 0, conflicts: 0, rule: conflicts },
          ...{ hasKey: true, triggers: [] },
        })),
      };
    },
    async rescue({ of }, { user } = {}) {
      enter(`rescue ${of}`);
      users.push(user);
      return rescued(of);
    },
    async undoRescue(id, { user } = {}) {
      enter(`undoRescue ${id}`);
      users.push(user);
      return { rescue: { ...rescued(firstBackup), undoneAt: new Date(0) }, undone: 2, left: 0 };
    },
    async rescues() {
      enter('rescues');
      return [rescued(firstBackup)];
    },
    async adoptBackup(filename) {
      enter('adoptBackup');
      const { item, bytes } = get(filename);
      const adopted = { ...item, foreign: false };
      backups.set(filename, { item: adopted, bytes });
      return adopted;
    },
    arrivals: {
      async begin({ name, sizeBytes }) {
        enter('beginArrival');
        arrived = { name, sizeBytes, receivedBytes: 0 };
        return { id: arrivalId };
      },
      async append(id, at, bytes) {
        enter(`appendArrival ${at} ${bytes.length}`);
        const receivedBytes = at + bytes.length;
        arrived = { ...requireArrived(id), receivedBytes };
        return { receivedBytes };
      },
      async check(id) {
        enter('checkArrival');
        const { name, sizeBytes } = requireArrived(id);
        return {
          ...{ id, name, sizeBytes, createdAt: new Date(0), sha256: '0'.repeat(64), isWal: false, rows: 3 },
          tables: [{ name: 'orders', rows: 3, bytes: 4_096 }],
          ...{ furtherTables: 0, likeness: 'unknown', diff: null, known: null, remarks: [] },
        };
      },
      async adopt(id, { user } = {}) {
        enter('adoptArrival');
        users.push(user);
        requireArrived(id);
        arrived = null;
        return get(firstBackup).item;
      },
      async discard() {
        enter('discardArrival');
        arrived = null;
      },
      async adoptFile(path) {
        enter(`adoptFile ${path}`);
        const { id } = await this.begin({ name: path, sizeBytes: 4_096 });
        return { arrival: await this.check(id), backup: await this.adopt(id) };
      },
    },
    async updateBackup(filename, change) {
      enter('updateBackup');
      const { item, bytes } = get(filename);
      const changed = { ...item, ...change };
      backups.set(filename, { item: changed, bytes });
      return changed;
    },
    async findRestorePoint(wanted, { from, fromOther } = {}) {
      requireTarget(from);
      enter(from ? `findRestorePoint ${from}` : 'findRestorePoint');
      return find(wanted, fromOther);
    },
    async planRestore(wanted, options) {
      enter(`planRestore${fromOf(options)}`);
      const { filename, moment } = typeof wanted === 'string' ? { filename: wanted } : find(wanted);
      const { item } = get(filename);
      return {
        ...(moment && { moment }),
        backup: filename,
        confirm: 'dev.sqlite',
        expected: 'stamp-1',
        now: { sizeBytes: 1_000, changedAt: new Date(0), pageSize: 4_096 },
        after: {
          sizeBytes: item.size,
          createdAt: item.createdAt,
          verified: item.verified,
          pageSize: 4_096,
        },
        tables: [{ name: 'orders', now: 12, after: 10 }],
        modes: ['online', 'offline'],
        mode: options?.mode ?? 'online',
        openIn: [],
        undo: true,
        warnings: [],
      };
    },
    async restore(wanted, options) {
      enter(`restore ${options?.mode ?? 'online'}${fromOf(options)}`);
      users.push(options?.user);
      const { filename, moment } = typeof wanted === 'string' ? { filename: wanted } : find(wanted);
      if (filename.startsWith('backup-')) get(filename);
      const result = await restored(
        'restore',
        filename,
        options?.mode ?? 'online',
        options?.to ?? './db/dev.sqlite',
        options?.onProgress,
      );
      return moment ? { ...result, moment } : result;
    },
    async undoRestore(options) {
      const mode = options?.mode ?? 'online';
      enter(mode === 'online' ? 'undoRestore' : `undoRestore ${mode}`);
      users.push(options?.user);
      return restored('undo', firstBackup, mode, './db/dev.sqlite', options?.onProgress);
    },
    async moments() {
      enter('moments');
      return { found: null, near: [], ranges: [], gaps: [], marks: [], sizeBytes: 0, tag: null };
    },
    async mark(name) {
      enter(`mark ${name}`);
      return { name, bookmark: '0000000000000001' };
    },
    async durable() {
      enter('durable');
      return { bookmark: '000000000000002a', at: new Date('2024-01-15T10:31:07.000Z') };
    },
    pauseContinuous() {
      enter('pauseContinuous');
    },
    resumeContinuous() {
      enter('resumeContinuous');
      return true;
    },
    dismissRestore() {
      enter('dismissRestore');
      return true;
    },
    async prune(options) {
      requireTarget(options?.target);
      enter(`prune ${options?.target ?? 'local'}`);
      return {
        target: options?.target ?? 'local',
        kept: [{ filename: secondBackup, reasons: ['newest'] }],
        removed: [{ filename: firstBackup, reason: 'older than the 1 kept' }],
        dryRun: options?.dryRun ?? false,
      };
    },
    async diagnose(options) {
      enter(`diagnose${options?.s3 ? ' with s3' : ''}`);
      const bad = { code: 'same-disk', severity: 'warning', what: 'all of /srv/app/db is on one disk' } as const;
      const good = {
        code: 'clock',
        severity: 'ok',
        what: 'no backup is dated in the future',
        why: null,
        fix: null,
      } as const;
      const findings = behaviour.damaged
        ? [{ ...bad, why: 'Disks die.', fix: 'chmod 700 /srv/app/backups' }, good]
        : [good];
      return { ok: !behaviour.damaged, findings };
    },
    async drill(options) {
      requireTarget(options?.target);
      enter(
        `drill ${options?.target ?? 'each'}${options?.identity ? ` with ${options.identity}` : ''}${options?.without ? ` without ${options.without}` : ''}`,
      );
      users.push(options?.user);
      const error = behaviour.runError ?? null;
      const result = error === null ? 'proven' : says(error.code, 'refusal') ? 'refused' : 'failed';
      const [target, backup] = [options?.target ?? 'local', secondBackup];
      return { ok: !error, drills: [{ target, result, backup, sizeBytes: 1_000, ms: 3_200, assertions: 2, error }] };
    },
    async testTarget(name): Promise<TargetReport> {
      requireTarget(name);
      enter(`testTarget ${name}`);
      await behaviour.until;
      const failed = behaviour.targetFails === true;
      return {
        target: name,
        place: name === 's3' ? 'bucket "my-backups" at s3.example.com' : 'folder ./storage/backups',
        ok: !failed,
        ms: 184,
        findings: [
          { check: 'write', result: 'ok', message: 'a test object was written', hint: null },
          failed
            ? { check: 'private', result: 'failed', message: 'the bucket is public', hint: 'Close it now.' }
            : { check: 'private', result: 'ok', message: 'strangers may not read', hint: null },
          { check: 'create-only', result: 'warning', message: 'the server ignores it', hint: 'Use one prefix each.' },
        ],
        policy: name === 's3' ? leastPrivilegePolicy({ bucket: 'my-backups', prefix: 'backups/database' }) : null,
      };
    },
    setUp: {
      show(): ShownSetUp {
        enter('showSetUp');
        const part = (name: keyof typeof setUpVariables) => ({
          setBy: setUps.has(name) ? ('page' as const) : null,
          variable: setUpVariables[name],
          where: setUps.get(name) ?? null,
          complaint: null,
        });
        return {
          ...{ s3: part('s3'), folder: part('folder'), webhook: part('webhook'), heartbeat: part('heartbeat') },
          ...{ bucket: null, s3Path: settings.s3Path },
          file: { path: './storage/velist-backup.credentials.json', complaint: null },
        };
      },
      async plan({ bucket, path, endpoint }) {
        enter('planSetUp');
        const { host, protocol } = new URL(endpoint ?? 'https://s3.amazonaws.com');
        const policy = leastPrivilegePolicy({ bucket, prefix: path });
        return { where: `s3://${bucket}/${path}`, host, isPlain: protocol === 'http:', policy };
      },
      async test(given, { onFinding } = {}): Promise<TargetReport> {
        enter(`testSetUp ${given.part}`);
        await behaviour.until;
        const failed = behaviour.targetFails === true;
        const findings: TargetReport['findings'] = [
          ...setUpFindings,
          failed
            ? { check: 'write', result: 'failed', message: 'nothing can be written', hint: 'Allow it.', ms: 31 }
            : { check: 'write', result: 'ok', message: 'a test object was written', hint: null, ms: 31 },
        ];
        for (const finding of findings) onFinding?.(finding);
        return { target: given.part, place: 'the place', ok: !failed, ms: 184, findings, policy: null };
      },
      async save(given): Promise<TargetReport> {
        enter(`saveSetUp ${given.part}`);
        const report = await this.test(given);
        if (report.ok) setUps.set(given.part, 'path' in given ? given.path : 'https://chat.example/…');
        emit({ type: 'status' });
        return report;
      },
      async remove(part) {
        enter(`removeSetUp ${part}`);
        setUps.delete(part);
        emit({ type: 'status' });
      },
    },
    async stopRun() {
      enter('stopRun');
      const stop = stopAsked;
      stop?.();
      return stop !== undefined;
    },
    on(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/** Several of them behind one door. */
export function fakeGuard(
  databases: readonly { readonly name: string; readonly service: FakeService }[],
): FleetPort<FakeService> & { readonly acts: AuditEntry[] } {
  const above = createFakeService();
  return {
    ...{ isMany: true, databases, acts: above.acts },
    getAudit: (filter) => [above, ...databases.map(({ service }) => service)].flatMap((one) => one.getAudit(filter)),
    recordAct: (act) => above.recordAct(act),
  };
}
