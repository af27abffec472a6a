/** The stream on its way to all targets of a database. They may change while it runs; each goes on by itself. */
import { isDeepStrictEqual } from 'node:util';
import { setTimeout as sleep } from 'node:timers/promises';
import { BackupError } from '../../words/errors.ts';
import { Shipper, type Shipped, type ShipperContext, type ShipTarget } from './shipper.ts';

/** How long a stream that begins waits for what the targets hold already. */
const LOOK_MS = 10_000;

interface Waiter {
  readonly txid: bigint;
  readonly names: readonly string[];
  readonly resolve: () => void;
}

export class Shipping {
  readonly #context: ShipperContext;
  #shippers: readonly Shipper[] = [];
  #waiters: Waiter[] = [];
  #ending: Promise<void> = Promise.resolve();
  #last: readonly Shipped[] | null = null;
  readonly #told = Promise.withResolvers<void>();

  constructor(context: ShipperContext) {
    const onNews = () => {
      this.#serve();
      context.onNews();
    };
    this.#context = { ...context, onNews };
  }

  /** Those that stay as they are go on; the others end, or begin. */
  setTargets(targets: readonly ShipTarget[]): void {
    this.#told.resolve();
    const before = this.#shippers;
    this.#shippers = targets.map((target) => {
      const kept = before.find((one) => isSamePlace(one.target, target));
      if (kept === undefined) return new Shipper(target, this.#context);
      kept.writer = target.writer;
      return kept;
    });
    const gone = before.filter((one) => !this.#shippers.includes(one));
    this.#ending = Promise.all([this.#ending, ...gone.map((one) => one.stop())]).then(() => {});
    this.#context.onNews();
  }

  wake(): void {
    for (const one of this.#shippers) one.wake();
  }

  /** As it was at the end, after that. */
  get shipped(): readonly Shipped[] {
    return this.#last ?? this.#shippers.map(({ shipped }) => shipped);
  }

  /** The highest TXID at any target, as far as they answer in time: what begins anew begins above it. */
  async highestThere(signal: AbortSignal): Promise<bigint> {
    const late = sleep(LOOK_MS, 0n, { ref: false, signal }).catch(() => 0n);
    await Promise.race([this.#told.promise, late]);
    const answers = this.#shippers.map((one) => one.highestThere().catch(() => 0n));
    const found = await Promise.all(answers.map((answer) => Promise.race([answer, late])));
    return found.reduce((most, txid) => (txid > most ? txid : most), 0n);
  }

  /**
   * Resolves when all up to that moment can be restored from each of these targets; at once if none is named and there is none.
   *
   * @returns false where the moment has to be captured again, because a target holds another one of that TXID.
   * @throws BackupError NOT_DURABLE with the reason of each that does not hold it in time.
   */
  async durable(txid: bigint, names: readonly string[] | null, timeoutMs: number): Promise<boolean> {
    const wanted = names ?? this.#shippers.map(({ target }) => target.name);
    const unknown = wanted.find((name) => !this.#shippers.some(({ target }) => target.name === name));
    if (unknown !== undefined) throw notDurable([`${unknown}: nothing is shipped there now`]);
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiter = { txid, names: wanted, resolve };
    this.#waiters.push(waiter);
    this.#serve();
    this.wake();
    const timer = setTimeout(resolve, timeoutMs);
    await promise;
    clearTimeout(timer);
    this.#waiters = this.#waiters.filter((one) => one !== waiter);
    const missing = this.#shippers
      .filter(({ target }) => wanted.includes(target.name))
      .filter((one) => !one.holds(txid));
    if (missing.length === 0) return true;
    if (missing.some((one) => one.isAbove(txid))) return false;
    throw notDurable(
      missing.map(({ target, error }) => `${target.name}: ${error?.message ?? `not there after ${timeoutMs} ms`}`),
    );
  }

  /** A last flush, for so long at most. What is not there then is shipped by the next one. */
  async end(txid: bigint | null, timeoutMs: number): Promise<void> {
    if (this.#last !== null) return;
    if (txid !== null && timeoutMs > 0) await this.durable(txid, null, timeoutMs).catch(() => false);
    this.#last = this.shipped;
    this.setTargets([]);
    await this.#ending;
  }

  /** Those who wait for what is there by now go on. */
  #serve(): void {
    for (const { txid, names, resolve } of this.#waiters) {
      const isThere = (name: string) => this.#shippers.some((one) => one.target.name === name && one.holds(txid));
      // Another writer is there, or another line.
      const isLost = this.#shippers.some(
        (one) => names.includes(one.target.name) && (one.isStopped || one.isAbove(txid)),
      );
      if (isLost || names.every(isThere)) resolve();
    }
  }
}

function isSamePlace({ writer: _one, ...one }: ShipTarget, { writer: _other, ...other }: ShipTarget): boolean {
  return isDeepStrictEqual(one, other);
}

function notDurable(reasons: readonly string[]): BackupError {
  return new BackupError('NOT_DURABLE', `the commits are not everywhere they should be (${reasons.join('; ')})`, {
    hint: 'They are captured on this machine, and are shipped as soon as the target answers; see `velist-backup status`.',
  });
}
