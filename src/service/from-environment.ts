/** The service as the environment describes it. Nothing is read, made or started before the first call. */
import { loadEnvironment, type Environment, type Variables } from '../config/env.ts';
import { pageStart } from '../config/page-settings.ts';
import { type AuditSink, auditSink } from './audit/audit.ts';
import { BackupService } from './backup-service.ts';
import type { Heartbeats } from './targets/heartbeats.ts';
import type { Replication } from './continuous/replication.ts';
import { createLog } from './log.ts';
import type { JobSlots } from './runs/job-slots.ts';
import type { FurtherFolder, FurtherTarget, S3Target } from './targets/targets.ts';
import { passwordLength } from './password.ts';
import { toKeepSettings } from './targets/retention-policies.ts';

export interface ServiceOverrides {
  readonly databasePath?: string;
  readonly backupsPath?: string;
  readonly statePath?: string;
  readonly env?: Variables;
  /** Where log lines go; standard output and standard error by default. */
  readonly write?: (line: string, level: 'info' | 'warn' | 'error') => void;
  /** Where the lines of `BACKUP_AUDIT_LOG=-` go; standard output by default. */
  readonly writeAudit?: AuditSink;
}

/** What a service needs to know as one of many, and what tests hand in. */
interface AmongMany extends Pick<ConstructorParameters<typeof BackupService>[0], 'now' | 'runJob'> {
  /** What its log lines begin with. */
  readonly name?: string;
  readonly turns?: JobSlots;
  readonly heartbeats?: Heartbeats;
  readonly databasesOnDisk?: () => number;
  readonly ownerOfPlace?: ConstructorParameters<typeof BackupService>[0]['ownerOfPlace'];
  readonly replication?: Replication;
}

/** @throws BackupError BAD_CONFIG with one line per wrong setting. */
export function createServiceFromEnvironment(overrides: ServiceOverrides = {}): BackupService {
  return createService(loadEnvironment(overrides.env), overrides);
}

export function createService(
  environment: Environment,
  overrides: ServiceOverrides = {},
  { name, ...among }: AmongMany = {},
): BackupService {
  const { backup, s3 } = environment;
  const { password, token } = environment.signIn;
  return new BackupService({
    databasePath: overrides.databasePath ?? environment.databasePath,
    backupsPath: overrides.backupsPath ?? backup.localPath,
    statePath: overrides.statePath ?? backup.statePath,
    settings: pageStart({ ...backup, ...toKeepSettings(backup.keep) }),
    loss: backup.loss,
    keepIsDefault: backup.keepIsDefault,
    cron: backup.cron,
    skipUnchanged: backup.skipUnchanged,
    door: {
      host: environment.host,
      passwordLength: password === null ? null : passwordLength(password),
      hasToken: token !== null,
    },
    audit: { name, sink: auditSinkOf(environment, overrides) },
    voices: { webhookUrl: backup.webhookUrl, heartbeatUrl: backup.heartbeatUrl },
    served: {
      folders: [environment.storage.localPath],
      buckets:
        environment.storage.driver === 's3' && environment.storage.cdnUrl !== null && s3.bucket ? [s3.bucket] : [],
    },
    continuous: backup.continuous,
    drills: { scheduled: backup.drillEnabled, sql: backup.drillSql },
    s3: bucketOf(environment),
    keptByPage: { sealing: backup.sealing, s3: { retentionCount: backup.s3RetentionCount, keep: backup.s3Keep } },
    targets: furtherTargetsOf(environment),
    log: createLog({ format: environment.logFormat, write: overrides.write ?? writeToConsole, database: name }),
    ...among,
    jobEnvironment: environment.jobEnvironment,
    secretFiles: [environment, ...(environment.targets ?? []).map((target) => target.environment)].flatMap(
      (one) => one.secretFiles,
    ),
  });
}

export function auditSinkOf({ backup }: Environment, { writeAudit }: ServiceOverrides): AuditSink | null {
  return auditSink(backup.auditLog, writeAudit ?? ((line) => console.log(line)));
}

/** Those beside `s3`: the second folder, and what a configuration file names. */
export function furtherTargetsOf(environment: Environment): readonly FurtherTarget[] {
  const named = (environment.targets ?? []).flatMap(({ name, environment: of }): FurtherTarget[] => {
    const folder = folderOf(of);
    if (folder) return [{ ...folder, name }];
    const bucket = bucketOf(of);
    return bucket ? [{ ...bucket, name, prefix: of.backup.s3Path }] : [];
  });
  const folder = folderOf(environment);
  return folder ? [{ ...folder, name: 'folder' }, ...named] : named;
}

function folderOf({ backup: { folder, sealing } }: Environment): Omit<FurtherFolder, 'name'> | null {
  return folder && { kind: 'folder', ...folder, sealing };
}

function bucketOf({ backup, s3 }: Environment): S3Target | null {
  if (s3.bucket === null) return null;
  return {
    ...s3,
    ...backup.s3StoredAs,
    bucket: s3.bucket,
    region: s3.region ?? 'us-east-1',
    retentionCount: backup.s3RetentionCount,
    keep: backup.s3Keep,
    sealing: backup.sealing,
  };
}

export function writeToConsole(line: string, level: 'info' | 'warn' | 'error'): void {
  if (level === 'info') console.log(line);
  else console.error(line);
}
