/** The configuration as it is shown, and what may be changed of it while running. */
import { BackupError } from '../../words/errors.ts';
import type { ServiceContext } from '../context.ts';
import type { BackupConfig, Settings } from './backup-config.ts';
import type { Claims } from '../targets/claims.ts';
import { checkTargets, NO_BUCKET_HINT } from '../targets/targets.ts';
import { SettingsError } from './settings.ts';

export type SettingsChange = Partial<Settings> & { readonly revert?: readonly (keyof Settings)[] };

export function showConfig({ options, targets, voices, settings, folder, database }: ServiceContext): BackupConfig {
  const { cron } = options;
  const { s3 } = targets;
  return {
    ...settings.current,
    changed: settings.overridden,
    keepIsDefault: settings.keepIsDefault,
    localPath: folder.named,
    databasePath: database.named,
    cron: cron ?? null,
    notifies: Boolean(voices.webhookUrl || voices.heartbeatUrl),
    s3: {
      configured: Boolean(s3),
      bucket: s3?.bucket ?? null,
      region: s3?.region ?? null,
      endpoint: s3?.endpoint ?? null,
    },
  };
}

/**
 * Changes settings and records that, done or failed.
 *
 * @param onChanged takes the settings of before and after into force.
 */
export function changeSettings(
  context: ServiceContext,
  claims: Claims,
  { revert = [], ...change }: SettingsChange,
  onChanged: (before: Settings, after: Settings) => void,
): BackupConfig {
  const { audit, settings, emit } = context;
  const names = [...new Set([...Object.keys(change), ...revert])];
  const act = { act: 'settings', subject: names.join(', ') } as const;
  const before = settings.current;
  try {
    refuseWrong(context, claims, change, revert);
    onChanged(before, settings.change(change, revert));
    emit({ type: 'status' });
    const config = showConfig(context);
    audit.add({ ...act, detail: changesText(before, config) });
    return config;
  } catch (error) {
    audit.failed(act, error);
    throw error;
  }
}

function refuseWrong(
  context: ServiceContext,
  claims: Claims,
  change: Partial<Settings>,
  revert: readonly (keyof Settings)[],
): void {
  const { places, options, settings } = context;
  // What is saved lies in the folder.
  if (places.isForeign) claims.requireOurs(places.folder([]));
  const s3Path = change.s3Path ?? (revert.includes('s3Path') ? options.settings.s3Path : null);
  const next = { ...settings.current, ...(s3Path !== null && { s3Path }) };
  const { targets, conflicts } = context.targetsAt(next);
  if (conflicts.s3 && (change.s3Enabled || s3Path !== null)) throw conflicts.s3;
  if (change.s3Enabled && !targets.s3) {
    throw new BackupError('BAD_CONFIG', 'S3 cannot be switched on: no bucket is configured', {
      hint: NO_BUCKET_HINT,
    });
  }
  const owner = s3Path !== null && targets.s3 ? options.ownerOfPlace?.({ ...targets.s3, kind: 's3' }, s3Path) : null;
  // In one place two databases would prune each other.
  if (owner) throw new SettingsError({ s3Path: `is that of the database ${owner}; choose another one` });
  checkTargets(targets, next);
}

/** `intervalMinutes was 10 and is 60` */
function changesText(before: Settings, after: Settings): string {
  const names = Object.keys(before) as (keyof Settings)[]; // its own keys
  const text = (value: unknown) => (typeof value === 'object' ? JSON.stringify(value) : String(value));
  return names
    .filter((name) => text(before[name]) !== text(after[name]))
    .map((name) => `${name} was ${text(before[name])} and is ${text(after[name])}`)
    .join(', ');
}
