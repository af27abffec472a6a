/** At 1,024 px, in every state: no word is cut that is not a name or a path, and Configure is there while it can be used. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import type { Browser, Page } from 'playwright-core';
import { openBrowser } from './ui-browser.ts';
import { buildPage } from './ui-build.ts';
import { startFixture, states } from './ui-fixture.ts';
import { startOverview } from './ui-overview-fixture.ts';

const PATIENCE_MS = 120_000;
/** All else waits until a restore has ended. */
const WITHOUT_CONFIGURE = ['restoring'];
let browser: Browser;

beforeAll(async () => {
  await buildPage();
  browser = await openBrowser();
}, PATIENCE_MS);
afterAll(() => browser.close());

/** What is wider than the box that hides the rest of it; what has its whole text as a title may be. */
const cutWords = (page: Page) =>
  page.evaluate(() =>
    [...document.querySelectorAll<HTMLElement>('body *')]
      .filter((element) => {
        const { overflowX } = getComputedStyle(element);
        const hides = overflowX === 'hidden' || overflowX === 'clip';
        const isSeen = element.clientWidth > 2 && element.closest('.sr') === null;
        return hides && isSeen && element.scrollWidth > element.clientWidth + 1 && !element.title;
      })
      .map(({ textContent }) => textContent?.trim()),
  );

async function look(url: string, waitFor: string): Promise<Page> {
  const page = await (await browser.newContext({ viewport: { width: 1024, height: 860 } })).newPage();
  await page.goto(url);
  await page.locator(waitFor).first().waitFor();
  await page.evaluate(() => document.fonts.ready);
  return page;
}

test.each(states)(
  'of one database: %s',
  async (state) => {
    const fixture = startFixture(state);
    try {
      const page = await look(fixture.url, '.row, .empty');
      expect(await cutWords(page)).toEqual([]);
      const buttons = page.getByRole('button', { name: 'Configure' }).and(page.locator(':visible'));
      expect(await buttons.count()).toBe(WITHOUT_CONFIGURE.includes(state) ? 0 : 1);
      await page.context().close();
    } finally {
      await fixture.stop();
    }
  },
  PATIENCE_MS,
);

test(
  'of several',
  async () => {
    const fixture = startOverview();
    try {
      const page = await look(fixture.url, 'tr.db');
      expect(await cutWords(page)).toEqual([]);
      await page.context().close();
    } finally {
      await fixture.stop();
    }
  },
  PATIENCE_MS,
);
