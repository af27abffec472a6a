/** Several databases in a list: how each stands, in a few words and a colour. */
import { publicError, withoutFolders } from '../words/errors.ts';
import type { Errands } from '../fleet/errands.ts';
import type { FleetDatabase } from '../fleet/fleet-port.ts';
import type { Status, VerdictCode } from '../service/model.ts';
import type { Activity } from '../service/runs/activity.ts';
import type { DatabaseRow, DatabasesAnswer } from './contract.ts';
import { inTurns } from './in-turns.ts';
import { serialize } from './serialize.ts';

const words: Readonly<Record<VerdictCode, string>> = {
  restoring: 'Restoring…',
  running: 'Backing up…',
  restored: 'Restored',
  missing: 'File is missing',
  loss: 'Much was lost',
  stalled: 'The schedule is stuck',
  'not-captured': 'Commits are not captured',
  behind: 'Commits wait for a target',
  'foreign-place': 'Not its own place',
  'other-writer': 'Another machine writes',
  cloned: 'This machine was cloned',
  none: 'Not protected yet',
  'too-old': 'Last backup is too old',
  damaged: 'Backups are damaged',
  changed: 'A backup was changed',
  'last-failed': 'Last backup failed',
  'check-failed': 'A check failed',
  's3-waiting': 'Uploads wait',
  off: 'Auto-backup is off',
  'disk-low': 'Disk is nearly full',
  protected: 'Protected',
};

interface Where {
  readonly isMany: boolean;
  readonly errands: Errands;
}

/** How each stands; one that can't be read never hides the others. */
export async function describeDatabases(
  databases: readonly FleetDatabase[],
  { current, ...where }: Where & { readonly current: string | null },
): Promise<DatabasesAnswer> {
  return { current, databases: await inTurns(databases, (database) => describeDatabase(database, where)) };
}

export async function describeDatabase(
  { name, service }: FleetDatabase,
  { isMany, errands }: Where,
): Promise<DatabaseRow> {
  const base = { name, page: isMany ? `db/${name}/` : '', errand: errands.of(name) };
  const status = await service.getStatus().catch(() => null);
  if (status === null) {
    const unknown = { code: null, state: 'unprotected', label: 'Its state can’t be read', tone: 'red' } as const;
    const nothing = { reason: null, percent: null, lastGoodAt: null, nextRunAt: null, places: [] };
    return { ...base, ...unknown, ...nothing, path: service.getConfig().databasePath, exists: true, sizeBytes: 0 };
  }
  const { database, verdict, freshness, lastGood, schedule } = status;
  return serialize({
    ...base,
    path: database.path,
    state: freshness.state,
    code: verdict.code,
    label: database.exists || verdict.code === 'missing' ? words[verdict.code] : 'The file is gone',
    tone: database.exists || verdict.tone === 'red' ? verdict.tone : ('amber' as const),
    reason: reasonOf(status),
    percent: status.run && Math.round(status.run.percent),
    exists: database.exists,
    sizeBytes: database.sizeBytes,
    lastGoodAt: lastGood?.holdsAt ?? null,
    nextRunAt: schedule.enabled ? schedule.nextRunAt : null,
    places: placesOf(status),
  });
}

/** Times are left out: the reader's zone is not known here. */
function reasonOf({ verdict, lastBackupRun, loss, targets, run }: Status): string | null {
  const { code, detail = null } = verdict;
  if (code === 'loss') return loss && lossReason(loss);
  if (code === 'last-failed') return lastBackupRun?.error ? publicError(lastBackupRun.error).message : null;
  if (code === 'running' || code === 'restoring')
    return run?.steps.find(({ state }) => state === 'running')?.name ?? null;
  if (code === 's3-waiting') {
    const failing = targets.find(({ enabled, error }) => enabled && error !== null)?.error;
    const waiting = targets.reduce((sum, target) => sum + target.waiting, 0);
    if (failing) return publicError(failing).message;
    return waiting > 0 ? `${waiting} ${waiting === 1 ? 'copy waits' : 'copies wait'}` : detail;
  }
  return detail && withoutFolders(detail);
}

function lossReason({ tables }: NonNullable<Status['loss']>): string {
  const [worst, ...others] = tables;
  if (!worst) return 'most of its pages are empty';
  const now = worst.after === null ? 'it is gone' : `now ${worst.after.toLocaleString('en')}`;
  const more = others.length === 0 ? '' : `, and ${others.length} more`;
  return `${worst.name} had ${worst.before.toLocaleString('en')} rows, ${now}${more}`;
}

function placesOf({ local, targets }: Status): DatabaseRow['places'] {
  const remote = targets
    .filter(({ enabled }) => enabled)
    .map(({ target, bucket, error, waiting }) => ({
      target,
      kind: bucket === null ? ('folder' as const) : ('bucket' as const),
      state: error ? ('failing' as const) : waiting > 0 ? ('waiting' as const) : ('stored' as const),
    }));
  const folder = {
    target: 'local',
    kind: 'local' as const,
    state: local.count > 0 ? ('stored' as const) : ('waiting' as const),
  };
  return [folder, ...remote];
}

/** As many bars as fit beside each other in a row of the list. */
const LETTERS_MAX = 36;
/** From the worst to the best. */
const letters: Readonly<Record<Activity['bars'][number]['state'], string>> = {
  failed: 'f',
  missed: 'm',
  'no-s3': 'w',
  kept: 'k',
  pruned: 'k',
  unchanged: 'k',
  none: '-',
};
const worstFirst = [...new Set(Object.values(letters))];

/** See `stripsAnswer`. */
export function stripOf({ bars }: Activity): string {
  const count = Math.min(bars.length, LETTERS_MAX);
  return Array.from({ length: count }, (_, index) => {
    const part = bars.slice(Math.floor((index * bars.length) / count), Math.floor(((index + 1) * bars.length) / count));
    return worstFirst.find((letter) => part.some(({ state }) => letters[state] === letter)) ?? '-';
  }).join('');
}
