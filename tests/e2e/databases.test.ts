/** The real app with a configuration file and three databases: the overview and the picker in a real browser. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { type App, startApp } from '../support/app.ts';
import { makeDatabase, scratchFolders } from '../support/scratch.ts';
import { axeFaults } from './app-scene.ts';
import { openBrowser } from './ui-browser.ts';
import { buildPage } from './ui-build.ts';

const PATIENCE_MS = 120_000;
const newFolder = scratchFolders();
const password = 'correct horse';
let browser: Browser;
let app: App;

beforeAll(async () => {
  await buildPage();
  const folder = newFolder();
  mkdirSync(join(folder, 'tenants'));
  for (const name of ['app', 'tenants/acme', 'tenants/zoo']) makeDatabase(join(folder, `${name}.sqlite`));
  writeFileSync(
    join(folder, 'velist-backup.config.ts'),
    `import { defineConfig } from 'velist-backup';
     const password: string = ${JSON.stringify(password)};
     export default defineConfig({
       adminPassword: password,
       databases: [{ path: './app.sqlite' }, { glob: './tenants/*.sqlite', keepDaily: 7 }],
     });`,
  );
  app = await startApp({ database: join(folder, 'unused.sqlite'), backups: join(folder, 'backups') });
  for (const name of ['app', 'tenants.acme', 'tenants.zoo'])
    await app.says(new RegExp(`\\[Backup\\] ${name}: Completed: `));
  browser = await openBrowser();
}, PATIENCE_MS);
afterAll(async () => {
  await browser?.close();
  await app?.stop();
});

async function signedIn(viewport: { width: number; height: number }): Promise<{ page: Page; faults: string[] }> {
  const page = await (await browser.newContext({ viewport })).newPage();
  const faults: string[] = [];
  page.on('pageerror', (error) => faults.push(String(error)));
  page.on('console', (message) => {
    if (/Content.Security.Policy/i.test(message.text())) faults.push(message.text());
  });
  await page.goto(app.url);
  await page.getByLabel('Password').fill(password);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('link', { name: 'tenants.acme', exact: true }).waitFor();
  return { page, faults };
}

test(
  'one signs in once, sees all databases, and picks another one by the keyboard',
  async () => {
    const { page, faults } = await signedIn({ width: 1280, height: 800 });
    await page.getByText('3 databases, last checked').waitFor();
    await page.getByRole('button', { name: '3 protected' }).waitFor();
    expect(await page.locator('tr.db .namec a').allTextContents()).toEqual(['app', 'tenants.acme', 'tenants.zoo']);
    expect(await axeFaults(page)).toEqual([]);
    // A backup that is asked for here is told here, as it goes on.
    await page.getByLabel('Pick tenants.zoo').check();
    await page.getByRole('button', { name: 'Verify' }).click();
    await page.locator('tr[data-name="tenants.zoo"]').getByText('newest backup checked').waitFor();
    await page.getByRole('button', { name: 'Back up all 3' }).click();
    for (const name of ['app', 'tenants.acme', 'tenants.zoo'])
      await page.locator(`tr[data-name="${name}"]`).getByText('backed up').waitFor();
    await page.locator('tr[data-name=app] .strip').waitFor();
    await page.getByRole('link', { name: 'tenants.acme', exact: true }).click();
    const picker = page.getByRole('button', { name: 'Database: tenants.acme' });
    await picker.waitFor();
    await page.locator('.row').first().waitFor();
    expect(page.url()).toBe(`${app.url}/db/tenants.acme/`);
    // The command to copy picks it, too.
    await page.locator('.row').first().getByRole('button').first().click();
    await page.getByText(/restore backup-\S+ --online --database tenants\.acme/).waitFor();
    await page.keyboard.press('Escape');

    await picker.press('Enter');
    const zoo = page.getByRole('link', { name: 'tenants.zoo Protected' });
    await zoo.waitFor();
    expect(await axeFaults(page)).toEqual([]);
    await page.keyboard.press('Escape');
    await zoo.waitFor({ state: 'hidden' });
    await picker.press('Enter');
    // All databases, app, tenants.acme, tenants.zoo.
    for (let presses = 0; presses < 4; presses++) await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: 'Database: tenants.zoo' }).waitFor();
    expect(page.url()).toBe(`${app.url}/db/tenants.zoo/`);
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByLabel('Password').waitFor();
    expect(page.url()).toBe(`${app.url}/login`);
    expect(faults).toEqual([]);
    await page.context().close();
  },
  PATIENCE_MS,
);

test(
  'on a phone nothing is wider than the screen',
  async () => {
    const { page, faults } = await signedIn({ width: 375, height: 667 });
    const isWide = () => document.documentElement.scrollWidth > innerWidth;
    expect(await page.evaluate(isWide)).toBe(false);
    await page.getByRole('link', { name: 'app', exact: true }).click();
    await page.getByRole('button', { name: 'Database: app' }).click();
    await page.getByRole('link', { name: 'All databases' }).waitFor();
    expect(await page.evaluate(isWide)).toBe(false);
    await page.getByRole('link', { name: 'All databases' }).click();
    await page.waitForURL(`${app.url}/`);
    expect(faults).toEqual([]);
    await page.context().close();
  },
  PATIENCE_MS,
);
