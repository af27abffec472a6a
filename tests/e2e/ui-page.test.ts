/** The page in a real browser against the fixture server: what it asks of the server, and what it never asks. */
import { afterAll, afterEach, beforeAll, expect, test } from 'bun:test';
import type { Browser, Page } from 'playwright-core';
import { openBrowser } from './ui-browser.ts';
import { buildPage } from './ui-build.ts';
import { type Fixture, type State, startFixture } from './ui-fixture.ts';

const patienceMs = 60_000;
let browser: Browser;
const fixtures: Fixture[] = [];

beforeAll(async () => {
  await buildPage();
  browser = await openBrowser();
}, patienceMs);
afterAll(() => browser.close());
afterEach(async () => {
  for (const context of browser.contexts()) await context.close();
  for (const fixture of fixtures.splice(0)) await fixture.stop();
});

async function open(state: State): Promise<{ page: Page; fixture: Fixture }> {
  const fixture = startFixture(state);
  fixtures.push(fixture);
  const page = await browser.newPage({ viewport: { width: 1280, height: 860 }, reducedMotion: 'reduce' });
  await page.goto(fixture.url);
  await page.locator('.verdict h2').waitFor();
  return { page, fixture };
}

test(
  'Backup Now shows the steps, then the new backup on top',
  async () => {
    const { page, fixture } = await open('ok');
    const before = await page.locator('.rows .mono').first().textContent();
    await page.getByRole('button', { name: 'Backup Now' }).first().click();
    await page.getByRole('heading', { name: /Backing up/ }).waitFor();
    await page.getByText('Backup Successful').first().waitFor();
    await page.waitForFunction((name) => document.querySelector('.rows .mono')?.textContent !== name, before);
    expect(fixture.asked).toEqual(['POST now?wait=false']);
  },
  patienceMs,
);

test(
  'a restore is sent only with the typed name, and with the stamp of the plan that was shown',
  async () => {
    const { page, fixture } = await open('ok');
    await page
      .getByRole('button', { name: /Restore backup of/ })
      .nth(2)
      .click();
    const field = page.getByLabel(/to confirm/);
    const button = page.getByRole('button', { name: 'Restore backup', exact: true });
    await field.fill('Dev.sqlite');
    await field.press('Enter');
    expect(await button.isDisabled()).toBe(true);
    expect(fixture.asked).toEqual([]);
    await field.fill(' dev.sqlite ');
    await field.press('Enter');
    await page.getByRole('heading', { name: 'Restored', exact: true }).waitFor();
    expect(fixture.asked).toEqual([
      'POST api/backups/backup-2026-11-22T10-10-00-000Z.sqlite/restore {"confirm":"dev.sqlite","mode":"online","expected":"stamp-1"}',
    ]);
    await page.getByRole('button', { name: 'Undo restore' }).click();
    await page.getByRole('heading', { name: 'Undo the restore?' }).waitFor();
    await page.getByLabel(/to confirm/).fill('dev.sqlite');
    await page.getByLabel(/to confirm/).press('Enter');
    await page.getByText('Restore undone').first().waitFor();
    expect(fixture.asked.at(-1)).toBe('POST api/restore/undo {"confirm":"dev.sqlite"}');
  },
  patienceMs,
);

test(
  'a deletion can be taken back for eight seconds, then it is sent for the chosen copy',
  async () => {
    const { page, fixture } = await open('ok');
    const remove = page.getByRole('button', { name: /Delete backup of/ }).nth(3);
    await remove.click();
    await page.getByRole('button', { name: 'Delete backup', exact: true }).click();
    await page.getByRole('button', { name: 'Undo', exact: true }).click();
    await remove.click();
    await page.getByLabel('Local copy').uncheck();
    await page.getByRole('button', { name: 'Delete S3 copy' }).click();
    expect(fixture.asked).toEqual([]);
    await page.getByText('10-00-00-000Z').first().waitFor({ state: 'detached', timeout: 15_000 });
    expect(fixture.asked).toEqual(['DELETE backup-2026-11-22T10-00-00-000Z.sqlite?target=s3']);
  },
  patienceMs,
);

test(
  'saving sends what differs, and a start value as a revert; leaving unsaved asks',
  async () => {
    const { page, fixture } = await open('ok');
    await page.getByRole('button', { name: 'Configure' }).first().click();
    await page.getByRole('button', { name: '1 hour' }).click();
    await page.getByRole('button', { name: 'Close configuration' }).click();
    await page.getByRole('button', { name: 'Keep editing' }).click();
    await page.getByRole('button', { name: 'Back to 7' }).click();
    await page.getByRole('button', { name: 'Save Configuration' }).click();
    await page.getByText('Configuration saved').waitFor();
    expect(fixture.asked).toEqual(['POST config {"intervalMinutes":60,"revert":["retentionCount"]}']);
  },
  patienceMs,
);

test(
  'the connection is tested as saved; what is wrong is said with what to do',
  async () => {
    const { page, fixture } = await open('ok');
    await page.getByRole('button', { name: 'Configure' }).first().click();
    const button = page.getByRole('button', { name: 'Test connection' });
    await page.getByLabel('S3 path').fill('elsewhere');
    expect(await button.isDisabled()).toBe(true);
    await page.getByLabel('S3 path').fill('backups/database');
    await button.click();
    await page.getByText('Connection works: wrote, read back and removed test objects in 184 ms').waitFor();
    expect(fixture.asked).toEqual(['POST api/targets/s3/test']);

    const broken = (await open('s3-waiting')).page;
    // From the verdict, by one press.
    await broken.locator('.verdict').getByRole('button', { name: 'Test connection' }).click();
    await broken.getByText('The bucket is public: anyone can read backups without a key.').waitFor();
    await broken.getByText('Give every machine a prefix of its own').waitFor();
    await broken.getByText('The least that the key must be allowed').click();
    await broken.getByText('arn:aws:s3:::my-backups/backups/database/*').waitFor();
    expect(await broken.getByText('Connection works').count()).toBe(0);
  },
  patienceMs,
);

test(
  'a lost server is said within seconds, and what was known stays',
  async () => {
    const { page, fixture } = await open('ok');
    const rows = await page.locator('.row').count();
    await fixture.stop();
    await page.getByRole('heading', { name: 'No contact with the server' }).waitFor({ timeout: 15_000 });
    expect(await page.locator('.row').count()).toBe(rows);
    expect(await page.title()).toBe('No contact with the server · Database Backup');
  },
  patienceMs,
);
