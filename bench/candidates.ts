/**
 * Who takes part: our job and its peers, each as one way to get from a database to a copy of it, in a process of its
 * own. Programs and packages that the machine lacks are named with what was not found, and left out.
 */
import { execFileSync, spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import { runJob } from '../src/engine/process/run-job.ts';
import type { Work } from './copier-main.ts';

export interface Candidate {
  readonly name: string;
  readonly ours?: boolean;
  /** Null where it can take part. */
  readonly missing: string | null;
  readonly copy: (order: CopyOrder) => Promise<Copy>;
}

export interface CopyOrder {
  readonly database: string;
  /** Belongs to this candidate. */
  readonly folder: string;
  readonly number: number;
  readonly signal?: AbortSignal;
}

export interface Copy {
  readonly path: string;
  readonly tookMs: number;
}

/** The whole job: pin, paced copy, digest, quick_check, durable publish, prune. Its process is part of its time. */
export const ourJob: Candidate = {
  name: 'velist-backup',
  ours: true,
  missing: null,
  async copy({ database, folder, signal }) {
    const startedMs = performance.now();
    const { name } = await runJob<'backup'>(
      {
        kind: 'backup',
        databasePath: database,
        folder,
        verify: 'quick',
        trigger: 'manual',
        user: null,
        note: null,
        // A stop between publishing and the answer must leave the one that was told before.
        retention: { count: 2, startBurstMs: 0 },
        lockWaitMs: LOCK_WAIT_MS,
      },
      { environment: jobEnvironment(), signal },
    );
    return { path: join(folder, name), tookMs: performance.now() - startedMs };
  },
};

export const cpWithFsync = ownProcess('`cp` + fsync', 'cp-fsync');
export const usualRecipe = ownProcess('checkpoint(TRUNCATE) + `cp`', 'usual-recipe');
export const pinnedUnpaced = { ...ownProcess('pinned copy, unpaced', 'pinned-unpaced'), ours: true };
export const pinnedPaced = { ...ownProcess('pinned copy, paced', 'pinned-paced'), ours: true };
export const quickCheck = ownProcess('`quick_check` alone', 'quick-check');
export const sha256 = ownProcess('sha256 alone', 'sha256');

/** Every way of others that promises a consistent copy. */
export const peers: readonly Candidate[] = [
  ownProcess('`VACUUM INTO`', 'vacuum-into'),
  program('`sqlite3 .backup`', 'sqlite3', (database, destination) => [database, `.backup '${destination}'`]),
  ownProcess('`node:sqlite` backup, one step', 'node-sqlite'),
  {
    ...ownProcess('better-sqlite3 backup', 'better-sqlite3'),
    missing:
      betterSqliteVersion() === null
        ? 'the package better-sqlite3 is not installed (npm install --no-save --ignore-scripts better-sqlite3@13.2.0)'
        : null,
  },
  program('`sqlite3_rsync`', 'sqlite3_rsync', (database, destination) => [database, destination]),
];

const LOCK_WAIT_MS = 30_000;

export function jobEnvironment(): Record<string, string> {
  return { PATH: process.env['PATH'] ?? '' };
}

/** One of the works of copier-main.ts, which times itself. */
export async function timeWork(
  work: Work,
  { from, to, signal }: { from: string; to: string; signal?: AbortSignal },
): Promise<number> {
  const copier = fileURLToPath(new URL('./copier-main.ts', import.meta.url));
  const runtime = ['--config=/dev/null', '--no-env-file'];
  return Number(await outputOf(process.execPath, [...runtime, copier, work, from, to], signal));
}

/** What takes part besides ourselves, for the machine's line. */
export function versionsOfPeers(): Readonly<Record<string, string>> {
  const memory = new DatabaseSync(':memory:');
  const library = String(memory.prepare('SELECT sqlite_version() AS version').get()?.['version']);
  memory.close();
  const versions: Record<string, string | null> = {
    'SQLite of the runtime': library,
    sqlite3: versionOf('sqlite3'),
    'better-sqlite3': betterSqliteVersion(),
    sqlite3_rsync: versionOf('sqlite3_rsync'),
    litestream: versionOf('litestream', 'version'),
  };
  return Object.fromEntries(Object.entries(versions).map(([name, version]) => [name, version ?? 'not found']));
}

function ownProcess(name: string, work: Work): Candidate {
  return {
    name,
    missing: null,
    async copy({ database, folder, number, signal }) {
      const path = join(folder, `copy-${number}.sqlite`);
      return { path, tookMs: await timeWork(work, { from: database, to: path, signal }) };
    },
  };
}

/** A program of the machine; timed from outside, it starts in a millisecond or two. */
function program(
  name: string,
  command: string,
  argumentsFor: (database: string, destination: string) => string[],
): Candidate {
  return {
    name,
    missing: versionOf(command) === null ? `the program ${command} was not found` : null,
    async copy({ database, folder, number, signal }) {
      const path = join(folder, `copy-${number}.sqlite`);
      const startedMs = performance.now();
      await outputOf(command, argumentsFor(database, path), signal);
      return { path, tookMs: performance.now() - startedMs };
    },
  };
}

function outputOf(command: string, argv: readonly string[], signal?: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, argv, { stdio: ['ignore', 'pipe', 'pipe'] });
    const stop = () => child.kill('SIGKILL');
    signal?.addEventListener('abort', stop, { once: true });
    let output = '';
    let complaint = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (complaint += text));
    child.once('error', reject);
    child.once('close', (code) => {
      signal?.removeEventListener('abort', stop);
      if (code === 0) resolve(output);
      else reject(new Error(complaint.trim() || `${command} ended with code ${code}`));
    });
  });
}

function versionOf(command: string, asked = '--version'): string | null {
  try {
    return (
      execFileSync(command, [asked], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).split(/\s/)[0] ?? ''
    );
  } catch {
    // Not on this machine: it takes no part.
    return null;
  }
}

function betterSqliteVersion(): string | null {
  try {
    const { version } = createRequire(import.meta.url)('better-sqlite3/package.json') as { version: string };
    return version;
  } catch {
    // Not installed: it takes no part.
    return null;
  }
}
