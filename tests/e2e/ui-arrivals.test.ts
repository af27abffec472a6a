/** The upload of a file from elsewhere in a real browser: chosen or dropped, sent, looked at, then kept, restored or discarded. */
import { expect, test } from 'bun:test';
import { readdirSync, readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import type { Page } from 'playwright-core';
import { axeFaults } from './app-scene.ts';
import type { ArrivalScene } from './ui-arrivals.ts';
import { startFixture, type State } from './ui-fixture.ts';
import { openScene } from './ui-scene.ts';

const PATIENCE_MS = 120_000;
const scene = openScene(PATIENCE_MS);

interface Opening {
  readonly arrival?: ArrivalScene;
  readonly state?: State;
  readonly width?: number;
  readonly theme?: 'dark' | 'light';
}

async function open({ arrival, state = 'ok', width = 1280, theme = 'light' }: Opening = {}) {
  const { page, fixture } = await scene.open(startFixture(state, arrival ? { arrival } : {}), {
    ...{ viewport: { width, height: 860 }, colorScheme: theme },
  });
  await page.locator('#lists').waitFor();
  await page.getByRole('button', { name: 'Upload a backup' }).click();
  await dialog(page).waitFor();
  return { page, fixture };
}

const dialog = (page: Page) => page.getByRole('dialog', { name: 'Upload a backup' });
const button = (page: Page, name: string) => dialog(page).getByRole('button', { name });
/** The dialog does not wait for it. */
const removal = async (page: Page) =>
  await (await page.waitForRequest((request) => request.method() === 'DELETE')).response();
const acts = (asked: readonly string[]) =>
  asked.map((one) =>
    one
      .replace(/arrivals\/[0-9a-f-]{36}/, 'arrivals/ID')
      .split(/[? ]/, 2)
      .join(' '),
  );

/** A file of that many bytes that begins like a database. */
function databaseFile(name: string, sizeBytes = 3_000_000) {
  const buffer = Buffer.alloc(sizeBytes, 7);
  buffer.write('SQLite format 3\0');
  return { name, mimeType: 'application/octet-stream', buffer };
}

const choose = (page: Page, file: ReturnType<typeof databaseFile>) =>
  page.getByLabel('Database file').setInputFiles(file);

test(
  'a file is sent in pieces and shown, and becomes a backup only when somebody says so',
  async () => {
    const { page, fixture } = await open();
    expect(await page.evaluate(() => document.activeElement?.getAttribute('type'))).toBe('file');
    expect(await axeFaults(page)).toEqual([]);
    await choose(page, databaseFile('shop-copy.sqlite'));
    await dialog(page).getByText('It looks like dev.sqlite.').waitFor();
    await dialog(page).getByText('6 tables · 86,959 rows · 2.86 MB').waitFor();
    await dialog(page).getByRole('row', { name: 'orders 8,310 8,279 −31' }).waitFor();
    await dialog(page).getByText('Newest changes may be missing.').waitFor();
    expect(await axeFaults(page)).toEqual([]);
    expect(acts(fixture.asked)).toEqual([
      'POST api/arrivals',
      ...Array.from({ length: fixture.asked.length - 2 }, () => 'PATCH api/arrivals/ID'),
      'POST api/arrivals/ID/check',
    ]);
    expect(fixture.asked.length).toBeGreaterThan(4);
    await button(page, 'Keep as a backup').click();
    await dialog(page).waitFor({ state: 'detached' });
    await page.getByText('It is pinned, and used only when you choose it.').waitFor();
    expect(acts(fixture.asked).at(-1)).toBe('POST api/arrivals/ID/adopt');
    await page.locator('.tag', { hasText: 'From shop-copy.sqlite' }).waitFor();
    expect(fixture.arrivals.left).toBe(0);
  },
  PATIENCE_MS,
);

test(
  'what the upload needs is fetched when somebody is about to, and weighs under 8 KB',
  async () => {
    const assets = new URL('../../dist/page/assets/', import.meta.url);
    const names = readdirSync(assets).filter((name) => name.startsWith('arrivals-'));
    expect(names.length).toBe(2);
    const bytes = names.map((name) => gzipSync(readFileSync(new URL(name, assets)), { level: 9 }).byteLength);
    expect(bytes.reduce((sum, one) => sum + one)).toBeLessThan(8 * 1024);
    const { page } = await scene.open(startFixture('ok'));
    await page.locator('.activity').waitFor();
    const asked: string[] = [];
    page.on('request', (request) => asked.push(request.url()));
    await page.reload();
    await page.locator('.activity').waitFor();
    expect(asked.filter((url) => url.includes('arrivals-'))).toEqual([]);
    await page.getByRole('button', { name: 'Upload a backup' }).click();
    await dialog(page).waitFor();
    expect(asked.filter((url) => url.includes('arrivals-')).length).toBe(2);
  },
  PATIENCE_MS,
);

test(
  'by keyboard alone it is kept and goes on to the usual restore, which wants the name typed',
  async () => {
    const { page, fixture } = await open();
    await choose(page, databaseFile('shop-copy.sqlite'));
    await button(page, 'Keep as a backup').waitFor();
    expect(await page.evaluate(() => document.activeElement?.tagName)).toBe('H3');
    for (const name of ['Discard', 'Keep and restore…']) {
      await page.keyboard.press('Tab');
      expect(await page.evaluate(() => document.activeElement?.textContent?.trim())).toBe(name);
    }
    await page.keyboard.press('Enter');
    await page.getByRole('dialog', { name: 'Restore this backup?' }).waitFor();
    await page.getByLabel(/to confirm/).fill('dev.sqlite');
    await page.keyboard.press('Enter');
    await page.getByText('Restored', { exact: true }).first().waitFor();
    expect(fixture.asked.at(-1)).toContain('restore');
  },
  PATIENCE_MS,
);

test(
  'a file of other tables says so, is kept as another database’s, and its restore asks twice',
  async () => {
    const { page } = await open({
      arrival: { likeness: 'another', remarks: ['3 rows of articles break the rule CHECK'] },
    });
    await choose(page, databaseFile('wiki.sqlite'));
    await dialog(page).getByText('This looks like another app’s database, and not like dev.sqlite.').waitFor();
    await dialog(page).getByText('None of its 3 tables are in dev.sqlite.').waitFor();
    await dialog(page).getByText('3 rows of articles break the rule CHECK').waitFor();
    await button(page, 'Keep and restore…').click();
    await page.getByRole('dialog', { name: 'This is a backup of another database' }).waitFor();
  },
  PATIENCE_MS,
);

test(
  'a backup that is here already is not kept twice',
  async () => {
    const { page, fixture } = await open({ arrival: { isKnown: true } });
    await choose(page, databaseFile('backup-2026-11-22T10-30-00-000Z.sqlite'));
    await dialog(page).getByText('You have it already.').waitFor();
    expect(await button(page, 'Keep as a backup').count()).toBe(0);
    const removed = removal(page);
    await button(page, 'Close').click();
    await dialog(page).waitFor({ state: 'detached' });
    await page.waitForFunction(() => document.activeElement?.getAttribute('aria-label') === 'Upload a backup');
    await removed;
    expect(fixture.asked.at(-1)).toStartWith('DELETE api/arrivals/');
  },
  PATIENCE_MS,
);

test(
  'what is no database is refused in the server’s words, and the next file can be chosen at once',
  async () => {
    const { page, fixture } = await open();
    await choose(page, {
      name: 'letter.txt',
      mimeType: 'text/plain',
      buffer: Buffer.from('Dear aunt, I made no backup at all.'),
    });
    await dialog(page).getByRole('alert').getByText('it is another kind of file').waitFor();
    expect(await axeFaults(page)).toEqual([]);
    await choose(page, databaseFile('shop.sqlite'));
    const removed = removal(page);
    await button(page, 'Discard').click();
    await dialog(page).waitFor({ state: 'detached' });
    await page.waitForFunction(() => document.querySelectorAll('dialog').length === 0);
    await removed;
    expect(fixture.asked.at(-1)).toStartWith('DELETE api/arrivals/');
    expect(fixture.arrivals.left).toBe(0);
  },
  PATIENCE_MS,
);

test(
  'cancelled while it is sent or checked, it leaves nothing; a piece that was lost is sent again, smaller',
  async () => {
    const { promise: until, resolve: go } = Promise.withResolvers<void>();
    const { page, fixture } = await open({ arrival: { until, lost: 1 } });
    await choose(page, databaseFile('shop.sqlite'));
    await dialog(page).getByText('Checking what it holds…').waitFor();
    await page.keyboard.press('Escape');
    await dialog(page).waitFor({ state: 'detached' });
    const removed = removal(page);
    go();
    await removed;
    expect(fixture.arrivals.left).toBe(0);
    const offsets = fixture.asked.flatMap((one) => /\?at=(\d+)/.exec(one)?.[1] ?? []).map(Number);
    expect(offsets.slice(0, 3)).toEqual([0, 0, 128 * 1024]);
  },
  PATIENCE_MS,
);

test(
  'a file is dropped on it, on a phone and in the dark too',
  async () => {
    const { page } = await open({ width: 390, theme: 'dark', state: 'empty', arrival: { likeness: 'unknown' } });
    const data = await page.evaluateHandle(
      (bytes) => {
        const transfer = new DataTransfer();
        transfer.items.add(new File([new Uint8Array(bytes)], 'shop.sqlite'));
        return transfer;
      },
      [...databaseFile('shop.sqlite', 10_000).buffer],
    );
    await page.dispatchEvent('.drop', 'dragover', { dataTransfer: data });
    await page.locator('.drop.over').waitFor();
    await page.dispatchEvent('.drop', 'drop', { dataTransfer: data });
    await dialog(page).getByText('There is no backup of dev.sqlite yet to compare it with.').waitFor();
    expect(await axeFaults(page)).toEqual([]);
    const [inner, outer] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    expect(inner).toBeLessThanOrEqual(outer ?? 0);
  },
  PATIENCE_MS,
);
