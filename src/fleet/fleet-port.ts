/** What the routes and the command line ask of what guards many databases. `guard.ts` is the one implementation. */
import type { Act } from '../service/audit/audit.ts';
import type { AuditEntry, AuditFilter } from '../service/model.ts';
import type { BackupServicePort } from '../service/service-port.ts';

export interface Guarded<Service extends BackupServicePort = BackupServicePort> {
  readonly name: string;
  readonly service: Service;
}

export interface GuardPort<Service extends BackupServicePort = BackupServicePort> {
  /** False where there is one database that is called by no name. */
  readonly isMany: boolean;
  /** In the order of the configuration, files of a glob by name. */
  readonly databases: readonly Guarded<Service>[];
  /** Entries of all databases, and what was done to all, such as signing in; newest first. */
  getAudit(filter: AuditFilter): readonly AuditEntry[];
  recordAct(act: Act): void;
}

export function isGuard<Service extends BackupServicePort>(
  guarding: Service | GuardPort<Service>,
): guarding is GuardPort<Service> {
  return 'databases' in guarding;
}
