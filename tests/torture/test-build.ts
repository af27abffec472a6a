/**
 * Test builds: copies of the sources in a scratch folder, each with one deliberate break. The product's own sources know
 * nothing of them. A patch that no longer fits is an error, not a fault that is silently never planted.
 */
import { spawn } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Replaces a piece of one file. */
export interface Patch {
  /** From the root of the project. */
  readonly file: string;
  /** Must be there exactly once. */
  readonly from: string;
  readonly to: string;
}

/** What runs against a test build. */
export type Catcher =
  /** The test of exactly this name. */
  | { readonly kind: 'test'; readonly file: string; readonly name: string }
  | { readonly kind: 'torture'; readonly scenario: string; readonly seconds: number; readonly seed: number }
  | { readonly kind: 'kills'; readonly of: string; readonly kills: number; readonly seed: number };

export interface PlantedFault {
  readonly name: string;
  readonly patches: readonly Patch[];
  readonly caughtBy: Catcher;
}

/** Its folder goes when it is disposed. */
export interface TestBuild extends Disposable {
  plant(patches: readonly Patch[]): void;
  /** Takes all patches out again. */
  restore(): void;
  run(catcher: Catcher): Promise<Verdict>;
  /** Runs a program of it. */
  program(file: string, ...args: readonly string[]): Promise<{ readonly code: number; readonly output: string }>;
}

export type Verdict =
  | { readonly status: 'sound'; readonly output: string }
  | { readonly status: 'caught'; readonly how: string; readonly output: string }
  /** Neither passed nor found anything: it was left out, or broke down. */
  | { readonly status: 'not run'; readonly output: string };

/** @throws when the piece is missing, or there more than once. */
export function patched(source: string, { file, from, to }: Patch): string {
  const times = source.split(from).length - 1;
  if (times !== 1) throw new Error(`the patch of ${file} fits ${times} times instead of once: ${from}`);
  return source.replace(from, () => to);
}

/** @param parent an existing folder. */
export function makeTestBuild(parent = tmpdir()): TestBuild {
  const folder = mkdtempSync(join(parent, 'velist-planted-'));
  // Some suites have a process of another user, which must find its program.
  chmodSync(folder, 0o711);
  for (const part of ['src', 'tests', 'package.json', 'tsconfig.json', 'bunfig.toml'])
    cpSync(join(root, part), join(folder, part), { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  const scratch = join(folder, 'scratch');
  const changed = new Set<string>();
  return {
    plant(patches) {
      for (const patch of patches) {
        const path = join(folder, patch.file);
        const source = patched(readFileSync(path, 'utf8'), patch);
        changed.add(patch.file);
        writeFileSync(path, source);
      }
    },
    restore() {
      for (const file of changed) cpSync(join(root, file), join(folder, file));
      changed.clear();
    },
    async run(catcher) {
      rmSync(scratch, { recursive: true, force: true });
      mkdirSync(scratch, { mode: 0o711 });
      const { code, output } = await bun(folder, commandOf(catcher, scratch));
      return judge(catcher, code, output);
    },
    program: (file, ...args) => bun(folder, [file, ...args]),
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  };
}

function commandOf(catcher: Catcher, scratch: string): readonly string[] {
  switch (catcher.kind) {
    case 'test': {
      const pattern = catcher.name.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');
      return ['test', '--timeout', '60000', `./${catcher.file}`, '-t', pattern];
    }
    case 'torture': {
      const { scenario, seconds, seed } = catcher;
      const time = ['--seconds', `${seconds}`, '--round-seconds', `${seconds}`];
      const what = ['--scenario', scenario, '--seed', `${seed}`, '--megabytes-max', '20', '--until-bad'];
      return ['tests/torture/torture.ts', ...time, ...what, '--folder', scratch];
    }
    case 'kills': {
      const { of, kills, seed } = catcher;
      const what = ['--kinds', of, '--kills', `${kills}`, '--seed', `${seed}`, '--megabytes', '8', '--until-loss'];
      return ['tests/faults/kills.ts', ...what, '--folder', scratch];
    }
  }
}

/** Only words of the suite itself count: a build that breaks down has caught nothing. */
function judge(catcher: Catcher, code: number, output: string): Verdict {
  if (catcher.kind === 'test') {
    const isNamed = (mark: string) => output.split('\n').some((line) => line.startsWith(`(${mark}) ${catcher.name}`));
    if (code !== 0 && isNamed('fail')) return { status: 'caught', how: complaintOf(output), output };
    return { status: code === 0 && /^ *[1-9]\d* pass$/m.test(output) ? 'sound' : 'not run', output };
  }
  const found = output.split('\n').find((line) => /^ {2}(BAD|LOSS) /.test(line));
  if (code !== 0 && found) return { status: 'caught', how: found.trim(), output };
  return { status: code === 0 ? 'sound' : 'not run', output };
}

function complaintOf(output: string): string {
  return output.split('\n').find((line) => /^error: |^Received: /.test(line)) ?? 'its test failed';
}

function bun(cwd: string, args: readonly string[]): Promise<{ readonly code: number; readonly output: string }> {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, NO_COLOR: '1' };
    const child = spawn(process.execPath, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => (output += text));
    child.once('error', reject);
    child.once('close', (code) => resolve({ code: code ?? 1, output }));
  });
}
