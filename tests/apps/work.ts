/** A folder in which a real app works, `velist-backup` as one types it there, and what goes on beside. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from '../identity/program.ts';

export class Workplace implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'velist-real-app-'));
  readonly #started: ChildProcess[] = [];

  path(name: string): string {
    return join(this.folder, name);
  }

  /** A program of the app, ended at the latest with the test. */
  start(program: string, args: readonly string[], options: Options = {}): ChildProcess {
    const child = spawn(program, args, {
      cwd: options.cwd ?? this.folder,
      env: { PATH: process.env['PATH'], HOME: this.folder, USER: 'anna', LANG: 'C.UTF-8', ...options.env },
    });
    this.#started.push(child);
    return child;
  }

  /** What the program printed; throws when it fails. */
  async run(program: string, args: readonly string[], options: Options = {}): Promise<string> {
    const child = this.start(program, args, options);
    let printed = '';
    for (const stream of [child.stdout, child.stderr])
      stream?.setEncoding('utf8').on('data', (text: string) => (printed += text));
    child.stdin?.end(options.input ?? '');
    const [code, signal] = await once(child, 'close');
    this.#started.splice(this.#started.indexOf(child), 1);
    if (code === 0) return printed;
    throw new Error(`${program} ${args.join(' ')} ended with ${code ?? signal}: ${printed}`);
  }

  /** The backups of one database of the app. */
  guard(database: string): Guard {
    return new Guard(this.folder, database);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#started.map(end));
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export interface Options {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
}

export class Guard {
  readonly #line: { readonly cwd: string; readonly env: Readonly<Record<string, string>> };

  constructor(
    folder: string,
    readonly database: string,
  ) {
    const name = database.slice(database.lastIndexOf('/') + 1);
    const env = {
      DATABASE_URL: database,
      BACKUP_LOCAL_PATH: join(folder, `backups-${name}`),
      BACKUP_STATE_PATH: join(folder, `state-${name}.sqlite`),
    };
    this.#line = { cwd: folder, env };
  }

  file(backup: string): string {
    return join(this.#line.env['BACKUP_LOCAL_PATH'] ?? '', backup);
  }

  /** The name of the backup. */
  async backUp(): Promise<string> {
    return JSON.parse(await this.does('backup --json')).filename;
  }

  /** What it printed; throws when it fails. */
  does(argv: string): Promise<string> {
    return this.answers(argv, 0);
  }

  /** What it printed; throws unless it exits with that code. */
  async answers(argv: string, wanted: number): Promise<string> {
    const { code, stdout, stderr } = await run(argv, this.#line);
    if (code === wanted) return stdout;
    throw new Error(`${argv} exits with ${code}: ${stderr}${stdout}`);
  }

  /** What it says instead; throws when it is done. */
  async refuses(argv: string): Promise<string> {
    const { code, stderr } = await run(argv, this.#line);
    if (code !== 0) return stderr;
    throw new Error(`${argv} was done`);
  }
}

/** Waits until the program has printed that, in however many pieces it arrives; answers what the expression caught. */
export async function untilPrinted(child: ChildProcess, pattern: RegExp): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let printed = '';
  const hear = (text: string) => {
    printed += text;
    const [all, caught = all] = pattern.exec(printed) ?? [];
    if (caught !== undefined) resolve(caught);
  };
  child.stdout?.setEncoding('utf8').on('data', hear);
  child.once('close', (code) => reject(new Error(`it ended with ${code}: ${printed}`)));
  return await promise;
}

/** Ended as by a user who stops it; answers when it is gone. */
export async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  const patience = setTimeout(() => child.kill('SIGKILL'), 5_000);
  await ended;
  clearTimeout(patience);
}

export interface GoingOn {
  /** How many turns are done. */
  readonly done: number;
  /** Resolves when so many more were done. */
  more(turns: number): Promise<void>;
  /** Throws what a turn threw. */
  stop(): Promise<void>;
}

/**
 * Does one turn after the other, numbered from `first`, until it is stopped. A turn that fails with one of those words
 * is tried again, as a user would; any other failure ends it.
 */
export function goOn(first: number, turn: (number: number) => Promise<unknown>, mayRefuse?: RegExp): GoingOn {
  let done = 0;
  let stopped = false;
  let failure: unknown;
  const work = (async () => {
    while (!stopped) {
      try {
        await turn(first + done);
        done++;
      } catch (error) {
        if (!mayRefuse?.test(String(error))) throw error;
      }
    }
  })().catch((error: unknown) => {
    failure = error;
    stopped = true;
  });
  return {
    get done() {
      return done;
    },
    async more(turns) {
      const wanted = done + turns;
      while (done < wanted && !stopped) await Bun.sleep(5);
      if (stopped) throw failure;
    },
    async stop() {
      stopped = true;
      await work;
      if (failure !== undefined) throw failure;
    },
  };
}
