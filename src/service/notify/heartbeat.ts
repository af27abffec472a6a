/**
 * Pings a watcher that raises the alarm when no ping comes, in the form of healthchecks.io: `URL/start` when a backup
 * begins, `URL` when it ended well, `URL/fail` when not. So it also notices that this machine is gone. A ping that
 * something newer followed is no longer sent.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { BackupError } from '../../words/errors.ts';
import type { Log } from '../log.ts';
import { retryDelayMs, type NotifyWaits } from './retry.ts';
import { send } from './send.ts';

type Ping = 'start' | 'success' | 'fail';

interface HeartbeatOptions {
  readonly url: string;
  readonly waits: NotifyWaits;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** The next run pings anew. */
const TRIES_MAX = 8;

export class Heartbeat {
  readonly #options: HeartbeatOptions;
  readonly #addresses: Readonly<Record<Ping, URL>>;
  #next: Ping | null = null;
  /** Ends the wait for another try: something newer is to be said. */
  #newer = new AbortController();
  #sending: Promise<void> | null = null;

  constructor(options: HeartbeatOptions) {
    this.#options = options;
    const { url } = options;
    this.#addresses = {
      start: pingAddress(url, '/start'),
      success: pingAddress(url, ''),
      fail: pingAddress(url, '/fail'),
    };
  }

  /** Returns at once. */
  ping(ping: Ping): void {
    this.#next = ping;
    this.#newer.abort();
    this.#sending ??= this.#sendAll()
      .catch((error: unknown) => {
        this.#options.log('error', `The heartbeat failed: ${BackupError.from(error).message}.`);
      })
      .finally(() => {
        this.#sending = null;
      });
  }

  /** Resolves when nothing is under way. */
  async ended(): Promise<void> {
    await this.#sending;
  }

  async #sendAll(): Promise<void> {
    while (this.#next !== null && !this.#options.signal.aborted) {
      const ping = this.#next;
      this.#next = null;
      this.#newer = new AbortController();
      await this.#send(ping);
    }
  }

  async #send(ping: Ping): Promise<void> {
    const { waits, log, signal } = this.#options;
    for (let failures = 0; failures < TRIES_MAX && this.#next === null; failures++) {
      const fault = await send(this.#addresses[ping], { ...waits, signal });
      if (fault === null || signal.aborted) return;
      if (failures === 0) log('warn', `The heartbeat was not sent: ${fault}. It is retried.`);
      const ended = AbortSignal.any([signal, this.#newer.signal]);
      await sleep(retryDelayMs(failures, waits), undefined, { signal: ended, ref: false }).catch(() => {});
    }
  }
}

/** Behind the path and before the query. */
function pingAddress(url: string, suffix: string): URL {
  const address = new URL(url);
  if (suffix !== '') address.pathname = address.pathname.replace(/\/$/, '') + suffix;
  return address;
}
