/** The browser of a test file, what it opened, and what its pages complained of: closed and asked after each test. */
import { afterAll, afterEach, beforeAll, expect } from 'bun:test';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { openBrowser } from './ui-browser.ts';
import { buildPage } from './ui-build.ts';

export function openScene(patienceMs: number) {
  let browser: Browser;
  const fixtures: { stop(): Promise<void> }[] = [];
  const faults: string[] = [];
  /** A page of that server, as wide as a desk's screen if nothing else is said. */
  async function open<Fixture extends { readonly url: string; stop(): Promise<void> }>(
    fixture: Fixture,
    as: BrowserContextOptions = {},
  ): Promise<{ page: Page; fixture: Fixture }> {
    fixtures.push(fixture);
    const viewport = { width: 1280, height: 860 };
    const context = await browser.newContext({ viewport, timezoneId: 'Europe/Berlin', ...as });
    const page = await context.newPage();
    page.on('pageerror', (error) => faults.push(String(error)));
    page.on('console', (message) => {
      // The browser writes each answer that is an error, and each connection that it could not make.
      if (message.type() === 'error' && !/^Failed to load resource|net::ERR_/.test(message.text()))
        faults.push(message.text());
    });
    await page.goto(fixture.url);
    return { page, fixture };
  }
  beforeAll(async () => {
    await buildPage();
    browser = await openBrowser();
  }, patienceMs);
  afterAll(() => browser.close());
  afterEach(async () => {
    for (const context of browser.contexts()) await context.close();
    for (const fixture of fixtures.splice(0)) await fixture.stop();
    expect(faults.splice(0)).toEqual([]);
  });
  return {
    get browser() {
      return browser;
    },
    fixtures,
    open,
  };
}
