/**
 * The real app on a real database, its real page and a real browser, for the tests of one file. Each test gets a new
 * folder, and what it started is ended after it.
 */
import { afterAll, afterEach, beforeAll, beforeEach } from 'bun:test';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import type { Backup } from '../../src/http/contract.ts';
import { type App, startApp } from '../support/app.ts';
import { makeBank } from '../support/bank.ts';
import { openElsewhere, scratchFolders } from '../support/scratch.ts';
import { openBrowser } from './ui-browser.ts';
import { buildPage } from './ui-build.ts';

export const PATIENCE_MS = 120_000;

export interface Scene {
  folder: string;
  database: string;
  backups: string;
  app: App;
  /** Ends what a test started beside the app. */
  endings: (() => Promise<unknown>)[];
  /** What no page may have: an error, or something that the policy forbids. */
  faults: string[];
}

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** To be called once, at the top of a test file. */
export function setScene() {
  const newFolder = scratchFolders();
  const here = {} as Scene; // made anew before each test
  let browser: Browser;

  beforeAll(async () => {
    await buildPage();
    browser = await openBrowser();
  }, PATIENCE_MS);
  afterAll(() => browser.close());
  beforeEach(() => {
    const folder = newFolder();
    Object.assign(here, {
      ...{ folder, database: join(folder, 'bank.sqlite'), backups: join(folder, 'backups') },
      ...{ endings: [], faults: [] },
    });
  });
  afterEach(async () => {
    for (const context of browser.contexts()) await context.close();
    for (const end of here.endings) await end();
    await here.app.stop();
  });

  async function openApp(options: { sizeBytes?: number; environment?: Record<string, string> } = {}): Promise<void> {
    makeBank(here.database, { sizeBytes: options.sizeBytes ?? 1024 * 1024 });
    await startAgain(options.environment);
    await here.app.says(/Completed: /);
  }

  /** The app on what is there. */
  async function startAgain(environment: Record<string, string> = {}): Promise<void> {
    const { database, backups } = here;
    here.app = await startApp({ database, backups, environment });
  }

  /** @param options.url where the page is asked for, the app itself unless told. */
  async function openPage({
    url = here.app.url,
    ...options
  }: BrowserContextOptions & { url?: string } = {}): Promise<Page> {
    const context = await browser.newContext({
      viewport: { width: 1280, height: 860 },
      reducedMotion: 'reduce',
      timezoneId: 'Europe/Berlin',
      ...options,
    });
    const page = await context.newPage();
    page.on('pageerror', (error) => here.faults.push(error.message));
    page.on('console', (message) => {
      if (message.type() === 'error') here.faults.push(message.text());
    });
    await page.addInitScript(() => {
      document.addEventListener('securitypolicyviolation', (event) =>
        console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`),
      );
    });
    await page.goto(url);
    await page.locator('.row').first().waitFor();
    return page;
  }

  async function ask<Answer>(path: string, method = 'GET', body?: object): Promise<{ status: number; body: Answer }> {
    const response = await fetch(`${here.app.url}/${path}`, {
      method,
      ...(body === undefined
        ? {}
        : {
            body: JSON.stringify(body),
            headers: { 'content-type': 'application/json', origin: new URL(here.app.url).origin },
          }),
    });
    return { status: response.status, body: (await response.json()) as Answer };
  }

  async function backupList(): Promise<readonly Backup[]> {
    return (await ask<{ backups: Backup[] }>('api/backups')).body.backups;
  }

  async function backupNow(): Promise<string> {
    return (await ask<{ filename: string }>('now', 'POST')).body.filename;
  }

  /** By another connection than the app's. */
  async function elsewhere(sql: string): Promise<unknown> {
    const neighbour = await openElsewhere(here.database);
    const value = await neighbour.ask(sql);
    await neighbour.close();
    return value;
  }

  return { here, openApp, startAgain, openPage, ask, backupList, backupNow, elsewhere };
}

export async function axeFaults(page: Page): Promise<readonly string[]> {
  return (await page.evaluate(
    `${axe}; axe.run().then((result) => result.violations.map((violation) => violation.id + ' ' + violation.nodes.map((node) => node.target).join(', ')))`,
  )) as string[];
}
