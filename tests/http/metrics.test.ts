/** The metrics of a real service over HTTP, and the dashboard that is drawn of them. */
import { afterAll, expect, test } from 'bun:test';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import parsePrometheus from 'parse-prometheus-text-format';
import { createServer } from '../../src/http/server.ts';
import type { BackupServicePort } from '../../src/service/service-port.ts';
import { openShop, scratchFolders } from '../support/scratch.ts';
import { createFakeService } from './fake-service.ts';

const scratch = scratchFolders();
const dashboard = readFileSync(join(import.meta.dir, '../../docs/grafana.json'), 'utf8');
const opened: { stop(): Promise<void> }[] = [];
afterAll(async () => {
  for (const server of opened) await server.stop();
});

/** Samples by name and labels, as a scraper reads them, and the names that have a type. */
async function scrape(service: BackupServicePort) {
  const server = createServer({ service, port: 0 });
  opened.push(server);
  const { url } = await server.listen();
  const response = await fetch(`${url}/metrics`);
  const text = await response.text();
  const samples = new Map<string, number>();
  for (const line of text.split('\n').filter((one) => one !== '' && !one.startsWith('#'))) {
    const [, name = '', value = ''] = /^(\S+?(?:\{.*\})?) (\S+)$/.exec(line) ?? [];
    samples.set(name.replace('velist_backup_', ''), Number(value));
  }
  // What a parser of the format makes of it is what we read: no sample is lost, doubled or without type and help.
  const families = parsePrometheus(text);
  expect(families.flatMap(({ metrics }) => metrics).length).toBe(samples.size);
  expect(families.filter(({ type, help }) => help === '' || !['GAUGE', 'COUNTER'].includes(type))).toEqual([]);
  return {
    status: response.status,
    type: response.headers.get('content-type'),
    names: new Set([...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name ?? '')),
    value: (name: string) => samples.get(name),
    samples,
  };
}

test('what the service knows is served as Prometheus text', async () => {
  await using shop = openShop(scratch());
  const { size = 0 } = await shop.service.performBackup();
  await shop.service.performBackup();
  const { status, type, value, samples } = await scrape(shop.service);
  expect([status, type]).toEqual([200, 'text/plain; version=0.0.4; charset=utf-8']);
  expect(value('runs_total{kind="backup",result="success",trigger="manual"}')).toBe(2);
  expect([value('run_bytes_total{kind="backup"}'), value('last_run_bytes{kind="backup"}')]).toEqual([2 * size, size]);
  expect(value('last_run_step_seconds{kind="backup",step="copy"}')).toBeGreaterThanOrEqual(0);
  expect(value('last_run_seconds{kind="backup"}')).toBeGreaterThan(0);
  expect(value('database_bytes')).toBeGreaterThanOrEqual(size);
  expect(value('disk_free_bytes')).toBeGreaterThan(0);
  expect(value('good_age_seconds{target="local"}')).toBeLessThan(60);
  expect(value('verified_age_seconds{target="local"}')).toBeLessThan(60);
  expect(value('stored_age_seconds{target="local"}')).toBeLessThan(60);
  expect([value('backups{target="local"}'), value('uploads_waiting'), value('running')]).toEqual([2, 0, 0]);
  expect([...samples].filter(([name]) => name.startsWith('state{'))).toEqual([
    ['state{state="protected"}', 1],
    ['state{state="late"}', 0],
    ['state{state="at-risk"}', 0],
    ['state{state="unprotected"}', 0],
  ]);
  expect([...samples.values()].every(Number.isFinite)).toBe(true);
});

test('a restart loses no count, and what failed is counted as failed', async () => {
  await using shop = openShop(scratch());
  await shop.service.performBackup();
  rmSync(shop.databasePath);
  expect((await shop.service.performBackup()).success).toBe(false);
  await shop.service.close();
  const { value } = await scrape(shop.again());
  expect(value('runs_total{kind="backup",result="success",trigger="manual"}')).toBe(1);
  expect(value('runs_total{kind="backup",result="failed",trigger="manual"}')).toBe(1);
  expect(value('state{state="at-risk"}')).toBe(1);
});

test('before the first backup the state says unprotected, and no age is made up', async () => {
  await using shop = openShop(scratch(), { form: null });
  const { value, samples } = await scrape(shop.service);
  expect(value('state{state="unprotected"}')).toBe(1);
  const ofRuns = /_age_seconds|^last_run|^runs_total/;
  expect([...samples.keys()].filter((name) => ofRuns.test(name))).toEqual([]);
});

test('metrics need a right of their own; health tells the state only to who has it', async () => {
  const rights: string[] = [];
  const server = createServer({
    service: createFakeService(),
    authorize: (_, action) => rights.push(action) > 0 && false,
  });
  const refused = await server.fetch(new Request('http://localhost/backup/metrics'));
  expect([refused.status, rights]).toEqual([403, ['metrics']]);
  expect(await (await server.fetch(new Request('http://localhost/backup/health'))).json()).toEqual({ status: 'ok' });
});

test('every query of the Grafana dashboard asks for a metric that is served, and every metric is on it', async () => {
  const { names } = await scrape(createFakeService());
  const asked = new Set(dashboard.match(/velist_backup_[a-z_]+/g));
  expect([...asked].filter((name) => !names.has(name))).toEqual([]);
  expect([...names].filter((name) => !asked.has(name))).toEqual([]);
});

test('every label that the dashboard shows is one of its metric', async () => {
  await using shop = openShop(scratch());
  await shop.service.performBackup();
  await shop.service.drill();
  const { samples } = await scrape(shop.service);
  const { panels } = JSON.parse(dashboard) as {
    panels: { targets: { expr: string; legendFormat: string }[] }[];
  };
  for (const { expr, legendFormat } of panels.flatMap(({ targets }) => targets)) {
    const metric = /velist_backup_([a-z_]+)/.exec(expr)?.[1] ?? '';
    const sample = [...samples.keys()].find((name) => name.replace(/\{.*/, '') === metric) ?? '';
    const labels = [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label]) => label ?? '');
    const unknown = labels.filter(
      (label) => !['instance', 'database'].includes(label) && !sample.includes(`${label}="`),
    );
    expect([expr, unknown]).toEqual([expr, []]);
  }
});

test('a drill is a figure of its place: since when a restore is proven, and how long it took', async () => {
  await using shop = openShop(scratch());
  await shop.service.performBackup();
  expect((await scrape(shop.service)).value('proven_restore_age_seconds{target="local"}')).toBeUndefined();
  await shop.service.drill();
  const { value } = await scrape(shop.service);
  expect(value('proven_restore_age_seconds{target="local"}')).toBeLessThan(60);
  expect(value('proven_restore_seconds{target="local"}')).toBeGreaterThan(0);
  expect(value('drill_failing{target="local"}')).toBe(0);
});
