/**
 * The heartbeats of this process, by which other machines see that its places have a writer. One small object for each
 * bucket, whatever number of databases is guarded: renewed at least with each tick of the schedule, also when nothing
 * changed. No process is started for it, and it holds up no run; the S3 client is loaded with the first renewal.
 *
 * It also looks, once a tick, whether a place where another machine writes is free by now.
 */
import {
  endHeartbeat,
  type Heartbeat,
  newHeartbeat,
  type OwnEpoch,
  disownPlace,
  releasePlace,
  renew,
} from '../../engine/writer/heartbeat.ts';
import { BackupError } from '../../words/errors.ts';
import type { ObjectStore } from '../../engine/store/store.ts';
import { connectionOf, openTarget, type TargetAccess, type TargetStore, wholeOf } from '../../engine/store/kinds.ts';
import { beatName, EVERY_MAX_MS, keyAt } from '../../engine/writer/objects.ts';
import type { Log } from '../log.ts';

const TICK_LEAST_MS = 60_000;
/** No timer sleeps longer: a machine that slept is seen again within that time. */
const WAKE_MAX_MS = 30_000;
/** A limit for giving places back: a target that does not answer must not hold up an exit. */
const RELEASE_MAX_MS = 5_000;
/** The part of a tick after which a heartbeat is due: the timer is coarse, and a writer must not seem late. */
const DUE_PART = 0.9;

/** How often a writer gives a sign of life: with each planned backup, and at least once an hour. */
export function tickMs(longestGapMinutes: number): number {
  return Math.min(EVERY_MAX_MS, Math.max(TICK_LEAST_MS, longestGapMinutes * 60_000));
}

/** A place that this process writes to. */
interface HeldPlaceHere extends OwnEpoch {
  readonly prefix: string;
  /** The token of the epoch. */
  readonly token: string;
  /** How sentences call the place. */
  readonly where: string;
  /** As the epoch promises it. */
  readonly everyMs: number;
  readonly log: Log;
  /** Another machine has the token of this process: it is not the writer any more. */
  readonly onCloned: (error: BackupError) => void;
}

interface Look {
  readonly everyMs: number;
  readonly look: (signal: AbortSignal) => Promise<void>;
  readonly abort: AbortController;
  lookedMs: number;
  isLooking: boolean;
}

export class Heartbeats {
  readonly #shared = new Map<string, SharedHeartbeat>();
  readonly #now: () => Date;

  constructor({ now = () => new Date() }: { readonly now?: () => Date } = {}) {
    this.#now = now;
  }

  /** The same for all databases that have this target and key in common. */
  in(access: TargetAccess): SharedHeartbeat {
    const name = connectionOf(access);
    let room = this.#shared.get(name);
    if (!room) {
      room = new SharedHeartbeat(access, this.#now);
      this.#shared.set(name, room);
    }
    return room;
  }
}

export class SharedHeartbeat {
  readonly #access: TargetAccess;
  readonly #now: () => Date;
  readonly #held = new Map<string, HeldPlaceHere>();
  readonly #looks = new Map<string, Look>();
  /** Begun with the first place that asks; it lies below the prefix of that one, where its key may write. */
  #heartbeat: Heartbeat | null = null;
  #store: TargetStore | null = null;
  #users = 0;
  #timer: NodeJS.Timeout | undefined;
  #wakeMs = 0;
  #renewedMs = 0;
  #renewing: AbortController | null = null;
  #isFailing = false;

  constructor(access: TargetAccess, now: () => Date) {
    this.#access = access;
    this.#now = now;
  }

  /** Token and key for the epochs that this process takes. */
  of(prefix: string): Pick<Heartbeat, 'token' | 'key'> {
    this.#heartbeat ??= newHeartbeat((token) => keyAt({ prefix }, beatName(token)));
    return this.#heartbeat;
  }

  /** @param epoch left out: whichever. */
  holds(address: string, epoch?: number): boolean {
    const held = this.#held.get(address);
    return held !== undefined && (epoch === undefined || held.epoch === epoch);
  }

  /** From now on it is renewed; the epoch itself was the first sign of life. */
  hold(place: HeldPlaceHere): void {
    // It was taken before we learned that we are a clone.
    if (place.token !== this.#heartbeat?.token) return;
    if (this.#held.size === 0) this.#renewedMs = this.#now().getTime();
    this.#held.set(place.address, place);
    this.#endLook(place.address);
    this.#setTimer();
  }

  /** It is not ours any more, or stays ours without a process. */
  drop(address: string): void {
    this.#held.delete(address);
    this.#endLook(address);
    this.#setTimer();
  }

  /** Looks once a tick while another machine writes there. */
  watch(address: string, everyMs: number, look: Look['look']): void {
    if (this.#looks.has(address)) return;
    const lookedMs = this.#now().getTime();
    this.#looks.set(address, { everyMs, look, abort: new AbortController(), lookedMs, isLooking: false });
    this.#setTimer();
  }

  /** Gives the place back, so that the next writer need not wait. Takes a few seconds at most and never rejects. */
  async release(address: string): Promise<void> {
    const place = this.#held.get(address);
    const heartbeat = this.#heartbeat;
    this.drop(address);
    if (!place || !heartbeat) return;
    const isLast = this.#held.size === 0;
    // A later start of this process is another one.
    if (isLast) this.#heartbeat = null;
    const abort = new AbortController();
    const timer = setTimeout(() => abort.abort(), RELEASE_MAX_MS);
    try {
      const warn = (message: string) => place.log('warn', message);
      const context = { signal: abort.signal, now: this.#now, warn };
      await this.withStore(async (store) => {
        await releasePlace({ store, prefix: place.prefix }, place, heartbeat.token, context);
        if (isLast) await endHeartbeat(heartbeat, store, abort.signal);
      });
    } catch (error) {
      const reason = abort.signal.aborted ? 'the target did not answer in time' : BackupError.from(error).message;
      place.log(
        'warn',
        `${place.where} was not released: ${reason}. This machine continues there at its next start; another one waits until it has been silent for three ticks.`,
      );
    } finally {
      clearTimeout(timer);
    }
  }

  /** The whole target; closed when nobody uses it. */
  async withStore<Result>(work: (store: ObjectStore) => Promise<Result>): Promise<Result> {
    this.#store ??= openTarget(this.#access, '', { isQuick: true });
    const { root } = this.#store;
    this.#users += 1;
    try {
      return await work(root);
    } finally {
      this.#users -= 1;
      this.#closeIfIdle();
    }
  }

  #closeIfIdle(): void {
    if (this.#users > 0 || this.#held.size > 0 || this.#looks.size > 0) return;
    this.#store?.close();
    this.#store = null;
  }

  #endLook(address: string): void {
    this.#looks.get(address)?.abort.abort();
    this.#looks.delete(address);
  }

  #setTimer(): void {
    if (this.#held.size === 0) this.#renewing?.abort();
    const ticks = [...this.#held.values(), ...this.#looks.values()].map(({ everyMs }) => everyMs);
    const wakeMs = ticks.length === 0 ? 0 : Math.min(WAKE_MAX_MS, Math.min(...ticks) / 2);
    // Begun anew at each upload it would never come to its end.
    if (wakeMs === this.#wakeMs) return;
    clearInterval(this.#timer);
    this.#wakeMs = wakeMs;
    this.#timer = wakeMs === 0 ? undefined : setInterval(() => this.#wake(), wakeMs);
    this.#timer?.unref();
    this.#closeIfIdle();
  }

  #wake(): void {
    const nowMs = this.#now().getTime();
    // A clock that jumped, either way, is no reason to be silent.
    const isDue = (lastMs: number, everyMs: number) => Math.abs(nowMs - lastMs) >= DUE_PART * everyMs;
    const everyMs = Math.min(...[...this.#held.values()].map((place) => place.everyMs));
    if (this.#held.size > 0 && (this.#isFailing || isDue(this.#renewedMs, everyMs))) void this.#renew();
    for (const look of this.#looks.values()) {
      if (look.isLooking || !isDue(look.lookedMs, look.everyMs)) continue;
      look.lookedMs = nowMs;
      look.isLooking = true;
      void look.look(look.abort.signal).finally(() => {
        look.isLooking = false;
      });
    }
  }

  /** Never rejects. */
  async #renew(): Promise<void> {
    const heartbeat = this.#heartbeat;
    if (this.#renewing || !heartbeat) return;
    const abort = new AbortController();
    this.#renewing = abort;
    const places = [...this.#held.values()];
    const warn = (message: string) => places[0]?.log('warn', message);
    const context = { signal: abort.signal, now: this.#now, warn };
    try {
      const ours = await this.withStore((store) => renew(heartbeat, store, places, context));
      this.#renewedMs = this.#now().getTime();
      this.#isFailing = false;
      for (const place of places) if (!ours.includes(place)) this.drop(place.address);
    } catch (error) {
      const known = BackupError.from(error);
      if (known.code === 'CLONED') await this.#stopAsClone(heartbeat, known);
      else if (!abort.signal.aborted) this.#fail(known);
    } finally {
      this.#renewing = null;
    }
  }

  /** Said once, until it works again. */
  #fail({ message, hint }: BackupError): void {
    if (this.#isFailing) return;
    this.#isFailing = true;
    const [place] = this.#held.values();
    place?.log('warn', `The heartbeat in ${wholeOf(this.#access)} could not be renewed: ${message}. ${hint}`);
  }

  async #stopAsClone(heartbeat: Heartbeat, error: BackupError): Promise<void> {
    const places = [...this.#held.values()];
    this.#heartbeat = null;
    for (const place of places) {
      this.drop(place.address);
      // If it can't be noted, the next write fails for the same reason.
      await disownPlace(place, heartbeat.token, {
        signal: AbortSignal.timeout(RELEASE_MAX_MS),
        now: this.#now,
        warn: (message) => place.log('warn', message),
      }).catch(() => {});
      place.onCloned(error);
    }
  }
}
