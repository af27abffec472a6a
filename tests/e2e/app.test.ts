/** The real app, its real page and a real browser: what a person does with a database that another process writes to. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'bun:test';
import { createHash } from 'node:crypto';
import { closeSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import type { Backup, ErrorAnswer, Status } from '../../src/http/contract.ts';
import { type App, startApp } from '../support/app.ts';
import { judgeBank, makeBank, startWriter } from '../support/bank.ts';
import { openElsewhere, scratchFolders } from '../support/scratch.ts';
import { openBrowser } from './ui-browser.ts';
import { buildPage } from './ui-build.ts';

/** Large enough that a run is longer than what the page does not show. */
const DATABASE_BYTES = 768 * 1024 * 1024;
const PATIENCE_MS = 120_000;

const newFolder = scratchFolders();
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
let browser: Browser;
let folder: string;
let database: string;
let backups: string;
let app: App;
/** Ends what a test started beside the app. */
let endings: (() => Promise<unknown>)[];
/** What no page may have: an error, or something that the policy forbids. */
let faults: string[];

beforeAll(async () => {
  await buildPage();
  browser = await openBrowser();
}, PATIENCE_MS);
afterAll(() => browser.close());

beforeEach(() => {
  folder = newFolder();
  database = join(folder, 'bank.sqlite');
  backups = join(folder, 'backups');
  faults = [];
  endings = [];
});
afterEach(async () => {
  for (const context of browser.contexts()) await context.close();
  for (const end of endings) await end();
  await app.stop();
});

async function openApp(options: { sizeBytes?: number; environment?: Record<string, string> } = {}): Promise<void> {
  makeBank(database, { sizeBytes: options.sizeBytes ?? 1024 * 1024 });
  app = await startApp({ database, backups, environment: options.environment });
  await app.says(/Completed: /);
}

async function openPage(options: BrowserContextOptions = {}): Promise<Page> {
  const context = await browser.newContext({
    viewport: { width: 1280, height: 860 },
    reducedMotion: 'reduce',
    timezoneId: 'Europe/Berlin',
    ...options,
  });
  const page = await context.newPage();
  page.on('pageerror', (error) => faults.push(error.message));
  page.on('console', (message) => {
    if (message.type() === 'error') faults.push(message.text());
  });
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) =>
      console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`),
    );
  });
  await page.goto(app.url);
  await page.locator('.row').first().waitFor();
  return page;
}

async function axeFaults(page: Page): Promise<readonly string[]> {
  return (await page.evaluate(
    `${axe}; axe.run().then((result) => result.violations.map((violation) => violation.id + ' ' + violation.nodes.map((node) => node.target).join(', ')))`,
  )) as string[];
}

async function ask<Answer>(path: string, method = 'GET', body?: object): Promise<{ status: number; body: Answer }> {
  const response = await fetch(`${app.url}/${path}`, {
    method,
    ...(body === undefined
      ? {}
      : {
          body: JSON.stringify(body),
          headers: { 'content-type': 'application/json', origin: new URL(app.url).origin },
        }),
  });
  return { status: response.status, body: (await response.json()) as Answer };
}

const backupList = async () => (await ask<{ backups: Backup[] }>('api/backups')).body.backups;
const sha256 = (path: string) => createHash('sha256').update(readFileSync(path)).digest('hex');
const topName = (page: Page) => page.locator('.rows .mono').first();
const rowOf = (page: Page, filename: string) => page.locator('.row', { hasText: filename });

async function backupNow(): Promise<string> {
  const { body } = await ask<{ filename: string }>('now', 'POST');
  return body.filename;
}

test(
  'Backup Now shows what it does while it does it, then the new backup',
  async () => {
    await openApp({ sizeBytes: DATABASE_BYTES });
    const page = await openPage();
    const before = await topName(page).textContent();
    // Every headline and percentage the page shows, as it shows them.
    await page.evaluate(() => {
      const seen: string[] = [];
      Object.assign(window, { seen });
      const look = () => {
        const texts = [
          document.querySelector('.verdict h2')?.textContent?.trim(),
          document.querySelector('[role=progressbar]')?.getAttribute('aria-valuetext'),
        ];
        for (const text of texts) if (text && seen.at(-1) !== text) seen.push(text);
      };
      new MutationObserver(look).observe(document.body, {
        subtree: true,
        childList: true,
        characterData: true,
        attributes: true,
      });
    });
    await page.getByRole('button', { name: 'Backup Now' }).first().click();
    await page.locator('.toast', { hasText: 'Backup Successful' }).waitFor();
    await page.waitForFunction((name) => document.querySelector('.rows .mono')?.textContent !== name, before);
    await page.getByRole('heading', { name: 'Protected' }).waitFor();

    const seen = await page.evaluate(() => (window as unknown as { seen: string[] }).seen);
    const percents = seen
      .map((text) => Number(/^(\d+) percent/.exec(text)?.[1]))
      .filter((percent) => !Number.isNaN(percent));
    expect(seen.some((text) => /^Backing up/.test(text))).toBe(true);
    expect(new Set(percents).size).toBeGreaterThan(2);
    expect([...percents].sort((a, b) => a - b)).toEqual(percents);
    const [newest] = await backupList();
    expect(await topName(page).textContent()).toBe(newest?.filename ?? '');
    expect(await rowOf(page, newest?.filename ?? '').textContent()).toMatch(/Latest.*Manual.*Verified.*Local/s);
    expect(await axeFaults(page)).toEqual([]);
    expect(faults).toEqual([]);
  },
  PATIENCE_MS,
);

test(
  'a run that another client asked for shows at once in every page that is open',
  async () => {
    await openApp();
    const [one, other] = await Promise.all([
      openPage(),
      openPage({ colorScheme: 'dark', viewport: { width: 390, height: 844 } }),
    ]);
    const filename = await backupNow();
    for (const page of [one, other]) {
      await rowOf(page, filename).waitFor();
      expect(await page.locator('.toast').count()).toBe(0);
      expect(await axeFaults(page)).toEqual([]);
      expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBeLessThanOrEqual(0);
    }
    expect(faults).toEqual([]);
  },
  PATIENCE_MS,
);

test(
  'what is configured holds over a restart of the app, and the open page finds it again',
  async () => {
    await openApp();
    const page = await openPage();
    await page.getByRole('button', { name: 'Configure' }).first().click();
    await page.getByLabel('Retention Count (backups to keep)').fill('7');
    await page.getByRole('button', { name: '1 hour' }).click();
    await page.getByText('over about').waitFor();
    expect(await axeFaults(page)).toEqual([]);
    await page.getByRole('button', { name: 'Save Configuration' }).click();
    await page.locator('.toast', { hasText: 'Configuration saved' }).waitFor();
    await page.getByText('Every 1h').waitFor();
    expect(faults).toEqual([]);

    const { port } = new URL(app.url);
    await app.stop();
    await page.getByRole('heading', { name: 'No contact with the server' }).waitFor();
    app = await startApp({ database, backups, environment: { PORT: port } });
    await page.getByRole('heading', { name: 'Protected' }).waitFor();
    await page.getByText('Every 1h').waitFor();
    const { body } = await ask<Status>('api/status');
    expect(body.schedule.intervalMinutes).toBe(60);
    expect(body.local.keep).toBe(7);
    await page.getByRole('button', { name: 'Configure' }).first().click();
    expect(await page.getByLabel('Retention Count (backups to keep)').inputValue()).toBe('7');
    await page.getByRole('button', { name: 'Back to 10', exact: true }).waitFor();
  },
  PATIENCE_MS,
);

test(
  'a download has the bytes of the file on disk, and verifying says so',
  async () => {
    await openApp();
    const page = await openPage();
    const [backup] = await backupList();
    const filename = backup?.filename ?? '';
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page
        .getByRole('link', { name: /Download backup/ })
        .first()
        .click(),
    ]);
    expect(download.suggestedFilename()).toBe(filename);
    const saved = join(folder, 'downloaded.sqlite');
    await download.saveAs(saved);
    expect(sha256(saved)).toBe(sha256(join(backups, filename)));
    expect(sha256(saved)).toBe(backup?.sha256 ?? '');
    expect(judgeBank(saved).complaint).toBeNull();

    await page
      .getByRole('button', { name: /More for backup/ })
      .first()
      .click();
    expect(await axeFaults(page)).toEqual([]);
    await page.getByRole('button', { name: 'Full integrity check' }).click();
    await page.locator('.toast', { hasText: 'full integrity check' }).waitFor();
    await rowOf(page, filename)
      .getByTitle(/^Full integrity check/)
      .waitFor();
    expect(faults).toEqual([]);
  },
  PATIENCE_MS,
);

test(
  'a backup with one wrong byte is found by verifying, named damaged, and not restored',
  async () => {
    await openApp();
    const page = await openPage();
    const [backup] = await backupList();
    const filename = backup?.filename ?? '';
    flipByte(join(backups, filename), 5_000);
    await page
      .getByRole('button', { name: /More for backup/ })
      .first()
      .click();
    await page.getByRole('button', { name: 'Verify now' }).click();
    await page.locator('.toast', { hasText: 'This backup is damaged' }).waitFor();
    await rowOf(page, filename).getByText('Damaged').waitFor();
    await page.locator('.verdict[data-tone=bad]').waitFor();
    expect(
      await page
        .getByRole('button', { name: /Restore backup of/ })
        .first()
        .isDisabled(),
    ).toBe(true);
    expect(await axeFaults(page)).toEqual([]);

    const before = sha256(database);
    const refused = await ask<ErrorAnswer>(`api/backups/${filename}/restore`, 'POST', { confirm: 'bank.sqlite' });
    expect(refused.body.error.code).toBe('VERIFY_FAILED');
    expect(sha256(database)).toBe(before);
    expect(faults).toEqual([]);
  },
  PATIENCE_MS,
);

test(
  'a deletion says that it will happen, can be taken back, and then removes the file and its manifest',
  async () => {
    await openApp();
    await elsewhere("INSERT INTO log VALUES (2, 'more') RETURNING id");
    await backupNow();
    const page = await openPage();
    const filename = (await backupList())[1]?.filename ?? '';
    const remove = async () => {
      await rowOf(page, filename)
        .getByRole('button', { name: /Delete backup/ })
        .click();
      await page.getByRole('button', { name: 'Delete backup', exact: true }).click();
      await page.locator('.toast', { hasText: 'Deleting the backup' }).waitFor();
    };
    await remove();
    expect(await axeFaults(page)).toEqual([]);
    await page.getByRole('button', { name: 'Undo', exact: true }).click();
    await page.locator('.toast').waitFor({ state: 'detached' });
    expect(await Bun.file(join(backups, filename)).exists()).toBe(true);
    await remove();
    await rowOf(page, filename).waitFor({ state: 'detached' });
    expect((await backupList()).map((backup) => backup.filename)).not.toContain(filename);
    expect(await Bun.file(join(backups, filename)).exists()).toBe(false);
    expect(await Bun.file(join(backups, `${filename}.json`)).exists()).toBe(false);
    expect(faults).toEqual([]);
  },
  PATIENCE_MS,
);

test(
  'a restore while a writer goes on brings back the old rows, and Undo the new ones',
  async () => {
    await openApp({ sizeBytes: 8 * 1024 * 1024 });
    const neighbour = await openElsewhere(database);
    const writer = await startWriter(database, { perSecond: 50, busyTimeoutMs: 20_000 });
    endings.push(neighbour.close, writer.stop);
    const filename = await backupNow();
    const inBackup = judgeBank(join(backups, filename)).transactions;
    const page = await openPage();
    await neighbour.ask('INSERT INTO accounts VALUES (5000, 0) RETURNING id');
    await rowOf(page, filename)
      .getByRole('button', { name: /Restore backup/ })
      .click();
    await page.getByLabel(/to confirm/).waitFor();
    expect(await axeFaults(page)).toEqual([]);
    await page.getByLabel(/to confirm/).fill('bank.sqlite');
    await page.getByLabel(/to confirm/).press('Enter');
    await page.getByRole('heading', { name: 'Restored', exact: true }).waitFor();
    expect(await neighbour.ask('SELECT count(*) FROM accounts WHERE id = 5000')).toBe(0);
    expect(await neighbour.ask('SELECT sum(balance) FROM accounts')).toBe(1_000_000);
    expect(await neighbour.ask(`SELECT count(*) FROM log WHERE id <= ${inBackup}`)).toBe(inBackup);

    await page.getByRole('button', { name: 'Undo restore' }).click();
    await page.getByLabel(/to confirm/).fill('bank.sqlite');
    await page.getByLabel(/to confirm/).press('Enter');
    await page.locator('.toast', { hasText: 'Restore undone' }).waitFor();
    expect(await neighbour.ask('SELECT count(*) FROM accounts WHERE id = 5000')).toBe(1);
    expect(await neighbour.ask('SELECT sum(balance) FROM accounts')).toBe(1_000_000);
    expect(await neighbour.ask('PRAGMA integrity_check')).toBe('ok');
    expect(faults).toEqual([]);
  },
  PATIENCE_MS,
);

async function elsewhere(sql: string): Promise<unknown> {
  const neighbour = await openElsewhere(database);
  const value = await neighbour.ask(sql);
  await neighbour.close();
  return value;
}

function flipByte(path: string, at: number): void {
  const file = openSync(path, 'r+');
  const byte = new Uint8Array(1);
  readSync(file, byte, 0, 1, at);
  writeSync(
    file,
    byte.map((value) => value ^ 0xff),
    0,
    1,
    at,
  );
  closeSync(file);
}
