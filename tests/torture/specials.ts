/** How an app is made that differs from the job: another user's, or one whose `fsync` fails. */
import { spawnSync } from 'node:child_process';
import { chownSync } from 'node:fs';
import { actorScript } from '../support/torture-actors.ts';
import type { Scenario, ScenarioName, Special } from './scenarios.ts';

const NOBODY = 65_534;
export const asNobody: readonly string[] = ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'];
/** Few enough that the writer gets on, often enough that a copy meets one. */
const FAILING = 'when=3+3';

export function giveAway(path: string): void {
  chownSync(path, NOBODY, NOBODY);
}

/** The command that a writer is started by; empty for none. */
export function startedThrough({ special }: Scenario, database: string): readonly string[] {
  if (special === 'other user') return asNobody;
  if (special !== 'failing fsync') return [];
  const quiet = ['strace', '--seccomp-bpf', '-f', '-qq', '-o', '/dev/null'];
  const calls = 'fsync,fdatasync';
  return [...quiet, '-P', `${database}-wal`, '-e', `trace=${calls}`, '-e', `inject=${calls}:error=EIO:${FAILING}`];
}

const specials: Readonly<Partial<Record<ScenarioName, Special>>> = {
  'other-name': 'other name',
  'failing-fsync': 'failing fsync',
  'other-user': 'other user',
};

/** Why that scenario can't be played here; null when it can. */
export function whyUnplayable(name: ScenarioName): string | null {
  switch (specials[name]) {
    case 'other name':
      return process.platform === 'linux' ? null : 'only Linux shows by which name another program opened a file';
    case 'failing fsync':
      return runs(['strace', '--version']) ? null : 'strace is not installed (apt-get install strace)';
    case 'other user':
      if (process.getuid?.() !== 0) return 'only root can start an app of another user';
      return mayBeOtherUser() ? null : 'another user may not read this folder';
    case undefined:
      return null;
  }
}

/** Can an app of another user be started here, and work in these folders? */
export function mayBeOtherUser(...folders: readonly string[]): boolean {
  if (process.getuid?.() !== 0) return false;
  const may = (how: string, path: string) => runs([...asNobody, 'test', how, path]);
  return may('-r', actorScript) && [process.execPath, ...folders].every((path) => may('-x', path));
}

function runs([program = '', ...args]: readonly string[]): boolean {
  return spawnSync(program, args, { stdio: 'ignore' }).status === 0;
}
