/** The front door of the package. The routes for an Elysia app are in `velist-backup/elysia`. */
export { type BackupsConfig, type DatabaseEntry, defineConfig } from './config/define-config.ts';
export { BackupError, type ErrorBody, type ErrorCode } from './words/errors.ts';
export type { RestorePointGiven } from './words/restore-point.ts';
export { createStorage } from './app/features/_core/storage/index.ts';
export { backupService, withBackup } from './app/features/backup/service.ts';
export { BackupService, type BackupServiceOptions } from './service/backup-service.ts';
export { createBackups } from './fleet/from-config.ts';
export { createServiceFromEnvironment, type ServiceOverrides } from './service/from-environment.ts';
export type { MigrationGuardOptions } from './service/restores/migration-guard.ts';
export type { Fleet as Guard } from './fleet/fleet.ts';
export type {
  Arrival,
  AuditEntry,
  AuditFilter,
  BackupConfig,
  BackupItem,
  BackupResult,
  FirstBoot,
  FoundRestorePoint,
  PruneResult,
  RestorePlan,
  RestoreResult,
  Run,
  RunProgress,
  ServiceEvent,
  Settings,
  Status,
} from './service/model.ts';
