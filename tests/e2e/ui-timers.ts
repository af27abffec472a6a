/** What the page does by itself after seconds: takes a message away, deletes what nobody took back. */
import type { Page } from 'playwright-core';

const LONG_MS = 5_000;

/**
 * Holds it from now on, so that no test has to be quick. What is answered lets the time pass: what was held happens at once;
 * it resolves with the delays that were asked for, in milliseconds.
 */
export async function holdTimers(page: Page): Promise<() => Promise<readonly number[]>> {
  await page.evaluate((longMs) => {
    const { setTimeout: begin, clearTimeout: end } = window;
    const held = new Map<number, { readonly work: () => void; readonly ms: number }>();
    Object.assign(window, {
      setTimeout(work: () => void, ms = 0) {
        const id = begin(ms < longMs ? work : () => {}, ms);
        if (ms >= longMs) held.set(id, { work, ms });
        return id;
      },
      clearTimeout(id: number) {
        held.delete(id);
        end(id);
      },
      letTimePass() {
        Object.assign(window, { setTimeout: begin, clearTimeout: end });
        for (const { work } of held.values()) work();
        return [...held.values()].map(({ ms }) => ms);
      },
    });
  }, LONG_MS);
  return async () =>
    await page.evaluate(() => (window as unknown as { letTimePass: () => readonly number[] }).letTimePass());
}
