/**
 * Pictures of the real app with three days behind it: real backups, a run log, a writer at work; light and dark, wide
 * and narrow. Fails when the page logged an error, broke the policy, scrolls sideways or axe found a fault.
 *
 * `bun tests/e2e/shots.ts [folder]`
 */
import { createHash, randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { Page } from 'playwright-core';
import { nameBackup } from '../../src/engine/format/names.ts';
import { MANIFEST_FORMAT, type Manifest } from '../../src/engine/format/manifest.ts';
import type { Run } from '../../src/service/model.ts';
import { RunHistory } from '../../src/service/state/run-history.ts';
import { startApp } from '../support/app.ts';
import { makeBank, startWriter } from '../support/bank.ts';
import { openBrowser } from './ui-browser.ts';
import { buildPage } from './ui-build.ts';

const HOUR_MS = 3_600_000;
const HISTORY_HOURS = 60;
const STEP_HOURS = 3;

interface Scene {
  readonly name: string;
  readonly act?: (page: Page) => Promise<unknown>;
  /** Done once, before the pictures. */
  readonly before?: () => Promise<unknown>;
  readonly fullPage?: boolean;
}

const folder = process.argv[2] ?? join(tmpdir(), 'shots');
mkdirSync(folder, { recursive: true });
const scratch = mkdtempSync(join(tmpdir(), 'velist-shots-'));
const database = join(scratch, 'bank.sqlite');
const backups = join(scratch, 'backups');
const faults: string[] = [];

await buildPage();
makeBank(database, { sizeBytes: 12 * 1024 * 1024 });
makeHistory(new Date());
const writer = await startWriter(database, { perSecond: 2, busyTimeoutMs: 20_000 });
const environment = { BACKUP_RETENTION_COUNT: '24', BACKUP_INTERVAL_MINUTES: '180' };
const app = await startApp({ database, backups, environment });
await app.says(/Completed: /);
const browser = await openBrowser();

const menu = (page: Page) => page.getByRole('button', { name: 'More for backup' }).nth(1).click();
const button = (page: Page, name: string) => page.getByRole('button', { name }).and(page.locator(':visible')).first();

async function fromRow(page: Page, wide: string, inMenu: string): Promise<void> {
  const direct = page.getByRole('button', { name: wide }).nth(1);
  if (await direct.isVisible()) return direct.click();
  await menu(page);
  await page.getByRole('button', { name: inMenu }).click();
}

const scenes: readonly Scene[] = [
  { name: '1-history', fullPage: true },
  {
    name: '2-log',
    fullPage: true,
    async act(page) {
      await page.getByRole('tab', { name: 'Run log' }).click();
      await page.getByText('Failed at Copy.').click();
    },
  },
  { name: '3-menu', act: menu },
  {
    name: '4-configuration',
    fullPage: true,
    async act(page) {
      await button(page, 'Configure').click();
      await page.getByLabel('Retention Count (backups to keep)').fill('48');
      await page.getByText('over about').waitFor();
    },
  },
  {
    name: '5-restore',
    async act(page) {
      await fromRow(page, 'Restore backup of', 'Restore…');
      await page.getByLabel(/to confirm/).fill('bank.sqlite');
    },
  },
  { name: '6-delete', act: (page) => fromRow(page, 'Delete backup of', 'Delete…') },
  {
    name: '7-backed-up',
    async act(page) {
      await button(page, 'Backup Now').click();
      await page.locator('.toast', { hasText: 'Backup Successful' }).waitFor();
    },
  },
  {
    name: '8-restored',
    async before() {
      const { body } = await ask(`${app.url}/api/backups`);
      const filename = (body as { backups: { filename: string }[] }).backups[5]?.filename;
      await ask(`${app.url}/api/backups/${filename}/restore`, { confirm: 'bank.sqlite', mode: 'online' });
    },
    fullPage: true,
  },
];

for (const scene of scenes) {
  await scene.before?.();
  for (const colorScheme of ['light', 'dark'] as const)
    for (const width of [1280, 390]) await shoot(scene, colorScheme, width);
  console.log(scene.name);
}
await browser.close();
await writer.stop();
await app.stop();
rmSync(scratch, { recursive: true });
for (const fault of faults) console.error(fault);
console.log(`${faults.length} faults, pictures in ${folder}`);
process.exit(faults.length === 0 ? 0 : 1);

async function shoot(scene: Scene, colorScheme: 'light' | 'dark', width: number): Promise<void> {
  const name = `${scene.name}-${colorScheme}-${width}`;
  const narrow = width < 640;
  const context = await browser.newContext({
    colorScheme,
    viewport: { width, height: narrow ? 844 : 860 },
    hasTouch: narrow,
    timezoneId: 'Europe/Berlin',
    reducedMotion: 'reduce',
  });
  const page = await context.newPage();
  page.on('pageerror', (error) => faults.push(`${name}: ${error.message}`));
  page.on('console', (message) => {
    if (message.type() === 'error') faults.push(`${name}: ${message.text()}`);
  });
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) =>
      console.error(`policy: ${event.violatedDirective}`),
    );
  });
  try {
    await page.goto(app.url);
    await page.locator('.row').first().waitFor();
    await page.evaluate(() => document.fonts.ready);
    await scene.act?.(page);
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    if (overflow > 0) faults.push(`${name}: scrolls sideways by ${overflow} px`);
    const axe = readFileSync(join(import.meta.dirname, '../../node_modules/axe-core/axe.min.js'), 'utf8');
    const found = await page.evaluate(
      `${axe}; axe.run().then(({ violations }) => violations.map(({ id, nodes }) => id + ' ' + nodes.map((node) => node.target).join(', ')))`,
    );
    for (const violation of found as string[]) faults.push(`${name}: axe ${violation}`);
  } catch (error) {
    faults.push(`${name}: ${error instanceof Error ? error.message : error}`);
  }
  await page.screenshot({ path: join(folder, `${name}.png`), fullPage: scene.fullPage ?? false });
  await context.close();
}

async function ask(url: string, body?: object): Promise<{ body: unknown }> {
  const post = { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } };
  const response = await fetch(url, body === undefined ? {} : post);
  const answer: unknown = await response.json();
  if (!response.ok) throw new Error(`${url}: ${JSON.stringify(answer)}`);
  return { body: answer };
}

/** A backup every three hours while the database grew, one of them pinned, one damaged, one made by hand elsewhere. */
function makeHistory(now: Date): void {
  mkdirSync(backups, { recursive: true });
  const history = new RunHistory(join(scratch, 'state.sqlite'), { warn: console.error });
  const source = new DatabaseSync(database);
  const grow = source.prepare(
    'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) INSERT INTO filler (payload) SELECT randomblob(3000) FROM n',
  );
  let sequence = 0;
  for (let hours = HISTORY_HOURS; hours > 0; hours -= STEP_HOURS) {
    const at = new Date(now.getTime() - hours * HOUR_MS);
    grow.run(20 + ((hours * 7) % 50));
    if (hours === 12) {
      history.add(failedRun(at));
      continue;
    }
    const file = join(backups, nameBackup(at));
    source.prepare('VACUUM INTO ?').run(file);
    if (hours === 33) continue;
    const pinned = hours === 48;
    const manifest = manifestOf(file, { at, sequence: ++sequence, pinned, damaged: hours === 21 });
    writeFileSync(`${file}.json`, JSON.stringify(manifest));
    history.add(goodRun(at, manifest));
  }
  source.close();
  history.close();
}

function manifestOf(
  path: string,
  { at, sequence, pinned, damaged }: { at: Date; sequence: number; pinned: boolean; damaged: boolean },
): Manifest {
  const sizeBytes = statSync(path).size;
  const sha256 = createHash('sha256').update(readFileSync(path)).digest('hex');
  const name = nameBackup(at);
  const complaint = damaged ? 'row 812 missing from index log_by_text' : null;
  return {
    format: MANIFEST_FORMAT,
    name,
    sequence,
    createdAt: at.toISOString(),
    source: { name: 'bank.sqlite', journalMode: 'wal' },
    database: { sizeBytes, pageSize: 4096, pages: sizeBytes / 4096, sha256 },
    artifact: { file: name, sizeBytes, sha256, compression: 'none', encryption: 'none' },
    verification: { method: 'quick', at: at.toISOString(), complaint },
    trigger: pinned ? 'manual' : 'schedule',
    user: null,
    pinned,
    note: pinned ? 'before the migration to 2.0' : null,
    copy: { method: 'pinned-copy', checkpoint: null },
    stamp: null,
    versions: { velistBackup: '0.1.0', sqlite: '3.50.0', runtime: 'bun' },
  };
}

function goodRun(at: Date, { name, trigger, artifact }: Manifest): Run {
  const steps = [
    ['checkpoint', 12],
    ['copy', 81],
    ['verify', 240],
    ['publish', 19],
    ['prune', 8],
  ] as const;
  return {
    id: randomUUID(),
    kind: 'backup',
    trigger,
    user: null,
    plannedAt: at,
    startedAt: at,
    endedAt: new Date(at.getTime() + 360),
    result: 'success',
    backup: name,
    sizeBytes: artifact.sizeBytes,
    steps: steps.map(([step, ms]) => ({ name: step, state: 'done', ms })),
    error: null,
  };
}

function failedRun(at: Date): Run {
  return {
    id: randomUUID(),
    kind: 'backup',
    trigger: 'schedule',
    user: null,
    plannedAt: at,
    startedAt: at,
    endedAt: new Date(at.getTime() + 90),
    result: 'failed',
    backup: null,
    sizeBytes: null,
    steps: [
      { name: 'checkpoint', state: 'done', ms: 12 },
      { name: 'copy', state: 'failed', ms: 40 },
    ],
    error: {
      code: 'DISK_FULL',
      message: 'the backup needs 12.6 MB, 3.1 MB are free',
      hint: 'Free some space on the disk of the backups, or keep fewer of them.',
    },
  };
}
