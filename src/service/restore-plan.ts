/** What a restore would do, from the facts that a job found out. Pure. */
import type { PlanFacts } from '../engine/jobs/protocol.ts';
import { isVerified } from '../engine/retention.ts';
import { changedAt, type DatabaseStamp, stampText } from '../engine/sqlite/stamp.ts';
import type { KnownBackup } from './backup-item.ts';
import type { RestorePlan } from './model.ts';

export function toRestorePlan(
  backup: KnownBackup,
  facts: PlanFacts,
  options: { readonly databaseName: string; readonly stamp: DatabaseStamp | null },
): RestorePlan {
  const { stamp } = options;
  const samePages = facts.live?.pageSize === facts.backup.pageSize;
  const warnings: string[] = [];
  if (facts.heldBy.length > 0) warnings.push(heldText(facts.heldBy));
  if (backup.other)
    warnings.push(`This is a backup of another database, ${backup.other.name}, and not of ${options.databaseName}.`);
  if (stamp !== null && facts.liveComplaint) {
    warnings.push(`The database can not be read now: ${facts.liveComplaint}. Only an offline restore is possible.`);
  } else if (stamp !== null && !samePages) {
    warnings.push('The backup has another page size than the database: stop the app and restore offline.');
  }
  const inWal = facts.live?.journalMode === 'wal';
  if (facts.live && !inWal) warnings.push('The database is not in WAL mode: stop the app and restore offline.');
  const versions = [facts.backup.schemaVersion, facts.live?.schemaVersion ?? facts.backup.schemaVersion] as const;
  if (versions[0] !== versions[1]) {
    const after = versions[0] < versions[1] ? 'migrations run at its next start' : 'the app may be too old for it';
    warnings.push(`This backup is from schema version ${versions[0]}, the database is at ${versions[1]}: ${after}.`);
  }
  const loss = backup.manifest?.loss;
  if (loss?.accepted === null) {
    warnings.push(
      `Much was lost shortly before this backup was made; ${loss.before} is the last one from before that.`,
    );
  }
  if (!isVerified(backup)) warnings.push('This backup was not verified; it is checked before anything is changed.');
  return {
    backup: backup.name,
    confirm: options.databaseName,
    expected: stamp ? stampText(stamp) : '',
    now: stamp && {
      sizeBytes: stamp.main.sizeBytes + (stamp.wal?.sizeBytes ?? 0),
      changedAt: changedAt(stamp),
      pageSize: facts.live?.pageSize ?? 0,
    },
    after: {
      sizeBytes: backup.sizeBytes,
      createdAt: backup.createdAt,
      verified: isVerified(backup),
      pageSize: facts.backup.pageSize,
    },
    tables: facts.backup.rows && compareTables(facts.live?.rows ?? {}, facts.backup.rows),
    modes: stamp === null ? ['missing', 'offline'] : samePages && inWal ? ['online', 'offline'] : ['offline'],
    warnings,
  };
}

function heldText(pids: readonly number[]): string {
  const who = pids.length === 1 ? `Process ${pids[0]} has` : `Processes ${pids.join(', ')} have`;
  const it = pids.length === 1 ? 'it' : 'them';
  return `${who} the removed file still open, and what is written there is lost: restart ${it} after the restore.`;
}

type Rows = Readonly<Record<string, number>>;

/** Biggest difference first, then by name. */
function compareTables(now: Rows, after: Rows): RestorePlan['tables'] {
  const names = [...new Set([...Object.keys(now), ...Object.keys(after)])];
  const tables = names.map((name) => ({ name, now: now[name] ?? null, after: after[name] ?? null }));
  const difference = (table: (typeof tables)[number]) => Math.abs((table.after ?? 0) - (table.now ?? 0));
  return tables.sort((a, b) => difference(b) - difference(a) || (a.name < b.name ? -1 : 1));
}
