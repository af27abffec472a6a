/** Our own small database as one service uses it: opened when it is needed first, closed when the service is. */
import { existsSync } from 'node:fs';
import type { Run } from '../../words/run.ts';
import { RunHistory } from './run-history.ts';
import type { StateStatements } from './state-database.ts';

interface StateOptions {
  readonly path: string;
  /** The backup folder, as the state calls it. */
  readonly folder: string;
  /** Digests of the database's path, as it is and was. */
  readonly databases: () => readonly string[];
  readonly warn: (message: string) => void;
}

export class State {
  readonly #options: StateOptions;
  #history: RunHistory | undefined;

  constructor(options: StateOptions) {
    this.#options = options;
  }

  /** Looking makes no file. */
  get exists(): boolean {
    return this.#history !== undefined || existsSync(this.#options.path);
  }

  get history(): RunHistory {
    this.#history ??= new RunHistory(this.#options.path, this.#options);
    return this.#history;
  }

  /** For notes that must neither wait nor fail: its statements do not wait for another process. */
  get notes(): StateStatements {
    return this.history.database.unwaiting;
  }

  lastBackupRun(): Run | undefined {
    return this.history.list({ limit: 1, kind: 'backup' })[0];
  }

  /**
   * The newest backup that a run made, as far as the history goes. Null as well while another process holds the history: it
   * has no say in whether a backup is made.
   */
  lastMade(): string | null {
    try {
      return this.history.list({ limit: 1, kind: 'backup', result: 'success' })[0]?.backup ?? null;
    } catch {
      return null;
    }
  }

  close(): void {
    this.#history?.close();
    this.#history = undefined;
  }
}
