/**
 * How many jobs run at once if one process guards many databases. A job that is one too many waits for a slot; what a person
 * asked for needs none. Copies, drills and uploads have lines of their own: an upload or the check of a file from
 * elsewhere may take hours, and must never hold up a backup. A backup whose own check takes long leaves its slot to others.
 */
import { BackupError } from '../../words/errors.ts';
import type { JobRequest } from '../../engine/process/protocol.ts';

/** Two cores' worth: a copy waits for the disk while the other one is being verified. */
const AT_ONCE = 2;

/** The check of a copy may hold up others for so long; of ten gigabytes it takes three seconds. */
const CHECK_HOLDS_MS = 60_000;

type Line = 'copy' | 'drill' | 'remote';

export class JobSlots {
  readonly #lines: Record<Line, { going: number; readonly waiting: (() => void)[] }> = {
    copy: { going: 0, waiting: [] },
    drill: { going: 0, waiting: [] },
    remote: { going: 0, waiting: [] },
  };

  readonly #checkHoldsMs: number;

  constructor({ checkHoldsMs = CHECK_HOLDS_MS } = {}) {
    this.#checkHoldsMs = checkHoldsMs;
  }

  /**
   * @param work is given what it calls when only its check is left.
   * @throws BackupError ABORTED when the signal came before the slot.
   */
  async take<Result>(
    request: JobRequest,
    work: (onChecking: () => void) => Promise<Result>,
    signal?: AbortSignal,
  ): Promise<Result> {
    const name = lineOf(request);
    if (name === null) return await work(() => {});
    const line = this.#lines[name];
    if (line.going >= AT_ONCE) await slotFree(line.waiting, signal);
    else line.going += 1;
    let isInLine = true;
    // Its place goes to the next, or is free.
    const leave = () => {
      if (!isInLine) return;
      isInLine = false;
      const next = line.waiting.shift();
      if (next) next();
      else line.going -= 1;
    };
    let timer: NodeJS.Timeout | undefined;
    try {
      return await work(() => {
        timer ??= setTimeout(leave, this.#checkHoldsMs);
      });
    } finally {
      clearTimeout(timer);
      leave();
    }
  }
}

function slotFree(waiting: (() => void)[], signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const begin = () => {
      signal?.removeEventListener('abort', leave);
      resolve();
    };
    const leave = () => {
      waiting.splice(waiting.indexOf(begin), 1);
      reject(new BackupError('ABORTED', 'the run was stopped', { hint: 'Start it again whenever you like.' }));
    };
    if (signal?.aborted) return leave();
    signal?.addEventListener('abort', leave, { once: true });
    waiting.push(begin);
  });
}

function lineOf(request: JobRequest): Line | null {
  switch (request.kind) {
    case 'backup':
      return request.trigger === 'manual' || request.trigger === 'cli' ? null : 'copy';
    case 'drill':
      return 'drill';
    case 'upload':
    case 'list-remote':
    case 'prune-remote':
      return 'remote';
    default:
      return null;
  }
}
