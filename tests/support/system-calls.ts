/**
 * The system calls by which a process changes files, and the faults that can be put in their place.
 *
 * `followCalls` runs a command under `system-calls-main.ts`, which follows it by ptrace and needs neither a compiler nor
 * strace: strace counts by thread, and can shorten no write. It knows the calls of Linux on x86-64 alone.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export type FaultKind = 'killed before' | 'killed after' | 'EIO' | 'ENOSPC' | 'EINTR' | 'full' | 'short';

/** Which arguments of a call name a file, and which one is a length that may be shortened. */
export interface CallForm {
  readonly name: string;
  readonly descriptor?: number;
  readonly path?: number;
  /** The folder that a relative path begins at. */
  readonly at?: number;
  readonly to?: number;
  readonly toAt?: number;
  readonly flags?: number;
  readonly length?: number;
  /** A full disk refuses it. */
  readonly takesRoom?: boolean;
}

const takesRoom = true;

/** By number, of Linux on x86-64: https://github.com/torvalds/linux/blob/master/arch/x86/entry/syscalls/syscall_64.tbl */
export const callForms: ReadonlyMap<number, CallForm> = new Map<number, CallForm>([
  [1, { name: 'write', descriptor: 0, length: 2, takesRoom }],
  [2, { name: 'open', path: 0, flags: 1, takesRoom }],
  [16, { name: 'ioctl', descriptor: 0, takesRoom }],
  [18, { name: 'pwrite64', descriptor: 0, length: 2, takesRoom }],
  [20, { name: 'writev', descriptor: 0, takesRoom }],
  [40, { name: 'sendfile', descriptor: 0, length: 3, takesRoom }],
  [74, { name: 'fsync', descriptor: 0 }],
  [75, { name: 'fdatasync', descriptor: 0 }],
  [76, { name: 'truncate', path: 0 }],
  [77, { name: 'ftruncate', descriptor: 0 }],
  [82, { name: 'rename', path: 0, to: 1, takesRoom }],
  [83, { name: 'mkdir', path: 0, takesRoom }],
  [84, { name: 'rmdir', path: 0 }],
  [85, { name: 'creat', path: 0, takesRoom }],
  [86, { name: 'link', path: 0, to: 1, takesRoom }],
  [87, { name: 'unlink', path: 0 }],
  [88, { name: 'symlink', path: 1, takesRoom }],
  [90, { name: 'chmod', path: 0 }],
  [91, { name: 'fchmod', descriptor: 0 }],
  [92, { name: 'chown', path: 0 }],
  [93, { name: 'fchown', descriptor: 0 }],
  [94, { name: 'lchown', path: 0 }],
  [257, { name: 'openat', at: 0, path: 1, flags: 2, takesRoom }],
  [258, { name: 'mkdirat', at: 0, path: 1, takesRoom }],
  [260, { name: 'fchownat', at: 0, path: 1 }],
  [263, { name: 'unlinkat', at: 0, path: 1 }],
  [264, { name: 'renameat', at: 0, path: 1, toAt: 2, to: 3, takesRoom }],
  [265, { name: 'linkat', at: 0, path: 1, toAt: 2, to: 3, takesRoom }],
  [266, { name: 'symlinkat', at: 1, path: 2, takesRoom }],
  [268, { name: 'fchmodat', at: 0, path: 1 }],
  [285, { name: 'fallocate', descriptor: 0, takesRoom }],
  [296, { name: 'pwritev', descriptor: 0, takesRoom }],
  [316, { name: 'renameat2', at: 0, path: 1, toAt: 2, to: 3, takesRoom }],
  [326, { name: 'copy_file_range', descriptor: 2, length: 4, takesRoom }],
  [452, { name: 'fchmodat2', at: 0, path: 1 }],
]);

/** One call that changed something below the folder that was asked about. */
export interface Call {
  /** Call and file, without what differs from run to run. */
  readonly name: string;
  /** The how many-th of that name it is, from 1. */
  readonly nth: number;
  /** The step that the process had last said it was at. */
  readonly step: string;
  /** Bytes that it was to write; null where it has no length. */
  readonly length: number | null;
}

export interface Fault {
  readonly call: Pick<Call, 'name' | 'nth'>;
  readonly kind: FaultKind;
}

/** What the program that follows is told. */
export interface Following {
  readonly command: readonly string[];
  /** Only calls on files below it count. */
  readonly folder: string;
  /** Takes a line of JSON for each call, and one for the fault. */
  readonly report: string;
  readonly fault: Fault | null;
  /** When it first says this on standard output, it waits until `goOn` is called. */
  readonly pauseAfter: string | null;
}

export type ReportLine = { readonly call: Call } | { readonly struck: string };

/** What differs from run to run has another name in each: moments, process ids, random parts. */
export function withoutChance(path: string): string {
  return path
    .replaceAll(/backup-\d{4}-\d{2}-\d{2}T[\d-]+Z/g, 'BACKUP')
    .replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}/g, 'ID')
    .replaceAll(/\.velist-restore-\w{6}/g, '.velist-restore-R')
    .replaceAll(/\b[0-9a-f]{16}\b/g, 'N')
    .replaceAll(/\d{2,}/g, 'N');
}

const program = fileURLToPath(new URL('./system-calls-main.ts', import.meta.url));

/** Starts the command as a child that is followed; its standard input and output are the command's. */
export function followCalls(following: Following, env: Record<string, string>): ChildProcess {
  rmSync(goFile(following.report), { force: true });
  return spawn(process.execPath, ['--config=/dev/null', '--no-env-file', program, JSON.stringify(following)], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env,
  });
}

/** Lets a command go on that waits after what it said. */
export function goOn({ report }: Pick<Following, 'report'>): void {
  writeFileSync(goFile(report), '');
}

export const goFile = (report: string): string => `${report}.go`;

export function readReport(path: string): { readonly calls: readonly Call[]; readonly struck: string | null } {
  const text = existsSync(path) ? readFileSync(path, 'utf8') : '';
  const lines = text.split('\n').filter(Boolean);
  const parsed = lines.map((line) => JSON.parse(line) as ReportLine); // our own program wrote it
  const struck = parsed.flatMap((line) => ('struck' in line ? [line.struck] : []));
  return { calls: parsed.flatMap((line) => ('call' in line ? [line.call] : [])), struck: struck[0] ?? null };
}

/** Why nothing can be followed here; null when it can. In CI that is a failure. */
export function whyNotFollowed(): string | null {
  if (process.platform === 'linux' && process.arch === 'x64') return null;
  const why = `system calls are followed on Linux on x86-64 only, and this is ${process.platform} on ${process.arch}`;
  if (process.env['CI']) throw new Error(why);
  return why;
}
