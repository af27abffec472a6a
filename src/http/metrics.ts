/**
 * The service in figures, as Prometheus text. Everything is asked of the service at each scrape and nothing is counted
 * here: what counts runs is the run history, so a restart loses no count. What is not there (no backup at a target yet)
 * has no sample; the state says `unprotected` then.
 *
 * The client library is loaded by the first scrape: it takes longer to load than the rest of the routes.
 */
import type { Gauge } from '@prometheus-io/client';
import { protectionStates } from '../service/protection/freshness.ts';
import type { RunKind, Status } from '../service/model.ts';
import type { BackupServicePort } from '../service/service-port.ts';

const runKinds = ['backup', 'upload', 'verify', 'restore', 'undo', 'drill'] as const satisfies readonly RunKind[];

export interface Metrics {
  readonly contentType: string;
  readonly text: string;
}

type Figures = Pick<BackupServicePort, 'getStatus' | 'getRuns' | 'getRunTotals'>;

/** With several databases each sample has the label `database`. One that can't be read counts as unprotected. */
export async function renderMetricsOfAll(
  databases: readonly { readonly name: string; readonly service: Figures }[],
): Promise<Metrics> {
  let contentType = 'text/plain; version=0.0.4; charset=utf-8';
  /** The head of a metric, and its samples of all databases: in the format they stand together. */
  const families = new Map<string, string[]>();
  for (const { name, service } of databases) {
    const figures = await renderMetrics(service, { database: name }).catch(() => unreadable(name));
    contentType = figures.contentType;
    for (const family of figures.text.split(/^(?=# HELP )/m)) {
      const lines = family.split('\n').filter((line) => line !== '');
      const head = lines.filter((line) => line.startsWith('#')).join('\n');
      families.set(head, [...(families.get(head) ?? []), ...lines.filter((line) => !line.startsWith('#'))]);
    }
  }
  const text = [...families].map(([head, samples]) => `${[head, ...samples].join('\n')}\n`).join('\n');
  return { contentType, text };
}

const stateHelp = 'How the database is protected: 1 at one of the four states.';

function unreadable(name: string): Metrics {
  const head = `# HELP velist_backup_state ${stateHelp}\n# TYPE velist_backup_state gauge\n`;
  const text = `${head}velist_backup_state{state="unprotected",database="${name}"} 1\n`;
  return { contentType: 'text/plain; version=0.0.4; charset=utf-8', text };
}

export async function renderMetrics(service: Figures, labels: Readonly<Record<string, string>> = {}): Promise<Metrics> {
  const { Counter, Gauge, Registry } = await import('@prometheus-io/client');
  const registry = new Registry();
  registry.setDefaultLabels(labels);
  const registers = [registry];
  const gauge = (name: string, help: string, ...labelNames: string[]) =>
    new Gauge({ name: `velist_backup_${name}`, help, labelNames, registers });
  const counter = (name: string, help: string, ...labelNames: string[]) =>
    new Counter({ name: `velist_backup_${name}`, help, labelNames, registers });

  const status = await service.getStatus();
  const runs = counter('runs_total', 'Runs that ended.', 'kind', 'result', 'trigger');
  const runBytes = counter('run_bytes_total', 'Bytes of the backups that runs made or uploaded.', 'kind');
  for (const { kind, result, trigger, count, sizeBytes } of service.getRunTotals()) {
    runs.inc({ kind, result, trigger }, count);
    if ((kind === 'backup' || kind === 'upload') && result === 'success') runBytes.inc({ kind }, sizeBytes);
  }

  const lastSeconds = gauge('last_run_seconds', 'How long the last run that succeeded took.', 'kind');
  const lastSteps = gauge('last_run_step_seconds', 'How long each of its steps took.', 'kind', 'step');
  const lastBytes = gauge('last_run_bytes', 'Size of the backup that it made, sent or checked.', 'kind');
  for (const kind of runKinds) {
    const [last] = service.getRuns({ kind, result: 'success', limit: 1 });
    if (!last) continue;
    lastSeconds.set({ kind }, Math.max(0, last.endedAt.getTime() - last.startedAt.getTime()) / 1_000);
    for (const { name, ms } of last.steps) if (ms !== undefined) lastSteps.set({ kind, step: name }, ms / 1_000);
    if (last.sizeBytes !== null) lastBytes.set({ kind }, last.sizeBytes);
  }

  const ages = {
    changed: gauge('database_change_age_seconds', 'Since the database was seen to change last.'),
    good: gauge('good_age_seconds', 'Since the newest good backup was known to be the whole truth.', 'target'),
    verified: gauge('verified_age_seconds', 'Since a backup that is there passed a check last.', 'target'),
    stored: gauge('stored_age_seconds', 'Since a backup was stored there last.', 'target'),
    proven: gauge('proven_restore_age_seconds', 'Since a drill proved a restore from there last.', 'target'),
    drillSeconds: gauge('proven_restore_seconds', 'How long that restore took.', 'target'),
    drillFailing: gauge(
      'drill_failing',
      'Whether a drill there failed, and none since proved as new a backup.',
      'target',
    ),
    damaged: gauge('damaged_backups', 'Backups there that did not pass their last check.', 'target'),
  };
  addAges(ages, status);
  if (status.continuous) addCaptured(gauge, status.continuous, status.serverTime);

  gauge('age_limit_seconds', 'A good backup that is older is too old.').set(status.maxAgeMinutes * 60);
  gauge('database_bytes', 'Size of the database, with its write-ahead log.').set(status.database.sizeBytes);
  gauge('disk_free_bytes', 'Free on the disk of the backup folder.').set(status.local.freeBytes);
  gauge('folder_bytes', 'Size of all backups in the folder.').set(status.local.sizeBytes);
  const backups = gauge('backups', 'Backups that are there.', 'target');
  backups.set({ target: 'local' }, status.local.count);
  const targets = status.targets.filter(({ enabled }) => enabled);
  for (const { target, stored } of targets) backups.set({ target }, stored);
  const waiting = targets.reduce((sum, target) => sum + target.waiting, 0);
  gauge('uploads_waiting', 'Backups that are yet to be uploaded, counted for each target.').set(waiting);
  gauge('loss_open', 'Whether a backup lost much and nobody has said that it was meant.').set(status.loss ? 1 : 0);
  gauge('running', 'Whether a run is going.').set(status.run ? 1 : 0);
  const state = gauge('state', stateHelp, 'state');
  for (const name of protectionStates) state.set({ state: name }, name === status.freshness.state ? 1 : 0);
  gauge('info', 'The version of this program.', 'version').set({ version: status.version }, 1);
  return { contentType: registry.contentType, text: await registry.metrics() };
}

/** Only where commits are to be captured. */
function addCaptured(
  gauge: (name: string, help: string) => Gauge<string>,
  { caughtUpAt, concern, sizeBytes, untrue }: NonNullable<Status['continuous']>,
  now: Date,
): void {
  gauge('captured', 'Whether every commit is captured.').set(concern === null ? 1 : 0);
  gauge('captured_untrue', 'Whether the database or its stream is not what was committed.').set(untrue ? 1 : 0);
  gauge('captured_bytes', 'Size of the stream on this disk.').set(sizeBytes);
  if (caughtUpAt === null) return;
  const age = gauge('captured_age_seconds', 'Since all that was committed was seen to be captured.');
  age.set(Math.max(0, (now.getTime() - caughtUpAt.getTime()) / 1_000));
}

/** By the server's own clock, so that no other one has to be right. A moment of the future has no age yet. */
function addAges(
  ages: Readonly<
    Record<
      'changed' | 'good' | 'verified' | 'stored' | 'proven' | 'drillSeconds' | 'drillFailing' | 'damaged',
      Gauge<string>
    >
  >,
  { serverTime, freshness }: Status,
): void {
  const since = (moment: Date) => Math.max(0, (serverTime.getTime() - moment.getTime()) / 1_000);
  if (freshness.changedAt) ages.changed.set(since(freshness.changedAt));
  // Without labels it begins at 0.
  else ages.changed.remove();
  for (const { target, goodAt, verifiedAt, storedAt, proven, drill, damaged } of freshness.targets) {
    if (goodAt) ages.good.set({ target }, since(goodAt));
    if (verifiedAt) ages.verified.set({ target }, since(verifiedAt));
    if (storedAt) ages.stored.set({ target }, since(storedAt));
    if (proven) {
      ages.proven.set({ target }, since(proven.at));
      ages.drillSeconds.set({ target }, proven.ms / 1_000);
    }
    ages.damaged.set({ target }, damaged);
    if (drill) ages.drillFailing.set({ target }, drill.result === 'failed' ? 1 : 0);
  }
}
