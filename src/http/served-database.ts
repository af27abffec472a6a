/** What the routes keep of one database while they stand: who watches it, and the one word of its health. */
import { isFailing } from '../service/protection/freshness.ts';
import type { FleetPort } from '../fleet/fleet-port.ts';
import type { BackupServicePort } from '../service/service-port.ts';
import { OpenStreams } from './events.ts';
import { heldFor, WORD_HOLDS_MS } from './held-for.ts';

export class ServedDatabase {
  /** Null if there is one that is called by no name. */
  readonly name: string | null;
  readonly service: BackupServicePort;
  readonly openStreams = new OpenStreams();
  /** As strangers hear it. */
  readonly isFailing: () => Promise<boolean>;
  readonly #watchers = new Set<() => void>();

  constructor(name: string | null, service: BackupServicePort, nowMs?: () => number) {
    this.name = name;
    this.service = service;
    const ask = async () => isFailing((await service.getStatus()).freshness);
    this.isFailing = heldFor(WORD_HOLDS_MS, ask, nowMs);
  }

  /** Answers what ends it. */
  onBackupsChanged(watcher: () => void): () => void {
    this.#watchers.add(watcher);
    return () => void this.#watchers.delete(watcher);
  }

  backupsChanged(): void {
    for (const watcher of this.#watchers) watcher();
  }
}

/** Finds a database by its name among several, or the only one; what is kept of it is begun when it is first asked for. */
export function servedDatabases(
  { isMany, databases }: FleetPort,
  nowMs: () => number,
): (name: string | undefined) => ServedDatabase | null {
  const served = new WeakMap<BackupServicePort, ServedDatabase>();
  return (name) => {
    // Nobody calls the only one by its name.
    const { service } = (isMany ? databases.find((one) => one.name === name) : databases[0]) ?? {};
    if (!service) return null;
    const known = served.get(service) ?? new ServedDatabase(isMany ? (name ?? null) : null, service, nowMs);
    served.set(service, known);
    return known;
  };
}
