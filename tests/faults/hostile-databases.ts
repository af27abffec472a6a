/**
 * Hostile databases before the jobs that read files from elsewhere, each in a process of its own: a check, a plan, a drill
 * and a first boot. Each must end by itself with an answer, within the limits and a little more, and leave nothing behind.
 * Longer by hand: `bun tests/faults/hostile-databases.ts --rounds 20 --seed 1`.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { BackupError } from '../../src/words/errors.ts';
import type { JobRequest } from '../../src/engine/process/protocol.ts';
import { runJob } from '../../src/engine/process/run-job.ts';
import { hostileKinds, makeHostile } from '../support/hostile-databases.ts';
import { makeDatabase } from '../support/scratch.ts';

/** So little that a case is over soon; an honest database of this size takes a tenth of it. */
const limits = { cpuMs: 400, memoryBytes: 600_000_000 };
/** Of the clock on the wall, on a machine with other things to do. */
const HANG_MS = 60_000;
/** What a job may answer about such a file. */
const answers = new Set(['good', 'VERIFY_FAILED', 'CHECK_GAVE_UP', 'NOT_CHECKED', 'NOT_SQLITE', 'DB_DAMAGED']);

export interface Attack {
  readonly kind: string;
  readonly seed: number;
  readonly job: string;
  readonly outcome: string;
}

/** What each job said of each kind, in so many forms of it; and what went wrong, in words. */
export async function attack(options: { readonly rounds: number; readonly seed: number }): Promise<{
  readonly attacks: readonly Attack[];
  readonly faults: readonly string[];
}> {
  const attacks: Attack[] = [];
  const faults: string[] = [];
  const cases = Array.from({ length: options.rounds }, (_, round) =>
    Object.keys(hostileKinds).map((kind, at) => ({ kind, seed: options.seed * 1_000 + round * 100 + at })),
  ).flat();
  const next = async (): Promise<void> => {
    for (let one = cases.shift(); one; one = cases.shift()) await attackWith(one, { attacks, faults });
  };
  await Promise.all([next(), next()]);
  return { attacks, faults };
}

async function attackWith(
  { kind, seed }: { readonly kind: string; readonly seed: number },
  found: { readonly attacks: Attack[]; readonly faults: string[] },
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'velist-hostile-'));
  try {
    const names = ['app.sqlite', 'backups', 'hostile.sqlite', 'restored'];
    const [live = '', backups = '', path = '', restored = ''] = names.map((name) => join(folder, name));
    makeDatabase(live, { rows: 10, journalMode: 'delete' });
    mkdirSync(backups);
    mkdirSync(restored);
    const outside = join(folder, 'escaped');
    makeHostile(kind, path, { seed, outside });
    const sha256 = digestOf(path);
    for (const request of requests({ live, backups, path, restored, sha256 })) {
      const outcome = await ask(request);
      found.attacks.push({ kind, seed, job: request.kind, outcome });
      const says = `${kind}, seed ${seed}, ${request.kind}`;
      if (!answers.has(outcome)) found.faults.push(`${says}: ${outcome}`);
      const others = readdirSync(folder).filter((name) => !names.includes(name));
      if (others.length > 0) found.faults.push(`${says}: made ${others.join(', ')}`);
      if (digestOf(path) !== sha256) found.faults.push(`${says}: the file was changed`);
    }
    if (readdirSync(backups).some((name) => name.startsWith('.velist-drill-')))
      found.faults.push(`${kind}, seed ${seed}: a drill left something`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

interface Scene {
  readonly live: string;
  readonly backups: string;
  readonly path: string;
  readonly restored: string;
  readonly sha256: string;
}

function requests({ live, backups, path, restored, sha256 }: Scene): readonly JobRequest[] {
  const sizeBytes = statSync(path).size;
  const staging = join(backups, 'staging');
  return [
    { kind: 'verify', path, method: 'quick', sha256 },
    { kind: 'plan', databasePath: live, backupPath: path },
    {
      ...{ kind: 'drill', name: 'backup-2024-01-15T10-30-00-000Z.sqlite', staging, lockWaitMs: 10_000 },
      from: { target: 'local', path, sizeBytes, sha256 },
      assertions: null,
    },
    {
      ...{ kind: 'first-boot', source: path, sourceName: 'hostile.sqlite', sha256, journalMode: 'delete' },
      databasePath: join(restored, 'app.sqlite'),
    },
  ];
}

async function ask(request: JobRequest): Promise<string> {
  const late = AbortSignal.timeout(HANG_MS);
  try {
    await runJob(request, { environment: { PATH: process.env['PATH'] ?? '' }, signal: late, limits });
    return 'good';
  } catch (error) {
    return late.aborted ? 'it hangs' : BackupError.from(error).code;
  }
}

function digestOf(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex');
}

export function countsOf(attacks: readonly Attack[]): string {
  const counts = Map.groupBy(attacks, ({ outcome }) => outcome);
  return [...counts].map(([outcome, all]) => `${all.length} ${outcome}`).join(', ');
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: { rounds: { type: 'string', default: '20' }, seed: { type: 'string', default: '1' } },
  });
  const { attacks, faults } = await attack({ rounds: Number(values.rounds), seed: Number(values.seed) });
  console.log(`${attacks.length} jobs, seed ${values.seed}: ${countsOf(attacks)}; ${faults.length} faults`);
  for (const fault of faults) console.log(fault);
  process.exit(faults.length === 0 && attacks.length > 0 ? 0 : 1);
}
