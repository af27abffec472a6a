/**
 * Says to a chat what changed: a concern when it begins, and once that all is well again. It holds no queue: what was
 * said last is compared with how things stand now, so a receiver that was away is told the present and not the past,
 * and after a restart nothing is said twice.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { BackupError } from '../../engine/errors.ts';
import type { Log } from '../log.ts';
import { changeSince, type Concern, type Situation } from './concerns.ts';
import { retryDelayMs, type VoiceWaits } from './retry.ts';
import { send } from './send.ts';

export interface WebhookOptions {
  readonly url: string;
  readonly said: Said;
  readonly waits: VoiceWaits;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** What was said last, kept over a restart and shared with other processes of the app. */
export interface Said {
  /** Null where nothing is kept. */
  load(): readonly Concern[] | null;
  /** Whoever takes the turn says what is to be said; null while another process has it. It ends by `save` or `release`. */
  takeTurn(mostMs: number): (readonly Concern[] | null) | 'taken';
  save(concerns: readonly Concern[]): void;
  release(): void;
}

export class Webhook {
  readonly #options: WebhookOptions;
  readonly #address: URL;
  #said: readonly Concern[];
  #present: Situation | null = null;
  #telling: Promise<void> | null = null;

  constructor(options: WebhookOptions) {
    this.#options = options;
    this.#address = new URL(options.url);
    this.#said = options.said.load() ?? [];
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
    const { waits, log, signal } = this.#options;
    for (let failures = 0; !signal.aborted && this.#present !== null;) {
      const situation = this.#present;
      const turn = this.#takeTurn(situation);
      // Another process of the app is telling it; how that ended is seen at the next look.
      if (turn === 'taken') return;
      const { said, message } = changeSince(this.#said, situation);
      const fault = message && (await send(this.#address, { ...waits, signal, body: JSON.stringify(message) }));
      if (fault === null) {
        this.#remember(said);
        if (message) log('info', `The webhook was told: ${message.event}.`);
        failures = 0;
        if (this.#present === situation) return;
        continue;
      }
      this.#options.said.release();
      if (signal.aborted) return;
      // Once, not at every try.
      if (failures === 0) log('warn', `The webhook was not told: ${fault}. It is tried again.`);
      await sleep(retryDelayMs(failures++, waits), undefined, { signal, ref: false }).catch(() => {});
    }
  }

  /** Only where there is something to say; then what another process has said counts as said. */
  #takeTurn(situation: Situation): 'ours' | 'taken' {
    const { said, waits } = this.#options;
    if (changeSince(this.#said, situation).message === null) return 'ours';
    const kept = said.takeTurn(waits.timeoutMs);
    if (kept === 'taken') return 'taken';
    this.#said = kept ?? this.#said;
    return 'ours';
  }

  #remember(concerns: readonly Concern[]): void {
    const isSame = concerns.join() === this.#said.join();
    this.#said = concerns;
    if (isSame) this.#options.said.release();
    else this.#options.said.save(concerns);
  }
}
