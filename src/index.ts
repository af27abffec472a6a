/** The front door of the package. The routes for an Elysia app are in `velist-backup/elysia`. */
export { type BackupsConfig, type DatabaseEntry, defineConfig } from './config/define-config.ts';
export { BackupError, type ErrorBody, type ErrorCode } from './engine/errors.ts';
export { createStorage } from './features/_core/storage/index.ts';
export { backupService, withBackup } from './features/backup/service.ts';
export { BackupService, type BackupServiceOptions } from './service/backup-service.ts';
export { createBackups } from './service/from-config.ts';
export { createServiceFromEnvironment, type ServiceOverrides } from './service/from-environment.ts';
export type { MigrationGuardOptions } from './service/migration-guard.ts';
export type { Guard } from './service/guard.ts';
export type {
  AuditEntry,
  AuditFilter,
  BackupConfig,
  BackupItem,
  BackupResult,
  FirstBoot,
  PruneResult,
  RestorePlan,
  RestoreResult,
  Run,
  RunProgress,
  ServiceEvent,
  Settings,
  Status,
} from './service/model.ts';
