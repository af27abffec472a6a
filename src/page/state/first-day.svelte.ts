/**
 * Whether the card of the first day shows. It is fetched when it does: most who look at the page have that day behind them.
 * Hidden by a press it stays hidden in this browser, each database for itself.
 */
import { hasChart, isFirstDay } from '../text/is-first-day.ts';
import { clock } from './clock.svelte.ts';
import { dashboard } from './dashboard.svelte.ts';
import { recall, remember } from './memory.ts';

const key = `first-day ${location.pathname}`;

class FirstDay {
  /** Null until it is there. */
  card = $state.raw<typeof import('../components/FirstDay.svelte').default | null>(null);
  #isHidden = $state(recall(key) === 'hidden');
  #isAsked = false;

  /** All that it names is done, as the card found. */
  isDone = $state(false);
  readonly #known = $derived({ backups: dashboard.own, runs: dashboard.runs });
  readonly isShown = $derived.by(() => {
    const { status, contact } = dashboard;
    if (this.#isHidden || status === null || contact === 'loading') return false;
    return isFirstDay({ ...this.#known, status, now: clock.now }) && !(this.isDone && hasChart(this.#known));
  });
  /** It stands in the chart's place. */
  readonly isAlone = $derived(this.isShown && this.card !== null && !hasChart(this.#known));

  /** Fetches the card; without it the page shows the chart. */
  want(): void {
    if (this.#isAsked) return;
    this.#isAsked = true;
    void import('../first-day.ts').then(
      ({ FirstDay: card }) => {
        this.card = card;
      },
      () => {},
    );
  }

  hide(): void {
    this.#isHidden = true;
    remember(key, 'hidden');
  }
}

export const firstDay = new FirstDay();
