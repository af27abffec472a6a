/** The overview of several databases in a real browser: order, search, picks, keys, a long list, a phone. */
import { readdirSync, readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { expect, test } from 'bun:test';
import type { BrowserContextOptions, Page } from 'playwright-core';
import { axeFaults } from './app-scene.ts';
import { startFixture } from './ui-fixture.ts';
import { type OverviewOptions, startOverview } from './ui-overview-fixture.ts';
import { openScene } from './ui-scene.ts';

const PATIENCE_MS = 120_000;
const BYTES_MAX = 45 * 1024;
const assets = new URL('../../dist/page/assets/', import.meta.url);
const scene = openScene(PATIENCE_MS);
const { fixtures } = scene;

const wide = { viewport: { width: 1280, height: 860 } };
const phone = { viewport: { width: 390, height: 844 }, hasTouch: true };

async function open(options: OverviewOptions = {}, as: BrowserContextOptions = wide) {
  const opened = await scene.open(startOverview(options), as);
  await opened.page.getByText('last checked').waitFor();
  return opened;
}

const names = (page: Page) => page.locator('tr.db .namec a').allTextContents();
const row = (page: Page, name: string) => page.locator(`tr.db[data-name="${name}"]`);
const focusedName = (page: Page) => page.evaluate(() => document.activeElement?.closest('tr')?.dataset['name']);

test(
  'the worst are first, then by name; four numbers count all and show some',
  async () => {
    const { page } = await open();
    expect((await names(page)).slice(0, 6)).toEqual(['billing', 'shop', 'tenants.acme', 'events', 'app', 'auth']);
    expect(await page.locator('.grp').allTextContents()).toEqual([
      ...['Need attention', 'Worth a look', 'Working', 'Protected'],
    ]);
    await row(page, 'billing').getByText('newest good 13:50').waitFor();
    await row(page, 'events').getByText('Backing up… 62%').waitFor();
    await row(page, 'shop')
      .getByRole('img', { name: /^Last 24 hours: \d+ good, 1 failed$/ })
      .waitFor();
    expect(await page.title()).toStartWith('! 2 need attention');
    expect(await axeFaults(page)).toEqual([]);

    await page.getByRole('button', { name: '2 need attention' }).click();
    expect(await names(page)).toEqual(['billing', 'shop']);
    await page.getByRole('button', { name: '10 protected' }).click();
    expect((await names(page)).length).toBe(10);
    await page.getByRole('button', { name: '10 protected' }).click();
    await page.keyboard.press('/');
    await page.keyboard.type('tenants acme');
    expect(await names(page)).toEqual(['tenants.acme']);
    await page.keyboard.type('x');
    await page.getByText('No database matches “tenants acmex”').waitFor();
    await page.getByRole('button', { name: 'Show all' }).click();
    expect((await names(page)).length).toBe(14);
    expect(await row(page, 'billing').getByRole('link', { name: 'Bring back…' }).getAttribute('href')).toEndWith(
      '/backup/db/billing/#bring-back',
    );
  },
  PATIENCE_MS,
);

test(
  'the order stays while the pointer is in the list, and what changed shows at once',
  async () => {
    const { page, fixture } = await open();
    const before = await names(page);
    await row(page, 'jobs').hover();
    fixture.happensTo('search', { tone: 'red', code: 'too-old', label: 'Last backup is too old' });
    await row(page, 'search').getByText('Last backup is too old').waitFor();
    await page.getByRole('button', { name: '3 need attention' }).waitFor();
    expect(await names(page)).toEqual(before);
    await page.mouse.move(5, 5);
    await page.locator('tr.db:nth-child(4)[data-name=shop]').waitFor();
    expect((await names(page)).slice(0, 3)).toEqual(['billing', 'search', 'shop']);
  },
  PATIENCE_MS,
);

test(
  'a database that appears meanwhile is below all others, and a list that is gone holds no order',
  async () => {
    const { page, fixture } = await open();
    const before = await names(page);
    await row(page, 'jobs').hover();
    fixture.appears('auto');
    fixture.happensTo('search', { tone: 'red', code: 'too-old', label: 'Last backup is too old' });
    await row(page, 'search').getByText('Last backup is too old').waitFor();
    expect(await names(page)).toEqual([...before, 'auto']);
    // Below the pointer the list goes, and comes back when the pointer is elsewhere.
    await page.keyboard.press('/');
    await page.keyboard.type('nobody');
    await page.getByText('No database matches “nobody”').waitFor();
    await page.mouse.move(5, 5);
    await page.getByLabel('Find a database').fill('');
    await page.locator('tr.db:nth-child(4)[data-name=shop]').waitFor();
    expect((await names(page)).slice(0, 7)).toEqual([
      ...['billing', 'search', 'shop', 'tenants.acme', 'events', 'app', 'auth'],
    ]);
  },
  PATIENCE_MS,
);

test(
  'a row that has the focus and is no longer drawn holds no order',
  async () => {
    const { page, fixture } = await open({ more: 986 });
    await page.keyboard.press('j');
    expect(await focusedName(page)).toBe('billing');
    // Some browsers tell it when an element goes that had the focus, others do not.
    await page.evaluate(() => addEventListener('focusout', (event) => event.stopImmediatePropagation(), true));
    await page.evaluate(() => scrollTo(0, document.documentElement.scrollHeight));
    await row(page, 'tenants.zoo').waitFor();
    await row(page, 'billing').waitFor({ state: 'detached' });
    fixture.happensTo('tenants.zoo', { tone: 'red', code: 'too-old', label: 'Last backup is too old' });
    await page.getByRole('button', { name: '3 need attention' }).waitFor();
    await page.evaluate(() => scrollTo(0, 0));
    await row(page, 'billing').waitFor();
    expect((await names(page)).slice(0, 3)).toEqual(['billing', 'shop', 'tenants.zoo']);
  },
  PATIENCE_MS,
);

test(
  'three are picked by keys and backed up; the one that failed stays picked and says why',
  async () => {
    const { page, fixture } = await open({ failing: ['auth'] });
    for (let presses = 0; presses < 5; presses++) await page.keyboard.press('j');
    expect(await focusedName(page)).toBe('app');
    await page.keyboard.press('x');
    await page.keyboard.press('j');
    await page.keyboard.press('j');
    await page.keyboard.press('Shift+X');
    await page.getByText('3 databases picked').waitFor();
    expect(await page.locator('[aria-live=polite]').last().textContent()).toBe('3 of 14 picked');
    expect(await axeFaults(page)).toEqual([]);
    await page.getByRole('button', { name: 'Back up 3', exact: true }).click();
    await page.getByText('1 database picked').waitFor();
    expect(fixture.asked).toEqual(['POST api/databases/backup {"names":["app","auth","inbox"]}']);
    await row(page, 'auth').getByText('not backed up: the disk is full').waitFor();
    await row(page, 'app').getByText('backed up').waitFor();
    await page.getByRole('button', { name: 'Verify' }).click();
    await page.keyboard.press('Escape');
    await page.getByRole('region', { name: 'Picked' }).waitFor({ state: 'hidden' });
    expect(fixture.asked.slice(1)).toEqual(['POST api/databases/verify {"names":["auth"]}']);
  },
  PATIENCE_MS,
);

test(
  'all are backed up at once when they are few, and after a question when they are many',
  async () => {
    const few = await open();
    await few.page.getByRole('button', { name: 'Back up all 14' }).click();
    await row(few.page, 'tenants.zoo').getByText('backed up').waitFor();
    expect(few.fixture.asked).toEqual(['POST api/databases/backup']);

    const { page, fixture } = await open({ more: 10 });
    await page.getByRole('button', { name: 'Back up all 24' }).click();
    const dialog = page.getByRole('dialog', { name: 'Back up 24 databases?' });
    await dialog.getByText('At most 4 at a time.').waitFor();
    expect(await axeFaults(page)).toEqual([]);
    await dialog.getByRole('button', { name: 'Cancel' }).click();
    expect(fixture.asked).toEqual([]);
    await page.getByRole('button', { name: 'Back up all 24' }).click();
    await dialog.getByRole('button', { name: 'Back up 24' }).click();
    await row(page, 'customers.c0009').getByText('backed up').waitFor();
    expect(fixture.asked).toEqual(['POST api/databases/backup']);
  },
  PATIENCE_MS,
);

test(
  'when some of those that were picked are on their way already, that is said',
  async () => {
    const { page, fixture } = await open();
    fixture.happensTo('inbox', { errand: { act: 'backup', state: 'waiting', detail: null } });
    await row(page, 'inbox').getByText('waiting for its turn').waitFor();
    for (const name of ['app', 'inbox']) {
      await row(page, name).hover();
      await page.getByLabel(`Pick ${name}`).check();
    }
    await page.getByRole('button', { name: 'Back up 2', exact: true }).click();
    await page.getByRole('status').getByText('1 of 2 to back up').waitFor();
    expect(await axeFaults(page)).toEqual([]);
    await row(page, 'app').getByText('backed up').waitFor();
  },
  PATIENCE_MS,
);

test(
  'of a thousand only those on the screen are drawn, bars are asked for these alone, and keys reach all',
  async () => {
    const { page, fixture } = await open({ more: 986 });
    await page.getByText('1,000 databases').waitFor();
    await page.locator('tr.db .strip').first().waitFor();
    expect(await page.locator('tr.db').count()).toBeLessThan(60);
    expect(fixture.strips.length).toBe(1);
    expect(fixture.strips[0]?.length).toBeLessThan(60);
    expect(await page.getByRole('table', { name: 'Databases' }).getAttribute('aria-rowcount')).toBe('1001');

    await page.evaluate(() => scrollTo(0, document.documentElement.scrollHeight));
    await row(page, 'tenants.zoo').locator('.strip').waitFor();
    expect(await page.locator('tr.db').count()).toBeLessThan(60);
    await page.evaluate(() => scrollTo(0, 0));
    await row(page, 'billing').waitFor();
    for (let presses = 0; presses < 40; presses++) await page.keyboard.press('j');
    await page.waitForFunction(() => document.activeElement?.closest('tr')?.dataset['name'] === 'customers.c0033');
    await page.getByLabel('Find a database').fill('c0985');
    expect(await names(page)).toEqual(['customers.c0985']);
  },
  PATIENCE_MS,
);

test(
  'without databases the page says what to write, and without contact what was known',
  async () => {
    const { page } = await open({ isEmpty: true });
    await page.getByRole('heading', { name: 'No databases yet' }).waitFor();
    await page.getByText("{ path: './db/app.sqlite' }").waitFor();
    expect(await axeFaults(page)).toEqual([]);

    const other = await open();
    await other.fixture.stop();
    await other.page.getByText('no contact since').waitFor({ timeout: 30_000 });
    expect((await names(other.page)).length).toBe(14);
  },
  PATIENCE_MS,
);

test(
  'on a phone they are cards, picked by a button or a long press, and nothing is wider than the screen',
  async () => {
    const { page, fixture } = await open({}, phone);
    const isWide = () => document.documentElement.scrollWidth > innerWidth;
    expect(await page.evaluate(isWide)).toBe(false);
    await page.getByRole('button', { name: 'Back up all 14' }).waitFor();
    expect(await page.getByLabel('Pick app').isVisible()).toBe(false);
    await page.getByRole('button', { name: 'Pick', exact: true }).click();
    await page.getByLabel('Pick app').check();
    await page.getByText('1 database picked').waitFor();
    expect(await axeFaults(page)).toEqual([]);
    await page.getByRole('button', { name: 'Clear' }).click();

    const card = row(page, 'inbox');
    const touch = { pointerType: 'touch', bubbles: true };
    await card.dispatchEvent('pointerdown', touch);
    await page.getByText('1 database picked').waitFor();
    await card.dispatchEvent('pointerup', touch);
    // The finger that picked opens nothing.
    const isFollowed = (link: Element) =>
      link.dispatchEvent(new MouseEvent('click', { bubbles: true, cancelable: true }));
    expect(await card.locator('a').first().evaluate(isFollowed)).toBe(false);
    expect(page.url()).toBe(fixture.url);
    expect(await page.evaluate(isWide)).toBe(false);
  },
  PATIENCE_MS,
);

test(
  'what a row leads to opens on the page of its database',
  async () => {
    for (const [state, hash, name] of [
      ['missing', '#bring-back', /^Bring .* back\?$/],
      ['loss', '#loss', /^\d\d:\d\d and \d\d:\d\d$/],
      ['ok', '#loss', null],
    ] as const) {
      const fixture = startFixture(state);
      fixtures.push(fixture);
      const page = await (await scene.browser.newContext(wide)).newPage();
      await page.goto(`${fixture.url}${hash}`);
      await page.locator('.row').first().waitFor();
      const dialog = page.getByRole('dialog', { name: name ?? /./ });
      if (name === null) expect(await dialog.count()).toBe(0);
      else await dialog.waitFor();
      // The same link leads there again, and a reload does not.
      await page.waitForFunction(() => location.hash === '');
      if (name === null) continue;
      await page.keyboard.press('Escape');
      await dialog.waitFor({ state: 'hidden' });
      await page.evaluate((to) => location.assign(to), hash);
      await dialog.waitFor();
    }
  },
  PATIENCE_MS,
);

test(
  'it loads less than 45 KB of JavaScript and style sheets, and nothing of the page of one database',
  async () => {
    const fixture = startOverview();
    fixtures.push(fixture);
    const page = await scene.browser.newPage(wide);
    const asked: string[] = [];
    page.on('request', (request) => {
      const name = /\/assets\/([^/]+\.(?:js|css))$/.exec(request.url())?.[1];
      if (name !== undefined) asked.push(name);
    });
    await page.goto(fixture.url);
    await page.locator('tr.db').first().waitFor();
    await page.keyboard.press('?');
    await page.getByRole('dialog', { name: 'Keyboard' }).waitFor();
    expect(asked.sort()).toEqual(
      readdirSync(assets)
        .filter((name) => /^overview-.*\.(js|css)$/.test(name))
        .sort(),
    );
    const bytes = asked.map((name) => gzipSync(readFileSync(new URL(name, assets)), { level: 9 }).byteLength);
    expect(bytes.reduce((sum, size) => sum + size, 0)).toBeLessThan(BYTES_MAX);
  },
  PATIENCE_MS,
);
