/**
 * Tells people and programs elsewhere how the backups are: a webhook when something changes, a heartbeat with each run.
 * Both hear the service's events and look again now and then. They are told beside the runs: no receiver, slow, broken
 * or gone, holds up a run or fails it, and `stop` ends whatever is under way.
 */
import { randomUUID } from 'node:crypto';
import { BackupError } from '../../words/errors.ts';
import type { Log } from '../log.ts';
import type { Status } from '../protection/shown-status.ts';
import type { ServiceEvent } from '../service-event.ts';
import type { Run } from '../../words/run.ts';
import type { NotifyOptions } from '../service-options.ts';
import type { BackupServicePort } from '../service-port.ts';
import { openStateDatabase } from '../state/state-database.ts';
import { assessSituation, concerns } from './concerns.ts';
import { Heartbeat } from './heartbeat.ts';
import { NOTIFY_WAITS, type NotifyWaits } from './retry.ts';
import { type Said, Webhook } from './webhook.ts';

interface NotifyContext {
  readonly service: Pick<BackupServicePort, 'on' | 'getStatus' | 'getRuns' | 'getRunTotals'>;
  readonly statePath: string;
  /** The backup folder, as the state database calls it: several services may share that. */
  readonly folder: string;
  readonly log: Log;
}

/** One of these at least found the file. */
const RUNS_LOOKED_AT = 20;

export class Notify {
  readonly #options: () => NotifyOptions;
  readonly #context: NotifyContext;
  #life: Life | null = null;

  /** @param options as they are at each start. */
  constructor(options: () => NotifyOptions, context: NotifyContext) {
    this.#options = options;
    this.#context = context;
  }

  start(): void {
    const { webhookUrl, heartbeatUrl, waits: given } = this.#options();
    if (this.#life || (!webhookUrl && !heartbeatUrl)) return;
    const { service, statePath, folder, log } = this.#context;
    const abort = new AbortController();
    const waits: NotifyWaits = { ...NOTIFY_WAITS, ...given };
    const common = { waits, log, signal: abort.signal };
    const heartbeat = heartbeatUrl ? new Heartbeat({ ...common, url: heartbeatUrl }) : null;
    const said = webhookUrl ? keptConcerns(statePath, folder, log) : null;
    const webhook = webhookUrl && said ? new Webhook({ ...common, url: webhookUrl, said }) : null;
    const timer = setInterval(() => this.#look(), waits.lookMs);
    timer.unref();
    const unsubscribe = service.on((event) => this.#onEvent(event));
    this.#life = { abort, heartbeat, webhook, said, timer, unsubscribe, ...newLife };
  }

  /** Resolves when nothing is under way; what was not said by then is said after the next start. */
  async stop(): Promise<void> {
    const life = this.#life;
    this.#life = null;
    if (!life) return;
    clearInterval(life.timer);
    life.unsubscribe();
    life.abort.abort();
    await Promise.all([life.looking, life.webhook?.ended(), life.heartbeat?.ended()]);
    life.said?.close();
  }

  #onEvent(event: ServiceEvent): void {
    const life = this.#life;
    if (!life) return;
    if (event.type === 'progress' && event.run.kind === 'backup' && life.pinged !== event.run.id) {
      life.pinged = event.run.id;
      life.heartbeat?.ping('start');
    }
    if (event.type === 'run' && event.run.kind === 'backup') this.#pingEnd(life, event.run);
    if (event.type === 'run') life.runsEnded++;
    if (event.type === 'run' || event.type === 'backups') this.#look();
  }

  #pingEnd({ heartbeat }: Life, { result }: Run): void {
    // Stopped by hand or refused it is neither: the watcher hears of the next one.
    if (result !== 'stopped' && result !== 'refused') heartbeat?.ping(result === 'failed' ? 'fail' : 'success');
  }

  /** One look at a time; what happens meanwhile is looked at once more. */
  #look(): void {
    const life = this.#life;
    if (!life?.webhook) return;
    life.lookAgain = true;
    life.looking ??= this.#lookUntilSettled(life, life.webhook).finally(() => {
      life.looking = null;
    });
  }

  async #lookUntilSettled(life: Life, webhook: Webhook): Promise<void> {
    const { service, log } = this.#context;
    while (life.lookAgain && !life.abort.signal.aborted) {
      life.lookAgain = false;
      const { runsEnded } = life;
      try {
        // A folder that can't be listed is told by the run that failed for it.
        const status = await service.getStatus().catch((error: unknown) => life.status ?? Promise.reject(error));
        life.status = status;
        const lastRuns = service.getRuns({ kind: 'backup', limit: RUNS_LOOKED_AT, telling: true });
        if (life.abort.signal.aborted) return;
        // The folder was listed before that run ended, and its backup is not in the list.
        if (runsEnded !== life.runsEnded) continue;
        webhook.tell(assessSituation({ status, lastRuns, totals: service.getRunTotals() }));
        life.isBlind = false;
      } catch (error) {
        // Once, not at every look.
        if (!life.isBlind) log('warn', `The webhook is not called: ${BackupError.from(error).message}.`);
        life.isBlind = true;
      }
    }
  }
}

const newLife = { pinged: null, runsEnded: 0, status: null, isBlind: false, looking: null, lookAgain: false };

/** From a start to its stop. */
interface Life {
  readonly abort: AbortController;
  readonly heartbeat: Heartbeat | null;
  readonly webhook: Webhook | null;
  readonly said: Said | null;
  readonly timer: NodeJS.Timeout;
  readonly unsubscribe: () => void;
  /** The run whose begin was told. */
  pinged: string | null;
  runsEnded: number;
  /** The last that could be had. */
  status: Status | null;
  isBlind: boolean;
  looking: Promise<void> | null;
  lookAgain: boolean;
}

/** In our own small database: it changes a few times a year. */
function keptConcerns(statePath: string, folder: string, log: Log): Said {
  const self = randomUUID();
  const database = openStateDatabase(statePath, { warn: (message) => log('warn', message) });
  const select = database.prepare('SELECT value FROM notes WHERE folder = ? AND key = ?');
  const replace = database.prepare('INSERT OR REPLACE INTO notes (folder, key, value) VALUES (?, ?, ?)');
  const get = (key: Note) => String(select.get(folder, key)?.['value'] ?? '');
  const set = (key: Note, value: string) => replace.run(folder, key, value);

  /** One step, also beside another process. A full disk, or who holds the file, keeps nothing from being said. */
  function change<Result>(fallback: Result, work: () => Result): Result {
    try {
      return database.transaction(work);
    } catch (error) {
      log(
        'warn',
        `What was sent to the webhook could not be recorded: ${error instanceof Error ? error.message : error}.`,
      );
      return fallback;
    }
  }

  return {
    read() {
      try {
        const value = select.get(folder, 'said')?.['value'];
        return typeof value === 'string' ? concerns.filter((concern) => value.split(',').includes(concern)) : null;
      } catch {
        return null;
      }
    },
    takeTurn: (mostMs) =>
      change(true, () => {
        const [by, until] = get('saying').split(' ');
        const leftMs = Number(until) - Date.now();
        // A turn of a process that died ends by time; one of far in the future is of a clock that was wrong.
        if (by !== '' && by !== self && leftMs > 0 && leftMs <= mostMs + TURN_SLACK_MS) return false;
        set('saying', `${self} ${Date.now() + mostMs + TURN_SLACK_MS}`);
        return true;
      }),
    save: (said) =>
      change(false, () => {
        set('said', said.join());
        return true;
      }),
    release: () =>
      change(undefined, () => {
        if (get('saying').startsWith(`${self} `)) set('saying', '');
      }),
    close: () => database.close(),
  };
}

const TURN_SLACK_MS = 5_000;

type Note = 'said' | 'saying';
