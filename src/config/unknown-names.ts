/**
 * Variables that look like settings and are none. Nobody must believe in a setting, an encryption least of all, that does
 * nothing; and what others put into the environment by itself must stop nothing: Kubernetes gives each pod variables of
 * every Service, and one that is called `backup` has names like ours.
 */
import type { Variables } from './setting.ts';

/** A line for each, as `loadEnvironment` tells faults. */
export function faultsOfNames(given: Variables, known: ReadonlySet<string>): readonly string[] {
  return Object.entries(given).flatMap(([name, value = '']) => {
    if (known.has(name) || !/^(BACKUP|S3)_/i.test(name) || isOfService(name, value)) return [];
    const inCapitals = name.toUpperCase();
    if (name !== inCapitals) return known.has(inCapitals) ? [unknown(name, inCapitals)] : [];
    const meant = nearestTo(name, [...known]);
    if (name.startsWith('BACKUP_')) return [unknown(name, meant)];
    // Other tools have names that begin with S3_ too: only a slip of the hand is reported.
    const isSlip = meant !== null && given[meant] === undefined && !new RegExp(`^${meant}[_\\d]`).test(name);
    return isSlip ? [unknown(name, meant)] : [];
  });
}

/** `unknown setting; did you mean retentionCount?` */
export function unknownSetting(name: string, known: readonly string[]): string {
  return unknown(name, nearestTo(name, known));
}

function unknown(name: string, meant: string | null): string {
  return `${name}: unknown setting${meant === null ? '' : `; did you mean ${meant}?`}`;
}

/**
 * https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables. `BACKUP_PORT` alone is told by
 * its value, because a person may write it too.
 */
function isOfService(name: string, value: string): boolean {
  if (/_PORT$/.test(name) && !/_SERVICE_PORT$|_(TCP|UDP|SCTP)_PORT$/.test(name))
    return /^(tcp|udp|sctp):\/\//.test(value);
  return /_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$/.test(name);
}

/** How other programs call the same, and what people try first. */
const otherNames: Readonly<Record<string, string>> = {
  BACKUP_CRON: 'BACKUP_SCHEDULE',
  BACKUP_DIR: 'BACKUP_LOCAL_PATH',
  BACKUP_FOLDER: 'BACKUP_LOCAL_PATH',
  BACKUP_PATH: 'BACKUP_LOCAL_PATH',
  BACKUP_PASSWORD: 'BACKUP_ADMIN_PASSWORD',
  BACKUP_TOKEN: 'BACKUP_API_TOKEN',
  BACKUP_INTERVAL: 'BACKUP_INTERVAL_MINUTES',
  BACKUP_RETENTION: 'BACKUP_RETENTION_COUNT',
  BACKUP_KEEP: 'BACKUP_RETENTION_COUNT',
  BACKUP_S3_PREFIX: 'BACKUP_S3_PATH',
  BACKUP_ENCRYPTION_KEY: 'BACKUP_ENCRYPTION_RECIPIENT',
};

/** Null if nothing is near. */
function nearestTo(name: string, known: readonly string[]): string | null {
  const other = otherNames[name] ?? name.replace(/^BACKUP_/, '');
  if (known.includes(other)) return other;
  const mostSlips = Math.min(3, Math.floor(name.length / 5));
  const near = known
    .map((one) => ({ one, slips: slipsBetween(name, one) }))
    .filter(({ slips }) => slips <= mostSlips)
    .sort((a, b) => a.slips - b.slips);
  return near[0]?.one ?? null;
}

/** Letters to add, leave out, change or exchange with their neighbour (optimal string alignment). */
function slipsBetween(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, column) => column)];
  for (let row = 1; row <= a.length; row++) {
    const above = rows[row - 1] ?? [];
    const line = [row];
    for (let column = 1; column <= b.length; column++) {
      const isSame = a[row - 1] === b[column - 1];
      const isExchanged = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      const steps = [
        (above[column] ?? 0) + 1,
        (line[column - 1] ?? 0) + 1,
        (above[column - 1] ?? 0) + (isSame ? 0 : 1),
        ...(isExchanged ? [(rows[row - 2]?.[column - 2] ?? 0) + 1] : []),
      ];
      line.push(Math.min(...steps));
    }
    rows.push(line);
  }
  return rows[a.length]?.[b.length] ?? 0;
}
