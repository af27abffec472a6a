/** What the routes and the command line ask of what guards many databases. `fleet.ts` is the one implementation. */
import type { Act } from '../service/audit/audit.ts';
import type { AuditEntry, AuditFilter } from '../service/model.ts';
import type { BackupServicePort } from '../service/service-port.ts';

export interface FleetDatabase<Service extends BackupServicePort = BackupServicePort> {
  /** Nobody calls the only one by it. */
  readonly name: string;
  readonly service: Service;
}

export interface FleetPort<Service extends BackupServicePort = BackupServicePort> {
  /** False if there is one database that is called by no name. */
  readonly isMany: boolean;
  /** In the order of the configuration, files of a glob by name. */
  readonly databases: readonly FleetDatabase<Service>[];
  /** Entries of all databases, and what was done to all, such as signing in; newest first. */
  getAudit(filter: AuditFilter): readonly AuditEntry[];
  recordAct(act: Act): void;
}

/** The routes and the command line know fleets alone: one service is a fleet of one. */
export function fleetOf<Service extends BackupServicePort>(given: Service | FleetPort<Service>): FleetPort<Service> {
  if ('databases' in given) return given;
  return {
    isMany: false,
    databases: [{ name: '', service: given }],
    getAudit: (filter) => given.getAudit(filter),
    recordAct: (act) => given.recordAct(act),
  };
}
