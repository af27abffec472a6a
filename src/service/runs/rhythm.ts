/** How often backups are made: the cron line of the configuration, or the interval of the settings. */
import { gapsOf, type Schedule } from '../../words/schedule.ts';
import type { ServiceContext } from '../context.ts';

interface Gaps {
  readonly shortest: number;
  readonly longest: number;
}

export class Rhythm {
  readonly #context: Pick<ServiceContext, 'options' | 'settings' | 'now'>;
  /** Gaps of the cron line, which stays; it takes many steps to find them. */
  #seen: { readonly day: number; readonly gaps: Gaps } | undefined;

  constructor(context: Pick<ServiceContext, 'options' | 'settings' | 'now'>) {
    this.#context = context;
  }

  get schedule(): Schedule {
    const { cron } = this.#context.options;
    return cron
      ? { kind: 'cron', line: cron }
      : { kind: 'interval', intervalMs: this.#context.settings.current.intervalMinutes * 60_000 };
  }

  /** Between two backups: a cron line may leave out nights and weekends, and nothing is late that was never planned. */
  gapMinutes(): Gaps {
    const { schedule } = this;
    const now = this.#context.now();
    const day = schedule.kind === 'cron' ? Math.floor(now.getTime() / 86_400_000) : null;
    if (day !== null && this.#seen?.day === day) return this.#seen.gaps;
    const { shortestMs, longestMs } = gapsOf(schedule, now);
    const gaps = { shortest: Math.ceil(shortestMs / 60_000), longest: Math.ceil(longestMs / 60_000) };
    if (day !== null) this.#seen = { day, gaps };
    return gaps;
  }
}
