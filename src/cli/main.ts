#!/usr/bin/env node
/** The program `velist-backup`: hands the process's streams, environment and interrupts to the commands. */
import { createInterface } from 'node:readline';
import { visibleText } from '../words/visible-text.ts';
import { runCli } from './program.ts';
import { unsupportedRuntime } from './runtime.ts';

const WRONG_USE = 2;
const INTERRUPTED = 130;

const unsupported = unsupportedRuntime(process.versions);
if (unsupported !== null) {
  process.stderr.write(`${unsupported}\n`);
  process.exit(WRONG_USE);
}
hideExperimentalWarnings();

const interrupted = new AbortController();

process.on('SIGINT', interrupt);
process.on('SIGTERM', interrupt);

process.exitCode = await runCli(process.argv.slice(2), {
  stdout: process.stdout,
  stderr: process.stderr,
  signal: interrupted.signal,
  color: wantsColor(),
  ...(process.stdin.isTTY && process.stderr.isTTY && { ask }),
  async createService({ configPath, isWithoutConfig, ...places }, write) {
    // Standard output is the answer's.
    const writeAudit = (line: string) => void process.stderr.write(`${line}\n`);
    const { openEnvironment, openFleet } = await import('../fleet/from-config.ts');
    const given = { ...places, write, writeAudit };
    return isWithoutConfig ? await openEnvironment(given) : await openFleet(configPath, given);
  },
  async serve(places, signal, options) {
    const { runApp } = await import('../app/bootstrap.ts');
    await runApp({ ...places, ...options, signal });
  },
});

/** As https://no-color.org and its opposite have it; undefined: as the terminal is. */
function wantsColor(): boolean | undefined {
  if ((process.env['NO_COLOR'] ?? '') !== '') return false;
  const forced = process.env['FORCE_COLOR'] ?? '';
  return forced === '' ? undefined : forced !== '0' && forced !== 'false';
}

/** On standard error, so that an answer in JSON stays whole. An interrupt and the end of the input are a no. */
async function ask(question: string): Promise<boolean> {
  // Not as a terminal: an interrupt comes as the signal that it is.
  const lines = createInterface({ input: process.stdin, output: process.stderr, terminal: false });
  try {
    const answer = await new Promise<string>((resolve) => {
      lines.once('close', () => resolve('\n'));
      lines.question(visibleText(question), { signal: interrupted.signal }, resolve);
      interrupted.signal.addEventListener('abort', () => resolve('\n'), { once: true });
    });
    // Nobody has ended the line of the question.
    if (answer === '\n') process.stderr.write(answer);
    return /^\s*y(es)?\s*$/i.test(answer);
  } finally {
    lines.close();
    process.stdin.unref();
  }
}

/** The first interrupt stops the run and waits for it; the second one leaves at once. */
function interrupt(): void {
  if (interrupted.signal.aborted) process.exit(INTERRUPTED);
  interrupted.abort();
}

/** Node 22 warns of its SQLite at the first import; whoever reads our standard error can do nothing about it. */
function hideExperimentalWarnings(): void {
  const emitWarning = process.emitWarning.bind(process) as (...given: unknown[]) => void;
  process.emitWarning = (...given: unknown[]) => {
    if (given[1] !== 'ExperimentalWarning') emitWarning(...given);
  };
}
