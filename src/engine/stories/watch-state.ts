/**
 * Tells when the state that several processes share has changed, or when a process that is followed has ended. A look is
 * one `PRAGMA data_version`, which changes when another connection has committed: https://sqlite.org/pragma.html#pragma_data_version
 */
import { statSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { errnoCode } from '../../words/errors.ts';

export interface WatchStateRequest {
  /** The file of the state; it need not be there yet. */
  readonly path: string;
  readonly everyMs: number;
}

/** The processes whose end is a change, too: they may die without a word. */
export interface Follow {
  readonly pids: readonly number[];
}

export interface StateChanged {
  readonly type: 'changed';
}

export interface WatchStateContext {
  readonly signal: AbortSignal;
  readonly onMessage: (hear: (message: Follow) => void) => void;
  readonly send: (message: StateChanged) => void;
}

/** Ends with the signal. The first look is told as a change, so that its owner looks after the watch has begun. */
export async function watchState({ path, everyMs }: WatchStateRequest, context: WatchStateContext): Promise<void> {
  let followed: readonly number[] = [];
  context.onMessage(({ pids }) => {
    followed = pids;
  });
  using state = new WatchedFile(path);
  let seen: string | null = null;
  while (!context.signal.aborted) {
    const now = state.look();
    const alive = followed.filter(isAlive);
    if (now !== seen || alive.length < followed.length) context.send({ type: 'changed' });
    seen = now;
    followed = alive;
    await sleep(everyMs, undefined, { signal: context.signal }).catch(() => {});
  }
}

class WatchedFile {
  readonly #path: string;
  #database: DatabaseSync | null = null;
  /** Another file at that path is another database. */
  #inode: bigint | null = null;

  constructor(path: string) {
    this.#path = path;
  }

  /** Two looks are equal if nobody committed in between. Empty while there is no file, or none that can be read. */
  look(): string {
    try {
      const { ino } = statSync(this.#path, { bigint: true });
      if (ino !== this.#inode) this[Symbol.dispose]();
      this.#database ??= new DatabaseSync(this.#path, { readOnly: true, timeout: 0 });
      this.#inode = ino;
      return `${ino} ${this.#database.prepare('PRAGMA data_version').get()?.['data_version']}`;
    } catch {
      this[Symbol.dispose]();
      return '';
    }
  }

  [Symbol.dispose](): void {
    this.#database?.close();
    this.#database = null;
    this.#inode = null;
  }
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // Another user's process is alive all the same.
    return errnoCode(error) === 'EPERM';
  }
}
