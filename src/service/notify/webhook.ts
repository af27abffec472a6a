/**
 * Says to a chat what changed: a concern when it begins, and once that all is well again. It holds no queue: what was
 * said last is compared with how things stand now, so a receiver that was away is told the present and not the past,
 * and after a restart nothing is said twice.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { BackupError } from '../../words/errors.ts';
import type { Log } from '../log.ts';
import { type Change, changeSince, type Concern, type Situation } from './concerns.ts';
import { retryDelayMs, type NotifyWaits } from './retry.ts';
import { send } from './send.ts';

interface WebhookOptions {
  readonly url: string;
  readonly said: Said;
  readonly waits: NotifyWaits;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** What was said last, kept over a restart and shared with other processes of the app. */
export interface Said {
  /** By whichever process; null if nothing was, or where it can't be read just now. */
  read(): readonly Concern[] | null;
  /** False while another process is saying something. A turn ends by `save`, by `release`, or by time. */
  takeTurn(mostMs: number): boolean;
  /** Whether it could be noted. */
  save(concerns: readonly Concern[]): boolean;
  release(): void;
  close(): void;
}

export class Webhook {
  readonly #options: WebhookOptions;
  readonly #address: URL;
  #said: readonly Concern[];
  /** As we last saw it kept: where it differs from that, another process has said something. */
  #kept: readonly Concern[];
  #present: Situation | null = null;
  #telling: Promise<void> | null = null;

  constructor(options: WebhookOptions) {
    this.#options = options;
    this.#address = new URL(options.url);
    this.#kept = options.said.read() ?? [];
    this.#said = this.#kept;
  }

  /** How things stand now. Returns at once. */
  tell(situation: Situation): void {
    this.#present = situation;
    this.#telling ??= this.#catchUp()
      .catch((error: unknown) => {
        this.#options.log('error', `The webhook failed: ${BackupError.from(error).message}.`);
      })
      .finally(() => {
        this.#telling = null;
      });
  }

  /** Resolves when nothing is under way. */
  async ended(): Promise<void> {
    await this.#telling;
  }

  async #catchUp(): Promise<void> {
    const { said: kept, waits, log, signal } = this.#options;
    for (let failures = 0; !signal.aborted && this.#present !== null;) {
      const situation = this.#present;
      const change = this.#changeFor(situation);
      if (change.message === null) {
        this.#remember(change.said);
        if (this.#present === situation) return;
        continue;
      }
      // Another process of the app is telling it; how that ended is seen at the next look.
      if (!kept.takeTurn(waits.timeoutMs)) return;
      const { said, message } = this.#changeFor(situation);
      const fault = message && (await send(this.#address, { ...waits, signal, body: JSON.stringify(message) }));
      if (fault === null) {
        this.#remember(said);
        kept.release();
        if (message) log('info', `The webhook was called: ${message.event}.`);
        failures = 0;
        if (this.#present === situation) return;
        continue;
      }
      kept.release();
      if (signal.aborted) return;
      // Once, not at every try.
      if (failures === 0) log('warn', `The webhook could not be called: ${fault}. It is retried.`);
      await sleep(retryDelayMs(failures++, waits), undefined, { signal, ref: false }).catch(() => {});
    }
  }

  #changeFor(situation: Situation): Change {
    const kept = this.#options.said.read();
    if (kept !== null && kept.join() !== this.#kept.join()) {
      this.#kept = kept;
      this.#said = kept;
    }
    return changeSince(this.#said, situation);
  }

  /** What could not be noted is noted at a later look; until then our own memory counts. */
  #remember(said: readonly Concern[]): void {
    this.#said = said;
    if (said.join() !== this.#kept.join() && this.#options.said.save(said)) this.#kept = said;
  }
}
