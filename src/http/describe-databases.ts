/** Several databases in a list: how each stands, in a few words and a colour. */
import type { FleetDatabase } from '../fleet/fleet-port.ts';
import type { VerdictCode } from '../service/model.ts';
import type { DatabasesAnswer } from './contract.ts';

const words: Readonly<Record<VerdictCode, string>> = {
  restoring: 'Restoring…',
  running: 'Backing up…',
  restored: 'Restored',
  missing: 'The database is missing',
  loss: 'Much was lost',
  stalled: 'The schedule is stuck',
  'foreign-place': 'The place belongs to another database',
  'other-writer': 'Another machine writes there',
  cloned: 'This machine was cloned',
  none: 'Not protected yet',
  'too-old': 'Last good backup is too old',
  damaged: 'Backups are damaged',
  changed: 'A backup was changed',
  'last-failed': 'The last backup failed',
  'check-failed': 'A check failed',
  's3-waiting': 'Uploads wait',
  off: 'Auto-backup is off',
  'disk-low': 'Disk is nearly full',
  protected: 'Protected',
};

/** How each stands; one that can't be read never hides the others. */
export async function describeDatabases(
  databases: readonly FleetDatabase[],
  { isMany, current }: { readonly isMany: boolean; readonly current: string | null },
): Promise<DatabasesAnswer> {
  const described = databases.map(async ({ name, service }) => {
    const base = { name, page: isMany ? `db/${name}/` : '', path: service.getConfig().databasePath };
    const status = await service.getStatus().catch(() => null);
    if (status === null) {
      const unknown = { state: 'unprotected', label: 'Its state can’t be read', tone: 'red' } as const;
      return { ...base, ...unknown, exists: true, sizeBytes: 0, lastGoodAt: null };
    }
    const { database, verdict, freshness, lastGood } = status;
    return {
      ...base,
      state: freshness.state,
      label: database.exists ? words[verdict.code] : 'The file is gone',
      tone: database.exists || verdict.tone === 'red' ? verdict.tone : ('amber' as const),
      exists: database.exists,
      sizeBytes: database.sizeBytes,
      lastGoodAt: lastGood?.holdsAt.toISOString() ?? null,
    };
  });
  return { current, databases: await Promise.all(described) };
}
