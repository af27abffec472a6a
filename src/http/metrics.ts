/**
 * The service in figures, as Prometheus text. Everything is asked of the service at each scrape and nothing is counted
 * here: what counts runs is the run history, so a restart loses no count. What is not there (no backup at a target yet)
 * has no sample; the state says `unprotected` then.
 *
 * The client library is loaded by the first scrape: it takes longer to load than the rest of the routes.
 */
import type { Counter, Gauge } from '@prometheus-io/client';
import { lagSeconds } from '../service/continuous/continuous-status.ts';
import { protectionStates } from '../service/protection/freshness.ts';
import type { RunKind, Status } from '../service/model.ts';
import type { BackupServicePort } from '../service/service-port.ts';
import { inTurns } from './in-turns.ts';

const runKinds = [
  'backup',
  'upload',
  'verify',
  'restore',
  'undo',
  'drill',
  'rescue',
  'undo-rescue',
] as const satisfies readonly RunKind[];

export interface Metrics {
  readonly contentType: string;
  readonly text: string;
}

type Figures = Pick<BackupServicePort, 'getStatus' | 'getRuns' | 'getRunTotals'>;
type Labels = Readonly<Record<string, string>>;

interface Asked {
  /** Each of its samples has them. */
  readonly labels: Labels;
  /** Null if it can't be read. */
  readonly figures: Awaited<ReturnType<typeof figuresOf>> | null;
}

/** With several databases each sample has the label `database`. One that can't be read counts as unprotected. */
export async function renderMetricsOfAll(
  databases: readonly { readonly name: string; readonly service: Figures }[],
): Promise<Metrics> {
  const asked = await inTurns(databases, async ({ name, service }) => ({
    labels: { database: name },
    figures: await figuresOf(service).catch(() => null),
  }));
  return await render(asked, ['database']);
}

/** @throws BackupError as `getStatus` */
export async function renderMetrics(service: Figures): Promise<Metrics> {
  return await render([{ labels: {}, figures: await figuresOf(service) }], []);
}

async function figuresOf(service: Figures) {
  const status = await service.getStatus();
  const last = runKinds.flatMap((kind) => service.getRuns({ kind, result: 'success', limit: 1 }));
  return { status, totals: service.getRunTotals(), last };
}

async function render(databases: readonly Asked[], common: readonly string[]): Promise<Metrics> {
  const { Counter, Gauge, Registry } = await import('@prometheus-io/client');
  const registry = new Registry();
  const registers = [registry];
  const gauge = (name: string, help: string, ...own: string[]) =>
    new Gauge({ name: `velist_backup_${name}`, help, labelNames: [...own, ...common], registers });
  const counter = (name: string, help: string, ...own: string[]) =>
    new Counter({ name: `velist_backup_${name}`, help, labelNames: [...own, ...common], registers });
  const metrics = {
    runs: runMetrics(gauge, counter),
    ages: ageMetrics(gauge),
    stand: standMetrics(gauge),
    captured: capturedMetrics(gauge),
  };
  for (const { labels, figures } of databases) {
    if (figures) {
      metrics.runs(figures, labels);
      metrics.ages(figures.status, labels);
      metrics.stand(figures.status, labels);
      metrics.captured(figures.status, labels);
    } else metrics.stand(null, labels);
  }
  return { contentType: registry.contentType, text: await registry.metrics() };
}

type MakeGauge = (name: string, help: string, ...labels: string[]) => Gauge<string>;
type MakeCounter = (name: string, help: string, ...labels: string[]) => Counter<string>;

function runMetrics(gauge: MakeGauge, counter: MakeCounter) {
  const runs = counter('runs_total', 'Runs that ended.', 'kind', 'result', 'trigger');
  const runBytes = counter('run_bytes_total', 'Bytes of the backups that runs made or uploaded.', 'kind');
  const lastSeconds = gauge('last_run_seconds', 'How long the last run that succeeded took.', 'kind');
  const lastSteps = gauge('last_run_step_seconds', 'How long each of its steps took.', 'kind', 'step');
  const lastBytes = gauge('last_run_bytes', 'Size of the backup that it made, sent or checked.', 'kind');
  return ({ totals, last }: Pick<NonNullable<Asked['figures']>, 'totals' | 'last'>, labels: Labels) => {
    for (const { kind, result, trigger, count, sizeBytes } of totals) {
      runs.inc({ kind, result, trigger, ...labels }, count);
      if ((kind === 'backup' || kind === 'upload') && result === 'success')
        runBytes.inc({ kind, ...labels }, sizeBytes);
    }
    for (const { kind, startedAt, endedAt, steps, sizeBytes } of last) {
      lastSeconds.set({ kind, ...labels }, Math.max(0, endedAt.getTime() - startedAt.getTime()) / 1_000);
      for (const { name, ms } of steps)
        if (ms !== undefined) lastSteps.set({ kind, step: name, ...labels }, ms / 1_000);
      if (sizeBytes !== null) lastBytes.set({ kind, ...labels }, sizeBytes);
    }
  };
}

/** By the server's own clock, so that no other one has to be right. A moment of the future has no age yet. */
function ageMetrics(gauge: MakeGauge) {
  const changed = gauge('database_change_age_seconds', 'Since the database was seen to change last.');
  const good = gauge('good_age_seconds', 'Since the newest good backup was known to be the whole truth.', 'target');
  const verified = gauge('verified_age_seconds', 'Since a backup that is there passed a check last.', 'target');
  const stored = gauge('stored_age_seconds', 'Since a backup was stored there last.', 'target');
  const drilled = gauge('proven_restore_age_seconds', 'Since a drill proved a restore from there last.', 'target');
  const drillSeconds = gauge('proven_restore_seconds', 'How long that restore took.', 'target');
  const drillFailing = gauge(
    'drill_failing',
    'Whether a drill there failed, and none since proved as new a backup.',
    'target',
  );
  const damagedBackups = gauge('damaged_backups', 'Backups there that did not pass their last check.', 'target');
  return ({ serverTime, freshness }: Status, labels: Labels) => {
    const since = (moment: Date) => Math.max(0, (serverTime.getTime() - moment.getTime()) / 1_000);
    if (freshness.changedAt) changed.set(labels, since(freshness.changedAt));
    // Without labels it begins at 0.
    else if (Object.keys(labels).length === 0) changed.remove();
    for (const { target, goodAt, verifiedAt, storedAt, proven, drill, damaged } of freshness.targets) {
      const there = { target, ...labels };
      if (goodAt) good.set(there, since(goodAt));
      if (verifiedAt) verified.set(there, since(verifiedAt));
      if (storedAt) stored.set(there, since(storedAt));
      if (proven) {
        drilled.set(there, since(proven.at));
        drillSeconds.set(there, proven.ms / 1_000);
      }
      damagedBackups.set(there, damaged);
      if (drill) drillFailing.set(there, drill.result === 'failed' ? 1 : 0);
    }
  };
}

/** Made with the first of their samples: nobody who captures no commits has them. */
function capturedMetrics(gauge: MakeGauge) {
  const made = new Map<string, Gauge<string>>();
  const set = (name: string, help: string, labels: Labels, value: number) => {
    const metric = made.get(name) ?? gauge(name, help, ...('target' in labels ? ['target'] : []));
    made.set(name, metric);
    metric.set(labels, value);
  };
  return ({ serverTime, continuous }: Status, labels: Labels) => {
    if (!continuous) return;
    const { caughtUpAt, concern, sizeBytes, targets, untrue } = continuous;
    set('captured', 'Whether every commit is captured.', labels, concern === null ? 1 : 0);
    set('captured_untrue', 'Whether the database or its stream is not what was committed.', labels, untrue ? 1 : 0);
    set('captured_bytes', 'Size of the stream on this disk.', labels, sizeBytes);
    for (const target of targets) {
      const there = { target: target.name, ...labels };
      set(
        'continuous_lag_seconds',
        'Age of the oldest commit that is not there.',
        there,
        lagSeconds(target, serverTime),
      );
      set('continuous_waiting_bytes', 'What was captured and is not there.', there, target.waitingBytes);
      if (target.sizeBytes !== null) set('continuous_bytes', 'Size of the stream there.', there, target.sizeBytes);
    }
    if (caughtUpAt === null) return;
    const ageSeconds = Math.max(0, (serverTime.getTime() - caughtUpAt.getTime()) / 1_000);
    set('captured_age_seconds', 'Since all that was committed was seen to be captured.', labels, ageSeconds);
  };
}

/** How a database stands; of one that can't be read no more than that it is unprotected. */
function standMetrics(gauge: MakeGauge) {
  const ageLimit = gauge('age_limit_seconds', 'A good backup that is older is too old.');
  const databaseBytes = gauge('database_bytes', 'Size of the database, with its write-ahead log.');
  const freeBytes = gauge('disk_free_bytes', 'Free on the disk of the backup folder.');
  const folderBytes = gauge('folder_bytes', 'Size of all backups in the folder.');
  const backups = gauge('backups', 'Backups that are there.', 'target');
  const waiting = gauge('uploads_waiting', 'Backups that are yet to be uploaded, counted for each target.');
  const lossOpen = gauge('loss_open', 'Whether a backup lost much and nobody has said that it was meant.');
  const running = gauge('running', 'Whether a run is going.');
  const state = gauge('state', 'How the database is protected: 1 at one of the four states.', 'state');
  const info = gauge('info', 'The version of this program.', 'version');
  return (status: Status | null, labels: Labels) => {
    if (status === null) return void state.set({ state: 'unprotected', ...labels }, 1);
    const targets = status.targets.filter(({ enabled }) => enabled);
    ageLimit.set(labels, status.maxAgeMinutes * 60);
    databaseBytes.set(labels, status.database.sizeBytes);
    freeBytes.set(labels, status.local.freeBytes);
    folderBytes.set(labels, status.local.sizeBytes);
    backups.set({ target: 'local', ...labels }, status.local.count);
    for (const { target, stored } of targets) backups.set({ target, ...labels }, stored);
    waiting.set(
      labels,
      targets.reduce((sum, target) => sum + target.waiting, 0),
    );
    lossOpen.set(labels, status.loss ? 1 : 0);
    running.set(labels, status.run ? 1 : 0);
    for (const name of protectionStates) state.set({ state: name, ...labels }, name === status.freshness.state ? 1 : 0);
    info.set({ version: status.version, ...labels }, 1);
  };
}
