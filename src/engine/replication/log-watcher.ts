import { type FSWatcher, watch } from 'node:fs';
import { basename, dirname } from 'node:path';

/** Wakes at the first write to the log while it is idle; a busy one is looked at by the clock. */
export class LogWatcher {
  readonly #path: string;
  readonly #wake: () => void;
  #watcher: FSWatcher | null = null;

  constructor(path: string, wake: () => void) {
    this.#path = path;
    this.#wake = wake;
  }

  get isListening(): boolean {
    return this.#watcher !== null;
  }

  listen(): void {
    if (this.#watcher !== null) return;
    try {
      const log = `${basename(this.#path)}-wal`;
      // The folder: a log may be removed and made anew.
      this.#watcher = watch(dirname(this.#path), { persistent: false }, (_, name) => {
        if (name !== null && name !== log) return;
        this[Symbol.dispose]();
        this.#wake();
      });
      this.#watcher.on('error', () => this[Symbol.dispose]());
    } catch {
      // No watches are left: the clock is there all the same.
    }
  }

  [Symbol.dispose](): void {
    this.#watcher?.close();
    this.#watcher = null;
  }
}
