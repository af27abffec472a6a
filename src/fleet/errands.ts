/**
 * What one person asks of many databases at once: to back up, or to check the newest backup. A few of them are worked on at
 * a time, each at one errand, and the others wait, here and not in the page, so that they go on when it is closed. How each
 * went is kept for a while: whoever looks sees the same.
 */
import { AsyncResource } from 'node:async_hooks';
import { BackupError, publicError } from '../words/errors.ts';
import type { FleetDatabase } from './fleet-port.ts';

export type ErrandAct = 'backup' | 'verify';

interface Errand {
  readonly act: ErrandAct;
  readonly state: 'waiting' | 'running' | 'done' | 'failed';
  /** Why it failed. */
  readonly detail: string | null;
}

/** One that waits, or is worked on. */
interface Open {
  readonly act: ErrandAct;
  /** Answers what went wrong; null if nothing did. */
  readonly work: () => Promise<string | null>;
}

const AT_ONCE_MAX = 4;
const SHOWN_MS = 600_000;

export class Errands {
  readonly #nowMs: () => number;
  /** By database, each in the order in which they were asked. The database that has waited longest is the first. */
  readonly #open = new Map<string, readonly Open[]>();
  /** The databases whose first errand is worked on. */
  readonly #running = new Set<string>();
  readonly #ended = new Map<string, Errand & { readonly endedAtMs: number }>();
  readonly #listeners = new Set<(name: string) => void>();

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** @returns how many were added: one that waits or is worked on is not asked twice. */
  ask(act: ErrandAct, databases: readonly FleetDatabase[], user: string | undefined): number {
    const asked = databases.filter(({ name }) => !this.#openOf(name).some((open) => open.act === act));
    for (const database of asked) {
      const { name } = database;
      // The audit record names the one who asked, not the one whose errand made room.
      const work = AsyncResource.bind(() => works[act](database, user));
      this.#open.set(name, [...this.#openOf(name), { act, work }]);
      this.#tell(name);
    }
    this.#goOn();
    return asked.length;
  }

  /** The one that is worked on, else the next one that waits, else the last. */
  of(name: string): Errand | null {
    const [current] = this.#openOf(name);
    if (current) return { act: current.act, state: this.#running.has(name) ? 'running' : 'waiting', detail: null };
    const last = this.#ended.get(name);
    if (!last) return null;
    const { endedAtMs, ...errand } = last;
    return this.#nowMs() - endedAtMs > SHOWN_MS ? null : errand;
  }

  /** Returns the end of the subscription. */
  on(listener: (name: string) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  #openOf(name: string): readonly Open[] {
    return this.#open.get(name) ?? [];
  }

  #goOn(): void {
    for (const [name, [next]] of this.#open) {
      if (this.#running.size >= AT_ONCE_MAX) return;
      if (next && !this.#running.has(name)) void this.#carryOut(name, next);
    }
  }

  async #carryOut(name: string, { act, work }: Open): Promise<void> {
    this.#running.add(name);
    this.#tell(name);
    let fault: string | null;
    try {
      fault = await work();
    } catch (error) {
      fault = publicError(BackupError.from(error)).message;
    }
    const rest = this.#openOf(name).slice(1);
    this.#running.delete(name);
    this.#open.delete(name);
    // Behind the others.
    if (rest.length > 0) this.#open.set(name, rest);
    const state = fault === null ? 'done' : 'failed';
    this.#ended.set(name, { act, state, detail: fault, endedAtMs: this.#nowMs() });
    this.#tell(name);
    this.#goOn();
  }

  #tell(name: string): void {
    for (const listener of this.#listeners) listener(name);
  }
}

/** Each answers what went wrong; null if nothing did. */
const works: Readonly<
  Record<ErrandAct, (database: FleetDatabase, user: string | undefined) => Promise<string | null>>
> = {
  async backup({ service }, user) {
    const { error } = await service.performBackup(user);
    return error ? publicError(error).message : null;
  },
  async verify({ service }, user) {
    const isHere = (placement: { readonly target: string; readonly status: string }) =>
      placement.target === 'local' && placement.status === 'stored';
    const newest = (await service.getBackups()).find(({ other, placements }) => !other && placements.some(isHere));
    if (!newest) return 'there is no backup here to check';
    const { verification } = await service.verifyBackup(newest.filename, { full: false, ...(user && { user }) });
    return verification.state === 'damaged' ? `the newest backup is damaged: ${verification.detail}` : null;
  },
};
