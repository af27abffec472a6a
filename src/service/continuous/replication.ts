/**
 * The replicator of this process: one worker that captures the commits of all databases that are followed. It runs while
 * there is one, and what is followed is told to each process that takes the place of one that ended.
 */
import type { FollowOptions } from '../../engine/replication/follow-options.ts';
import type { LogEnd } from '../../engine/replication/capture.ts';
import type { BackupMoment, ReplicateNews, ReplicateOrder } from '../../engine/stories/replicate.ts';
import type { PlaceNews } from '../../engine/replication/ship-place.ts';
import type { ShipTarget } from '../../engine/replication/shipper.ts';
import type { StreamStatus } from '../../engine/replication/status.ts';
import { Worker } from '../../engine/process/worker.ts';
import { BackupError } from '../../words/errors.ts';
import type { TargetName } from '../../words/target-word.ts';

export interface ContinuousOptions {
  readonly intervalMs: number;
  /** How long each level is kept, in milliseconds. */
  readonly windowsMs: readonly number[];
  /** Null for a quarter of what is free. */
  readonly bytesMax: number | null;
  readonly stopMs: number;
  /** A target that is behind for longer turns the verdict; a minute, if not given. */
  readonly maxLagSeconds?: number;
}

interface FollowedBy {
  readonly onStatus: (status: StreamStatus) => void;
  /** Whose a target is, and who writes there. */
  readonly onPlace?: (target: TargetName, news: PlaceNews) => void;
  /** Its process ended, and another begins. */
  readonly onDown: (error: BackupError) => void;
}

interface Followed extends FollowedBy {
  /** With the targets as they are now. */
  options: FollowOptions;
}

type Answer = Extract<ReplicateNews, { readonly type: 'flushed' | 'held' | 'cut' }>;

interface Call {
  readonly id: string;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: BackupError) => void;
}

/** A backup waits no longer for its moment, and is made without. */
const WITNESS_WAIT_MS = 30_000;
/** More than the time that was given: the process itself says what is missing then. */
const ANSWER_MS = 10_000;

export class Replication {
  readonly #environment: Readonly<Record<string, string>>;
  readonly #followed = new Map<string, Followed>();
  /** Those whose last commits are being captured, with what to call then. */
  readonly #leaving = new Map<string, () => void>();
  readonly #calls = new Map<number, Call>();
  /** Asked while no process was there; the next one hears them. */
  #unsent: ReplicateOrder[] = [];
  #worker: Worker<'replicate'> | null = null;
  #lastId = 0;
  #lastCall = 0;

  constructor(environment: Readonly<Record<string, string>>) {
    this.#environment = environment;
  }

  /** @param stopMs how long the last capture may take when the process ends. */
  follow(options: FollowOptions, by: FollowedBy, { stopMs }: { readonly stopMs: number }): string {
    const id = String(++this.#lastId);
    this.#followed.set(id, { ...by, options });
    if (this.#worker === null) this.#start(stopMs);
    else this.#worker.send({ type: 'follow', id, ...options });
    return id;
  }

  /** Resolves when its last commits are captured and its database is let go, or after that long. */
  async leave(id: string, { waitMs }: { readonly waitMs: number }): Promise<void> {
    const worker = this.#worker;
    if (worker === null || !this.#followed.delete(id)) return;
    if (!this.#isIdle) {
      await this.#left(id, worker, waitMs);
      this.#refuse((call) => call.id === id);
      // The last one that is out ends the process.
      if (!this.#isIdle || this.#worker !== worker) return;
    }
    this.#worker = null;
    await worker.stop();
    this.#refuse();
  }

  get #isIdle(): boolean {
    return this.#followed.size + this.#leaving.size === 0;
  }

  async #left(id: string, worker: Worker<'replicate'>, waitMs: number): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#leaving.set(id, resolve);
      setTimeout(resolve, waitMs).unref();
      if (!worker.send({ type: 'leave', id })) resolve();
    });
    this.#leaving.delete(id);
  }

  /** Where the stream is copied to from now on, by whichever process. */
  setTargets(id: string, targets: readonly ShipTarget[]): void {
    const followed = this.#followed.get(id);
    if (followed === undefined) return;
    followed.options = { ...followed.options, targets };
    this.#worker?.send({ type: 'targets', id, targets });
  }

  /**
   * Resolves when all that is committed now is at these targets; captured here, if none is named. Calls at one time share
   * one capture, and one request to each target.
   *
   * @throws BackupError NOT_DURABLE, with the reason of each target; ABORTED.
   */
  async durable(
    id: string,
    targets: readonly TargetName[],
    { timeoutMs, signal }: { readonly timeoutMs: number; readonly signal?: AbortSignal },
  ): Promise<{ readonly bookmark: string; readonly at: Date }> {
    if (signal?.aborted) throw aborted();
    const order = (call: number) => ({ type: 'durable' as const, id, call, targets, timeoutMs });
    const late = AbortSignal.timeout(timeoutMs + ANSWER_MS);
    try {
      const news = await this.#ask(id, order, signal ? AbortSignal.any([signal, late]) : late, { waits: true });
      if (news.type !== 'flushed') throw notRunning();
      return { bookmark: news.bookmark, at: new Date(news.at) };
    } catch (error) {
      throw signal?.aborted ? aborted() : error;
    }
  }

  /** Nothing is captured from then on until `cut`, or for a few seconds. @throws BackupError NOT_DURABLE */
  async hold(id: string, signal: AbortSignal): Promise<void> {
    await this.#ask(id, (call) => ({ type: 'hold', id, call }), inTime(signal));
  }

  /** The moment that ends there, if there can be one. @throws BackupError NOT_DURABLE */
  async cut(id: string, end: LogEnd, signal: AbortSignal): Promise<BackupMoment | null> {
    const news = await this.#ask(id, (call) => ({ type: 'cut', id, call, ...end }), inTime(signal));
    return news.type === 'cut' ? news.moment : null;
  }

  /** @param options.waits until there is a process, if none is there just now. */
  async #ask(
    id: string,
    orderOf: (call: number) => ReplicateOrder,
    signal: AbortSignal,
    { waits = false }: { readonly waits?: boolean } = {},
  ): Promise<Answer> {
    const call = ++this.#lastCall;
    const order = orderOf(call);
    let refuse = () => {};
    try {
      return await new Promise((resolve, reject) => {
        refuse = () => reject(notRunning());
        signal.addEventListener('abort', refuse);
        this.#calls.set(call, { id, resolve, reject });
        const isSent = this.#worker?.send(order) ?? false;
        if (!isSent && waits && this.#worker !== null) this.#unsent.push(order);
        else if (!isSent || signal.aborted) refuse();
      });
    } finally {
      this.#calls.delete(call);
      this.#unsent = this.#unsent.filter((one) => one !== order);
      signal.removeEventListener('abort', refuse);
    }
  }

  #start(stopMs: number): void {
    const worker = new Worker({
      ...{ kind: 'replicate' as const, request: {}, environment: this.#environment, times: { stopMs } },
      onMessage: (news) => this.#hear(news),
      onStart: () => {
        for (const [id, { options }] of this.#followed) worker.send({ type: 'follow', id, ...options });
        for (const order of this.#unsent.splice(0)) worker.send(order);
      },
      onDown: (error) => {
        this.#refuse();
        for (const onLeft of this.#leaving.values()) onLeft();
        for (const { onDown } of this.#followed.values()) onDown(error);
      },
    });
    this.#worker = worker;
    worker.start();
  }

  #hear(news: ReplicateNews): void {
    if (news.type === 'status') this.#followed.get(news.id)?.onStatus(news.status);
    else if (news.type === 'place') this.#followed.get(news.id)?.onPlace?.(news.target, news.news);
    else if (news.type === 'left') this.#leaving.get(news.id)?.();
    else {
      const call = this.#calls.get(news.call);
      if (news.type === 'refused') call?.reject(BackupError.fromJSON(news.error));
      else call?.resolve(news);
    }
  }

  #refuse(isMeant: (call: Call) => boolean = () => true): void {
    for (const call of this.#calls.values()) if (isMeant(call)) call.reject(notRunning());
  }
}

function inTime(signal: AbortSignal): AbortSignal {
  return AbortSignal.any([signal, AbortSignal.timeout(WITNESS_WAIT_MS)]);
}

function aborted(): BackupError {
  return new BackupError('ABORTED', 'the wait was ended', {
    hint: 'What was committed is captured, and shipped, all the same.',
  });
}

function notRunning(): BackupError {
  return new BackupError('NOT_DURABLE', 'the process that captures commits is not running', {
    hint: 'It is started again by itself; try again in a moment.',
  });
}
