/**
 * Runs at their time: one at once, then by the schedule, none twice at a time. Sleeps at most 30 s, so a machine that
 * slept or a clock that jumped costs no more than that. A failed run is tried again after a minute, then two, four, …,
 * never later than the next planned one. While there is no database it waits and looks every few seconds, whether a run
 * is due or not: when the file is back a run is made at once.
 */
import { isDue, nextRun, type Schedule, SLEEP_MAX_MS } from '../../words/schedule.ts';

const RETRY_FIRST_MS = 60_000;
const MISSING_POLL_MS = 5_000;

interface SchedulerOptions {
  readonly schedule: () => Schedule;
  readonly now: () => Date;
  readonly hasDatabase: () => boolean;
  /** Told once, when there is no database. */
  readonly onMissing: (at: Date) => void;
  /** Answers whether it failed. */
  readonly run: (trigger: 'start' | 'schedule', plannedAt: Date) => Promise<{ readonly failed: boolean }>;
  /** At every tick, at least every 30 s. */
  readonly onTick: () => void;
  /** Hears what a run or a tick threw: the schedule goes on, and so does the app. */
  readonly onFault: (error: unknown) => void;
  /** Stands still while the machine sleeps; `performance.now`, if not given. */
  readonly elapsedMs?: () => number;
}

export class Scheduler {
  readonly #options: SchedulerOptions;
  #timer: NodeJS.Timeout | undefined;
  #planned = new Date(0);
  #failures = 0;
  #missing = false;
  #running = false;
  /** When it last looked, or heard of the run that goes. */
  #heardMs = 0;

  constructor(options: SchedulerOptions) {
    this.#options = options;
  }

  /** Null while nothing is scheduled. */
  get nextRunAt(): Date | null {
    return this.#timer === undefined ? null : this.#planned;
  }

  /** A sign of life of the run that goes. */
  heard(): void {
    this.#heardMs = this.#elapsedMs();
  }

  /** Since when nothing was heard: of the run that goes, or of the timer. Null while that is no longer than it may be. */
  stalledSince(silenceMaxMs: number): Date | null {
    if (this.#timer === undefined) return null;
    const silentMs = this.#elapsedMs() - this.#heardMs;
    return silentMs > silenceMaxMs ? new Date(this.#options.now().getTime() - silentMs) : null;
  }

  #elapsedMs(): number {
    return (this.#options.elapsedMs ?? (() => performance.now()))();
  }

  begin(options: { readonly runAtOnce: boolean }): void {
    this.heard();
    const now = this.#options.now();
    this.#planned = options.runAtOnce ? now : nextRun(this.#options.schedule(), now, now);
    this.#sleep(0);
    if (options.runAtOnce) void this.#run('start');
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** The schedule changed: the next run is one interval from now. */
  replan(): void {
    const now = this.#options.now();
    this.#planned = nextRun(this.#options.schedule(), now, now);
    this.#sleep(0);
  }

  #sleep(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#tick(), Math.min(Math.max(0, ms), SLEEP_MAX_MS));
    this.#timer.unref();
  }

  #tick(): void {
    let sleepMs = SLEEP_MAX_MS;
    if (!this.#running) this.heard();
    try {
      sleepMs = this.#look();
    } catch (error) {
      this.#options.onFault(error);
    }
    this.#sleep(sleepMs);
  }

  /** How long until the next run. */
  #look(): number {
    const now = this.#options.now();
    const schedule = this.#options.schedule();
    // The clock went back: the planned time is further away than the schedule's next, so plan anew.
    const next = nextRun(schedule, now, now);
    if (this.#planned > next) this.#planned = next;
    const isGone = !this.#missing && !this.#running && !this.#options.hasDatabase();
    if (isGone || isDue(this.#planned, now)) void this.#run('schedule');
    this.#options.onTick();
    return this.#planned.getTime() - now.getTime();
  }

  async #run(trigger: 'start' | 'schedule'): Promise<void> {
    const plannedAt = this.#planned;
    const now = this.#options.now();
    this.#planned = nextRun(this.#options.schedule(), plannedAt, now);
    if (!this.#options.hasDatabase()) {
      if (!this.#missing) this.#options.onMissing(plannedAt > now ? now : plannedAt);
      this.#missing = true;
      this.#planned = new Date(now.getTime() + MISSING_POLL_MS);
      return;
    }
    this.#missing = false;
    // The one before is still going: it covers this time too.
    if (this.#running) return;
    this.#running = true;
    this.heard();
    const { failed } = await this.#options.run(trigger, plannedAt).catch((error: unknown) => {
      this.#options.onFault(error);
      return { failed: true };
    });
    this.#running = false;
    this.heard();
    this.#failures = failed ? this.#failures + 1 : 0;
    if (failed && this.#timer) this.#retry();
  }

  #retry(): void {
    const retryAtMs = this.#options.now().getTime() + RETRY_FIRST_MS * 2 ** (this.#failures - 1);
    if (retryAtMs >= this.#planned.getTime()) return;
    this.#planned = new Date(retryAtMs);
    this.#sleep(RETRY_FIRST_MS);
  }
}
