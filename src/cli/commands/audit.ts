/** `audit`: who did what, from where, when and with what result. */
import { userInfo } from 'node:os';
import { BackupError } from '../../words/errors.ts';
import { MOMENT_FORMS, parseMoment } from '../../words/moment.ts';
import type { Actor } from '../../service/audit/actor.ts';
import type { AuditEntry } from '../../service/model.ts';
import { countOf, type Session } from '../session.ts';
import type { CliDatabase } from '../session.ts';
import { table } from '../text/tables.ts';

const DONE = 0;

export interface AuditOptions {
  readonly since?: string;
  readonly limit?: string;
}

/** For what is recorded of the commands themselves. */
export function commandLineActor(): Actor {
  return { user: osUser(), via: 'cli', address: null, agent: null };
}

export async function showAudit({ service, output, now }: Session, options: AuditOptions): Promise<number> {
  const entries = service.getAudit(filterOf(options, now()));
  output.answer({ entries }, auditText(entries, { width: output.width, isMany: false }));
  return DONE;
}

/** Shows the records of all that were picked; what was done to all, such as signing in, if none was picked. */
export async function showAuditOfAll(
  options: AuditOptions,
  databases: readonly CliDatabase[],
  { all, output, now }: Omit<Session, 'service'>,
): Promise<number> {
  const filter = filterOf(options, now());
  const entries = all?.getAudit(filter) ?? databases.flatMap(({ service }) => service.getAudit(filter));
  output.answer({ entries }, auditText(entries, { width: output.width, isMany: true }));
  return DONE;
}

const LIMIT = { usual: 100, most: 50_000 };

/** @throws BackupError BAD_REQUEST */
function filterOf({ since, limit }: AuditOptions, now: Date): { limit: number; since?: Date } {
  const count = countOf(limit, LIMIT);
  if (since === undefined) return { limit: count };
  const time = parseMoment(since, now, 'beginning');
  if (time === null) throw wrongUse(`--since ${since} is not a time; write it as 2024-01-15, ${MOMENT_FORMS}`);
  return { limit: count, since: time };
}

function auditText(entries: readonly AuditEntry[], { width, isMany }: { width: number | undefined; isMany: boolean }) {
  if (entries.length === 0) return 'Nothing is recorded.';
  const rows = entries.map((entry) => {
    const { at, database, user, act, result, code } = entry;
    const what = [entry.subject, entry.target, entry.detail].filter((text) => text !== null).join(', ');
    const columns = [at.toISOString(), ...(isMany ? [database ?? 'all'] : []), user ?? '-', whereText(entry)];
    return [...columns, act, code === null ? result : `${result} (${code})`, what];
  });
  return table(['TIME', ...(isMany ? ['DATABASE'] : []), 'WHO', 'FROM', 'WHAT', 'RESULT', 'ON'], rows, { width });
}

/** `page 192.0.2.7`, `cli` */
function whereText({ via, address }: AuditEntry): string {
  return address === null ? via : `${via} ${address}`;
}

/** A container may have no name for its user. */
function osUser(): string {
  try {
    return userInfo().username;
  } catch {
    return `uid ${process.getuid?.() ?? 'unknown'}`;
  }
}

function wrongUse(message: string): BackupError {
  return new BackupError('BAD_REQUEST', message, { hint: 'See `velist-backup audit --help`.' });
}
