/** The browser of a test file, what it opened, and what its pages complained of: closed and asked after each test. */
import { afterAll, afterEach, beforeAll, expect } from 'bun:test';
import type { Browser } from 'playwright-core';
import { openBrowser } from './ui-browser.ts';
import { buildPage } from './ui-build.ts';

export function openScene(patienceMs: number) {
  let browser: Browser;
  const fixtures: { stop(): Promise<void> }[] = [];
  const faults: string[] = [];
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
    faults,
  };
}
