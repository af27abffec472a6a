/**
 * What happens among several databases, as the event `databases`: first all of them, then each that changed. A change is
 * told once although it comes in many steps, and what only time changes (a backup that becomes too old) is found by looking
 * at a part of them at each ping, so that each is looked at once a minute however many there are.
 */
import type { FleetDatabase } from '../fleet/fleet-port.ts';
import type { Errands } from '../fleet/errands.ts';
import type { DatabaseRow, DatabasesEvent } from './contract.ts';
import { describeDatabase } from './describe-databases.ts';
import type { Outlet } from './events.ts';
import { inTurns } from './in-turns.ts';

const GATHER_MS = 400;
const LOOK_AT_ALL_MS = 60_000;

interface OverviewOptions {
  readonly errands: Errands;
  /** Those that whoever listens may read: some may have come, or a right gone. */
  readonly allowed: () => Promise<readonly FleetDatabase[]>;
  readonly pingMs: number;
}

export function overviewFeed(options: OverviewOptions): (outlet: Outlet) => readonly (() => void)[] {
  return (outlet) => {
    const feed = new OverviewFeed(options, outlet);
    feed.begin();
    return [() => feed.end()];
  };
}

class OverviewFeed {
  readonly #options: OverviewOptions;
  readonly #outlet: Outlet;
  /** What was told of each, to tell it once. */
  readonly #told = new Map<string, string>();
  readonly #changed = new Set<string>();
  #databases: readonly FleetDatabase[] = [];
  readonly #endings: (() => void)[] = [];
  #subscriptions: readonly (() => void)[] = [];
  #timer: NodeJS.Timeout | undefined;
  /** Where the look at a part of them goes on. */
  #next = 0;
  #hasEnded = false;

  constructor(options: OverviewOptions, outlet: Outlet) {
    this.#options = options;
    this.#outlet = outlet;
  }

  begin(): void {
    const looks = setInterval(() => this.#outlet.queue(() => this.#look()), this.#options.pingMs);
    const stop = this.#options.errands.on((name) => this.#notice(name));
    this.#endings.push(() => clearInterval(looks), stop);
    this.#outlet.queue(() => this.#look());
  }

  end(): void {
    this.#hasEnded = true;
    clearTimeout(this.#timer);
    for (const ending of [...this.#endings.splice(0), ...this.#subscriptions]) ending();
  }

  async #look(): Promise<void> {
    const databases = await this.#options.allowed();
    if (this.#hasEnded) return;
    const isOther = ({ name, service }: FleetDatabase, index: number) =>
      this.#databases[index]?.name !== name || this.#databases[index]?.service !== service;
    if (this.#told.size === 0 || databases.length !== this.#databases.length || databases.some(isOther))
      return await this.#tellAll(databases);
    const count = Math.ceil((databases.length * this.#options.pingMs) / LOOK_AT_ALL_MS);
    for (const { name } of databases.slice(this.#next, this.#next + count)) this.#changed.add(name);
    this.#next = this.#next + count >= databases.length ? 0 : this.#next + count;
    await this.#tellChanged();
  }

  async #tellAll(databases: readonly FleetDatabase[]): Promise<void> {
    for (const ending of this.#subscriptions) ending();
    this.#subscriptions = databases.map(({ name, service }) => service.on(() => this.#notice(name)));
    this.#databases = [...databases];
    this.#told.clear();
    this.#changed.clear();
    const rows = await this.#describe(databases);
    this.#tell({ isAll: true, databases: rows });
  }

  async #tellChanged(): Promise<void> {
    const changed = this.#databases.filter(({ name }) => this.#changed.has(name));
    this.#changed.clear();
    // Without any the time alone is told: all was looked at, and nothing changed.
    this.#tell({ isAll: false, databases: await this.#describe(changed) });
  }

  /** Those that are not as they were told. */
  async #describe(databases: readonly FleetDatabase[]): Promise<DatabaseRow[]> {
    const { errands } = this.#options;
    const rows = await inTurns(databases, (one) => describeDatabase(one, { isMany: true, errands }));
    return rows.filter((row) => {
      const text = JSON.stringify(row);
      if (this.#told.get(row.name) === text) return false;
      this.#told.set(row.name, text);
      return true;
    });
  }

  #tell(change: Omit<DatabasesEvent, 'serverTime'>): void {
    const event: DatabasesEvent = { serverTime: new Date().toISOString(), ...change };
    this.#outlet.send('databases', event);
  }

  #notice(name: string): void {
    this.#changed.add(name);
    if (this.#hasEnded) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#outlet.queue(() => this.#tellChanged());
    }, GATHER_MS);
  }
}
