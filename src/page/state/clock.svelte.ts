/**
 * The time on the page is the server's. It is set from each status and then carried on by a monotonic clock, so a
 * wrong or jumping clock of the browser changes nothing. While there is no contact it stands still: "4 min ago" stays
 * what it was when it was last true.
 */
import { recall, remember } from './memory.ts';

const tickMs = 1000;

class Clock {
  /** The server's time in milliseconds; moves once a second. */
  now = $state(0);
  choice = $state<'local' | 'utc'>(recall('zone') === 'utc' ? 'utc' : 'local');
  readonly localZone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  readonly zone = $derived(this.choice === 'utc' ? 'UTC' : this.localZone);
  #base = 0;
  #baseAt = 0;

  /** Sets the time from a server's answer. */
  set(serverTime: string): void {
    this.#base = Date.parse(serverTime);
    this.#baseAt = performance.now();
    this.now = this.#base;
  }

  /** Starts ticking; returns the function that ends it. `standsStill` is asked at every tick. */
  start(standsStill: () => boolean): () => void {
    const timer = setInterval(() => {
      if (this.#baseAt !== 0 && !standsStill()) this.now = this.#base + (performance.now() - this.#baseAt);
    }, tickMs);
    return () => clearInterval(timer);
  }

  choose(choice: 'local' | 'utc'): void {
    this.choice = choice;
    remember('zone', choice);
  }
}

export const clock = new Clock();
