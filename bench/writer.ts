/** Starts the paced writer (writer-main.ts) in a process of its own, as an application would be one. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { TRANSACTIONS_PER_SECOND } from './bench.ts';

export interface WriterSettings {
  readonly synchronous: 'NORMAL' | 'FULL';
  readonly busyTimeoutMs: number;
}

export interface WriterOutcome {
  readonly commits: number;
  readonly errors: number;
  readonly firstError: string;
  readonly seconds: number;
  /** How long each transaction took. */
  readonly waitsMs: readonly number[];
  /** From the moment when each was due to its end. */
  readonly delaysMs: readonly number[];
}

export interface Writer {
  readonly stop: () => Promise<WriterOutcome>;
}

/** Resolves when it has warmed up and its waits count. */
export async function startWriter(database: string, settings: WriterSettings): Promise<Writer> {
  const program = fileURLToPath(new URL('./writer-main.ts', import.meta.url));
  const { busyTimeoutMs, synchronous } = settings;
  const child = spawn(
    process.execPath,
    [program, database, String(TRANSACTIONS_PER_SECOND), String(busyTimeoutMs), synchronous],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  );
  const lines = createInterface({ input: child.stdout });
  const nextLine = async (): Promise<string> => {
    const said = await Promise.race([once(lines, 'line'), once(child, 'close').then(() => null)]);
    if (said === null) throw new Error('the writer ended before its time');
    return String(said[0]);
  };
  const first = await nextLine();
  if (first !== 'started') throw new Error(`the writer said ${first}`);
  return {
    async stop() {
      const last = nextLine();
      child.stdin.end();
      return JSON.parse(await last) as WriterOutcome; // our own program wrote it
    },
  };
}
