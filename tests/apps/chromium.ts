/** Chromium as the page's tests have it: a headless one, whose profile holds cookies and quotas, and no history. */
import { join } from 'node:path';
import type { BrowserContext } from 'playwright-core';
import { openProfile } from '../e2e/ui-browser.ts';
import type { Workplace } from './work.ts';

/** Cookies are written when so many were changed, or half a minute later. */
const BATCH = 512;
const SITES = 8;
const A_DAY = 86_400;

/** Started when it is asked something. */
export class Chromium implements AsyncDisposable {
  readonly #profile: string;
  #running: Promise<BrowserContext> | null = null;

  constructor(place: Workplace) {
    this.#profile = place.path('profile');
  }

  path(name: string): string {
    return join(this.#profile, 'Default', name);
  }

  /** Keeps something of the page, which opens the database of the quotas. */
  async visit(url: string): Promise<void> {
    const page = await (await this.#browser()).newPage();
    await page.goto(url);
    await page.evaluate(
      `new Promise((resolve, reject) => {
        const opening = indexedDB.open('kept', 1);
        opening.onupgradeneeded = () => opening.result.createObjectStore('kept');
        opening.onsuccess = () => resolve(1);
        opening.onerror = reject;
      })`,
    );
  }

  /** One cookie, and so many changes of others that all are written. */
  async write(number: number): Promise<void> {
    const expires = Date.now() / 1_000 + A_DAY;
    const others = Array.from({ length: BATCH }, (_, index) => ({
      ...{ name: `other${index}`, value: String(number), expires },
      url: `http://site-${index % SITES}.example/`,
    }));
    const cookie = { name: `turn${number}`, value: '1', expires, url: `http://turn-${number}.example/` };
    await (await this.#browser()).addCookies([cookie, ...others]);
  }

  /** The numbers of its cookies, in order. */
  async written(): Promise<readonly number[]> {
    const found = await (await this.#browser()).cookies();
    return found.flatMap(({ name }) => /^turn(\d+)$/.exec(name)?.slice(1).map(Number) ?? []).sort((a, b) => a - b);
  }

  /** From the file, no longer from memory. */
  async writtenAfterRestart(): Promise<readonly number[]> {
    await this.close();
    return await this.written();
  }

  async close(): Promise<void> {
    const running = await this.#running;
    this.#running = null;
    await running?.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #browser(): Promise<BrowserContext> {
    this.#running ??= openProfile(this.#profile);
    return this.#running;
  }
}
