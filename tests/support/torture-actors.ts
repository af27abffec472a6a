/** Starts the processes that use a ledger while it is backed up or restored, and speaks with them. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { node22 } from './runtimes.ts';

/** What a writer does at each step. The last five write no number. */
export type Deed =
  | 'autocommit'
  | 'transfer'
  | 'spill'
  | 'reshape'
  | 'text'
  | 'savepoint'
  | 'rollback'
  | 'vacuum'
  | 'incremental-vacuum'
  | 'journal-mode'
  | 'page-size';

export interface WriterForm {
  readonly role: 'writer';
  readonly path: string;
  readonly seed: number;
  /** Counted from 0. */
  readonly writer: number;
  readonly acknowledgements: string;
  /** Its numbers go on after this one, and after the newest in the database. */
  readonly lastNumber: number;
  readonly deeds: Readonly<Partial<Record<Deed, number>>>;
  readonly fillerRows: number;
  /** Rows of filler that one transaction rewrites at most. */
  readonly spillRowsMax: number;
  readonly cachePages: number;
  readonly synchronous: 'OFF' | 'NORMAL' | 'FULL';
  /** Pages; 0 for never. */
  readonly autocheckpoint: number;
  /** How likely it closes its connection and opens another after a deed. */
  readonly reopenChance: number;
  /** 0 for as fast as it can. */
  readonly perSecond: number;
  readonly busyTimeoutMs?: number;
  /** The writer's `fsync` fails at times: a file in which it notes each commit that failed so, as `writer:n`. */
  readonly failures?: string;
}

export type ActorForm =
  | WriterForm
  | { readonly role: 'checkpointer'; readonly path: string; readonly seed: number; readonly everyMs: number }
  | { readonly role: 'reader'; readonly path: string; readonly seed: number; readonly holdMsMax: number }
  | { readonly role: 'visitor'; readonly path: string; readonly seed: number; readonly everyMs: number }
  /** Holds connections that did something once, and do nothing any more. */
  | { readonly role: 'idler'; readonly path: string; readonly seed: number; readonly connections: number };

export interface ActorOutcome {
  done: number;
  commits: number;
  /** Other than busy. */
  errors: number;
  busy: number;
  /** Changes of the journal mode. */
  switches: number;
  /** Commits whose `fsync` failed, as it was meant to. */
  failures: number;
  firstError: string;
  readonly deeds: Record<string, number>;
}

export interface Actor {
  readonly form: ActorForm;
  readonly process: ChildProcess;
  /** Resolves between two deeds; the connection stays open. */
  pause(): Promise<void>;
  resume(): void;
  /** Ends it and hears what it did. */
  end(): Promise<ActorOutcome>;
  kill(): Promise<void>;
}

export const actorScript = fileURLToPath(new URL('./torture-actor-main.ts', import.meta.url));

/**
 * @param runtime `node` brings an older SQLite, which deletes the log at a last close where a newer one does not.
 * @param through a command that starts the actor, as `strace` or `setpriv` do. It must hand on what is said to it.
 */
export async function startActor(
  form: ActorForm,
  runtime: 'bun' | 'node' = 'bun',
  through: readonly string[] = [],
): Promise<Actor> {
  const [program, flags] =
    runtime === 'bun'
      ? [process.execPath, ['--config=/dev/null', '--no-env-file']]
      : [node22, ['--experimental-strip-types', '--disable-warning=ExperimentalWarning']];
  const [command = '', ...args] = [...through, program, ...flags, actorScript, JSON.stringify(form)];
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  child.stdin.on('error', () => {}); // A killed actor hears no command.
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const hear = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`the ${form.role} ended without an answer`);
    return String(value);
  };
  const expect = async (word: string) => {
    const said = await hear();
    if (said !== word) throw new Error(`the ${form.role} said ${said} instead of ${word}`);
  };
  await expect('started');
  return {
    form,
    process: child,
    async pause() {
      child.stdin.write('pause\n');
      await expect('paused');
    },
    resume: () => void child.stdin.write('resume\n'),
    async end() {
      child.stdin.write('end\n');
      const outcome = JSON.parse(await hear()) as ActorOutcome; // our own script wrote it
      await exited;
      return outcome;
    },
    async kill() {
      child.kill('SIGKILL');
      await exited;
    },
  };
}
