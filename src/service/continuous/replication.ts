/**
 * The replicator of this process: one worker that captures the commits of all databases that are followed. It runs while
 * there is one, and what is followed is told to each process that takes the place of one that ended.
 */
import type { FollowOptions } from '../../engine/replication/replicator.ts';
import type { LogEnd } from '../../engine/replication/capture.ts';
import type { BackupMoment, ReplicateNews, ReplicateOrder } from '../../engine/stories/replicate.ts';
import type { StreamStatus } from '../../engine/replication/status.ts';
import { Worker } from '../../engine/process/worker.ts';
import { BackupError } from '../../words/errors.ts';

export interface ContinuousOptions {
  readonly intervalMs: number;
  /** How long each level is kept, in milliseconds. */
  readonly windowsMs: readonly number[];
  /** Null for a quarter of what is free. */
  readonly bytesMax: number | null;
  readonly stopMs: number;
}

interface FollowedBy {
  readonly onStatus: (status: StreamStatus) => void;
  /** Its process ended, and another begins. */
  readonly onDown: (error: BackupError) => void;
}

interface Followed extends FollowedBy {
  readonly options: FollowOptions;
  onLeft: () => void;
}

type Answer = Extract<ReplicateNews, { readonly type: 'flushed' | 'held' | 'cut' }>;

interface Call {
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: BackupError) => void;
}

export class Replication {
  readonly #environment: Readonly<Record<string, string>>;
  readonly #followed = new Map<string, Followed>();
  readonly #calls = new Map<number, Call>();
  #worker: Worker<'replicate'> | null = null;
  #lastId = 0;
  #lastCall = 0;

  constructor(environment: Readonly<Record<string, string>>) {
    this.#environment = environment;
  }

  /** @param stopMs how long the last capture may take when the process ends. */
  follow(options: FollowOptions, by: FollowedBy, { stopMs }: { readonly stopMs: number }): string {
    const id = String(++this.#lastId);
    this.#followed.set(id, { ...by, options, onLeft: () => {} });
    if (this.#worker === null) this.#start(stopMs);
    else this.#worker.send({ type: 'follow', id, ...options });
    return id;
  }

  /** Resolves when its last commits are captured and its database is let go, or after that long. */
  async leave(id: string, { waitMs }: { readonly waitMs: number }): Promise<void> {
    const followed = this.#followed.get(id);
    const worker = this.#worker;
    if (followed === undefined || worker === null) return;
    if (this.#followed.size > 1) {
      const left = new Promise<void>((resolve) => {
        followed.onLeft = resolve;
        setTimeout(resolve, waitMs).unref();
      });
      if (worker.send({ type: 'leave', id })) await left;
      this.#followed.delete(id);
      return;
    }
    this.#followed.delete(id);
    this.#worker = null;
    await worker.stop();
    this.#refuseAll();
  }

  /** Resolves when all that is committed now is captured. @throws BackupError NOT_DURABLE */
  async flush(id: string): Promise<{ readonly bookmark: string; readonly at: Date }> {
    const news = await this.#ask((call) => ({ type: 'flush', id, call }));
    if (news.type !== 'flushed') throw notRunning();
    return { bookmark: news.bookmark, at: new Date(news.at) };
  }

  /** Nothing is captured from then on until `cut`, or for a few seconds. @throws BackupError NOT_DURABLE */
  async hold(id: string): Promise<void> {
    await this.#ask((call) => ({ type: 'hold', id, call }));
  }

  /** The moment that ends there, if there can be one. @throws BackupError NOT_DURABLE */
  async cut(id: string, end: LogEnd): Promise<BackupMoment | null> {
    const news = await this.#ask((call) => ({ type: 'cut', id, call, ...end }));
    return news.type === 'cut' ? news.moment : null;
  }

  async #ask(orderOf: (call: number) => ReplicateOrder): Promise<Answer> {
    const call = ++this.#lastCall;
    return await new Promise((resolve, reject) => {
      this.#calls.set(call, { resolve, reject });
      if (this.#worker?.send(orderOf(call))) return;
      this.#calls.delete(call);
      reject(notRunning());
    });
  }

  #start(stopMs: number): void {
    const worker = new Worker({
      ...{ kind: 'replicate' as const, request: {}, environment: this.#environment, times: { stopMs } },
      onMessage: (news) => this.#hear(news),
      onStart: () => {
        for (const [id, { options }] of this.#followed) worker.send({ type: 'follow', id, ...options });
      },
      onDown: (error) => {
        this.#refuseAll();
        for (const { onDown } of this.#followed.values()) onDown(error);
      },
    });
    this.#worker = worker;
    worker.start();
  }

  #hear(news: ReplicateNews): void {
    if (news.type === 'status') this.#followed.get(news.id)?.onStatus(news.status);
    else if (news.type === 'left') this.#followed.get(news.id)?.onLeft();
    else {
      const call = this.#calls.get(news.call);
      this.#calls.delete(news.call);
      if (news.type === 'refused') call?.reject(BackupError.fromJSON(news.error));
      else call?.resolve(news);
    }
  }

  #refuseAll(): void {
    for (const { reject } of this.#calls.values()) reject(notRunning());
    this.#calls.clear();
  }
}

function notRunning(): BackupError {
  return new BackupError('NOT_DURABLE', 'the process that captures commits is not running', {
    hint: 'It is started again by itself; try again in a moment.',
  });
}
