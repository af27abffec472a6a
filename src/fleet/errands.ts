/**
 * What one person asks of many databases at once: to back up, or to check the newest backup. A few of them are worked on at
 * a time and the others wait, here and not in the page, so that they go on when it is closed. How each went is kept for a
 * while: whoever looks sees the same.
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

const AT_ONCE_MAX = 4;
const SHOWN_MS = 600_000;

export class Errands {
  readonly #nowMs: () => number;
  readonly #known = new Map<string, Errand & { readonly endedAtMs: number | null }>();
  readonly #waiting: (() => Promise<void>)[] = [];
  readonly #listeners = new Set<(name: string) => void>();
  #running = 0;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** @returns how many were added: those that wait or are worked on are not asked twice. */
  ask(act: ErrandAct, databases: readonly FleetDatabase[], user: string | undefined): number {
    const asked = databases.filter(({ name }) => !this.#isOpen(name));
    for (const database of asked) {
      this.#set(database.name, { act, state: 'waiting', detail: null });
      // The audit record names the one who asked, not the one whose errand made room.
      this.#waiting.push(AsyncResource.bind(() => this.#carryOut(act, database, user)));
    }
    this.#goOn();
    return asked.length;
  }

  of(name: string): Errand | null {
    const known = this.#known.get(name);
    if (!known) return null;
    const { endedAtMs, ...errand } = known;
    return endedAtMs !== null && this.#nowMs() - endedAtMs > SHOWN_MS ? null : errand;
  }

  /** Returns the end of the subscription. */
  on(listener: (name: string) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  #isOpen(name: string): boolean {
    const state = this.#known.get(name)?.state;
    return state === 'waiting' || state === 'running';
  }

  #goOn(): void {
    while (this.#running < AT_ONCE_MAX) {
      const next = this.#waiting.shift();
      if (!next) return;
      this.#running++;
      void next().finally(() => {
        this.#running--;
        this.#goOn();
      });
    }
  }

  async #carryOut(act: ErrandAct, database: FleetDatabase, user: string | undefined): Promise<void> {
    const { name } = database;
    this.#set(name, { act, state: 'running', detail: null });
    try {
      const fault = await works[act](database, user);
      this.#set(name, { act, state: fault === null ? 'done' : 'failed', detail: fault });
    } catch (error) {
      this.#set(name, { act, state: 'failed', detail: publicError(BackupError.from(error)).message });
    }
  }

  #set(name: string, errand: Errand): void {
    const isOver = errand.state === 'done' || errand.state === 'failed';
    this.#known.set(name, { ...errand, endedAtMs: isOver ? this.#nowMs() : null });
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
